# `make` alone says what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test pentest soak check fmt bench image sqlx-prepare ensure

# Queries are checked against .sqlx, so no build needs a database.
export SQLX_OFFLINE := true
export ADVISORY_DB
# More arguments for what is run: make run ARGS="--port-base 9000", make test ARGS="--test ledger"
ARGS ?=
IMAGE ?= waxseal:latest
WAXSEAL := $${CARGO_TARGET_DIR:-target}/debug/waxseal

say = @printf '\033[1m== %s\033[0m\n' "$(1)"

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-13s %s\n", $$1, $$2 }'

run: ensure ## Start everything on this machine: Postgres, a simulated Meta, a demo that explains itself
	$(call say,building and starting Waxseal; Ctrl-C stops it)
	@cargo run --release -- dev $(ARGS)

test: ensure ## Run all tests, documentation included, against a throw-away Postgres
	@scripts/ensure-sdk.sh
	@scripts/ensure-brokers.sh
	@scripts/ensure-age.sh
	@scripts/ensure-softhsm.sh
	$(call say,building)
	@cargo build --all-features
	$(call say,testing against a throw-away Postgres)
	@$(WAXSEAL) dev postgres -- scripts/run-tests.sh --all-features --no-fail-fast $(ARGS)

pentest: ensure ## Attack a gateway with schemathesis and sqlmap (ARGS=long: for an hour and with everything)
	$(call say,attacking)
	@cargo build --all-features
	@scripts/pentest.sh $(ARGS)

soak: ensure ## Compare what went in with what arrived while everything fails, for SOAK_MINUTES (30; LEDGER_SEED repeats a run)
	$(call say,keeping the books under faults)
	@SOAK_MINUTES=$${SOAK_MINUTES:-30} cargo test --test ledger

check: ensure ## Check format, lints, documentation, architecture and dependencies
	$(call say,format)
	@cargo fmt --check
	$(call say,lints)
	@cargo clippy --all-targets --all-features -- -D warnings
	$(call say,documentation)
	@RUSTDOCFLAGS="-D warnings" cargo doc --all-features --no-deps --document-private-items --quiet
	$(call say,architecture)
	@cargo test --quiet --all-features --test architecture
	$(call say,dependencies)
	@scripts/check-dependencies.sh

fmt: ## Format the code
	$(call say,formatting)
	@cargo fmt

bench: ensure ## Measure the ways in and out and the audit log on this machine (ARGS="-- in", "-- out", "-- send" or "-- audit": one)
	$(call say,measuring; leave the machine alone meanwhile)
	@cargo bench --bench gate $(ARGS)

image: ## Build the container image (IMAGE=name:tag) with docker, podman or buildah
	$(call say,building the image $(IMAGE))
	@scripts/build-image.sh $(IMAGE)

sqlx-prepare: ensure ## Make .sqlx anew after a query or a migration has changed
	$(call say,preparing queries for builds without a database)
	@scripts/sqlx-prepare.sh

ensure:
	@scripts/ensure-postgres.sh
