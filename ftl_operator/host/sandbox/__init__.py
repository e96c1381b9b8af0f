"""Runs one component in a child process with limited memory and time and without network."""
