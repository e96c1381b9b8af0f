"""What a WebAssembly component is: its binary, its tools, their schemas and what it asks of a host."""
