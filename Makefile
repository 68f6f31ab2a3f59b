# make demo: a synthetic dataset, built, loaded and scored.  make test: lint and all tests.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test lint bench clean

install: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/python -m rope.synthetic.demo demo

test: lint
	$(BIN)/pytest -q

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python benchmarks/score.py
	$(BIN)/python benchmarks/build.py

clean:
	rm -rf demo .venv .mypy_cache .pytest_cache .ruff_cache
