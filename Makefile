# Everything runs in one virtual environment, made on first use. `make VENV=/path PYTHON=python3.12 test` overrides.
VENV ?= .venv
PYTHON ?= python3
JOBS ?= auto
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

CLIENTS := .venv-clients

.PHONY: demo test test-slow test-all test-clients lint format docs bench benchmark benchmark-distributions benchmark-kernels clean

# One stamp for each set of extras: a target installs what it needs, once for each change of setup.py.
$(VENV)/.installed-%: setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[$*]'
	touch $@

demo: $(VENV)/.installed-examples
	$(BIN)/python examples/lynx_hare.py --output lynx_hare.png

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m "not slow"

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m slow

test-all: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

# Two environments, which differ in numpyro alone. The packages without dependencies pin old versions of JAX or NumPy.
$(CLIENTS)/.installed: setup.py test_clients/requirements.txt test_clients/requirements-no-deps.txt
	for name in ours numpyro; do \
	    test -x $(CLIENTS)/$$name/bin/python || $(PYTHON) -m venv $(CLIENTS)/$$name; \
	    $(CLIENTS)/$$name/bin/python -m pip install --quiet --disable-pip-version-check \
	        -r test_clients/requirements.txt && \
	    $(CLIENTS)/$$name/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	        -r test_clients/requirements-no-deps.txt || exit 1; \
	done
	$(CLIENTS)/numpyro/bin/python -m pip install --quiet --disable-pip-version-check numpyro==0.22.0
	$(CLIENTS)/ours/bin/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

test-clients: $(CLIENTS)/.installed
	JAX_PLATFORMS=cpu $(PYTHON) test_clients/compare.py $(CLIENTS)/ours/bin/python $(CLIENTS)/numpyro/bin/python

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-doc
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

bench benchmark:
	$(PYTHON) benchmarks/mcmc.py

benchmark-distributions:
	$(PYTHON) benchmarks/distributions.py

benchmark-kernels:
	$(PYTHON) benchmarks/kernels.py

clean:
	rm -rf .venv .venv-clients build dist *.egg-info docs/_build docs/_plots .mypy_cache .pytest_cache .ruff_cache lynx_hare.png
