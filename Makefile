# All that a person or CI does with the project. `make` alone lists the targets.
#
# Everything runs in .venv. It is made from hash-pinned requirement files, the first time and whenever they change.

PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test check unit e2e live bench lowest faults crash heavy load postgres coverage docs browser pictures limits fuzz cases deployed sam check-template package-test build deploy destroy format lock clean clean-data

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.complete  ## make .venv and the local AWS's own environment (other targets do this if needed)

.venv/.complete: requirements/dev.txt requirements/local-aws.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12")'
	@echo "Making .venv (about two minutes the first time) …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m stock_pipeline.local
	@touch $@

demo: setup  ## run the local AWS and the Dagster UI, feed both paths, print the tables, until Ctrl-C (ARGS=--exit: then stop)
	@$(BIN)/stock-pipeline demo $(ARGS)

dev: setup  ## run the local AWS, the Dagster UI and its sensors, until Ctrl-C
	@$(BIN)/stock-pipeline dev $(ARGS)

# It says at the start how long it took the last time on this machine.
TOOK := .local/make-test-took
test: setup  ## all that must pass before a change is done: check, unit, e2e (CI runs live, too)
	@if [ -e $(TOOK) ]; then echo "make test: it took $$(cat $(TOOK)) the last time"; \
	  else echo "make test: not timed on this machine yet; the unit tests alone take five to six minutes on two cores"; fi
	@began=$$(date +%s); $(MAKE) --no-print-directory check unit e2e && mkdir -p .local && \
	  s=$$(($$(date +%s) - began)) && echo "$$((s / 60)) min $$((s % 60)) s" > $(TOOK)

TEMPLATES := lambdas/template.yaml $(wildcard deploy/*.yaml) .github/deploy-role.yaml

check: setup  ## check formatting, lint, types, import boundaries, dependencies, definitions, template, security, secrets
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/deptry --no-ansi stock_pipeline lambdas
	@# The peers in the benchmarks have an environment of their own (requirements/bench.in).
	@$(BIN)/deptry --no-ansi --ignore DEP002,DEP004 --per-rule-ignores "DEP001=awswrangler|deltalake|polars|pyiceberg" stock_pipeline_tests benchmarks
	@$(BIN)/cfn-lint $(TEMPLATES)
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml stock_pipeline lambdas benchmarks
	@# Some vendors wrap their ticks in Base64, which looks like a key.
	@git ls-files -z ':!stock_pipeline_tests/cases/ticks' | xargs -0 $(BIN)/detect-secrets-hook
	@$(BIN)/dg check defs
	@$(BIN)/dg list defs --json >/dev/null

# Tests that have a target of their own; all others are unit tests.
MARKED := e2e or live or faults or deployed or package or docs or browser or limits or crash or heavy

unit: setup  ## tests that need no service
	@$(PYTEST) -n 2 --dist loadgroup -m "not ($(MARKED))" $(ARGS)

e2e: setup  ## tests against the local AWS
	@$(PYTEST) -n 2 --dist loadgroup -m e2e $(ARGS)

# With DAGSTER=ecs, only those of both paths: dev and demo have a Dagster of their own.
live: setup $(if $(value DAGSTER),postgres)  ## tests of the life of the local AWS, of dev and demo, of both paths through a running Dagster (DAGSTER=ecs: one as it stays in AWS)
	@LIVE_DAGSTER="$$DAGSTER" $(PYTEST) -n 2 --dist loadgroup -m live $(if $(value DAGSTER),stock_pipeline_tests/orchestration) $(ARGS)

bench: setup .local/bench-venv/.complete  ## measure speed, memory and cost beside peers and the floor (SIZE=small|full, ARGS="--only ticks")
	@$(BIN)/python -m benchmarks --size $(or $(SIZE),small) $(ARGS)

.local/bench-venv/.complete: requirements/bench.txt .venv/.complete
	@echo "Making the environment of the libraries to compare with …"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .local/bench-venv
	@$(BIN)/uv pip sync --quiet --require-hashes --python .local/bench-venv/bin/python $<
	@touch $@

browser: setup  ## tests of the UI in a headless Chromium (some minutes); as root, installs Debian's if it is missing
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qqy --no-install-recommends install chromium fonts-dejavu-core >/dev/null; } || true
	@$(PYTEST) -m browser $(ARGS)

pictures: setup  ## take the pictures of the UI in docs/pictures again
	@PICTURES=1 $(PYTEST) -m browser $(ARGS)

docs: setup  ## run every command that the docs tell a reader to run, and the notebook (some minutes)
	@$(PYTEST) -n 2 -m docs $(ARGS)

deployed: setup  ## tests of the stack that `make deploy` deploys, on a local AWS with IAM enforced (some minutes)
	@$(MAKE) --no-print-directory build HOST=1
	@$(PYTEST) -n 2 -m deployed $(ARGS)

lowest: .local/lowest/.complete  ## tests with the lowest versions that pyproject.toml allows
	@.local/lowest/bin/python -m pytest -n 2 -p no:cacheprovider -m "not ($(MARKED))" $(LOWEST) $(ARGS)

# The tests that use libraries most: Parquet, SQL and its limits, S3 and SQS, the command line, the assets.
LOWEST := $(addprefix stock_pipeline_tests/,aws board lake query security orchestration/batch cli/test_main.py cli/test_sql.py)

.local/lowest/.complete: requirements/lowest.txt .venv/.complete
	@echo "Making the environment of the lowest versions …"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .local/lowest
	@$(BIN)/uv pip sync --quiet --require-hashes --python .local/lowest/bin/python $<
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python .local/lowest/bin/python --editable .
	@touch $@

# Examples: make build ARCH=x86_64 · make build HOST=1 (for this machine's own Python and the local AWS)
# make deploy STAGE=main REGION=eu-central-1 PARAMS='Symbols=AAPL,MSFT GenerateDaily=on' · ENDPOINT=http://127.0.0.1:4566
# ARCH: arm64 or x86_64; without it a stack keeps its own, and a new one has arm64.
# What somebody types comes as a variable of the shell, not as text of the command: so it is passed on as it is written.
STAGE ?= main
export STAGE REGION PARAMS TAGS ENDPOINT DAGSTER
# `value` does not expand what somebody typed.
FORM = $(if $(value DAGSTER), --dagster "$$DAGSTER")
TARGET := $(if $(or $(HOST),$(ENDPOINT)),host,$(ARCH))
DEPLOY = $(if $(REGION),AWS_REGION="$$REGION") $(if $(ENDPOINT),AWS_ENDPOINT_URL="$$ENDPOINT") \
	$(BIN)/python -m stock_pipeline.deploy

.local/sam/.complete: requirements/deploy.txt
	@echo "Installing the SAM CLI into .local/sam (about half a minute) …"
	@rm -rf .local/sam
	@$(PYTHON) -m venv .local/sam
	@.local/sam/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements/deploy.txt
	@touch $@

sam: .local/sam/.complete

.local/checkov/.complete: requirements/checkov.txt
	@echo "Installing checkov into .local/checkov (about half a minute) …"
	@rm -rf .local/checkov
	@$(PYTHON) -m venv .local/checkov
	@.local/checkov/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements/checkov.txt
	@touch $@

check-template: .local/checkov/.complete  ## run checkov over the templates, offline; they say what they skip, and why
	@.local/checkov/bin/checkov --file $(TEMPLATES) --framework cloudformation --skip-download --quiet --compact

package-test: setup .local/sam/.complete check-template  ## build, deploy, update and destroy the packages by make, on the local AWS
	@$(PYTEST) -m package $(ARGS)

build: setup .local/sam/.complete  ## build the functions' packages with the SAM CLI (ARCH=x86_64, HOST=1: for the local AWS)
	@$(DEPLOY) build $(if $(TARGET),--target $(TARGET))

deploy: setup .local/sam/.complete  ## build, and create or update the stack (STAGE, REGION, PARAMS, TAGS, ENDPOINT; DAGSTER=small|ecs: a Dagster that stays; docs/operations.md)
	@$(DEPLOY) deploy $(if $(TARGET),--target $(TARGET)) --stage "$$STAGE" --parameters "$$PARAMS" --tags "$$TAGS"$(FORM)

destroy: setup  ## delete the stack, but keep its buckets (STAGE, REGION, ENDPOINT; DATA=delete: buckets too; FORCE=1: do not ask; DAGSTER=small|ecs)
	@$(DEPLOY) destroy --stage "$$STAGE" $(if $(filter delete,$(DATA)),--delete-data) $(if $(FORCE),--force)$(FORM)

limits: setup  ## measure the memory that the largest and the worst objects take
	@$(PYTEST) -n 2 -m limits $(ARGS)

fuzz: setup  ## feed made-up bad input to the parsers (CASES=1000000 SEED=1); keep the smallest case that fails
	@$(BIN)/python -m stock_pipeline_tests.fuzz --cases $(or $(CASES),10000) --seed $(or $(SEED),1)

cases: setup  ## run small files, each with its expected result (DIR=folder with daily/ and ticks/; default: the project's own)
	@$(BIN)/python -m stock_pipeline_tests.cases $(DIR)

# The first seeds are those of `make unit`.
SCHEDULES ?= 1000
SEED ?= 1001
faults: setup  ## run schedules of faults (SCHEDULES=10000 SEED=1), one and two faults in each ingest, planted bugs
	@$(PYTEST) -n 2 -m faults $(ARGS)
	@$(BIN)/python -m stock_pipeline_tests.faults --schedules $(SCHEDULES) --seed $(SEED) --pairs --mutants

coverage: setup  ## require full branch coverage of lake, ingest, rebuild, staging and clean
	@COVERAGE_FILE=.local/coverage $(BIN)/coverage run --branch --source=stock_pipeline -m pytest -q \
	  stock_pipeline_tests/ingest stock_pipeline_tests/maintenance/test_rebuild.py \
	  stock_pipeline_tests/maintenance/test_rebuild_history.py stock_pipeline_tests/maintenance/test_older_lake.py \
	  stock_pipeline_tests/maintenance/test_damage.py stock_pipeline_tests/staging \
	  stock_pipeline_tests/lambdas/test_process_batch_stock_data.py \
	  stock_pipeline_tests/lambdas/test_process_stock_stream_data.py \
	  stock_pipeline_tests/lake stock_pipeline_tests/clean stock_pipeline_tests/parse/daily/test_bars.py \
	  stock_pipeline_tests/parse/daily/test_undeclared.py -k "not a_million_ticks"
	@COVERAGE_FILE=.local/coverage $(BIN)/coverage report --show-missing --fail-under=100 \
	  --include='stock_pipeline/lake/*,stock_pipeline/ingest/*,stock_pipeline/maintenance/rebuild.py,stock_pipeline/maintenance/rebuild_refusals.py,stock_pipeline/staging/*,stock_pipeline/clean/*'

crash: setup postgres  ## kill processes, race them, load the queues, let Dagster die (KILLS=, READS=, ROUNDS=, TICKS=, …)
	@$(foreach amount,KILLS READS ROUNDS TICKS OBJECTS FILES DAEMON_KILLS SEED,CRASH_$(amount)=$($(amount))) \
	  $(PYTEST) -n 3 --dist worksteal -m crash $(ARGS)

heavy: setup  ## heavy work with large years: a pool of processes beside a loop
	@$(PYTEST) -m heavy $(ARGS)

load: setup  ## send ticks through real queues and four workers, compare the result tick by tick (TICKS=10000000 OBJECTS=10000)
	@$(BIN)/python -m stock_pipeline_tests.crashes.load --ticks $(or $(TICKS),10000000) --objects $(or $(OBJECTS),10000)

postgres:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null; } || \
	  echo "PostgreSQL is missing and cannot be installed here: tests that need it are skipped"

format: setup  ## format the code, and fix what lint can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: setup  ## compile the hash-pinned requirement files again (no index lines in them)
	@$(BIN)/uv pip compile -q $(LOCK) --extra dev pyproject.toml -o requirements/dev.txt
	@$(BIN)/uv pip compile -q $(LOCK) --resolution lowest-direct --extra board --extra local pyproject.toml requirements/lowest.in -o requirements/lowest.txt
	@$(BIN)/uv pip compile -q $(LOCK) -c requirements/dev.txt --extra serve pyproject.toml -o requirements/serve.txt
	@$(BIN)/uv pip compile -q $(LOCK) requirements/local-aws.in -o requirements/local-aws.txt
	@$(BIN)/uv pip compile -q $(LOCK) requirements/bench.in -o requirements/bench.txt
	@for name in deploy checkov; do \
	  $(BIN)/uv pip compile -q $(LOCK) requirements/$$name.in -o requirements/$$name.txt; \
	done
	@for function in lambdas/*/; do \
	  (cd $$function && ../../$(BIN)/uv pip compile -q $(LOCK) -c ../../requirements/dev.txt requirements.in -o requirements.txt); \
	done

LOCK := --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header

# What is installed or measured. The rest of .local is data: the local AWS's objects, Dagster's history, logs and locks.
INSTALLED := venv functions sam sam-home checkov bench-venv lowest coverage make-test-took

clean:  ## remove all that was built and installed; the data stay
	@rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis $(addprefix .local/,$(INSTALLED))

clean-data:  ## delete the data of the local AWS and Dagster's history (asks first; FORCE=1: does not ask)
	@if [ -z "$(FORCE)" ]; then printf 'This deletes all objects of the local AWS and the history of Dagster. Type yes to go on: '; \
	  read -r answer && [ "$$answer" = yes ] || { echo "nothing was deleted"; exit 1; }; fi
	@$(PYTHON) -c 'import fcntl, os, sys; f = os.open(".local/instance.lock", os.O_RDWR | os.O_CREAT, 0o600) if os.path.isdir(".local") else sys.exit(); fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null || \
	  { echo "the local AWS runs; stop it first, with Ctrl-C where it was started"; exit 1; }
	@rm -rf .local/aws .local/dagster* .local/logs .local/aws.log .local/state.json
