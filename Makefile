# Two commands on a fresh machine: `make repro` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# BentoML reports its usage unless this is the word "true" before it starts.
export BENTOML_DO_NOT_TRACK := true

.PHONY: help repro test test-full check format schema tables docs docs-serve serve bento bento-check soak clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[train,dev,docs]'
	touch $@

# Paths reach the command through the environment, as they are: make and the shell would both take `$` for theirs.
export EARSHOT_CONFIG := $(value CONFIG)
export EARSHOT_DATASET_PATH := $(value DATASET_PATH)
repro: $(VENV)/.installed  ## environment, then the pipeline; CONFIG=file [DATASET=urbansound8k DATASET_PATH=dir] for one run
	exec python -m earshot.commands.repro $(if $(EARSHOT_CONFIG),--config "$$EARSHOT_CONFIG") \
		$(if $(DATASET),--dataset $(DATASET)) $(if $(EARSHOT_DATASET_PATH),--dataset-path "$$EARSHOT_DATASET_PATH") \
		$(if $(VERIFY),--verify $(VERIFY)) $(TARGET)
	earshot results

schema: $(VENV)/.installed  ## docs/params.schema.json, by which editors complete params.yaml
	python -m earshot.commands.params_file

# A process for each core, a file of tests at a time. Each with one thread: threads of several processes on the same cores
# wait for each other, and take many times as long.
PYTEST := OMP_NUM_THREADS=1 python -m pytest -n logical --dist loadfile

test: $(VENV)/.installed  ## environment, then the tests
	$(PYTEST)

test-full: $(VENV)/.installed  ## the same with the large cases
	$(PYTEST) -m ''

check: $(VENV)/.installed  ## lint, format, types, and whether all that is imported is declared
	ruff check .
	ruff format --check .
	mypy
	python -m deptry .
	python -m deptry tests tools --exclude '\.venv' --ignore DEP002,DEP004

tables: $(VENV)/.installed  ## write every figure of README, docs and benchmarks from the file that holds it
	python tools/tables.py

docs: $(VENV)/.installed  ## the documentation as a site, in site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

docs-serve: $(VENV)/.installed  ## the site at http://localhost:8000, rebuilt at every change
	NO_MKDOCS_2_WARNING=1 mkdocs serve

serve: $(VENV)/.installed  ## the service on port 3000, with the released model
	earshot serve

bento: $(VENV)/.installed  ## package the service with the released model
	python -m earshot.service.build

bento-check: $(VENV)/.installed  ## a built bento in an empty environment; SOUNDS="a.wav b.flac"
	python benchmarks/bento/check.py $(SOUNDS)

soak: $(VENV)/.installed  ## ten minutes of 32 clients, slow and vanishing ones among them
	python benchmarks/soak/run.py --json benchmarks/soak/result.json

format: $(VENV)/.installed  ## let ruff rewrite what it can
	ruff check --fix .
	ruff format .

clean:  ## the environment and resumable state; results and DVC's cache stay
	rm -rf $(VENV) .earshot .pytest_cache .mypy_cache .ruff_cache
