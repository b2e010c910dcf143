# Two commands for a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test model format benchmarks clean

demo: .venv/runtime
	$(BIN)/prefect-seedance demo

test: .venv/tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	tests/install_servers
	$(BIN)/pytest -n 2 --dist loadfile $(PYTEST)

# The payment protocol, searched for the shortest way to break a promise: standard library only, two minutes on a free core.
model:
	$(PYTHON) -m docs.ledger.model

benchmarks: .venv/tests
	PYTHONPATH=tests:. $(BIN)/python -m tests.benchmarks

format: .venv/tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/runtime: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/tests: .venv/runtime
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis seedance-demo
