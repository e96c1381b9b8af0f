"""The cluster on loopback: control plane, registry, operator."""
