# `make up` runs the system, `make test` proves it; `make help` lists the rest.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
CALLS ?=
DAYS_AHEAD ?=
PAPERS ?=
FACTS ?=
EMPLOYEES ?=

.PHONY: help up test check check-deploy proto lock bench faults year bank cycle capacity clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 8

up: $(VENV)/run ## install and run everything; CALLS=<file> imports a call log in place of the sample centre, DAYS_AHEAD=<n> tries what takes days
	@$(BIN)/stepladder up $(if $(CALLS),--calls "$(CALLS)") $(if $(DAYS_AHEAD),--days-ahead $(DAYS_AHEAD))

test: check ## everything that must hold, then every test
	$(BIN)/pytest -n 2 --dist loadgroup tests

check: $(VENV)/dev ## formatting, lint, types, imports, contracts, generated code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python proto/generate.py --check
	$(BIN)/buf lint libs/gen/descriptors.binpb --config proto/buf.yaml
	$(BIN)/buf breaking libs/gen/descriptors.binpb --config proto/buf.yaml --against proto/released.binpb

proto: $(VENV)/dev ## generate libs/gen from proto/
	$(BIN)/python proto/generate.py

check-deploy: $(VENV)/dev ## every manifest of deploy/k8s without a cluster, and every kind of fault planted in them; needs kubectl
	$(BIN)/python -m tests.deploy

bench: $(VENV)/dev ## measure every figure against its limit; one JSON line each
	$(BIN)/python -m tests.bench

faults: $(VENV)/dev ## the long fault run; SEED=<n> repeats one, KILLS=<n> makes it longer or shorter, ONLY="<scenarios>" does some
	$(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED)) $(if $(KILLS),--kills $(KILLS)) $(if $(ONLY),--only "$(ONLY)")

year: $(VENV)/dev ## a year of 500 employees told to the service, and what it answers compared with what is worked out by hand
	$(BIN)/python -m tests.year

bank: $(VENV)/dev ## two weeks of a bank's calls: every plan and PIP to its end; CALLS=<file> takes another call log
	$(BIN)/python -m tests.bank $(if $(CALLS),--calls "$(CALLS)")

cycle: $(VENV)/dev ## a promotion cycle: 200 candidates for 12 posts, from the clock that opens it to the end of the trials; lists, letters and files go to PAPERS=<folder>
	$(BIN)/python -m tests.cycle $(if $(PAPERS),--papers "$(PAPERS)")

capacity: $(VENV)/dev ## what a log of a million facts takes on disk and in memory; FACTS=<n> and EMPLOYEES=<n> say how many
	$(BIN)/python -m tests.capacity $(if $(FACTS),--facts $(FACTS)) $(if $(EMPLOYEES),--employees $(EMPLOYEES))

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(if $(UPGRADE),--upgrade)

lock: $(VENV)/dev ## renew the locks after pyproject.toml changed; UPGRADE=1 takes the newest of everything
	$(COMPILE) pyproject.toml --extra embedded --extra install -o requirements.txt
	$(COMPILE) pyproject.toml -c requirements.txt -o requirements-images.txt
	$(COMPILE) pyproject.toml --all-extras -c requirements.txt -o requirements-dev.txt

clean: ## remove what was installed and every stored event
	rm -rf $(VENV) .stepladder

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Stepladder needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "Python's venv module is missing (on Debian: apt-get install python3-venv)"; rm -rf $(VENV); exit 1; }

$(VENV)/run: requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing what Stepladder runs on (half a minute) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: requirements-dev.txt $(VENV)/run
	@echo "Installing what checks and tests need (half a minute) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
