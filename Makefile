# GNU make. `make` alone prints the targets.
# Everything that is built or downloaded stays in this checkout (target/, .venv/, examples/django/)
# and in the usual caches of cargo and pip.

PYTHON  ?= python3
PORT    ?= 8000
WORKERS ?= 2

SHELL      := /bin/sh
VENV       := $(CURDIR)/.venv
BIN        := $(VENV)/bin
EXAMPLE    := examples/django
PIP        := $(BIN)/python -m pip --disable-pip-version-check
CARGO      ?= cargo
# Of `make fuzz`: time for each target, and which of them.
SECONDS    ?= 60
LAWS       ?= $(notdir $(wildcard tests/corpus/fuzz/*))
# Of `make bench`: which comparisons (there is also flat: memory over millions of requests); and for those of beside, tokens, peers
# and flat, how (`--rounds 1`; `--write` puts them into docs/).
BENCH      ?= compare hello static beside tokens peers
MEASURE    ?=
PEERS      ?= $(CURDIR)/target/peers
TEST_APT   := chromium chromium-driver systemd iproute2 nginx-light openssl curl redis-server postgresql

# One target directory, wherever the environment points: the paths below rely on it.
export CARGO_TARGET_DIR := $(CURDIR)/target
# The interpreter that the feature `python` is compiled for.
export PYO3_PYTHON := $(BIN)/python

RUST_SOURCES  := Cargo.toml $(wildcard Cargo.lock) $(shell find src -type f)
WHEEL_SOURCES := $(RUST_SOURCES) pyproject.toml $(shell find python -type f -not -path '*/__pycache__/*')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run build wheels check test test-tools bench bench-tools bench-compare bench-hello bench-static bench-beside bench-tokens bench-flat bench-peers stress fuzz clean

help:
	@echo 'make run      set everything up and serve $(EXAMPLE) (PORT=$(PORT) WORKERS=$(WORKERS))'
	@echo 'make build    target/release/ferricorn (no Python) and .venv/bin/ferricorn (with Python)'
	@echo 'make wheels   dist/: a wheel for every CPython that is found, and the source (PYTHONS="…" names them)'
	@echo 'make check    format, lints with and without Python, documentation'
	@echo 'make test     install what the tests need and run all of them'
	@echo 'make bench    load beside other servers, slow clients, and on what tokens cost (BENCH="$(BENCH)")'
	@echo 'make stress   the fate of every request while the server is reloaded, killed, scaled, broken (STRESS=--help)'
	@echo 'make fuzz     inputs made up for all that reads bytes from outside (SECONDS=$(SECONDS) each; LAWS="request_head …")'
	@echo 'make clean    remove everything that the targets above made'
	@echo
	@echo 'PYTHON=python3.12 make … chooses the interpreter of a new .venv.'

# ---- the virtual environment; each stamp says "done for these inputs" ----

$(VENV)/.stamp-venv:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet 'maturin>=1.16,<2'
	@touch $@

# Released wheels are made by the same call.
$(VENV)/.stamp-wheel: $(VENV)/.stamp-venv $(WHEEL_SOURCES)
	rm -rf target/wheels
	$(BIN)/maturin build --release --locked --compatibility linux --interpreter $(BIN)/python --out target/wheels
	$(PIP) install --quiet --no-index --no-deps --force-reinstall target/wheels/*.whl
	@# What it takes where it is there; the wheel itself is in place already.
	$(PIP) install --quiet "$$(echo target/wheels/*.whl)[uvloop]"
	@touch $@

$(VENV)/.stamp-example: $(VENV)/.stamp-venv $(EXAMPLE)/requirements.txt
	$(PIP) install --quiet --requirement $(EXAMPLE)/requirements.txt
	@touch $@

$(VENV)/.stamp-tests: $(VENV)/.stamp-example tests/python/requirements.txt
	$(PIP) install --quiet --requirement tests/python/requirements.txt
	@touch $@

# Made once; cargo and maturin then build exactly what it lists.
Cargo.lock:
	$(CARGO) generate-lockfile

# ---- what people call ----

run: Cargo.lock $(VENV)/.stamp-wheel $(VENV)/.stamp-example
	@$(BIN)/python $(EXAMPLE)/prepare.py --print-commands http://127.0.0.1:$(PORT)
	@cd $(EXAMPLE) && exec $(BIN)/ferricorn serve --config ferricorn.toml --bind 127.0.0.1:$(PORT) --workers $(WORKERS)

build: Cargo.lock $(VENV)/.stamp-wheel
	$(CARGO) build --release --locked

# One of each version that the package is for, on PATH or in pyenv; what does not run is none.
PYTHONS = $(shell for python in python3.9 python3.10 python3.11 python3.12 python3.13 "$$HOME"/.pyenv/versions/3.*/bin/python; do \
  "$$python" -c 'import sys; (3, 9) <= sys.version_info < (3, 14) and sys.implementation.name == "cpython" and print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null; \
  done | sort -k 1,1V -u | cut -d ' ' -f 2)
WHEEL_PROFILE ?= --release

wheels: Cargo.lock $(VENV)/.stamp-venv
	rm -rf dist
	$(BIN)/maturin sdist --out dist
	@set -e; for python in $(PYTHONS); do \
	  echo "a wheel for $$python"; \
	  PYO3_PYTHON=$$python $(BIN)/maturin build $(WHEEL_PROFILE) --locked --compatibility linux --interpreter $$python --out dist; \
	done
	@ls -l dist

check: Cargo.lock $(VENV)/.stamp-venv
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets --features hyper -- -D warnings
	$(CARGO) clippy --locked --all-targets --features wheel -- -D warnings
	@# Each feature by itself, as programs that embed the server choose them.
	for features in '' admin cli jwt issue redis postgres websocket hyper; do \
	  $(CARGO) clippy --locked --no-default-features --features "$$features" -- -D warnings || exit 1; \
	done
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps

# Rust first, without the feature `python` (so without libpython), then everything Python through
# the installed wheel.
test: Cargo.lock test-tools $(VENV)/.stamp-wheel
	$(CARGO) test --locked --features hyper
	$(CARGO) test --locked --no-default-features --lib
	$(BIN)/python -m pytest

# The browser, and the systemd that units are tried under, come from Debian where that is possible; elsewhere their tests
# say that they are skipped.
test-tools: $(VENV)/.stamp-tests
	@echo 'tests use, besides cargo: pip packages $(shell grep -o '^[a-z]*' tests/python/requirements.txt | tr '\n' ' ')(into .venv); on Debian, as root, apt packages $(TEST_APT)'
	@if [ -e /etc/debian_version ] && [ "$$(id -u)" = 0 ] \
	    && ! { command -v chromium && command -v chromedriver && command -v systemd-analyze && command -v ip && command -v nginx && command -v openssl && command -v curl \
      && command -v redis-server && ls /usr/lib/postgresql/*/bin/postgres; } >/dev/null; then \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends $(TEST_APT); \
	fi

# The other Python servers, on the same interpreter; uWSGI is compiled for minutes.
$(PEERS)/.stamp-peers: benches/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --requirement benches/peers.txt
	@touch $@

$(PEERS)/.stamp-wheel: $(PEERS)/.stamp-peers $(VENV)/.stamp-wheel
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --no-index --no-deps --force-reinstall target/wheels/*.whl
	@touch $@

bench-tools:
	@for tool in wrk nginx; do \
	  if ! command -v $$tool >/dev/null && ! [ -x /usr/sbin/$$tool ]; then \
	    if [ -e /etc/debian_version ] && [ "$$(id -u)" = 0 ]; then \
	      apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$tool; \
	    else echo "bench needs $$tool (on Debian: apt install $$tool)" >&2; exit 1; fi; fi; done

bench: $(BENCH:%=bench-%)

# Gunicorn comes with what the tests need.
bench-compare: build $(VENV)/.stamp-tests
	@$(BIN)/python $(EXAMPLE)/prepare.py
	cd $(EXAMPLE) && $(BIN)/ferricorn bench --path /whoami
	cd $(EXAMPLE) && $(BIN)/ferricorn bench
	cd benches && $(BIN)/ferricorn bench hello:application
	target/release/ferricorn bench native:hello

bench-hello: build bench-tools
	$(CARGO) build --release --locked --example axum_hello
	$(BIN)/python benches/run.py

bench-static: build bench-tools
	$(BIN)/python benches/static.py

bench-beside: build bench-tools
	$(BIN)/python benches/beside.py $(MEASURE)

bench-tokens: build bench-tools
	$(CARGO) build --release --locked --example bare
	$(BIN)/python benches/tokens.py $(MEASURE)

bench-flat: build bench-tools
	$(BIN)/python benches/flat.py $(MEASURE)

bench-peers: bench-tools $(PEERS)/.stamp-wheel
	PEERS=$(PEERS) $(BIN)/python benches/peers.py $(MEASURE)

# nginx and the apps come with what the tests need.
stress: build test-tools
	$(BIN)/python benches/stress $(STRESS)

# cargo-fuzz would have a sanitizer, which needs a nightly compiler; debug assertions and checked arithmetic are on without.
# What has been found is kept in target/, what is worth keeping for everybody in tests/corpus/fuzz. The targets for Python embed
# an interpreter, and need its shared library.
FUZZ := --sanitizer none --target-dir target/fuzz

fuzz:
	@command -v cargo-fuzz >/dev/null || $(CARGO) install --quiet --locked cargo-fuzz
	@library=$$($(PYTHON) -c 'import sysconfig; print(*map(sysconfig.get_config_var, ("LIBDIR", "INSTSONAME")), sep="/")'); \
	features=python; laws='$(LAWS)'; \
	if [ ! -e "$$library" ]; then \
	  echo "there is no $$library (on Debian: apt install libpython3-dev): the targets for Python are left out" >&2; \
	  features=default; laws=$$(printf '%s\n' $$laws | grep -v '^python_'); \
	fi; \
	export PYO3_PYTHON="$$($(PYTHON) -c 'import sys; print(sys.executable)')"; \
	export LD_LIBRARY_PATH="$$(dirname "$$library")$${LD_LIBRARY_PATH:+:$$LD_LIBRARY_PATH}"; \
	$(CARGO) fuzz build $(FUZZ) --features "$$features" || exit 1; \
	for law in $$laws; do \
	  echo "== $$law"; \
	  mkdir -p target/fuzz-inputs/$$law; \
	  $(CARGO) fuzz run $(FUZZ) --features "$$features" $$law target/fuzz-inputs/$$law tests/corpus/fuzz/$$law -- \
	    -max_total_time=$(SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 || exit 1; \
	done

clean:
	rm -rf target fuzz/artifacts fuzz/Cargo.lock $(VENV) $(EXAMPLE)/collected $(EXAMPLE)/db.sqlite3 $(EXAMPLE)/secret
