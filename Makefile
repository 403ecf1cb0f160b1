# Thin names over the tools. Each target may be run again; the second time is fast.

PYTHON ?= python3
UV ?= uv
VENV := .venv
BIN := $(VENV)/bin
PIP := $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check

.PHONY: help setup run test check format docs bench soak lock wheel deb clean

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Debian's python3 may lack ensurepip (package python3-venv), so pip is run from outside the environment.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed (set PYTHON=...)"; exit 1; }
	$(PYTHON) -m venv --without-pip $(VENV)

# The locks are whole, so nothing is resolved: pip would take the newest of what is needed with an extra, and refuse it for its hash.
$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --require-hashes --no-deps -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(PIP) install --quiet --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

setup: $(VENV)/.run  ## virtual environment, locked dependencies, the package

run: setup  ## start the FastAGI server with config/quickstart.yaml
	$(BIN)/agi-lookup --config config/quickstart.yaml serve

# Two at a time, then by themselves those that send load or keep to a clock. In what decides about a block, every branch is tested.
test: $(VENV)/.dev  ## all tests, the real Asterisk included
	$(BIN)/python -m pytest -m "not alone" -n 2 --dist loadfile --cov --cov-report=
	$(BIN)/python -m pytest -m alone --cov --cov-append --cov-report=term
	$(BIN)/coverage report --include='agi_lookup/policy/*' --fail-under=100

check: $(VENV)/.dev  ## format, lint, types, imports, security
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit -q -r agi_lookup -c pyproject.toml

format: $(VENV)/.dev  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup  ## write the generated documents anew
	$(BIN)/python -m tools.docs

bench: setup  ## the load generator, side by side with its references
	$(BIN)/agi-lookup bench

soak: $(VENV)/.dev  ## the long forms of the tests
	SOAK=1 $(BIN)/python -m pytest --timeout 7200

lock:  ## resolve the dependencies again (needs uv)
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --group build -o requirements.lock
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --group dev -o requirements-dev.lock

wheel: setup  ## dist/*.whl, the same each time
	$(BIN)/python -m hatchling build -t wheel

deb: $(VENV)/.dev  ## dist/*.deb, for Debian 12 (needs its Python, 3.11)
	packaging/build-deb.sh

clean:  ## forget the environment and caches, keep state and Asterisk
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
