# make demo   simulate a cohort, find key frames, split, train five folds, report: results/demo/report.html
# make test   run the tests
# Both create the environment in .venv first. PYTHON chooses the interpreter (3.11 or later).
PYTHON ?= python3
BIN := .venv/bin
export PYTHONUNBUFFERED := 1

.PHONY: demo test lint clean
.DEFAULT_GOAL := demo

demo: .venv/.installed
	$(BIN)/python -m stenoscope.phantom
	$(BIN)/python pickle_generator.py
	$(BIN)/python data_loader_kfold.py
	$(BIN)/python augment.py
	$(BIN)/python main.py --preset quick

test: .venv/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv data/phantom data/keyframes data/folds results/demo results/augment

.venv/.installed: requirements.txt requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or later is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: -r requirements.txt -c requirements.lock
	touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: -r requirements-dev.txt -c requirements.lock
	touch $@
