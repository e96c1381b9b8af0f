"""What is baked into the gateway: its configuration, the catalog of tools and their schemas."""
