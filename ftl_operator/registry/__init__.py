"""The client for OCI registries: bounded HTTP, retries, tokens and credentials."""
