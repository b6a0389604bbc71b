# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Those that measure something by themselves; data.py runs duplicates.py and pii.py, chart.py attach.py.
BENCHMARKS = $(filter-out $(addprefix benchmarks/,duplicates.py pii.py attach.py),$(sort $(shell grep -l __main__ benchmarks/*.py)))

.PHONY: demo test check bench format clean fast

demo: $(STAMP)
	@$(BIN)/tuiwb demo --dir .demo

test: $(STAMP)
	$(BIN)/pytest -q

fast: $(STAMP)
	$(BIN)/pytest -q -m "not slow"

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	@missed=0; for file in $(BENCHMARKS); do echo "== $$file"; $(BIN)/python $$file || missed=1; done; exit $$missed

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("tuiwb needs Python 3.11 or newer: make PYTHON=python3.12 demo") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,judge,fast,metrics,dev]'
	@touch $(STAMP)

clean:
	rm -rf $(VENV) .demo dist build
