"""What is tested end to end."""
