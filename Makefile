# The project's commands. Logic lives in Rust and in tests/prepare; this file only spells commands.
#
# Builds: clippy and doc share the `dev` metadata, tidy, nextest and doc tests share one `dev` build of the workspace (so
# tidy is built as one of the workspace: alone, its dependencies would have other features, and be built twice), the
# binaries that multi-process tests start and the loom models use the `demo` profile.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
VENV := $(TARGET)/venv
# Cargo.lock is committed: a build that would change it is a mistake.
LOCKED := --locked

.PHONY: help verify test faults soak soak-links demo bench bare peers peers-build memcheck fix clean fmt clippy doc tidy counts doctest loom fuzz fuzz-build bins nextest

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

## Checks that change nothing.

verify: fmt clippy doc tidy counts ## formatting, lints, docs with warnings denied, the repository's rules, instruction counts
	@echo "verify: everything holds"

fmt:
	$(CARGO) fmt --all --check

# The second: without its features the runtime is whole, too.
clippy: | prepare-verify
	$(CARGO) clippy $(LOCKED) --workspace --all-targets -- -D warnings
	$(CARGO) clippy $(LOCKED) -p shard-runtime --lib --no-default-features -- -D warnings

doc: | prepare-verify
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(LOCKED) --workspace --no-deps --features shard-runtime/tracing

tidy: | prepare-verify
	$(CARGO) test $(LOCKED) --quiet --workspace --test tidy

counts: | prepare-verify ## instructions per message against the baseline (ARGS=--write to write it)
	benches/counts.sh $(ARGS)

## Tests. The workspace run comes last, so that its summary is the last thing on the screen.

test: ## every test: doc tests, loom models, the fuzz target's build, the workspace
	@tests/prepare test $(VENV)
	@$(MAKE) bins
	@$(MAKE) doctest
	@$(MAKE) loom
	@$(MAKE) fuzz-build
	@$(MAKE) nextest

# Binaries that multi-process tests start; the harness would build them itself, but inside a test's time limit.
bins:
	@if compgen -G 'scenarios/src/bin/*' >/dev/null; then \
	    set -x; $(CARGO) build $(LOCKED) --profile demo -p shard-scenarios --bins; \
	else echo "bins: shard-scenarios has no binary"; fi

doctest:
	$(CARGO) test $(LOCKED) --quiet --workspace --doc

# In the profile of the binaries, so that what both depend on is built once.
loom:
	@if grep -rqE 'fn loom_' shard-runtime/src; then \
	    set -x; LOOM_MAX_PREEMPTIONS="$${LOOM_MAX_PREEMPTIONS:-2}" \
	    $(CARGO) test $(LOCKED) --profile demo -p shard-runtime --lib --no-default-features --features loom loom_; \
	else echo "loom: there is no model in shard-runtime/src"; fi

# A stable compiler does not build sanitizer coverage; the bootstrap switch lets it. Building proves the target compiles,
# the same entry point is exercised by property tests in wire/tests.
fuzz-build:
	@if [ -f wire/fuzz/Cargo.toml ]; then \
	    set -x; cd wire/fuzz && RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$(TARGET)/fuzz" $(CARGO) build; \
	else echo "fuzz-build: there is no wire/fuzz"; fi

# A minute for each target, from what is in the corpus; what is found stays in target/fuzz.
# The flags are those of cargo-fuzz: counters of edges, comparisons, and the address sanitizer; for a named machine, so that they
# do not reach build scripts.
FUZZ_SECONDS ?= 60
FUZZ_HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
FUZZ_FLAGS := --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address
fuzz: ## every fuzz target for a minute (FUZZ_SECONDS=600)
	cd wire/fuzz && RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$(TARGET)/fuzz" RUSTFLAGS="$(FUZZ_FLAGS)" \
	    $(CARGO) build --release --target $(FUZZ_HOST)
	@for target in $$(sed -n 's/^name = "\([a-z]*\)"$$/\1/p' wire/fuzz/Cargo.toml); do \
	    mkdir -p $(TARGET)/fuzz/corpus/$$target wire/fuzz/corpus/$$target; \
	    echo "fuzz: $$target"; \
	    (cd $(TARGET)/fuzz && $(FUZZ_HOST)/release/$$target -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -rss_limit_mb=4096 \
	        corpus/$$target $(CURDIR)/wire/fuzz/corpus/$$target) 2>&1 | tail -n 8 || exit 1; \
	done

nextest:
	@SHARD_TEST_VENV="$(VENV)" $(CARGO) nextest run $(LOCKED) --workspace --no-tests=pass

faults: ## what networks and machines do to two nodes, with the tests that take a minute each
	@tests/prepare test $(VENV)
	@$(MAKE) bins
	@$(CARGO) nextest run $(LOCKED) -p shard-tests --run-ignored all -E 'binary(faults) - test(at_full_rate)'

soak: ## ten minutes of everything on one node, with an account of every message; then links (ARGS="--seconds 60 --seed 7 --simulated")
	$(CARGO) build $(LOCKED) --profile demo -p shard-scenarios --bins
	@$(TARGET)/demo/soak $(ARGS)
	@$(MAKE) soak-links

# 10,000 schedules of simulated sessions, then ten minutes at full rate while connections are reset every 2 s.
soak-links:
	@tests/prepare test $(VENV)
	SESSION_SIM_SEEDS="$${SESSION_SIM_SEEDS:-2500}" $(CARGO) test $(LOCKED) --profile demo -p shard-wire --test session_sim
	$(CARGO) nextest run $(LOCKED) -p shard-tests --run-ignored all -E 'binary(faults) & test(at_full_rate)'

## Everything else.

demo: ## five nodes on this machine; Ctrl-C stops all (ARGS="--nodes 3 --duration 60s")
	$(CARGO) build $(LOCKED) --profile demo -p shard-scenarios --bins
	@exec $(TARGET)/demo/demo $(ARGS)

bench: ## criterion benches per hot path, then the workloads beside their peers (ARGS="--only NAME --json FILE")
	$(CARGO) bench $(LOCKED) -p shard-benches --benches
	@$(MAKE) peers-build
	$(CARGO) run $(LOCKED) --release -p shard-benches --bin runs -- $(ARGS)

# Their own workspace, in the same folder of build output: `runs` looks for the program beside itself.
PEERS := --manifest-path benches/peers/Cargo.toml
peers: ## checks, builds and tries the peers between two nodes, which `runs` finds beside itself
	$(CARGO) fmt $(PEERS) --check
	$(CARGO) clippy $(LOCKED) $(PEERS) --target-dir $(TARGET) --release --all-targets -- -D warnings
	@$(MAKE) peers-build
	$(CARGO) test $(LOCKED) $(PEERS) --target-dir $(TARGET) --release

peers-build:
	$(CARGO) build $(LOCKED) $(PEERS) --target-dir $(TARGET) --release

bare: ## builds `runs` without instruments, for `runs --bare target/bare/release/runs`
	RUSTFLAGS="--cfg shard_bare" CARGO_TARGET_DIR="$(TARGET)/bare" $(CARGO) build $(LOCKED) --release -p shard-benches --bin runs

memcheck: ## the tests of the modules with unsafe code, and of simulated shards, under valgrind (ARGS=GROUP)
	@tests/memcheck $(ARGS)

fix: ## apply formatting and the lints that can fix themselves
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all

clean: ## remove everything that was built or logged here
	$(CARGO) clean
	rm -rf .demo

.PHONY: prepare-verify
prepare-verify:
	@tests/prepare verify
