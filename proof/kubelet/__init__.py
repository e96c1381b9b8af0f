"""A real kubelet with containerd and runc, in namespaces of its own, and the operator's own image in it."""
