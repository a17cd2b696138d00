# The commands of the README. Each target sets up `.venv` by itself; nothing here needs a network beyond
# the package index, a GPU, or a server.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The device environment: verl, Ray and vLLM, which want other versions than Prefect does.
VERL_VENV := .venv-verl
VERL_PYTHON := $(CURDIR)/$(VERL_VENV)/bin/python
# What the trainer `local` is measured against, with the same torch.
TRL_VENV := .venv-trl
RZERO_STORE ?= ./rzero-store
PORT ?= 4200
KILLS ?= 50

NODE_KILLS ?= 6
SCHEDULES ?= 10000
SEED ?= 0

# Nothing calls home, and no model hub is asked for anything.
export HF_HUB_OFFLINE := 1
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS := 90
export OMP_WAIT_POLICY := PASSIVE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo demo-verl verl-cpu verl-gpu up down test test-fast test-verl gpu-check faults lint format \
  docs bench bench-trl bench-verl clean

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/rzero: requirements.lock requirements-torch.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --require-hashes --no-deps -r requirements.lock
	$(BIN)/pip install -q -r requirements-torch.lock
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(BIN)/.dev: requirements-dev.lock requirements-gym.lock $(BIN)/rzero
	$(BIN)/pip install -q --require-hashes --no-deps -r requirements-dev.lock
	@$(BIN)/pip install -q --require-hashes --no-deps -r requirements-gym.lock || echo "reasoning-gym could" \
	  "not be installed (it wants a C compiler and Python's headers): its tests are skipped"
	@touch $@

demo: $(BIN)/rzero ## Three iterations of the tiny model from nothing, on two CPU cores, in minutes.
	$(BIN)/rzero run --run demo --preset tiny --iterations 3 --store $(RZERO_STORE)

up: $(BIN)/rzero ## A Prefect server on this machine with all that rzero needs, and a worker (PORT=4200).
	@$(BIN)/python -m infra.deploy up --port $(PORT)

down: $(BIN)/rzero ## End what `make up` has brought up.
	@$(BIN)/python -m infra.deploy down

test: lint ## All tests.
	$(BIN)/pytest

test-fast: $(BIN)/.dev ## The tests that need no server and take no time: under 90 seconds.
	PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=false $(BIN)/pytest -m "not (server or s3 or slow)" \
	  --hypothesis-profile=fast

faults: $(BIN)/.dev ## kill -9 at random moments (KILLS=200 SEED=1) of runs, workers and both; writers in every order.
	$(BIN)/python -m tests.faults.kills --kills $(KILLS) --seed $(SEED)
	$(BIN)/python -m tests.faults.node_kills --kills $(NODE_KILLS) --seed $(SEED)
	for store in memory disk s3; do \
	  $(BIN)/python -m tests.faults.schedules --store $$store --schedules $(SCHEDULES) --seed $(SEED) || exit 1; \
	done

# By pip alone, each with a mark of its own: what was made for a CPU is not taken for the other, nor built into it.
$(VERL_VENV)/.made: requirements-verl-cpu.lock
$(VERL_VENV)/.made-gpu: requirements-verl-gpu.lock
$(VERL_VENV)/.made $(VERL_VENV)/.made-gpu:
	$(PYTHON) -m venv --clear $(VERL_VENV)
	$(VERL_VENV)/bin/pip install -q --no-deps -r $<
	@touch $@

verl-cpu: $(VERL_VENV)/.made ## The device environment for a CPU: .venv-verl, for RZERO_COMPUTE_PYTHON.
	@echo "export RZERO_COMPUTE_PYTHON=$(VERL_PYTHON)"

verl-gpu: $(VERL_VENV)/.made-gpu ## The same for GPUs, instead (PYTHON=python3.11).
	@echo "export RZERO_COMPUTE_PYTHON=$(VERL_PYTHON)"

demo-verl: $(BIN)/rzero $(VERL_VENV)/.made ## One small iteration of the tiny model through verl, Ray and vLLM, on a CPU.
	RZERO_COMPUTE_PYTHON=$(VERL_PYTHON) $(BIN)/rzero run --run demo-verl --preset tiny+verl \
	  --iterations 1 --store $(RZERO_STORE) --set trainer.device=cpu --set sampler.device=cpu \
	  --set base_model.tiny.training_steps=150 --set base_model.tiny.batch_size=32 \
	  --set base_model.tiny.solver_terms=4 --set base_model.tiny.held_out_per_length=3 --set evaluation.samples=4 \
	  --set challenger.steps=2 --set challenger.prompts_per_step=8 --set challenger.group_size=4 \
	  --set challenger.probe_questions=0 --set challenger.checkpoint_every_steps=1 \
	  --set questions.count=60 --set questions.shard_size=60 --set answers.shard_size=60 \
	  --set solver.steps=2 --set solver.prompts_per_step=8 --set solver.group_size=4 \
	  --set solver.checkpoint_every_steps=1

gpu-check: $(BIN)/rzero $(VERL_VENV)/.made-gpu ## On a machine with GPUs: does all of it work, and how fast? At most 30 minutes.
	$(BIN)/pip install -q --no-build-isolation -e '.[smollm2]'
	RZERO_COMPUTE_PYTHON=$(VERL_PYTHON) $(BIN)/python -m tests.gpu_check --folder gpu-check

test-verl: $(BIN)/.dev $(VERL_VENV)/.made ## Tests that need verl, Ray and vLLM (CPU builds).
	RZERO_COMPUTE_PYTHON=$(VERL_PYTHON) $(BIN)/pytest tests/verl

lint: $(BIN)/.dev ## Formatting, lint and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(BIN)/.dev ## Put the code into its format.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(BIN)/.docs: requirements-docs.lock $(BIN)/rzero
	$(BIN)/pip install -q --require-hashes --no-deps -r requirements-docs.lock
	@touch $@

docs: $(BIN)/.docs ## The documentation as a site, in build/docs/site; a broken link is an error.
	$(BIN)/python -m docs.build_site

bench: $(BIN)/.dev ## Benchmarks of scoring and sampling against their peers; the cost of orchestration.
	$(BIN)/python -m tests.benchmarks.bench_scoring
	$(BIN)/python -m tests.benchmarks.bench_sampler
	$(BIN)/python -m tests.benchmarks.bench_orchestration

$(TRL_VENV)/.made: requirements-torch.lock
	$(PYTHON) -m venv --clear $(TRL_VENV)
	$(TRL_VENV)/bin/pip install -q -r $<
	$(TRL_VENV)/bin/pip install -q trl==1.16.0
	@touch $@

bench-trl: $(BIN)/.dev $(TRL_VENV)/.made ## A GRPO step on the tiny model against TRL's, on two threads.
	$(BIN)/python -m tests.benchmarks.bench_grpo $(MODEL) --trl-python $(TRL_VENV)/bin/python

bench-verl: $(BIN)/.dev $(VERL_VENV)/.made ## Sampling and training against bare vLLM and bare verl (MODEL=a model directory).
	@test -d "$(MODEL)" || { echo "bench-verl: say which model: make bench-verl MODEL=<a model directory>"; exit 2; }
	RZERO_COMPUTE_PYTHON=$(VERL_PYTHON) $(BIN)/python -m tests.benchmarks.bench_vllm $(MODEL)
	RZERO_COMPUTE_PYTHON=$(VERL_PYTHON) $(BIN)/python -m tests.benchmarks.bench_verl $(MODEL)

clean: ## Remove the environment and the caches; the store stays.
	rm -rf $(VENV) $(VERL_VENV) $(TRL_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
