# make demo: a synthetic dataset, built, loaded and scored.  make test: lint and all tests but the slow ones (make slow).
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test slow lint core docs bench mutants clean

install: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	rm -rf demo
	$(BIN)/rope synthesize demo/release --products 200 --seed 0
	$(BIN)/rope build demo/release demo/dataset --name mini-rope
	$(BIN)/rope validate demo/dataset
	$(BIN)/rope info demo/dataset --sheet demo/sheet.png
	$(BIN)/python -c "import rope; print(rope.load_dataset('demo/dataset', 'videos', split='validation'))"
	$(BIN)/rope-bench run --model baselines:handcrafted --data demo/dataset --out demo/handcrafted.parquet \
		--json demo/handcrafted.json
	$(BIN)/rope-bench doctor demo/handcrafted.parquet --data demo/dataset --html demo/doctor.html > demo/doctor.txt
	$(BIN)/rope-bench gallery demo/handcrafted.parquet --data demo/dataset --pair V2L --queries 9 \
		--html demo/failures.html > demo/failures.txt
	$(BIN)/cope train demo/dataset --preset tiny --out demo/cope --workers 1
	$(BIN)/rope-bench run --model cope:demo/cope --data demo/dataset --out demo/cope.parquet \
		--json demo/cope.json > demo/cope.txt
	$(BIN)/rope-bench compare demo/handcrafted.json demo/cope.json
	$(BIN)/rope-bench submit demo/handcrafted.parquet --model-card leaderboard/cards/handcrafted.yaml \
		--data demo/dataset --out demo/results
	$(BIN)/rope-bench submit demo/handcrafted.parquet --model-card leaderboard/cards/handcrafted-colour.yaml --dims 256 \
		--data demo/dataset --out demo/results
	$(BIN)/rope-bench submit demo/cope.parquet --model-card leaderboard/cards/cope-tiny.yaml \
		--data demo/dataset --out demo/results
	$(BIN)/leaderboard verify demo/results --data demo/dataset
	$(BIN)/leaderboard build demo/results --data demo/dataset --out demo/site
	@echo 'Look at demo/sheet.png (what is in the dataset), demo/doctor.html (what is in the embeddings),'
	@echo 'demo/failures.html (what a baseline gets wrong) and'
	@echo 'demo/site/index.html (the leaderboard, of three models). A minute of training on 140 products shows that COPE runs; what it'
	@echo 'learns from more is in docs/cope-training.md.'

test: lint
	$(BIN)/pytest -q -m 'not slow' --numprocesses auto --dist loadfile

# Tests that take more than ten seconds each: kills, several processes and machines, whole pages of the docs.
slow: install
	$(BIN)/pytest -q -m slow --numprocesses auto --dist loadfile tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What works without any extra: a new environment with the core alone.
core:
	PYTHON=$(PYTHON) tests/core_only/install.sh

# The site, in build/site; a broken link or a docstring that cannot be shown is an error.
docs: install
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: install
	$(BIN)/python benchmarks/score.py
	$(BIN)/python benchmarks/build.py

# A fault at a time, some of each module: make mutants SAMPLE=40 SEED=0 ONLY=rope/bench/stats
SAMPLE = 20
SEED = 0
ONLY =
mutants: install
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[mutants]'
	nice -n 15 $(BIN)/python benchmarks/mutants.py --sample $(SAMPLE) --seed $(SEED) --only '$(ONLY)'

clean:
	rm -rf build demo mutants .venv .mypy_cache .pytest_cache .ruff_cache
