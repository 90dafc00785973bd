# make demo   from a clone to a report in one command
# make test   everything that must hold: lint, types, import contracts, sizes, tests
# make programs  real programs that import onnxruntime, on it and on Sardonyx: the same results
# make conversions  the whole matrix of conversions, every framework in an environment of its own
# make bench  the side-by-side measurement that writes docs/benchmarks.md (run nothing else meanwhile)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints-test.txt

export ORT_DISABLE_TELEMETRY := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test lint format pytest programs conversions bench docs clean

demo: $(VENV)/.demo
	$(BIN)/sardonyx demo

test: lint pytest

lint: $(VENV)/.dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_sizes.py

format: $(VENV)/.dev
	$(BIN)/ruff check --fix --quiet --select I .
	$(BIN)/ruff format --quiet .

pytest: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

programs: $(VENV)/.dev
	$(PIP) --upgrade --no-deps --target $(VENV)/programs -r tests/programs/requirements.txt
	$(BIN)/python -m pytest tests/programs $(PYTEST_ARGS)

conversions: $(VENV)/.dev
	$(PIP) uv
	SARDONYX_CACHE_DIR=$(abspath $(VENV))/conversions \
	    $(BIN)/python -m pytest tests/convert -m conversions $(PYTEST_ARGS)

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

docs: $(VENV)/.dev
	$(BIN)/python tools/make_docs.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# One stamp per set of extras; a stamp older than what it was made from installs again.
$(VENV)/.%: pyproject.toml constraints-test.txt | $(VENV)/bin/python
	$(PIP) -e '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
