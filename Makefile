# make study   set up .venv and run an image study on generated images
# make test    set up .venv and run all tests
# make test-fast   the same without those that take more than a few seconds
# make check   ruff and mypy

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
# two processes; the tests of a file stay together, since they share what takes long to make
TWO := --numprocesses 2 --dist loadfile

.PHONY: study test test-fast check clean

study: $(READY)
	$(BIN)/python -m lowpix.image_study --config studies/scenes_image.toml

test: $(READY)
	$(BIN)/python -m pytest $(TWO)

test-fast: $(READY)
	$(BIN)/python -m pytest $(TWO) -m "not slow"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lowpix needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --config-settings editable_mode=compat --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv
