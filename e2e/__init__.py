"""A real Kubernetes control plane with SpinKube on this machine, and what ftl-operator has to do on it.

Everything that decides anything is the real thing: etcd, kube-apiserver, kube-controller-manager,
kube-scheduler, spin-operator with its webhooks, a distribution registry, helm. One part is ours, because the
Spin shim is in no package registry: the node (`e2e.node`) runs a SpinApp's pods with the embedded host of
`ftl-operator up`, and forwards Services as kube-proxy does.

    python -m e2e up        keep a cluster running and print its KUBECONFIG
    pytest e2e              the tests
"""
