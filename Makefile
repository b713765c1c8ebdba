# Two commands are all you need:  make demo   and   make test
# Both need only Python >= 3.10 (with venv and pip) and set everything up in .venv.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PACKAGES := -e "core[images]" -e plugins/frontend_onnx -e plugins/frontend_caffe \
            -e plugins/frontend_tflite \
            -e plugins/tpu_cv18xx \
            -e plugins/chip_cv183x -e plugins/chip_cv182x -e plugins/chip_cv181x \
            -e plugins/chip_cv180x -e plugins/runner_vendor
SOURCES := pyproject.toml core/pyproject.toml $(wildcard plugins/*/pyproject.toml)

.PHONY: demo test lint vendor clean

demo: $(VENV)/.demo
	$(BIN)/python examples/digits/demo.py

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The vendor's runtime and simulator, for the differential tests (312 MB download, 3 MB kept).
vendor: $(VENV)/.dev
	$(BIN)/cvi vendor install

$(VENV)/.demo: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PACKAGES)
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet $(PACKAGES) -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache .hypothesis
