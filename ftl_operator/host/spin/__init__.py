"""Spin's interfaces and rules: variables, stores, SQLite, routes, allowed outbound hosts."""
