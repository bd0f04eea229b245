# Fengsui. `make help` lists what can be made.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

DEMO_S ?=
SEED ?= 1
N ?=
RUNS ?= 1000000
KIND ?=
ONLY ?=
VERSION ?=
# The tests that go through the modules of `make coverage`.
COVERING := $(wildcard tests/edge/test_spool*.py) tests/edge/test_store.py tests/edge/test_alarm_restart.py tests/edge/test_waiting.py \
	tests/edge/test_conversation.py tests/edge/test_peers.py tests/fleet/test_committer.py tests/fleet/test_conversation.py \
	$(wildcard tests/fleet/test_backlog.py tests/fleet/test_ingest*.py) tests/fleet/test_broker.py tests/fleet/test_items.py tests/fleet/test_waveforms.py

.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage check bench faults faults-selftest fuzz bundle deb pictures schemas requirements clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  demo: DEMO_S=60 runs that long and prints its figures; faults: N=20 SEED=7 KIND=kill-agent; bench: ONLY=spool"

setup: $(VENV)/.dev ## Make the virtual environment for development

demo: $(VENV)/.lab ## Run a district in a box until interrupted (DEMO_S=60: that long, then print the figures)
	@exec $(BIN)/fengsui-lab demo $(if $(DEMO_S),--seconds $(DEMO_S)) --setup-s "$$(cat $(VENV)/.setup_s)"

test: $(VENV)/.dev $(VENV)/.peers ## Run the tests
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 2 --dist worksteal  # else each program that a test starts compiles all of ours

coverage: $(VENV)/.dev $(VENV)/.peers ## Hold that tests go through every branch of what must not fail (the list is in pyproject.toml)
	@$(BIN)/coverage run -m pytest $(COVERING)
	@$(BIN)/coverage report

check: $(VENV)/.dev ## Lint, types, import contracts, generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m wire.schema --check
	@$(BIN)/python -m edge.schema --check
	@$(BIN)/python -m edge.devices --check
	@$(BIN)/python -m edge.template_page --check
	@$(BIN)/python -m fleet.console.catalogue check
	@requirements/compile.sh --check

bench: $(VENV)/.dev ## Measure; figures go to build/bench.json (ONLY=name for a part)
	@$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY))

faults: $(VENV)/.dev $(VENV)/.peers ## Break things and count what is lost (N trials, SEED, KIND=name,name; KIND=kill or power-cut by the hundred, KIND=alarm with 10,000 alarms, KIND=acl with 100 gateways, KIND=update with 500 kills)
	@$(BIN)/python -m tests.faults $(if $(N),--trials $(N)) --seed $(SEED) $(if $(KIND),--kind $(KIND))

faults-selftest: $(VENV)/.dev $(VENV)/.peers ## Plant bugs in copies of the tree and see that each is caught (ONLY=words, SEED)
	@$(BIN)/python -m tests.faults.planted --seed $(SEED) $(if $(ONLY),--only "$(ONLY)")

fuzz: $(VENV)/.dev ## Feed every driver a million hostile inputs (RUNS, KIND, SEED), the API 1,000 an operation (KIND=api alone)
	@$(if $(filter api,$(KIND)),:,$(BIN)/python -m tests.fuzz --runs $(RUNS) --seed $(SEED) $(if $(KIND),--kind $(KIND)))
	@$(if $(filter-out api,$(KIND)),:,FENGSUI_API_EXAMPLES=1000 $(BIN)/pytest tests/fleet/test_openapi.py --timeout 0)

bundle: $(VENV)/.dev ## Build the agent's bundle into dist (VERSION=1.2.3 for another version than the project's)
	@VERSION=$(VERSION) $(BIN)/python -m images.bundle.build

deb: $(VENV)/.dev ## Build the agent's Debian package into dist (VERSION=1.2.3 likewise)
	@VERSION=$(VERSION) $(BIN)/python -m images.bundle.deb

pictures: $(VENV)/.dev $(VENV)/.peers ## Take the documentation's pictures anew
	@FENGSUI_PICTURES=docs/images $(BIN)/pytest tests/browser

schemas: $(VENV)/.dev ## Write the generated schemas and settings tables anew
	@$(BIN)/python -m wire.schema
	@$(BIN)/python -m edge.schema
	@$(BIN)/python -m edge.devices
	@$(BIN)/python -m edge.template_page

requirements: $(VENV)/.dev ## Pin the dependencies anew
	@requirements/compile.sh

clean: ## Remove what was built and installed
	rm -rf $(VENV) build dist var *.egg-info

# Time from nothing to ready is part of the demo's figures.
$(VENV)/.lab: requirements/lab.txt pyproject.toml
	@echo "Setting up (once): Python packages of the lab"
	@started=$$(date +%s%N) \
	&& { [ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv" >&2; exit 1; }; } \
	&& $(PIP) install --require-hashes -r requirements/lab.txt \
	&& $(PIP) install --no-build-isolation --no-deps -e . \
	&& awk "BEGIN {printf \"%.1f\", ($$(date +%s%N) - $$started) / 1e9}" > $(VENV)/.setup_s \
	&& touch $@

$(VENV)/.dev: $(VENV)/.lab requirements/dev.txt requirements/alone.txt
	@echo "Setting up (once): Python packages of the tests"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --require-hashes --no-deps -r requirements/alone.txt
	@touch $@

# Programs that we did not write and that stand on the other side in the tests. Without root, tests that need one say so.
$(VENV)/.peers: requirements/debian.txt
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Setting up (once): Debian packages of the tests"; \
		requirements/debian.sh; \
	else echo "not root: tests whose Debian packages are missing will be skipped (requirements/debian.txt lists them)"; fi
	@touch $@
