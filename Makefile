# For a fresh machine with Python 3.11+ and make: `make demo` to see it, `make test` for everything, `make lint` and
# `make unit` while working, `make docs` for the pages, `make torture` to kill its processes at random for some minutes
# and do the books, `make image` for the container. All but the last and `make test` need no system package.
PYTHON ?= python3
BIN = .venv/bin

# One run starts hundreds of processes: none of them compiles anew what is imported, also where an image has this set.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test servers suite test-lowest test-newest lint unit docs model format benchmarks torture image clean

demo: .venv/runtime
	$(BIN)/prefect-seedance demo

lint: .venv/tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: .venv/tests
	$(BIN)/pytest -q -n 2 tests/unit $(PYTEST)

test:
	$(MAKE) --jobs 2 servers .venv/tests
	$(MAKE) --jobs 2 lint suite

servers:
	tests/install_servers

suite: .venv/collected
	$(BIN)/pytest -n 4 --dist loadfile $(PYTEST)

# Compiles what the four import, which all of them would do at the same time: a third of what is installed.
.venv/collected: .venv/tests
	-$(BIN)/pytest --collect-only -q > /dev/null
	touch $@

# The pages of docs/ as a site in build/docs: no server and no network is needed to build it or to read it.
docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "Open build/docs/index.html; with its search: $(PYTHON) -m http.server --directory build/docs"

# In environments of their own, with the lowest versions that pyproject.toml allows and with the newest there are.
test-lowest test-newest: test-%:
	PYTHON=$(PYTHON) tests/extremes $*

# The payment protocol, searched for the shortest way to break a promise: standard library only, two minutes on a free core.
model:
	$(PYTHON) -m docs.ledger.model

benchmarks: .venv/tests
	$(BIN)/python -m tests.benchmarks

# Other rounds: make torture TORTURE="--rounds 12 --seed 5 --store badline"; see docs/ledger/torture.md.
torture: .venv/tests
	$(BIN)/python -m tests.torture $(TORTURE)

# The image on a bare Debian, what it promises, and what compose.yaml starts, in some minutes: needs root, buildah and debootstrap.
image: .venv/tests
	$(BIN)/python -m tests.containers

format: .venv/tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# uv takes a tenth of pip's time. Where it can't be had, or does not find the way to the packages, pip does it.
PINNED = --quiet --constraint constraints.txt --editable '$(PACKAGE)'
INSTALL = $(BIN)/uv pip install --python $(BIN)/python $(PINNED) || $(BIN)/pip install $(PINNED)

.venv/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt uv || true
	touch $@

.venv/runtime: PACKAGE = .
.venv/docs: PACKAGE = .[docs]
.venv/tests: PACKAGE = .[test,docs]
.venv/runtime .venv/docs .venv/tests: pyproject.toml constraints.txt | .venv/uv
	$(INSTALL)
	touch $@

clean:
	rm -rf .venv .venv-lowest .venv-newest .mypy_cache .pytest_cache .ruff_cache .hypothesis build seedance-demo
