# Everything lives in one virtual environment; every target sets it up by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete

.PHONY: help setup demo test check format doctor bench-engine clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup: $(STAMP)  ## the virtual environment, with pinned versions

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt 'torch==2.13.0' -e '.[all,dev]'
	touch $@

demo: $(STAMP)  ## the whole method on a real small model, then a report (about 15 minutes)
	@if [ -f runs/demo/manifest.json ]; then $(BIN)/ucoder resume runs/demo; \
	else $(BIN)/ucoder run demo --output runs/demo; fi

test: $(STAMP)  ## the tests
	$(BIN)/python -m pytest

check: $(STAMP)  ## ruff and mypy, as CI runs them
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(STAMP)  ## let ruff format and mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

doctor: $(STAMP)  ## what of this machine is ready
	$(BIN)/ucoder doctor

bench-engine: $(STAMP)  ## tokens per second: the default CPU engine against transformers
	$(BIN)/python benchmarks/engine.py

clean:  ## remove the virtual environment and caches; runs stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
