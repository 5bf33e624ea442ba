.PHONY: help setup demo test test-istio check fuzz mutants miri build archive bench bench-check bench-memory bench-merge fmt

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

setup: ## Install what the other targets need and this machine lacks
	@tests/setup

demo: ## Show the defect and its cure on a real Envoy; leaves module, image, resource and a page in dist/
	@tests/setup demo
	@cargo run --locked --quiet --package tests --bin demo

build: ## Build the module, dist/sni-guard.wasm
	@tests/setup build
	@cargo run --locked --quiet --package packager -- build

check: setup ## Formatting, lints, documentation, what the dependencies are
	cargo fmt --check
	tests/deny
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --package tests --test crds --test istio -- -D warnings
	cargo clippy --locked --package filter --target wasm32-wasip1 -- -D warnings
	cargo clippy --locked --package rule --target wasm32v1-none -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

test: check fuzz ## Every check and every test, on the rule, the module, Envoy and a registry
	cargo test --locked

test-istio: setup ## The filter on a real Istio; the first time it builds Istio, for a quarter of an hour
	@tests/istio/setup
	cargo test --locked --package tests --test crds --test istio

fuzz: setup ## Look for inputs that break the rule, for 20 seconds each
	fuzz/run

mutants: setup ## Change the rule, the filter and coalescing in one place at a time; the tests must catch each
	tests/mutants

miri: setup ## Run what the filter does with memory in an interpreter that knows what Rust forbids
	tests/miri

archive: ## Pack the packager with its manual pages and completions, dist/packager-VERSION-HOST.tar.gz
	@packager/archive

fmt: ## Format the sources
	cargo fmt

bench: setup bench-check bench-memory bench-merge ## What a request costs, and the other benches; writes bench/RESULTS.md
	@cargo run --locked --quiet --package tests --bin bench

bench-check: setup ## What check takes beside istioctl, which it builds first; writes bench/CHECK.md
	@tests/istio/setup
	@cargo run --locked --quiet --package tests --bin bench_check

bench-memory: setup ## What a configuration adds to the memory of Envoy; writes bench/MEMORY.md
	@cargo run --locked --quiet --package tests --bin bench_memory

bench-merge: ## How long plans of many servers take; writes bench/MERGE.md
	@cargo run --locked --quiet --package tests --bin bench_merge
