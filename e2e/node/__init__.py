"""A node for SpinApp pods: what a kubelet, the Spin shim, kube-proxy and CoreDNS do, in small.

Pods whose RuntimeClass is the Spin shim's run their artifact with the embedded host, one process per
container, on an address of their own. Pods whose image is a known program (ftl-operator's own) run that
program. Anything else stays pending with a reason, because this node has no container runtime.
"""
