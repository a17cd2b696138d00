# The commands of the README. Each target sets up `.venv` by itself; nothing here needs a network beyond
# the package index, a GPU, or a server.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RZERO_STORE ?= ./rzero-store
PORT ?= 4200
KILLS ?= 50
SEED ?= 0

# Nothing calls home, and no model hub is asked for anything.
export HF_HUB_OFFLINE := 1
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS := 90
export OMP_WAIT_POLICY := PASSIVE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo up down test faults lint format bench clean

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/rzero: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -r requirements.lock
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(BIN)/.dev: requirements-dev.lock $(BIN)/rzero
	$(BIN)/pip install -q -r requirements-dev.lock
	@touch $@

demo: $(BIN)/rzero ## Three iterations of the tiny model from nothing, on two CPU cores, in minutes.
	$(BIN)/rzero run --run demo --preset tiny --iterations 3 --store $(RZERO_STORE)

up: $(BIN)/rzero ## A Prefect server on this machine with all that rzero needs, and a worker (PORT=4200).
	@$(BIN)/python -m infra.deploy up --port $(PORT)

down: $(BIN)/rzero ## End what `make up` has brought up.
	@$(BIN)/python -m infra.deploy down

test: lint ## All tests.
	$(BIN)/pytest

faults: $(BIN)/.dev ## kill -9 of runs at 50 random moments (KILLS=200 SEED=1), each resumed by the same command.
	$(BIN)/python -m tests.faults.kills --kills $(KILLS) --seed $(SEED)

lint: $(BIN)/.dev ## Formatting, lint and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(BIN)/.dev ## Put the code into its format.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BIN)/.dev ## Benchmarks of scoring and sampling against their peers; the cost of orchestration.
	$(BIN)/python -m tests.benchmarks.bench_scoring
	$(BIN)/python -m tests.benchmarks.bench_sampler
	$(BIN)/python -m tests.benchmarks.bench_orchestration

clean: ## Remove the environment and the caches; the store stays.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
