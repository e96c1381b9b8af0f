"""WebAssembly components: their binary, their tools and schemas, and what they need of a host."""
