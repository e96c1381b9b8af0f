"""The gateway's baked-in variables: its configuration, the catalog of tools and their schemas."""
