# Everything a developer does. `make help` lists it.

# Any Python from 3.11 on that has venv. Another one has its own venv: make test PYTHON=python3.13 (or a path)
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$p && break; done)
ifeq ($(origin PYTHON),file)
VENV := .venv
else
VENV := .venv-$(shell "$(PYTHON)" -c 'import sys; print("{}.{}".format(*sys.version_info))' 2>/dev/null || echo none)
endif
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help demo test test-system soak bench test-lowest lint format lock image release clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Each with another Python, in a venv of its own: make test PYTHON=python3.13"

demo: $(VENV)/.demo ## watch a TIGR that runs on this machine, with small incidents
	$(BIN)/tigr-monitor demo

test: $(VENV)/.dev ## every test that needs no root and no Debian packages, with coverage
	$(PYTEST) -m "not system" --cov

# 5 is pytest's word for: there is no such test.
test-system: $(VENV)/.dev ## the tests that need root or Debian packages
	$(PYTEST) -m system || test $$? -eq 5

soak: $(VENV)/.dev ## 100,000 exchanges with faults at random: what the daemon holds levels off (half an hour)
	$(BIN)/python -m tests.soak

bench: $(VENV)/.bench ## measure it against blackbox_exporter (17 minutes; root, and Debian packages that it names)
	$(BIN)/python -m benchmarks

test-lowest: ## the tests with the oldest dependencies that are allowed (they were made for Python 3.11)
	$(MAKE) --no-print-directory $(VENV)-lowest/.lowest VENV=$(VENV)-lowest
	$(VENV)-lowest/bin/python -m pytest -m "not system"

lint: $(VENV)/.dev ## style, and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.dev ## put the style right
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

# On the oldest supported Python, whose set holds what newer ones need too.
LOCK = $(BIN)/python -m piptools compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header \
	--annotation-style=line --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

lock: $(VENV)/.dev ## pin what is installed in CI and in images, with hashes (needs Python 3.11)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "make lock wants Python 3.11: make lock PYTHON=python3.11" >&2; exit 1; }
	$(LOCK) --build-deps-for editable --extra demo --extra test --extra dev -o requirements/dev.txt pyproject.toml
	$(LOCK) -c requirements/dev.txt --extra demo -o requirements/demo.txt pyproject.toml
	$(LOCK) -c requirements/dev.txt --extra bench -o requirements/bench.txt pyproject.toml
	$(LOCK) -c requirements/dev.txt -o requirements/runtime.txt pyproject.toml
	$(LOCK) -c requirements/dev.txt -o requirements/servers.txt requirements/servers.in
	$(LOCK) -c requirements/dev.txt --build-deps-for wheel --build-deps-for editable --only-build-deps \
		-o requirements/build.txt pyproject.toml
	$(BIN)/python requirements/lowest.py > $(VENV)/lowest.in
	$(LOCK) --no-annotate -c $(VENV)/lowest.in -c requirements/build.txt --extra demo --extra test \
		-o requirements/lowest.txt pyproject.toml

# With podman: make image BUILD_IMAGE="podman build --format=docker" (its own format has no health check).
BUILD_IMAGE = docker build
TARGET = monitor
REVISION = $(shell git rev-parse HEAD)

image: ## build the container image (make image TARGET=demo: the demo's)
	version=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) && $(BUILD_IMAGE) --target=$(TARGET) \
		--build-arg=VERSION=$$version --build-arg=REVISION=$(REVISION) \
		--tag=tigr-monitor:$$version$(if $(filter demo,$(TARGET)),-demo) .

release: $(VENV)/.dev ## make a version: make release VERSION=1.2.3
	$(BIN)/python -m release $(VERSION)

clean: ## remove what these commands made
	rm -rf $(VENV) .venv .venv-* build dist .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

# pip, not python: it is what venv puts there last, so a venv that was cut short is made again.
$(BIN)/pip:
	@"$(PYTHON)" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "tigr-monitor needs Python 3.11 or newer with venv (on Debian: python3-venv);" \
		"found: $(or $(PYTHON),none). Another one: make PYTHON=/path/to/python3" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# Each set is installed once, and again when it changes. The .dev set holds the .demo set. It is the whole set, so pip need
# not look for more (--no-deps): it would, for a requirement with extras, and stop at a version newer than the pinned one.
$(VENV)/.bench $(VENV)/.demo $(VENV)/.dev $(VENV)/.lowest: $(VENV)/.%: requirements/%.txt requirements/build.txt pyproject.toml | $(BIN)/pip
	$(PIP) install --quiet --require-hashes --no-deps -r $< -r requirements/build.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	$(PIP) check
	@touch $@
