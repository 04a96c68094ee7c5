# Every target makes its own virtual environment when missing; it needs Python 3.11+ and make only.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JOBS ?= 2

.PHONY: demo demo-people test test-all check format bench docs clean

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("bitdust needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/bitdust demo

demo-people: $(STAMP)
	@$(BIN)/bitdust demo-people

test: $(STAMP)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup -m 'not slow'

test-all: $(STAMP)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup

check: $(STAMP)
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/check_links.py

format: $(STAMP)
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

docs: $(STAMP)
	$(BIN)/python -m bitdust.api.reference docs/api
	$(BIN)/python -m bitdust.client.generate

bench: $(STAMP)
	$(BIN)/python benchmarks/storage.py
	$(BIN)/python benchmarks/api.py
	$(BIN)/python benchmarks/messaging.py
	$(BIN)/python benchmarks/groups.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis dist build
