"""The status of an FtlApp: conditions, history, events, and how it is written."""
