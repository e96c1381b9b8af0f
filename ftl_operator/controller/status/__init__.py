"""The status of an FtlApp: its conditions, history and events, and the writer."""
