# demo · test · check · fix · bench: each says what it does. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# How many seeds the simulation runs. Continuous integration runs 1000.
SIMULATION_SEEDS ?= 100
# Tools that are not part of the project are kept outside the tree.
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cairn-tools
CARGO_DENY_VERSION := 0.20.2
DENY := $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny

.PHONY: help
help: ## Lists what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# BACKEND=tikv: log and state in TiKV, with PD and three stores of the demo's own.
BACKEND ?= embedded

.PHONY: demo
demo: $(if $(filter tikv,$(BACKEND)),tikv-build) ## Starts a federation of four validators and tells its story; BACKEND=tikv has it in TiKV
	@echo "building cairn (release) ..."
	@cargo build --release --quiet --locked --bin cairn --package cairn-node $(if $(filter tikv,$(BACKEND)),--features tikv)
	@BACKEND=$(BACKEND) e2e/demo.sh target/release/cairn

.PHONY: test-alerts
test-alerts: # what the rules mean, by promtool: every alert fires when it should, and not when it should not
	@promtool=$$(e2e/monitoring/prometheus.sh promtool) || { \
	  echo "SKIPPED, not tested: the meaning of alerts, because there is no promtool" >&2; test "$$CI" != true; exit; }; \
	cd dashboards/rules && "$$promtool" check rules cairn-validators.yaml cairn-operator.yaml one-cluster/rules.yaml && \
	"$$promtool" test rules tests.yaml tests-of-days.yaml one-cluster/tests.yaml

.PHONY: chaos
chaos: debug ## Breaks a real federation under load and holds the alerts of a real Prometheus against it; SPEED=, ONLY=, KEEP=1. As root
	@e2e/monitoring/chaos.py --cairn $(TARGET)/debug/cairn --operator $(TARGET)/debug/cairn-operator \
	  $(if $(ONLY),--only $(ONLY),--report docs/alerts.md) $(if $(SPEED),--speed $(SPEED)) $(if $(KEEP),--keep)

.PHONY: tikv-build
tikv-build: # PD and stores that speak TiKV's protocol, for tests and development; some minutes, once
	@ln -sfn "$$(e2e/tikv/build.sh | tail -n 1)" "$(TOOLS)/tikv"

.PHONY: tikv
tikv: tikv-build ## Starts a PD and three stores on 127.0.0.1:23790, until Ctrl-C
	@"$(TOOLS)/tikv/cairn-tikv-dev" up target/tikv --base-port 23790

.PHONY: kubernetes-build
kubernetes-build: # etcd, kube-apiserver, kube-controller-manager, kubectl, helm for tests; some minutes, once
	@e2e/kubernetes/build.sh >/dev/null

.PHONY: crds
crds: ## Writes the CRDs, and the copy in their chart, from the operator's types
	UPDATE_GOLDENFILES=1 cargo test --quiet --locked --package cairn-operator --test crds

.PHONY: dashboards
dashboards: ## Writes what is generated for those who watch: docs/metrics.md, dashboards, rules
	UPDATE_GOLDENFILES=1 cargo test --quiet --workspace --locked --features cairn-node/tikv --test boards --test metrics --test rules --test objects

REGISTRY ?= ghcr.io/cairndb
# release, or debug: which takes less time to make, and more to run.
PROFILE ?= release
TARGET := $(or $(CARGO_TARGET_DIR),target)
IMAGES := $(TARGET)/images
# One set of features for everything in the workspace, so that nothing is built twice; `make test` has the same.
BUILD := cargo build --workspace --locked --features cairn-node/tikv --release

.PHONY: images
images: $(if $(filter debug,$(PROFILE)),debug) ## Builds the images of validator and operator as OCI archives with their SBOMs, without Docker
	@images/build.py --registry $(REGISTRY) --out $(IMAGES) $(if $(filter debug,$(PROFILE)),--built $(TARGET)/debug)

.PHONY: test-images
test-images: # what the images promise, and that the Dockerfile says the same
	@images/test.py

.PHONY: cluster
cluster: ## Starts a Kubernetes of three nodes with a federation of four on it; CLUSTER=existing uses the current one
	@e2e/kubernetes/install.sh up

.PHONY: cluster-down
cluster-down: ## Ends it, and leaves nothing behind
	@e2e/kubernetes/install.sh down

.PHONY: e2e
e2e: ## Plays the stories on that, or on a cluster of their own; STORY=, TIMES=, AT_ONCE=, REPORT=, KEEP=1, CLUSTER=existing
	@e2e/kubernetes/e2e.sh

.PHONY: test-cluster
test-cluster: # the cluster leaves nothing behind, whatever was killed before it was ended
	@e2e/kubernetes/build.sh --nodes >/dev/null
	@e2e/kubernetes/leaves-nothing.sh

.PHONY: stories-build
stories-build: $(if $(filter debug,$(PROFILE)),debug)
	@$(if $(filter debug,$(PROFILE)),,$(BUILD) --bin cairn-stories)

.PHONY: test
test: check test-images test-alerts test-launcher test-rust test-dashboards test-driver test-driver-python test-openapi test-wasm test-demo test-demo-tikv test-planted ## Everything: checks, unit, simulation, processes, the official driver, the demo
	@echo "make test: all passed"

# As BUILD, so that nothing is built twice.
TEST := cargo test --workspace --locked --features cairn-node/tikv

.PHONY: test-rust
test-rust: debug tikv-build kubernetes-build
	CAIRN_SIM_SEEDS=$(SIMULATION_SEEDS) $(TEST)

.PHONY: test-dashboards
test-dashboards: debug kubernetes-build # what the dashboards ask is answered by a Prometheus that read a federation and operators in use
	@TEST="$(TEST)" e2e/monitoring/run.sh $(TARGET)/debug

.PHONY: pictures
pictures: debug kubernetes-build ## Draws the dashboards of docs/monitoring.md anew; some ten minutes, and chromium
	@TEST="$(TEST)" e2e/monitoring/pictures.sh $(TARGET)/debug

.PHONY: test-launcher
test-launcher: tikv-build # the launcher of the TiKV stores, its pure parts
	cd e2e/tikv/launcher && CGO_ENABLED=0 GOWORK=off go test -mod=readonly -trimpath \
	  -ldflags "-checklinkname=0 -X google.golang.org/protobuf/reflect/protoregistry.conflictPolicy=ignore" .

.PHONY: test-planted
test-planted: # rules broken on purpose: the simulation must notice each
	$(TEST) --features cairn-node/planted-bugs --test sim planted

# Programs and tests at once: programs alone would be built with fewer features of what both use, and so again.
.PHONY: debug
debug:
	@cargo build --workspace --locked --features cairn-node/tikv --bins --tests --quiet

.PHONY: test-driver
test-driver: debug # the official BigchainDB driver from npm against a running federation
	e2e/driver/run.sh target/debug/cairn

.PHONY: test-driver-python
test-driver-python: debug # the official BigchainDB driver from PyPI; ends with 75 where it cannot be installed
	e2e/driver-python/run.sh target/debug/cairn

.PHONY: test-openapi
test-openapi: debug # API v2 does what its OpenAPI document says, asked properly and improperly
	e2e/openapi/run.sh target/debug/cairn

.PHONY: test-demo
test-demo: debug # the demo's exit code is honest
	BASE_PORT=25984 e2e/demo.sh target/debug/cairn

.PHONY: test-demo-tikv
test-demo-tikv: debug tikv-build # the same story on TiKV, and a store that is killed
	BACKEND=tikv BASE_PORT=25984 e2e/demo.sh target/debug/cairn

# The verifier for browsers and Node. `Error 3`: the target is missing and cannot be had.
WASM_TARGET := wasm32-unknown-unknown
WASM := target/$(WASM_TARGET)/wasm/cairn_verifier_wasm.wasm

.PHONY: wasm
wasm: ## Builds the verifier as a WebAssembly module
	@test -d "$$(rustc --print target-libdir --target $(WASM_TARGET))" || rustup target add $(WASM_TARGET) || \
	  { echo "the Rust target $(WASM_TARGET) is not installed and rustup cannot fetch it: install it, then try again" >&2; exit 3; }
	cargo build --profile wasm --target $(WASM_TARGET) --locked --package cairn-verifier-wasm
	@wc -c $(WASM)

.PHONY: test-wasm
test-wasm: debug # the module in Node: the vectors, and a receipt of a running federation
	@if test -d "$$(rustc --print target-libdir --target $(WASM_TARGET))" || rustup target add $(WASM_TARGET); \
	  then $(MAKE) --no-print-directory wasm && e2e/receipts/run.sh target/debug/cairn $(WASM); \
	  else echo "SKIPPED, not tested: the verifier as WebAssembly, because rustup cannot fetch $(WASM_TARGET) here" >&2; fi

.PHONY: check
check: $(DENY) ## Format, lints, licences: looks, never writes
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
	@! cargo tree --quiet --locked --package cairn-node --edges normal | grep -q tikv-client || \
	  { echo "the default build has tikv-client in it; only the feature tikv may" >&2; exit 1; }
	@cargo fetch --quiet --locked
	$(DENY) --offline --config .deny.toml check licenses bans sources

.PHONY: fix
fix: ## Formats, and applies what clippy can mend by itself
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

.PHONY: bench
bench: ## Measures committed transactions per second with four validators on this machine
	cargo build --release --locked --bin cairn --bin cairn-bench
	target/release/cairn-bench --cairn target/release/cairn $(BENCH)

.PHONY: peers
peers: ## Measures what that is compared with: etcd, PostgreSQL and CometBFT, on this machine; PEERS="--seconds 20 etcd"
	@e2e/peers/run.sh $(PEERS)

$(DENY):
	@echo "installing cargo-deny $(CARGO_DENY_VERSION) into $(TOOLS) (once, some minutes) ..."
	cargo install --quiet --debug --locked cargo-deny --version $(CARGO_DENY_VERSION) --root $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)
