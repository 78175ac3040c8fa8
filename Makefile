# `make` lists the targets. They need Python 3.11 or newer. The targets that start a Kratos
# also need Go and a C compiler, or KRATOS_BIN, or KRATOS_PUBLIC_URL and KRATOS_ADMIN_URL.

UV_VERSION := 0.13.9
# The machine's uv, else one that pip installs into .tools.
UV ?= $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
PYTHON ?= python3
RUN := $(UV) run --frozen --quiet

.DEFAULT_GOAL := help
.PHONY: help demo run test compat lint bench soak screenshots protos release format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.made ## Start everything and show one whole sign-up against a real Kratos
	@$(RUN) python -m devstack.demo

run: .venv/.made ## Start everything for a sign-up in your browser, or with grpcurl
	@$(RUN) python -m devstack.run

test: lint ## Run everything CI runs: lint, types, all tests
	$(RUN) pytest

compat: .venv/.made ## Try the Kratos that KRATOS_BIN names: agreement, end to end, demo
	$(RUN) pytest tests/integration/test_kratos_agreement.py tests/e2e
	@$(RUN) python -m devstack.demo

lint: .venv/.made ## Check style, types, imports and the contract
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) buf lint protos
	$(RUN) buf breaking protos --against protos/released.binpb
	$(RUN) python protos/generate.py --check

bench: .venv/.made ## Measure everything, in half an hour (BEFORE=PYTHON: beside another version)
	@$(RUN) python -m bench $(if $(BEFORE),--before $(BEFORE))

screenshots: .venv/.made ## Take the pictures of docs/screens with Chromium
	@$(RUN) python -m devstack.screenshots

soak: .venv/.made ## Sign people up for MINUTES=10 while servers are killed, and check each promise
	@$(RUN) python -m tests.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

protos: .venv/.made ## Generate the stubs from protos/
	$(RUN) python protos/generate.py

release: .venv/.made ## Make the files of a release in dist/, and publish nothing
	@$(RUN) python -m devstack.release

format: .venv/.made ## Format the code
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

clean: ## Remove the environment and caches (a built Kratos stays in ~/.cache)
	rm -rf .venv .tools .run .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/.made: uv.lock pyproject.toml | $(UV)
	@echo "Setting up the Python environment ..."
	@$(UV) sync --frozen --quiet
	@touch $@

.tools/bin/uv:
	@echo "Fetching uv $(UV_VERSION) ..."
	@$(PYTHON) -m venv .tools
	@.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
