"""Pipes, workers and logs between guests and the outside."""
