"""Pipes, threads and logs between guests and the host."""
