"""Runs one component in a child process with bounded memory, time and no network."""
