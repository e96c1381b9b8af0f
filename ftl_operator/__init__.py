"""Serve Model Context Protocol tools from WebAssembly components on any cluster that runs SpinKube."""

__version__ = "0.1.0"
