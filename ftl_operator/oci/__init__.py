"""OCI references, digests, descriptors, manifests, images, layouts and the blob cache."""
