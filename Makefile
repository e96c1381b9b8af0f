# Everything a person needs is `make up` and `make test`; the rest are their parts.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ftl-operator
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' scripts/uv.txt)
# One uv for everything: yours, or the one that `init` puts into the cache. What runs below finds it by this name.
UV := $(or $(wildcard $(UV)),$(shell command -v uv || echo $(CACHE)/uv-$(UV_VERSION)/bin/uv))
export UV
RUN := $(UV) run --frozen
AS_ROOT := $(if $(filter-out 0,$(shell id -u)),unshare --user --map-root-user --net --mount)
# How many clusters share the end-to-end tests. Each is in a network of its own, for spin-operator's port is fixed; where the
# machine gives no further network, one has all of them.
CLUSTERS ?= 2
IN_A_NETWORK := unshare --net --mount
SHARED := --dist loadfile --tx '$(CLUSTERS)*popen//python=$(IN_A_NETWORK) $(CURDIR)/.venv/bin/python'
GATEWAY_TARGET := CARGO_TARGET_DIR=$(CACHE)/target-native

.PHONY: help init up examples test check unit integration rust gateway e2e scale bench fuzz generate docs builds \
  prerequisites sbom chart image proof clean

help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

$(UV):
	@echo "Installing uv $(UV_VERSION) into $(CACHE)"
	@python3 -m venv $(CACHE)/uv-$(UV_VERSION) || \
	  { echo "make: Python's venv module is needed (Debian: apt-get install python3-venv), or uv on PATH" >&2; exit 69; }
	@$(CACHE)/uv-$(UV_VERSION)/bin/pip install --quiet --require-hashes \
	  --requirement scripts/uv.txt

init: | $(UV) ## Create the environment (.venv) from the lock file
	@$(UV) sync --frozen --quiet

up: | $(UV) ## Serve the quickstart on http://127.0.0.1:3000/mcp (PORT=N for another port)
	@[ -d .venv ] || echo "Installing the operator's Python packages into .venv, once"
	@$(UV) sync --frozen --quiet --no-dev --inexact
	@$(UV) run --no-sync ftl-operator up examples/quickstart/ftlapp.yaml $(if $(PORT),--port $(PORT)) || \
	  [ $$? -eq 130 ] # Ctrl-C is how it ends

examples: ## Build every example tool from source into examples/tools/dist
	examples/tools/build

prerequisites: ## Install what the tests need from the system's packages
	@scripts/prerequisites

test: prerequisites init ## Run every test, from a clean checkout, and say what each tier takes (KEEP_GOING=1: also after a failure)
	@KEEP_GOING=$(KEEP_GOING) $(RUN) python -m scripts.tiers

check: init ## Lint, types, import rules, generated files
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) python scripts/generate.py --check

rust: ## The gateway's crates, natively: format, clippy, tests
	@scripts/json-schema-suite >/dev/null # what the tests of JSON Schema use
	cd gateway_component && cargo fmt --all --check
	cd gateway_component && $(GATEWAY_TARGET) cargo clippy --workspace --all-targets --locked -- -D warnings
	cd gateway_component && $(GATEWAY_TARGET) cargo test --workspace --locked -- --quiet

unit: init ## The Python tests that need nothing built: pure stages, registries, embedded host, command line
	NOTHING_BUILT=1 $(RUN) pytest tests -m "not integration" -n 2 --dist worksteal

integration: init ## The Python tests of what is built first: tools of other languages, clients, gateway, chart, pages
	@$(RUN) python -m builds --integration
	$(RUN) pytest tests -m integration -n 2 --dist loadfile

builds: init ## Build what the integration and end-to-end tests use, into the user's cache (make build-NAME for one)
	@$(RUN) python -m builds

build-%: init
	@$(RUN) python -m builds $*

gateway: init ## Rebuild gateway.wasm, login.wasm and the prebuilt tools, and compare them with the committed ones
	gateway_component/build.sh --check
	gateway_component/componentize/build.sh --check
	examples/tools/build --check

# The network of pods and Services needs root; who is not root is so in a network of their own.
e2e: init ## A real control plane, spin-operator, registry and node on loopback
	@$(RUN) python -m builds --end-to-end
	$(AS_ROOT) $(RUN) pytest e2e --ignore=e2e/cases/test_scale.py \
	  $(if $(shell $(AS_ROOT) $(IN_A_NETWORK) true 2>/dev/null && echo yes),$(SHARED))

scale: init ## A thousand FtlApps on that control plane: restart, memory, quiet (ten minutes; QUIET=3600 watches an hour; not part of `make test`)
	@$(RUN) python -m builds --end-to-end
	$(if $(QUIET),QUIET=$(QUIET)) $(AS_ROOT) $(RUN) pytest e2e/cases/test_scale.py

bench: init ## Measure, as ratios in one run
	$(RUN) python -m bench

fuzz: ## A million random requests and tool answers against the protocol (minutes)
	cd gateway_component && $(GATEWAY_TARGET) cargo run --profile fuzz --locked --quiet -p fuzz

generate: init ## Write everything that is generated
	$(RUN) python scripts/generate.py

docs: init ## Build the documentation, strictly
	@NO_MKDOCS_2_WARNING=1 $(UV) run --frozen --group docs mkdocs build --strict --quiet
	@echo "The documentation is in $(CURDIR)/site/index.html"

sbom: | $(UV) ## Write what the image is made of into dist/ftl-operator.cdx.json (CycloneDX)
	@python3 scripts/sbom.py dist/ftl-operator.cdx.json

chart: init ## Package the chart into dist/ (IMAGE_DIGEST=sha256:… for the image that it names)
	@$(RUN) python -m builds helm
	@$(RUN) python scripts/release.py chart dist $(IMAGE_DIGEST)

# The steps of a release are among what is proven.
proof: build-helm

image: ## Build the image without a daemon into dist/image/image.tar (BASE=… for another base; as root)
	@scripts/prerequisites proof
	@scripts/image dist/image $(BASE)

proof: init ## Build the image, run it alone and on real nodes (kubelet), and write what was found into dist/proof.md
	@scripts/prerequisites proof
	@$(RUN) python -m builds --proof
	@rm -f $(or $(PROOF),dist/proof.md)
	@scripts/image dist/image $(or $(BASE),"$$($(RUN) python -m builds --where debian-base)/root.tar")
	$(RUN) pytest proof --ignore=proof/kubelet
	PROOF_SECTION="Real nodes" proof/kubelet/alone $(UV) run --no-sync pytest proof/kubelet

clean: ## Remove what was built here (not the user's cache)
	rm -rf .venv site dist build
