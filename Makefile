# What people and CI call; `make` alone lists it. Needs Python 3.11 and PyPI, nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SHARES ?= 2
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help venv demo test check docs bench bench-quick soak clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(STAMP) ## Make .venv with everything in it, an MPI included

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is older than Python 3.11 or is not there" >&2; \
	  echo "hint: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) has no venv module" >&2; \
	  echo "hint: install it (Debian: apt install python3-venv), or set PYTHON" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mpi,nnf,dev]'
	@touch $@

demo: $(STAMP) ## Tell the whole story with real parts (under a minute)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python examples/demo.py

test: $(STAMP) ## Run the tests; ARGS="-k name" picks some
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile $(ARGS)

check: $(STAMP) ## Lint, formatting, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

docs: $(STAMP) ## Write docs/cli.md from the commands' own help, and the soak's table
	COLUMNS=80 $(BIN)/python -m tests.cli.document > docs/cli.md
	$(BIN)/python -m tests.crash.document

bench: $(STAMP) ## Measure everything; writes docs/performance.md's table and plots
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m bench $(ARGS)

bench-quick: $(STAMP) ## See that the bench works: small, fails on wrong results alone
	$(BIN)/python -m bench --quick $(ARGS)

soak: $(STAMP) ## Run the long tests, all of them; the table at the end is in soak.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[soak]' || \
	  echo "note: atheris is not to be had here: nothing will be fuzzed"
	@rm -f soak.txt; slow=0; began=$$(date +%s); at="$$(git describe --always --dirty)"; \
	$(BIN)/python -m pytest -m slow $(ARGS) || slow=$$?; \
	POSTSTAGE_CRASH=full POSTSTAGE_TABLE=soak.txt $(BIN)/python -m pytest \
	  --numprocesses=$(SHARES) --dist=worksteal tests/crash tests/attack tests/faultfs \
	  tests/fuzz tests/system $(ARGS); status=$$?; \
	sed -i "1i make soak at $$at: $$((($$(date +%s) - began) / 60)) minutes, status $$status\n" soak.txt; \
	cat soak.txt; [ $$status = 0 ] && [ $$slow = 0 -o $$slow = 5 ]

clean: ## Remove what these targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist demo-run *.egg-info
	find poststage tests -name __pycache__ -type d -prune -exec rm -rf {} +
