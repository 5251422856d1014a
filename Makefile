# make setup    create .venv and install Softlyte
# make screen   run the default screening (writes screen-out/)
# make test     install the test extras, run all tests and notebooks
# make check    lint, types, import contract
# make rebuild  rebuild the vendored tables from their published artifacts (into rebuilt/) and compare
# make docs     build the documentation site into site/
# make notebooks  write notebooks/*.ipynb from the texts beside them and run them, outputs kept
# make train    retrain the shipped weights (about an hour and a half on 2 cores)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
OUT ?= screen-out

.PHONY: setup screen test check rebuild docs notebooks train clean

setup: $(VENV)/.installed

# The stamp is newer than pyproject.toml and constraints.txt: a second run does nothing.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -e src/softlyte/datasets/formulas.py || { echo "src/softlyte/datasets is not a symbolic link in this clone; run 'git config core.symlinks true && git checkout -- src' or clone on a file system with symbolic links" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Softlyte needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 2; }
	@# Debian's python3 has no ensurepip: the environment is made without pip and pip put in from outside.
	test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	test -x $(BIN)/pip || $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check pip
	$(PIP) --constraint constraints.txt torch
	$(PIP) --constraint constraints.txt --editable '.[mp,tune]'
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@

screen: setup
	$(BIN)/softlyte screen --out $(OUT) --overwrite

test: $(VENV)/.tested
	$(BIN)/python -m pytest --numprocesses 2
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=180 notebooks

check: $(VENV)/.tested
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

rebuild: setup
	for name in $$($(BIN)/python -c 'from softlyte.datasets.build import BUILDERS; print(*BUILDERS)'); do \
		$(BIN)/softlyte data build $$name --out rebuilt || exit 1; done

docs: $(VENV)/.tested
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

notebooks: $(VENV)/.tested
	$(BIN)/jupytext --to ipynb --update notebooks/*.py
	$(BIN)/python -m pytest --nbmake --overwrite notebooks

train: setup
	$(BIN)/softlyte train models/configs/composition.toml --out train-out

clean:
	rm -rf $(VENV) build dist site notebooks/out
