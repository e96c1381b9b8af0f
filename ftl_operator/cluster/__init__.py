"""The Kubernetes API: client, cache of watched objects, leader election, and readers of its objects."""
