#!/usr/bin/env bash
# Builds the gateway and the login into ftl_operator/gateway.wasm and login.wasm. `--check` compares instead, with the
# pinned toolchain, and fails if a committed file is not what these sources give.
set -euo pipefail
cd "$(dirname "$0")"

# With its own target folder, so that other builds neither wait nor throw its work away.
export CARGO_TARGET_DIR=${GATEWAY_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ftl-operator/target-gateway}
export FTL_WASM_PINNED=1

digest() { sha256sum "$1" | cut -d ' ' -f 1; }

# build PACKAGE NAME: each by itself, so that one does not get the features of the other's dependencies.
build() {
  ../scripts/wasm-cargo build --release --locked --package "$1"
  local built=$CARGO_TARGET_DIR/wasm32-wasip2/release/$1.wasm committed=../ftl_operator/$2.wasm
  if [ -z "$check" ]; then
    cp "$built" "$committed"
    echo "ftl_operator/$2.wasm: $(stat -c %s "$committed") bytes, sha256 $(digest "$committed")"
  elif cmp -s "$built" "$committed"; then
    echo "$2.wasm is what its sources give: $(digest "$committed")"
  else
    echo "$2.wasm is not what its sources give: committed $(digest "$committed"), built $(digest "$built")." >&2
    echo "Run gateway_component/build.sh and commit the result." >&2
    exit 1
  fi
}

check=
if [ "${1:-}" = --check ]; then check=1; fi
build component gateway
build login_component login
