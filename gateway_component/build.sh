#!/usr/bin/env bash
# Builds the gateway into ftl_operator/gateway.wasm. `--check` compares instead, with the pinned toolchain, and fails
# if the committed file is not what these sources give.
set -euo pipefail
cd "$(dirname "$0")"

committed=../ftl_operator/gateway.wasm
# With its own target folder, so that other builds neither wait nor throw its work away.
export CARGO_TARGET_DIR=${GATEWAY_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ftl-operator/target-gateway}
export FTL_WASM_PINNED=1

../scripts/wasm-cargo build --release --locked --package component
built=$CARGO_TARGET_DIR/wasm32-wasip2/release/component.wasm

digest() { sha256sum "$1" | cut -d ' ' -f 1; }
if [ "${1:-}" = --check ]; then
  if ! cmp -s "$built" "$committed"; then
    echo "gateway.wasm is not what its sources give: committed $(digest "$committed"), built $(digest "$built")." >&2
    echo "Run gateway_component/build.sh and commit the result." >&2
    exit 1
  fi
  echo "gateway.wasm is what its sources give: $(digest "$committed")"
else
  cp "$built" "$committed"
  echo "ftl_operator/gateway.wasm: $(stat -c %s "$committed") bytes, sha256 $(digest "$committed")"
fi
