# Thin on purpose: what each word does is written in scripts/.
PYTHON ?= python3
export PYTHON

.PHONY: help demo test test-full lint bench docs constraints vllm-flags lock-vllm clean

help:
	@echo "make demo         set everything up, build the whole box on its twin, and ask the real vLLM in it (VENGEANCE_TWIN_VLLM=stand-in: without)"
	@echo "make test         set everything up, then run all checks and tests (VENGEANCE_REAL=1: with a real vLLM, too)"
	@echo "make test-full    the same, with every fault at every request and step, and all of vLLM's parsers (hours)"
	@echo "make lint         only ruff, mypy and the PowerShell checker"
	@echo "make bench        the figures of the wire, beside pywinrm's and Ansible's"
	@echo "make docs         renew the pages of docs/ that are made from the code"
	@echo "make constraints  renew constraints.txt"
	@echo "make lock-vllm    renew locks/: what the box installs for vLLM, with hashes (VLLM=0.15.1 names another)"
	@echo "make vllm-flags   renew the tables of vLLM's flags from its own parser (VERSION=0.32.0 for one; downloads 500 MB)"
	@echo "make clean        stop the twins of this checkout and remove .venv and build leftovers"

demo:
	@bash scripts/demo.sh

test:
	@bash scripts/test.sh

test-full:
	@VENGEANCE_FULL=1 bash scripts/test.sh

lint:
	@bash scripts/setup.sh python
	@bash scripts/lint.sh

bench:
	@bash scripts/setup.sh
	@.venv/bin/python benchmarks/wire.py

docs:
	@bash scripts/setup.sh python
	@.venv/bin/python scripts/docs.py

constraints:
	@bash scripts/setup.sh python
	@.venv/bin/python scripts/constraints.py

lock-vllm:
	@bash scripts/setup.sh python
	@.venv/bin/python scripts/lock_vllm.py $(if $(VLLM),--version $(VLLM))

vllm-flags:
	@bash scripts/setup.sh python
	@.venv/bin/python scripts/vllm_flags.py $(VERSION)

clean:
	@bash scripts/clean.sh
