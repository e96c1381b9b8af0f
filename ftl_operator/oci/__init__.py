"""OCI references, digests, descriptors, manifests, images and the caches of their bytes."""
