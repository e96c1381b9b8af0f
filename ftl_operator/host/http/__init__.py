"""HTTP/1.1 of the embedded host: server, client and messages."""
