# The commands for developers. `make help` lists them.

# The first Python from 3.11 on that has venv. A Python that you choose gets a separate venv: make test PYTHON=python3.13
# (or a path).
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
.PHONY: help demo test test-system soak bench test-lowest lint format manifests lock third-party image deb release checksums clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "To use another Python, with a separate venv: make test PYTHON=python3.13"

demo: $(VENV)/.demo ## monitor a simulated TIGR on this machine, with short incidents
	$(BIN)/tigr-monitor demo

# Measuring the coverage takes more than half of the time. Once is enough: make test PYTHON=python3.13 COVERAGE=
COVERAGE = --cov

# Many tests wait for a process, so more of them can run at once than there are processors. Each worker of pytest first
# imports all tests, which takes 6 s. A worker that crashes ends the run: a new one would repeat the test and crash again.
PARALLEL = -n 3 --dist loadfile --max-worker-restart=0

# CI tests other versions without the tests that need not be repeated: make test SELECT="not system and not once"
SELECT = not system

test: $(VENV)/.dev ## run the tests that need neither root nor Debian packages, with coverage
	$(PYTEST) $(PARALLEL) -m "$(SELECT)" $(COVERAGE)

# pytest exits with status 5 if no test is selected.
test-system: $(VENV)/.dev ## run the tests that need root or Debian packages
	$(PYTEST) -m system $(TESTS) || test $$? -eq 5

soak: $(VENV)/.dev ## check memory, files and threads over 100,000 exchanges with random faults (half an hour)
	$(BIN)/python -m tests.soak

bench: $(VENV)/.bench ## compare the monitor with blackbox_exporter (20 minutes; needs root and Debian packages)
	$(BIN)/python -m benchmarks

test-lowest: ## run the tests with the lowest allowed dependencies (they support Python 3.11)
	$(MAKE) --no-print-directory $(VENV)-lowest/.lowest VENV=$(VENV)-lowest
	$(VENV)-lowest/bin/python -m pytest $(PARALLEL) -m "not system and not once"

lint: $(VENV)/.dev ## check style, types and imports between packages
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(VENV)/.dev ## correct the style
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

manifests: $(VENV)/.dev ## generate the dashboard and the Kubernetes manifests with rules and dashboard again
	$(BIN)/python -m grafana.dashboard
	$(BIN)/python -m kubernetes.generate

# Run on the oldest supported Python: its set also contains everything that newer versions need.
LOCK = $(BIN)/python -m piptools compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header \
	--annotation-style=line --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

lock: $(VENV)/.dev ## pin the dependencies of CI and images, with hashes (needs Python 3.11)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "make lock needs Python 3.11: run make lock PYTHON=python3.11" >&2; exit 1; }
	$(LOCK) --build-deps-for editable --extra demo --extra test --extra dev -o requirements/dev.txt pyproject.toml
	$(LOCK) -c requirements/dev.txt --extra demo -o requirements/demo.txt pyproject.toml
	$(LOCK) -c requirements/dev.txt --extra bench -o requirements/bench.txt pyproject.toml
	$(LOCK) -c requirements/dev.txt -o requirements/runtime.txt pyproject.toml
	$(LOCK) -c requirements/dev.txt -o requirements/servers.txt requirements/servers.in
	$(LOCK) -c requirements/dev.txt -o requirements/interface.txt requirements/interface.in
	$(LOCK) -c requirements/dev.txt -o requirements/setuptools.txt requirements/setuptools.in
	$(LOCK) -c requirements/dev.txt -o requirements/deb.txt requirements/deb.in
	$(LOCK) -c requirements/dev.txt --build-deps-for wheel --build-deps-for editable --only-build-deps \
		-o requirements/build.txt pyproject.toml
	$(BIN)/python requirements/lowest.py > $(VENV)/lowest.in
	$(LOCK) --no-annotate -c $(VENV)/lowest.in -c requirements/build.txt --extra demo --extra test \
		-o requirements/lowest.txt pyproject.toml

third-party: $(VENV)/.dev ## write THIRD-PARTY.txt, the licenses of the pinned packages: after each `make lock`
	$(BIN)/python -m release.third_party

# With podman: make image BUILD_IMAGE="podman build --format=docker" (podman's default format has no health check).
BUILD_IMAGE = docker build
TARGET = monitor
REVISION = $(shell git rev-parse HEAD)
# The base image, if it is not the one in the Dockerfile; with a digest, it cannot change: PYTHON_IMAGE=python@sha256:…
PYTHON_IMAGE =

image: ## build the container image (the image of the demo: make image TARGET=demo)
	version=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) && $(BUILD_IMAGE) --target=$(TARGET) \
		--build-arg=VERSION=$$version --build-arg=REVISION=$(REVISION) \
		$(if $(PYTHON_IMAGE),--build-arg=PYTHON_IMAGE=$(PYTHON_IMAGE)) \
		--tag=tigr-monitor:$$version$(if $(filter demo,$(TARGET)),-demo) .

# One release of Debian only: make deb SUITES=trixie
deb: | $(BIN)/pip ## build the packages for Debian 12 and 13 in dist/ (needs root and mmdebstrap)
	$(BIN)/python -m debian $(SUITES)

release: $(VENV)/.dev ## create a release with a signed tag: make release VERSION=1.2.3 (SIGN=no: without a signature)
	$(BIN)/python -m release $(if $(filter no,$(SIGN)),--no-sign) $(VERSION)

checksums: $(VENV)/.dev ## write dist/SHA256SUMS again, after a file was added to dist/
	$(BIN)/python -m release.checksums

clean: ## remove the files that these commands create
	rm -rf $(VENV) .venv .venv-* build dist .coverage* .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The target is pip, not python: venv installs pip last, so an interrupted venv is created again.
$(BIN)/pip:
	@"$(PYTHON)" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "tigr-monitor needs Python 3.11 or newer with venv (on Debian: python3-venv);" \
		"found: $(or $(PYTHON),none). To use another Python: make PYTHON=/path/to/python3" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# Each set is installed once, and again when it changes. The .dev set includes the .demo set. Each file lists all packages, so
# pip must not resolve dependencies (--no-deps): for a requirement with extras, it would reject versions that are not pinned.
$(VENV)/.bench $(VENV)/.demo $(VENV)/.dev $(VENV)/.lowest: $(VENV)/.%: requirements/%.txt requirements/build.txt pyproject.toml | $(BIN)/pip
	$(PIP) install --quiet --require-hashes --no-deps -r $< -r requirements/build.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	$(PIP) check
	@touch $@
