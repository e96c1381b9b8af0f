#!/usr/bin/env bash
# Builds ftl_operator/componentize.wasm; with --check, compares instead and fails when the committed one differs.
set -euo pipefail
cd "$(dirname "$0")"
committed=../../ftl_operator/componentize.wasm
export FTL_WASM_PINNED=1
export CARGO_TARGET_DIR="${XDG_CACHE_HOME:-$HOME/.cache}/ftl-operator/target-componentize"
../../scripts/wasm-cargo build --release --locked
built=$CARGO_TARGET_DIR/wasm32-wasip2/release/componentize.wasm

if [ "${1:-}" = --check ]; then
  cmp "$built" "$committed" || { echo "componentize.wasm does not match its sources; run $0" >&2; exit 1; }
else
  cp "$built" "$committed"
fi
sha256sum "$committed"
