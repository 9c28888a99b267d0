# make train ARGS="prior=mi seed=1" | make test ARGS="-k pairs" | make lint: each sets up its own environment first.
PYTHON ?= python3
VENV ?= .venv
STAMP = $(VENV)/.installed

.PHONY: train test lint clean bench-check

train: $(STAMP)
	$(VENV)/bin/ssvae train prior=infonce $(ARGS)

test: $(STAMP)
	$(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

bench-check: $(STAMP)
	$(VENV)/bin/python benchmarks/check.py benchmarks/ratios.json

$(STAMP): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q -e .[test]
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
