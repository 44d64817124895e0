# Every target does its own set-up in .venv and leaves the rest of the machine alone.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.DEFAULT_GOAL := help
.PHONY: help demo test quick check outputs sdk pythons clients parity bench counts fuzz campaigns format clean

help: ## Show the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-9s %s\n", $$1, $$2}'

demo: $(READY) ## Replay a real batch of April 2024 on the simulator: no key, no network
	@$(BIN)/batchsim demo --fake

test: check ## Run everything that CI runs: the checks, all tests, every supported openai SDK
	$(BIN)/pytest -q -n 2 -m "not node" --ignore=tests/docs
	@$(MAKE) --no-print-directory sdk pythons clients
	@echo "make test: all green"

quick: $(READY) ## Run the fast tests: the inner loop
	$(BIN)/pytest -q -n 2 -m "not slow and not node" --ignore=tests/docs

check: $(READY) ## Check format, lint, types, import layers, dead code, and run the README and the guide
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/vulture
	$(BIN)/pytest -q -n 2 tests/docs

outputs: $(READY) ## Write the present outputs of the commands into the README and the guide
	$(BIN)/python tests/docs/update_outputs.py

sdk: $(READY) ## Run the SDK-facing tests on the oldest and newest openai 1.x, 2.x and 3.x
	$(BIN)/tox run-parallel --parallel 2 --parallel-no-spinner

pythons: $(READY) ## Compare the golden run, byte for byte, on every Python from 3.11 on that there is
	$(BIN)/python tests/golden/pythons.py

clients: $(READY) ## Run programs on the official Node client, that of 2024 and the newest
	$(BIN)/pytest -q -n 2 -m node tests/clients

parity: $(READY) ## Compare the simulator with the real API: a few cents, only when asked for
	@$(BIN)/python tests/parity

bench: $(READY) ## Measure everything beside its floor; the table, and a line for .bench.jsonl
	@$(BIN)/python tests/bench --large --history .bench.jsonl

counts: $(READY) ## Agree to the work that each line costs now, which tests compare
	$(BIN)/python tests/bench counts tests/bench/counts.json

fuzz: $(READY) ## Search for longer: the property tests with many more examples
	HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -q -n 2 tests/backends/fake tests/domain tests/runner tests/faults -m "not sdk"

campaigns: $(READY) ## Run the campaigns over faults whole: hours of the clock, hundreds of kills
	BATCHSIM_CAMPAIGNS=full $(BIN)/pytest -q -n 2 tests/faults tests/server/test_openapi.py

format: $(READY) ## Format the code and mend what the linter can
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format .

clean: ## Remove everything that the other targets made
	rm -rf .venv .golden .tox .node build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find batchsim tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@echo "Setting up .venv (once, and again when pyproject.toml changes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "batchsim needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || PYTHON=$(PYTHON) .ci/install-venv
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install -qq --editable '.[serve,testing]' --group dev
	@touch $(READY)
