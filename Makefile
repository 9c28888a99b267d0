# make train ARGS="prior=mi seed=1" | make test ARGS="-k pairs" | make lint: each sets up its own environment first.
PYTHON ?= python3
VENV ?= .venv
STAMP = $(VENV)/.installed

.PHONY: train test check lint docs clean bench-check

train: $(STAMP)
	$(VENV)/bin/ssvae train prior=infonce $(ARGS)

test: $(STAMP)
	$(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

# Proofs too slow for `make test`: kills and resumptions, every command of the pages, 500 drawn
# configurations, and each prior with each estimator.
check: $(STAMP)
	$(VENV)/bin/python tests/programs/kill_test.py --kills 20
	$(VENV)/bin/python tests/programs/run_docs.py
	SSVAE_FUZZ=500 $(VENV)/bin/python -m pytest -s tests/test_fuzz.py
	SSVAE_MATRIX=all $(VENV)/bin/python -m pytest tests/test_one_graph.py tests/test_fake_gpu.py

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

# The pages as a site, build/site: any broken link is an error.
docs: $(STAMP)
	$(VENV)/bin/python -m pip install -q -e .[docs]
	$(VENV)/bin/mkdocs build

# What refusals, start-up, evaluation, probe, views, mi and steps cost, as ratios within one run; under 4 minutes.
bench-check: $(STAMP)
	$(VENV)/bin/python benchmarks/check.py

$(STAMP): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q -e .[test]
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
