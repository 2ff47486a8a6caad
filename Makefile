# The only commands a checkout needs. Each sets up .venv by itself, from hash-pinned locks.
# Debian's build, where it is there with venv, before the first in PATH: it is compiled with profiles of itself, and what is
# measured in a client takes a third less than in the same Python built without (docs/decisions/0010).
PYTHON ?= $(or $(shell /usr/bin/python3 -c 'import sys, ensurepip; sys.version_info < (3, 11) or print(sys.executable)' 2>/dev/null),python3)
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
MAKEFLAGS += --no-print-directory

.PHONY: demo test check docs clean bench bench-ledger crash outage
.DEFAULT_GOAL := help

.PHONY: help
help:
	@echo "make demo    run the gateway against a simulated provider and show who used what"
	@echo "make test    run the tests (PYTEST_ARGS=... for pytest)"
	@echo "make check   lint, formatting, types, import contracts"
	@echo "make docs    write the generated reference pages anew"
	@echo "make bench   CPU and latency of the gateway beside nginx (needs gcc and nginx; BENCH_ARGS)"
	@echo "make bench-ledger  every report over 10 million rows, each in a fresh process (LEDGER_ARGS)"
	@echo "make crash   kill every process under load, 100 times, and count the rows (CRASH_ARGS)"
	@echo "make outage  take store and disk away under load, and count the rows (OUTAGE_ARGS)"
	@echo "make build   the public wheel and sdist, in dist/ (make build-internal: the internal wheel)"
	@echo "make clean   remove .venv, caches and build results"

demo: $(VENV)/demo.stamp
	@$(BIN)/byline demo

test: $(VENV)/dev.stamp
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/dev.stamp
	@echo "ruff check" && $(BIN)/ruff check --quiet .
	@echo "ruff format" && $(BIN)/ruff format --check --quiet .
	@echo "pyright" && $(BIN)/pyright --warnings
	@echo "typing tests" && $(BIN)/mypy --strict --config-file= --no-error-summary tests/typing/telemetry_*.py \
		&& $(BIN)/pyright --project tests/typing
	@echo "import contracts" && $(BIN)/lint-imports --no-logo

docs: $(VENV)/demo.stamp
	@$(BIN)/python -m byline.cli.reference docs/reference

# Flags: BENCH_ARGS="--rounds 1 --loads 2KB", CRASH_ARGS=..., OUTAGE_ARGS=...
bench: $(VENV)/dev.stamp
	@result=0; \
	$(BIN)/python -m benchmarks.data_plane $(BENCH_ARGS) || result=1; \
	$(BIN)/python -m benchmarks.admission || result=1; \
	$(BIN)/python -m benchmarks.instrument || result=1; \
	exit $$result

bench-ledger: $(VENV)/demo.stamp
	@$(BIN)/python -m benchmarks.ledger --rows 10000000 $(LEDGER_ARGS)

crash: $(VENV)/demo.stamp
	@$(BIN)/python -m benchmarks.crash $(CRASH_ARGS)

outage: $(VENV)/demo.stamp
	@$(BIN)/python -m benchmarks.outage $(OUTAGE_ARGS)

# Public: what may be published. Internal: a wheel alone, with what only we may use.
.PHONY: build build-internal
build: $(VENV)/dev.stamp
	@rm -rf dist
	@BYLINE_BUILD=public $(BIN)/python -m hatchling build -t sdist -t wheel -d dist

build-internal: $(VENV)/dev.stamp
	@rm -rf dist
	@BYLINE_BUILD=internal $(BIN)/python -m hatchling build -t wheel -d dist

clean:
	@rm -rf $(VENV) dist .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache .grimp_cache
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The build backend is in the locks as well, so nothing is fetched without a hash.
define install
	@echo "installing $(1)"
	@$(PIP) install --require-hashes -r $(1)
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@
endef

$(VENV)/demo.stamp: requirements/demo.txt pyproject.toml | $(VENV)/bin/python
	$(call install,requirements/demo.txt)

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	$(call install,requirements/dev.txt)
	@touch $(VENV)/demo.stamp

# A whole Claude Code comes with these; the tests that drive it skip themselves without.
$(VENV)/real-clients.stamp: requirements/real-clients.txt $(VENV)/dev.stamp
	$(call install,requirements/real-clients.txt)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer with venv is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "creating $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
