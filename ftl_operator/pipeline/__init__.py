"""The stages from an FtlApp to a Spin application: resolve, inspect, authorize, compose, publish."""
