# make demo   install what is needed and run the whole chain once
# make test   install the development tools and run the tests
# make lint   ruff, mypy and the architecture contracts

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= demo-out
DEMO ?=
PYTEST ?=

.PHONY: demo test lint clean

demo: $(VENV)/.installed-weights
	$(BIN)/patchflow demo --out $(OUT) $(DEMO)

test: $(VENV)/.installed-dev
	$(BIN)/pytest -n 2 --dist loadfile $(PYTEST)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/.installed-%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

clean:
	rm -rf $(VENV) $(OUT) build *.egg-info
