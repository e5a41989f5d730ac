# Everything runs in one virtual environment, made on first use. `make VENV=/path PYTHON=python3.12 test` overrides.
VENV ?= .venv
PYTHON ?= python3
JOBS ?= auto
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-all lint format docs benchmark benchmark-distributions clean

# One stamp for each set of extras: a target installs what it needs, once for each change of setup.py.
$(VENV)/.installed-%: setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[$*]'
	touch $@

demo: $(VENV)/.installed-examples
	$(BIN)/python examples/lynx_hare.py --output lynx_hare.png

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m "not slow"

test-all: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-doc
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

benchmark:
	$(PYTHON) benchmarks/mcmc.py

benchmark-distributions:
	$(PYTHON) benchmarks/distributions.py

clean:
	rm -rf .venv build dist *.egg-info docs/_build .mypy_cache .pytest_cache .ruff_cache lynx_hare.png
