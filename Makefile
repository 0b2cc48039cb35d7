# Everything a checkout can do. `make` alone lists it; ARGS= goes to the command behind a target.

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-312 chaos cluster check alerts-check api-check api-document dashboards dashboards-check deploy-check docs-check lambda-zip lambda-check diagrams metrics-document env-example format lock clean
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

PYTHON ?= $(firstword $(foreach version,python3.11 python3.12 python3.13 python3,$(shell command -v $(version))))
OTHER ?= $(shell prefix=$$(pyenv prefix 3.12 2>/dev/null) && echo "$$prefix/bin/python3.12" || command -v python3.12)
BIN := .venv/bin
PACKAGES := tonearm interactions voice_nodes playground
CODE := $(PACKAGES) monitoring tests .ci
COVERAGE := var/coverage
ARGS ?=
UPGRADE ?=
LONG ?=
SEED ?=

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/installed ## install everything into .venv, as the other targets do when needed

demo: .venv/installed ## a whole Tonearm on this machine, with music    [ARGS=--once]
	@$(BIN)/tonearm demo $(ARGS)

test: .venv/installed ## all tests, with the coverage of all processes    [ARGS="tests/unit -k queue"]
	@rm -rf $(COVERAGE) && mkdir -p $(COVERAGE)
	@export COVERAGE_FILE="$(CURDIR)/$(COVERAGE)/data"; \
	status=0; \
	$(BIN)/coverage run -m pytest $(or $(ARGS),-n 2 --dist loadfile) || status=$$?; \
	$(BIN)/coverage combine --quiet; \
	$(BIN)/python .ci/coverage_summary.py $(if $(strip $(ARGS)),--no-gate) || status=$$?; \
	exit $$status

test-312: ## the unit tests on Python 3.12, which the images have    [OTHER=/path/to/python3.12 ARGS="-k queue"]
ifeq ($(strip $(OTHER)),)
	@echo "Skipped: there is no Python 3.12 here. make test-312 OTHER=/path/to/python3.12"
else
	@$(MAKE) var/venv-312/installed
	@var/venv-312/bin/python -m pytest -q -x -n 2 --dist loadfile -p no:cacheprovider tests/unit $(ARGS)
endif

chaos: .venv/installed ## break a whole Tonearm on purpose; promises 5 to 8    [LONG=1 SEED=7 ARGS="--part jobs"]
	@$(BIN)/python -m tests.chaos $(if $(LONG),--long) $(if $(SEED),--seed $(SEED)) $(ARGS)

cluster: .venv/installed ## all of it on a real Kubernetes with Knative; docs/operations/deploy.md    [ARGS="--row play"]
	@$(BIN)/python -m tests.cluster $(ARGS)

check: .venv/installed ## format, lint, types, borders between the rooms, the lock
	@status=0; \
	try() { echo "-- $$*"; "$$@" || status=1; }; \
	try $(BIN)/ruff format --check --quiet $(CODE); \
	try $(BIN)/ruff check --quiet $(CODE); \
	try $(BIN)/mypy; \
	try $(BIN)/mypy .ci/*.py; \
	try $(BIN)/lint-imports --no-logo; \
	try $(BIN)/python .ci/lock.py --check; \
	try $(BIN)/python .ci/env_example.py --check; \
	try $(BIN)/python .ci/metrics_document.py --check; \
	exit $$status

format: .venv/installed ## format the code, and mend what the linter can
	@$(BIN)/ruff check --fix --exit-zero --quiet $(CODE)
	@$(BIN)/ruff format $(CODE)

alerts-check: .venv/installed ## each alert by promtool, and some by real faults; needs Prometheus and Alertmanager    [LONG=1]
	@$(BIN)/python -m tests.alerts_check $(if $(LONG),--long) $(ARGS)

api-check: .venv/installed ## the API against its document: lint, both ways, and what schemathesis thinks of    [LONG=1 SEED=7]
	@$(BIN)/python .ci/openapi.py --check
	@$(BIN)/python -m pytest -q tests/unit/interactions/api/test_document.py
	@$(BIN)/python -m tests.api_check $(if $(LONG),--long) $(if $(SEED),--seed $(SEED)) $(ARGS)

api-document: .venv/installed ## write what the API serves from docs/api/openapi.yaml
	@$(BIN)/python .ci/openapi.py

deploy-check: .venv/installed ## Kubernetes' manifests, images and compose, as far as they can be judged without running them
	@$(BIN)/python .ci/deploy_check.py

docs-check: .venv/installed ## links, diagrams, the runbook, and what the pages tell to type; needs npm, Chromium, promtool    [ARGS=--quick]
	@$(BIN)/python .ci/docs_check.py $(ARGS)

dashboards: .venv/installed ## write Grafana's dashboards from monitoring/grafana/
	@$(BIN)/python -m monitoring.grafana

dashboards-check: .venv/installed ## the dashboards: in order, and with data from a loaded system; needs Prometheus    [ARGS=--write-docs]
	@$(BIN)/python -m tests.dashboards_check $(ARGS)

lambda-zip: .venv/installed ## the archives of the functions on AWS Lambda, in var/lambda; needs Python 3.12
	@$(BIN)/python .ci/lambda_archive.py $(ARGS)

lambda-check: .venv/installed ## the functions and stores on AWS, without AWS; needs Go, npm and Python 3.12    [ARGS="--only-times --processes 21"]
	@PYTHONPATH=.ci $(BIN)/python -m tests.lambda_check $(ARGS)

diagrams: .venv/installed ## write the diagrams that are made from the code, and all into the page that shows them
	@$(BIN)/python -m tonearm.premium > docs/architecture/diagrams/state-subscription.mmd
	@$(BIN)/python .ci/docs_diagrams.py

metrics-document: .venv/installed ## write the catalogue of metrics from what the code declares
	@$(BIN)/python .ci/metrics_document.py

env-example: .venv/installed ## write .env.example from the settings module
	@$(BIN)/python .ci/env_example.py

lock: .venv/installed ## write the locks, requirements/*.txt, from pyproject.toml    [UPGRADE=1]
	@$(BIN)/python .ci/lock.py $(if $(UPGRADE),--upgrade)

clean: ## remove what the other targets made
	rm -rf .venv var build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache .coverage*
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# Made again when the lock or the project file changes. The hashes are checked; nothing is built in a downloaded
# environment; where packages come from is what pip is configured to.
.venv/installed: requirements/dev.txt pyproject.toml | .venv/bin/pip
	@echo "Installing the locked requirements into .venv ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

var/venv-312/installed: requirements/dev.txt pyproject.toml
	@echo "Installing the locked requirements for $(OTHER) ..." >&2
	@test -x var/venv-312/bin/python || "$(OTHER)" -m venv var/venv-312
	@var/venv-312/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@var/venv-312/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/bin/pip:
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Tonearm needs Python 3.11 or newer, and $(or $(PYTHON),no Python) is what was found: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -m venv .venv || { rm -rf .venv; \
	    echo "Python's venv module did not work. On Debian: apt install python3-venv" >&2; exit 1; }
