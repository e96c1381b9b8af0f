"""What a call through the gateway costs, as ratios in one run on one host: `python -m bench`."""
