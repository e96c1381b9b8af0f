"""The Kubernetes API: client, cache of watched objects, leader election, and what objects there mean."""
