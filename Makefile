# Everything begins here: `make demo` shows one call, `make test` proves the lot. `make help` lists.
.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo up test test-all check bench diagram lock clean
SHELL := /bin/bash
BIN := .venv/bin
STEP := scripts/step.sh
ARGS ?=
# the files that need the machine alone: else eight thousand tests are collected for twenty
ALONE = $(shell grep -l 'mark\.alone' tests/test_*.py)
# where it is set, each of the hundreds of processes of a run compiles the appliance anew: 0.4 s of a core
unexport PYTHONDONTWRITEBYTECODE

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## install what is missing (Debian packages, .venv); safe to repeat
	@scripts/setup.sh

setup-test:
	@scripts/setup.sh test

demo: setup ## one real SIP call, shown live; leaves a recording, a picture and its rows
	@$(BIN)/ivr demo $(ARGS)

up: setup ## run the appliance until Ctrl-C; ARGS="--listen 192.168.1.10 --allow 192.168.1.0/24"
	@exec $(BIN)/ivr up $(ARGS)

test: setup-test check ## every check and every test but the long ones
	@echo "  pytest: what is measured at the ear, alone on the machine"
	@$(BIN)/python -m pytest -m "alone and not long" $(if $(filter tests/%,$(ARGS)),,$(ALONE)) $(ARGS) \
		|| [ $$? = 5 ] # 5: none asked for
	@echo "  pytest: everything else, three files at a time"
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not alone and not long" $(ARGS)

test-all: setup-test check ## also what takes long: FreeSWITCH and heavy engines, where they are installed
	@echo "  pytest"
	@$(BIN)/python -m pytest $(ARGS)

check: setup-test ## linters only: ruff, mypy, import-linter
	@$(STEP) "ruff check" $(BIN)/ruff check .
	@$(STEP) "ruff format" $(BIN)/ruff format --check .
	@$(STEP) "mypy" $(BIN)/mypy
	@$(STEP) "import-linter" $(BIN)/lint-imports

bench: setup-test ## 1 to 100 calls with emulated engines, and Pipecat beside it
	@$(STEP) "pipecat environment" env PYTHON=$(BIN)/python bench/pipecat_env.sh
	@$(BIN)/python -m bench.run --pipecat $(ARGS)

diagram: setup ## docs/floor.md from the table of turn taking
	@$(BIN)/python scripts/diagram.py
	@echo "  docs/floor.md written"

lock: ## pin the newest versions that pyproject.toml allows, with hashes
	@scripts/lock.sh

clean: ## remove .venv, build and caches; what the appliance stored in var stays
	@rm -rf .venv .venv-pipecat build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis bench/out
	@find appliance bench migrations tests -name __pycache__ -type d -prune -exec rm -rf {} +
