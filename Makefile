# Everything a fresh machine with Python 3.11, g++, make and git needs.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: env search test test-full lint docs lock clean

env: .venv/.stamp

.venv/.stamp: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,notebooks,docs]'
	touch $@

search: env
	$(BIN)/python -m qap.search configs/jets.yaml --output studies/jets $(if $(wildcard studies/jets/study.json),--resume)

lint: env
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" --durations=15

test-full: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

docs: env
	$(BIN)/python docs/tools/reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "build/site/index.html"

LOCKED := dev notebooks docs cluster
HEADER := \# Every package with its hashes, for Python 3.11 on Linux: pip install --require-hashes -r requirements.lock. Made by `make lock`.

lock: env
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11.5 \
	  --python-platform x86_64-manylinux_2_28 -c constraints.txt $(LOCKED:%=--extra %) setup.cfg -o requirements.lock.part
	(echo '$(HEADER)'; cat requirements.lock.part) > requirements.lock
	rm requirements.lock.part

clean:
	rm -rf .venv studies build *.egg-info
