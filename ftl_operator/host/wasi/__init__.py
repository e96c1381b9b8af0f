"""The WASI 0.2 interfaces."""
