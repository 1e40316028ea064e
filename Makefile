# Two commands for a fresh clone: `make demo` and `make test`. Each installs once, then needs no network.
PYTHON ?= python3
VENV ?= .venv
OUTPUT ?= demo-output
BIN := $(VENV)/bin
REQUIREMENTS := pyproject.toml constraints.txt

.PHONY: demo test papers clean
.DELETE_ON_ERROR:

demo: $(VENV)/demo.installed
	$(BIN)/optode generate adam.yaml -o $(OUTPUT)
	$(BIN)/optode derive examples/cubic_brake.yaml
	$(BIN)/optode compare gradient_descent heavy_ball generalized_heavy_ball adam \
		examples/cubic_brake.yaml --task spheres --seeds 3 -o $(OUTPUT)/spheres

# One thread for each of the two workers: the tests' tensors are small.
test: $(VENV)/test.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

# `make .venv/test.installed` sets up without running anything. venv leaves a healthy folder as it is.
$(VENV)/%.installed: $(REQUIREMENTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e ".[$*]"
	touch $@

# The tasks of the literature at the quick preset; those with recorded data where OPTODE_DATA is set.
papers: $(VENV)/compare.installed
	$(BIN)/python -m experiments run all --preset quick
	$(BIN)/python -m experiments report

clean:
	rm -rf $(VENV) $(OUTPUT) build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
