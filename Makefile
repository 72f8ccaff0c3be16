# make demo    see an export happen, on real Airflow
# make test    all tests
# make check   lint, format, types, words
# make docs    the docs site, in build/site; make screenshots takes its pictures anew
# make bench   figures for memory and speed
# make bench-tables  seconds and memory of loads into tables, ours and dlt's, ROWS=10000000: an hour, 20 GB of disk
# make bench-bulk    seconds and memory of publishing the files of a bulk export, a million rows: five minutes
# make races   fifty rounds of loads that race, and of loads that are killed, also on S3 by Ceph; bulk exports killed at each moment
# make matrix  the tests on the oldest and the newest Airflow and Python; PAIRS=all for each, TESTS=... for some
# make recipes the recipes for warehouses and readers, by their engines; ENGINES=... for some of clickhouse snowflake readers providers

PYTHON ?= python3
ROWS ?= 10000000
PROJECT ?=
PAIRS ?=
TESTS ?=
ENGINES ?=
# One more than there are cores, because the tests on real Airflow mostly wait.
WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test check docs screenshots bench bench-tables bench-bulk races matrix recipes

demo: $(READY)
	@$(BIN)/python scripts/demo.py $(PROJECT)

test: $(READY)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python scripts/words.py

docs: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group docs
	@rm -rf build/pages && mkdir -p build/pages && cp -R *.md docs build/pages
	$(BIN)/zensical build --clean --strict

screenshots: $(READY)
	$(BIN)/python -m scripts.screenshots

bench: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group bench
	$(BIN)/python -m benchmarks

bench-tables: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks.tables $(ROWS)

bench-bulk: $(READY)
	$(BIN)/python -m benchmarks.bulk

races: $(READY)
	RACE_ROUNDS=50 $(BIN)/pytest tests/tables/test_servers.py tests/tables/test_races.py tests/tables/test_kills.py
	RACE_ROUNDS=10 $(BIN)/pytest tests/operators/test_bulk_export_kills.py tests/operators/test_bulk_export_faults.py

matrix: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/matrix.py $(PAIRS) --tests "$(TESTS)"

recipes: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/recipes.py $(ENGINES)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "Making an environment in .venv: Airflow and what the tests need (a minute or two of downloads) ..."
	@$(PYTHON) -m venv .venv
	@# uv resolves Airflow's hundreds of packages in seconds, where pip takes minutes
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable '.[parquet,s3,iceberg,delta,duckdb,postgres,testing]' --group dev
	@touch $(READY)
