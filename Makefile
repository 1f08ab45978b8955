# What a person or CI does with the project. `make` alone lists the targets.
#
# Everything runs in .venv, which is made from hash-pinned requirement files the first time and again whenever they change.

PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test check unit e2e live bench format lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.complete  ## make .venv and the local AWS's own environment (the other targets do it when needed)

.venv/.complete: requirements/dev.txt requirements/local-aws.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12")'
	@echo "Making .venv (about two minutes the first time) …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m stock_pipeline.local
	@touch $@

demo: setup  ## local AWS and Dagster UI, both paths fed, tables printed, until Ctrl-C (ARGS=--exit: stop by itself)
	@$(BIN)/stock-pipeline demo $(ARGS)

dev: setup  ## local AWS, Dagster UI and sensors, until Ctrl-C
	@$(BIN)/stock-pipeline dev $(ARGS)

test: check unit e2e  ## what must hold before a change is done: check, unit, e2e (CI runs live, too)

check: setup  ## formatting, lint, types, import boundaries, the template
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/cfn-lint lambdas/template.yaml
	@$(PYTEST) -q stock_pipeline_tests/test_boundaries.py

unit: setup  ## tests that need no service
	@$(PYTEST) -n 2 -m "not e2e and not live" $(ARGS)

e2e: setup  ## tests against the local AWS
	@$(PYTEST) -n 2 --dist loadgroup -m e2e $(ARGS)

live: setup  ## tests of dev and demo, and of both paths through a running Dagster (some minutes)
	@$(PYTEST) -n 2 --dist loadgroup -m live $(ARGS)

bench: setup .local/bench-venv/.complete  ## speed, memory and cost against peers and the floor (SIZE=small|full, ARGS="--only batch ticks")
	@$(BIN)/python -m benchmarks --size $(or $(SIZE),small) $(ARGS)

.local/bench-venv/.complete: requirements/bench.txt .venv/.complete
	@echo "Making the environment of the libraries to compare with …"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .local/bench-venv
	@$(BIN)/uv pip sync --quiet --require-hashes --python .local/bench-venv/bin/python $<
	@touch $@

format: setup  ## format the code and mend what lint can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: setup  ## compile the hash-pinned requirement files again (no index lines in them)
	@$(BIN)/uv pip compile -q $(LOCK) --extra dev pyproject.toml -o requirements/dev.txt
	@$(BIN)/uv pip compile -q $(LOCK) requirements/local-aws.in -o requirements/local-aws.txt
	@$(BIN)/uv pip compile -q $(LOCK) requirements/bench.in -o requirements/bench.txt
	@for function in lambdas/*/; do \
	  (cd $$function && ../../$(BIN)/uv pip compile -q $(LOCK) -c ../../requirements/dev.txt requirements.in -o requirements.txt); \
	done

LOCK := --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header

clean:  ## remove what was built and the local AWS with its data (asks nothing)
	@rm -rf .venv .local build .pytest_cache .mypy_cache .ruff_cache .hypothesis
