# Two commands for a fresh checkout: `make quickstart` and `make test`. `make mutants` takes long.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test mutants

quickstart: $(VENV)/installed
	$(BIN)/nsbench quickstart

test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --durations=5
	$(BIN)/python -m tests.house

mutants: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants

# imagecorruptions depends on OpenCV's GUI build, which needs libGL; the headless build, laid over
# it, needs nothing.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --progress-bar off --editable '.[quickstart,dev]'
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps opencv-python-headless
	touch $@
