# make run: train the default recipe.  make test: lint, types, tests.  make bench: speed.  make fuzz: 20,000 mutated files.
# make sanitize: the C++ under sanitizers.  make ranks: runs on 1 to 4 ranks, and kills.
# make hosts: a run on two network namespaces; it needs root.
# make docs: the site, in docs/_build/html.  make prose: how the texts read.  make wheels: for all platforms, in dist/.
# Each makes .venv itself on a fresh machine, but prose, which needs none.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RECIPE ?= mnist

.PHONY: run test check bench fuzz sanitize ranks hosts wheels docs prose clean

run: $(VENV)/.run
	$(BIN)/python main.py $(RECIPE) $(ARGS)

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --cov --cov-report=term:skip-covered $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python benchmarks $(ARGS)

fuzz: $(VENV)/.dev
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m fuzzing $(ARGS)

sanitize: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 tests/native/sanitize.py $(ARGS)

hosts: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/two_hosts.py

ranks: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/distributed_runs.py $(ARGS)

# zig compiles for all platforms on one machine. It keeps what it made in ~/.cache/zig.
wheels: $(VENV)/.run
	$(BIN)/python -m pip install --quiet -e '.[wheels]'
	$(BIN)/python hatch_build.py wheels

# Every tutorial is run, a warning is an error, and every link inside the site is followed.
docs: $(VENV)/.docs
	rm -rf docs/_build
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html $(ARGS)
	$(BIN)/python docs/check_links.py docs/_build/html

# The standard library is all it needs.
prose:
	$(PYTHON) benchmarks/prose.py --limit $(ARGS)

# Installing compiles the C++, so what is edited of it is installed again.
$(VENV)/.run: requirements.txt pyproject.toml hatch_build.py src/ebmnist/native/variants.py $(wildcard src/ebmnist/native/*.h src/ebmnist/native/*pp)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/.docs: $(VENV)/.run
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) docs/_build src/ebmnist/native/lib .mypy_cache .pytest_cache .ruff_cache .coverage
