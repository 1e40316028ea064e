# Two commands for a fresh clone: `make demo` and `make test`. Each installs once, then needs no network.
PYTHON ?= python3
VENV ?= .venv
OUTPUT ?= demo-output
BIN := $(VENV)/bin
REQUIREMENTS := pyproject.toml constraints.txt
PYTHONS ?= 3.10 3.11 3.12 3.13

# Packages are compiled as they are imported: most of what is installed never is.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test docs papers matrix lowest clean
.DELETE_ON_ERROR:

demo: $(VENV)/demo.installed
	$(BIN)/optode generate adam.yaml -o $(OUTPUT)
	$(BIN)/optode derive examples/cubic_brake.yaml
	$(BIN)/optode compare gradient_descent heavy_ball generalized_heavy_ball adam \
		examples/cubic_brake.yaml --task spheres --seeds 3 -o $(OUTPUT)/spheres

# One thread for each of the two workers: the tests' tensors are small.
test: $(VENV)/test.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

# The site, in site/: look at it with `python -m http.server -d site`. The pages of the catalogue take
# some minutes the first time; OPTODE_DOCS_SPECS="adam heavy_ball" makes those of some specs only.
docs: $(VENV)/docs.installed
	NO_MKDOCS_2_WARNING=1 OMP_NUM_THREADS=1 $(BIN)/mkdocs build --strict

# On Linux, the package index's torch brings CUDA along. Without a driver for it, and where pip has
# no index of its own, PyTorch's own index of CPU builds is asked too.
CPU_BUILDS := https://download.pytorch.org/whl/cpu
has_own_index = $(BIN)/python -m pip config list | grep -q "index-url"
needs_cpu_build = [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null && ! $(has_own_index)

# `make .venv/test.installed` sets up without running anything. venv leaves a healthy folder as it is.
$(VENV)/%.installed: $(REQUIREMENTS)
	$(PYTHON) -m venv $(VENV)
	if $(needs_cpu_build); then export PIP_EXTRA_INDEX_URL="$(CPU_BUILDS)"; fi; \
		$(BIN)/python -m pip install --no-compile -c constraints.txt -e ".[$*]"
	touch $@

# The tasks of the literature at the quick preset; those with recorded data where OPTODE_DATA is set.
papers: $(VENV)/compare.installed
	$(BIN)/python -m experiments run all --preset quick
	$(BIN)/python -m experiments report

# All tests with every Python that is installed here, each in an environment of its own.
matrix:
	for version in $(PYTHONS); do \
		command -v python$$version >/dev/null || { echo "python$$version: not installed"; continue; }; \
		$(MAKE) test PYTHON=python$$version VENV=.venv-$$version || exit 1; \
	done

# All tests with the oldest packages that pyproject.toml allows, on the oldest Python: by hand, as it
# installs an old PyTorch. Types are checked against the newest packages alone.
lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python .ci/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install -c .venv-lowest/constraints.txt -e ".[test]"
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -q -n 2 \
		--deselect "tests/repository/test_conventions.py::test_passes[mypy]"

clean:
	rm -rf $(VENV) .venv-* $(OUTPUT) .docs_cache build dist site *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
