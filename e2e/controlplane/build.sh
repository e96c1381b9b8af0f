#!/usr/bin/env bash
# Builds the real control plane from the Go module proxy, once, into the user's cache.
#
# Prints the folder that holds kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, spin-operator, helm,
# registry and crane. The folder's name is the checksum of everything that decides its content, so a second call is
# one `stat` and a change of any version builds anew.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"

kubernetes=$(go list -m -f "{{.Version}}" k8s.io/kubernetes)
key=$(cat go.mod go.sum build.sh <(go env GOVERSION GOARCH) | sha256sum | cut -c1-16)
out="${XDG_CACHE_HOME:-$HOME/.cache}/ftl-operator/controlplane/$key"

if [ ! -e "$out/complete" ]; then
  mkdir -p "$out"
  version="-X k8s.io/component-base/version.gitVersion=$kubernetes -X k8s.io/component-base/version.gitMajor=1"
  version="$version -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<<"$kubernetes")"
  build() { # PACKAGE NAME
    echo "building $2 (a cold build of all takes about ten minutes on two cores)" >&2
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $version" -o "$out/$2" "$1"
  }
  build github.com/distribution/distribution/v3/cmd/registry registry
  build github.com/google/go-containerregistry/cmd/crane crane
  build k8s.io/kubernetes/cmd/kube-apiserver kube-apiserver
  build k8s.io/kubernetes/cmd/kube-controller-manager kube-controller-manager
  build github.com/spinkube/spin-operator/cmd spin-operator
  build helm.sh/helm/v3/cmd/helm helm
  build k8s.io/kubernetes/cmd/kubectl kubectl
  build k8s.io/kubernetes/cmd/kube-scheduler kube-scheduler
  touch "$out/complete"
fi
echo "$out"
