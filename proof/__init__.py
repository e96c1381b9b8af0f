"""`make proof`: what is shipped, built and run as it is shipped, and a summary of what was found."""
