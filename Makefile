# make demo | make test | make lint: each sets up .venv first where that has not been done.
SHELL := /bin/bash
PYTHON ?= python3
# The CPU build is small on the machines that have one; a GPU user overrides this line: see README, Installation.
TORCH ?= torch==2.13.0
# Used by `make setup-gpu` alone.
CUDA_ARCH ?= $(shell nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1)
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup setup-gpu demo test test-slow test-all lint format wheel clean

help: ## Show this list.
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## Make .venv with torch and everything the tests need.

# torch first and pinned: left to the dependency it would be whatever build the index offers, gigabytes of CUDA included.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

setup-gpu: $(STAMP) ## Build the CUDA packages against the torch in .venv, for this GPU's architecture.
	@test -n "$(CUDA_ARCH)" || { echo "no GPU found by nvidia-smi: name its architecture, e.g. make setup-gpu CUDA_ARCH=9.0" >&2; exit 2; }
	@command -v nvcc >/dev/null || { echo "nvcc not found: these packages are built from source and need the CUDA toolkit" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet ninja packaging wheel setuptools
	TORCH_CUDA_ARCH_LIST="$(CUDA_ARCH)" FLASH_ATTN_CUDA_ARCHS="$(subst .,,$(CUDA_ARCH))" \
	CAUSAL_CONV1D_FORCE_BUILD=TRUE MAMBA_FORCE_BUILD=TRUE FLASH_ATTENTION_FORCE_BUILD=TRUE \
	$(BIN)/python -m pip install --no-build-isolation \
		causal-conv1d==1.7.0 mamba-ssm==2.3.2.post1 flash-attn==2.8.3.post2
	$(BIN)/python -m pip install --quiet --editable '.[gpu]'

demo: $(STAMP) ## Run a whole small scaling study on this CPU and write its report.
	@$(BIN)/archscale sweep demo
	@$(BIN)/archscale report demo

test: $(STAMP) ## The fast tests.
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

test-slow: $(STAMP) ## What `make test` leaves out.
	$(BIN)/python -m pytest -m slow -n auto --dist loadfile

test-all: $(STAMP) ## All tests.
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(STAMP) ## ruff, ruff format --check, mypy.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## Let ruff rewrite the sources.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(STAMP) ## Build the wheel into dist/.
	$(BIN)/python -m build --wheel --no-isolation

clean: ## Remove what was built; runs/ stays.
	rm -rf .venv dist build
