"""wasmtime: compiling, linking, and the conversion of WIT values."""
