# `make demo` and `make test` need nothing but Python 3.11 or newer on a Debian-like machine.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup test-setup demo-setup check test test-debian image-test image-test-here demo console run bench chaos outage rolling walks order replays soak fuzz picture dist lock format clean conformance partitions

# The first of these that is new enough; `make PYTHON=/path/to/python3.12 setup` decides otherwise.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/ready
TEST_READY := .venv/test-ready
# Every test that starts no server; the ignored ones need what only requirements/test.txt installs.
UNIT_TESTS := -m "not servers" $(addprefix --ignore=,tests/e2e tests/deploy tests/proof tests/api/test_schema.py)
# Four processes, each with servers of its own, also on two processors: most tests wait.
ALL_TESTS := -n 4 --dist worksteal
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## the virtual environment in .venv, with pinned and hashed requirements

$(READY): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: apt-get install python3, or make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing requirements/dev.txt into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(TEST_READY): $(READY) requirements/test.txt
	@echo "Installing requirements/test.txt into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/test.txt
	@touch $@

$(BIN)/uv:
	@$(MAKE) --no-print-directory setup

demo-setup:
	@PYTHON="$(PYTHON)" .ci/debian-packages demo
	@$(MAKE) --no-print-directory setup

test-setup:
	@PYTHON="$(PYTHON)" .ci/debian-packages test
	@$(MAKE) --no-print-directory $(TEST_READY)

check: setup ## format, lint, types, import contracts, every test that needs no server
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest --quiet -n 2 --dist worksteal $(UNIT_TESTS)

test: test-setup ## set-up, then every test, against real servers; ARGS="-n 0 tests/http" for some
	@$(BIN)/python -m pytest $(ALL_TESTS) $(ARGS)

# make itself hands ARGS on to the make in there.
test-debian: ## `make test` in another release of Debian, as root: RELEASE=sid
	@.ci/debian-packages releases
	@.ci/in-debian "$(or $(RELEASE),trixie)" make --no-print-directory test

image-test: ## build the image and run it read-only, without capabilities, as anybody; as root
	@.ci/debian-packages releases
	@.ci/in-debian "$(or $(RELEASE),sid)" make --no-print-directory image-test-here

# Inside such a root, which has what buildah and podman need.
image-test-here:
	@.ci/debian-packages image
	@$(MAKE) --no-print-directory setup
	@BUILDAH_ISOLATION=chroot $(BIN)/python -m tests.proof.image

demo: demo-setup ## see it work, in about 20 seconds
	@$(BIN)/python -m tests.proof.demo

console: test-setup ## the console on made traffic, until Ctrl-C; ARGS="--pictures FOLDER" takes pictures of it
	@$(BIN)/python -m tests.proof.console $(ARGS)

run: setup ## the worker, on RABBITMQ_URI
	@$(BIN)/webhook-worker run

bench: test-setup ## throughput and latency, side by side with others
	@$(BIN)/python -m tests.proof.bench $(ARGS)

chaos: test-setup ## the ledger under faults
	@$(BIN)/python -m tests.proof.chaos
	@STORE_OUTAGE_SECONDS=60 $(BIN)/python -m pytest --quiet tests/e2e/faults/test_store_outage.py

outage: test-setup ## the database is stopped for ten minutes under load; about 20 minutes
	@$(BIN)/python -m tests.proof.outage $(ARGS)

rolling: test-setup ## ten rolling updates under load
	@$(BIN)/python -m tests.proof.chaos.rolling

picture: test-setup ## the dashboard's queries on a lively run, drawn for the README; the console's screens for docs/
	@$(BIN)/python -m tests.proof.picture
	@$(BIN)/python -m tests.proof.console --for-docs

order: test-setup ## replicas that deliver in order: killed, stopped, cut off, updated, switched, beside the dead, in a cluster
	@$(BIN)/python -m tests.proof.order crashes
	@$(BIN)/python -m tests.proof.order broker
	@$(BIN)/python -m tests.proof.order dead
	@$(BIN)/python -m tests.proof.order cluster

walks: setup ## thousands of random walks of the ordered side: none inverts, and sabotaged ones do
	@$(BIN)/python -m tests.proof.order

replays: test-setup ## 100,000 events replayed through kill -9, then a webhook paused for an hour; two hours in all
	@$(BIN)/python -m tests.proof.replay killed
	@$(BIN)/python -m tests.proof.replay paused

partitions: setup ## ordered delivery by several active replicas, simulated: the tables of docs/scale.md
	@$(BIN)/python -m tests.proof.order.scale $(ARGS)

soak: test-setup ## ten minutes of load and reconnects: memory, tasks and descriptors stay flat
	@$(BIN)/python -m tests.proof.soak

conformance: test-setup ## which promises of a webhook sender hold, ours unless ARGS='--target COMMAND-OR-URI'
	@$(BIN)/python -m tests.proof.conformance $(ARGS)

fuzz: test-setup ## mutated events and API requests, for two minutes
	@$(BIN)/python -m tests.proof.fuzz

dist: setup ## sdist and wheel in dist/
	@$(BIN)/python -m hatchling build

lock: $(BIN)/uv ## compile requirements/*.txt anew from pyproject.toml
	@$(COMPILE) --all-extras --output-file requirements/run.txt
	@$(COMPILE) --all-extras --group dev --constraints requirements/run.txt --output-file requirements/dev.txt
	@$(COMPILE) --all-extras --group test --constraints requirements/dev.txt --output-file requirements/test.txt

format: setup ## rewrite the code in the one format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## remove what the targets above have made
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
