# Guilder: everything a newcomer needs. `make` alone lists the targets.

PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup up test check bench docs lock

help:  ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 8

setup: $(STAMP)  ## .venv from requirements.lock (redone only when that changed)

# --require-hashes: what is installed is what was locked, wherever it is fetched from.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Guilder needs Python 3.11 or newer, and '$(PYTHON)' is not."; \
	  echo "Name one that is: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { \
	  echo "Python cannot make a .venv; on Debian and Ubuntu install python3-venv."; \
	  rm -rf .venv; exit 1; }
	@echo "Installing what requirements.lock names into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --require-hashes -r requirements.lock
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --no-build-isolation -e .
	@touch $(STAMP)

up: setup  ## a platform with two demo banks, until Ctrl-C
	@$(BIN)/guilder up --demo

test: setup  ## every test
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -rs -m "not alone"
	@$(BIN)/python -m pytest -rs -m alone

check: setup  ## format, lint, types, migrations, architecture
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { \
	  echo "Not formatted: run $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/python -m tools.migrations
	@$(BIN)/python -m pytest tests/architecture

bench: setup  ## payments over HTTP beside pgbench on this machine
	@$(BIN)/guilder bench payments

docs: setup  ## docs/reference/ from the code
	@$(BIN)/python -m tools.reference

# Pins stay as they are unless pyproject.toml asks for more; `make lock UPGRADE=--upgrade` renews.
lock: setup  ## requirements.lock from pyproject.toml
	@CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --all-extras --allow-unsafe \
	  --generate-hashes --no-emit-find-links --no-emit-index-url --no-emit-trusted-host \
	  --strip-extras $(UPGRADE) --output-file requirements.lock pyproject.toml
