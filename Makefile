# Everything runs in .venv, which setup.sh makes; once it's there, the set-up takes no time.

BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format check page wheel clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

setup:  ## make .venv, or bring it up to date
	@bash setup.sh

demo: setup  ## train and translate on the embedded corpus
	$(BIN)/signseq demo

test: setup  ## run the tests (without the slow and the gpu ones)
	$(BIN)/python -m pytest -n auto

lint: setup  ## check style, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if [ -d web/node_modules ]; then npm --prefix web run --silent check; fi

format: setup  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint test  ## lint and test

page: src/signseq/serving/web/index.html  ## build the page of `signseq serve` (needs Node 20 or later)

src/signseq/serving/web/index.html: web/package-lock.json web/build.mjs $(wildcard web/src/*)
	@command -v npm > /dev/null || { echo "The page is built by npm, which isn't here: install Node.js 20 or later." \
	  "Everything else of signseq works without the page." >&2; exit 1; }
	npm --prefix web ci --no-audit --no-fund --loglevel=error
	npm --prefix web run --silent build

wheel: setup page  ## build dist/*.whl, with the page inside
	$(BIN)/python -m build --wheel --no-isolation

# .venv, what a build leaves and the tools' caches; not data/, stores/, checkpoints/ or runs/.
clean:  ## remove .venv, builds and caches, but no data, stores or checkpoints
	rm -rf .venv build dist web/node_modules src/signseq/serving/web .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -type d -name __pycache__ -prune -exec rm -rf {} +
