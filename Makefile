# The developer's day as verbs. `make demo` and `make test` set up what is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test soak bench-losses bench-training bench-ramln bench-evaluation bench-gallery bench-server screenshot \
	lint format clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*##/\t/' | expand -t 20

demo: $(VENV)/.demo ## train on the embedded emoji set, measure, report, then draw in the browser
	$(BIN)/inkseek demo

test: $(VENV)/.dev ## the tests
	$(BIN)/python -m pytest -m "not soak"

soak: $(VENV)/.dev ## long torture tests
	$(BIN)/python -m pytest -m soak

bench-losses: $(VENV)/.dev ## time and memory of the losses beside pytorch-metric-learning's
	$(BIN)/python benchmarks/losses.py --out results/bench-losses.csv

bench-training: $(VENV)/.dev ## the training loop beside forward, backward and decoding
	$(BIN)/python benchmarks/training.py --out results/bench-training.csv
	$(BIN)/python benchmarks/training.py --memory --out results/bench-training.csv

bench-ramln: $(VENV)/.dev ## what RAMLN's bilevel step costs
	$(BIN)/python benchmarks/ramln.py --out results/bench-ramln.csv

bench-evaluation: $(VENV)/.dev ## time and memory of ranking beside the matmul and peers
	$(BIN)/python benchmarks/evaluation.py

bench-gallery: $(VENV)/.dev ## searching beside FAISS alone, indexing beside decoding and the forward pass
	$(BIN)/python benchmarks/gallery.py --out results/bench-gallery.csv

bench-server: $(VENV)/.dev ## the server under the load of many clients
	$(BIN)/python benchmarks/server.py --csv results/bench-server.csv

screenshot: $(VENV)/.dev ## draw on the demo's page and keep its picture for the README
	$(BIN)/inkseek demo --no-serve
	INKSEEK_SCREENSHOT=docs/page.png $(BIN)/python -m pytest tests/server/test_screenshot.py

lint: $(VENV)/.dev ## style, types, and the import rule between the floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## put the code into the house's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment and every cache
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Inkseek needs Python 3.11 or newer; say which with: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.demo: $(BIN)/uv pyproject.toml constraints.txt
	@echo "installing (PyTorch is large: a few minutes the first time) ..."
	$(INSTALL) --editable '.[demo,server]'
	@touch $@

$(VENV)/.dev: $(BIN)/uv pyproject.toml constraints.txt
	@echo "installing (PyTorch is large: a few minutes the first time) ..."
	$(INSTALL) --editable '.[demo,server,backbones,competitors,parquet,export,tracking,heic,watch,milvus,ray,dev]'
	@touch $@ $(VENV)/.demo
