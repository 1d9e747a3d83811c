# Every command of the project. Each is a line or two of ordinary commands; the README gives them for machines without make.

PYTHON ?= python3
WORKERS ?= 2
PYTEST_FLAGS ?=
ifeq ($(OS),Windows_NT)
VENV_BIN ?= .venv/Scripts
else
VENV_BIN ?= .venv/bin
endif
VENV_PYTHON ?= $(VENV_BIN)/python

# One thread for each worker: the workers share the cores.
TEST_ENV = HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
# Modules that write committed files; with --check they only say whether the files are what they would write now.
GENERATORS = loratory.config.docs loratory.server.schema scripts.module_tables benchmarks.report
CHECKS = check-style check-format check-types check-imports check-generated
WEB_CHECKS = check-web-types check-web-style check-web-tests check-client

.DEFAULT_GOAL := help
.PHONY: help venv dev quickstart test test-full check run-checks $(CHECKS) check-web $(WEB_CHECKS) web-dev screenshots \
	fmt gen golden chaos bench constraints

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: ## Make .venv and install Loratory into it
	@$(PYTHON) scripts/bootstrap.py

dev:
	@$(PYTHON) scripts/bootstrap.py --dev

quickstart: venv ## Train a first LoRA on the bundled model and make before-after.png
	@$(VENV_PYTHON) scripts/quickstart.py < /dev/null

test: dev ## Set up what the tests need, run the checks and the tests (what CI runs)
	@checks=passed; tests=passed; \
	$(MAKE) --no-print-directory run-checks || checks=FAILED; \
	$(TEST_ENV) $(VENV_PYTHON) -m pytest -n $(WORKERS) --dist worksteal -m "not full and not gpu" $(PYTEST_FLAGS) < /dev/null || tests=FAILED; \
	if [ $$checks$$tests = passedpassed ]; then \
		echo "Checks and tests passed. Next: make quickstart, or change something and run make test again."; \
	else \
		echo "Checks $$checks, tests $$tests. Next: read the lines above that begin with FAILED or ERROR; one test again: $(VENV_PYTHON) -m pytest PATH::NAME"; \
		exit 1; \
	fi

test-full: dev ## All tests: every product of every matrix (before an issue is called resolved)
	@$(TEST_ENV) $(VENV_PYTHON) -m pytest -n $(WORKERS) --dist worksteal -m "not gpu" $(PYTEST_FLAGS) < /dev/null

check: dev ## Style, format, types, import rules, generated files, and the same of the browser app
	@$(MAKE) --no-print-directory run-checks && echo "Checks passed. Next: make test"

# Each of them runs, whatever the others say; two at a time, what each prints in one piece where make can do that.
run-checks:
	@$(MAKE) --no-print-directory -k -j 2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) $(CHECKS) $(WEB_CHECKS)

check-style:
	@$(VENV_PYTHON) -m ruff check .

check-format:
	@$(VENV_PYTHON) -m ruff format --check . || { echo "Next: make fmt"; exit 1; }

check-types:
	@$(VENV_PYTHON) -m mypy

check-imports:
	@$(VENV_BIN)/lint-imports --no-logo

check-generated:
	@for module in $(GENERATORS); do $(VENV_PYTHON) -m $$module --check || { echo "Next: make gen, then look at the difference and commit it"; exit 1; }; done

check-web: dev ## The browser app: types, style, tests, and whether its client is that of docs/reference/openapi.json
	@$(MAKE) --no-print-directory -k $(WEB_CHECKS)

check-web-types:
	@$(VENV_PYTHON) scripts/web.py types

check-web-style:
	@$(VENV_PYTHON) scripts/web.py style || { echo "Next: make fmt"; exit 1; }

check-web-tests:
	@$(VENV_PYTHON) scripts/web.py tests

check-client:
	@$(VENV_PYTHON) scripts/web.py client --check

web-dev: dev ## The browser app from its sources, following every change, before a running loratory serve
	@$(VENV_PYTHON) scripts/web.py dev

screenshots: dev ## Pictures of every page into docs/images
	@$(TEST_ENV) $(VENV_PYTHON) scripts/screenshots.py

fmt: dev ## Format the code and mend what ruff can mend
	@$(VENV_PYTHON) -m ruff check --fix . ; $(VENV_PYTHON) -m ruff format . ; $(VENV_PYTHON) scripts/web.py style --fix

gen: dev ## Write the generated files anew
	@for module in $(GENERATORS); do $(VENV_PYTHON) -m $$module || exit 1; done
	@$(VENV_PYTHON) scripts/web.py client

golden: dev ## Compare golden losses with another commit, bit for bit: make golden BASE=<commit>
	@if [ -z "$(BASE)" ]; then echo "Say what to compare with, for example: make golden BASE=HEAD"; exit 2; fi
	@work=$$(mktemp -d) && trap 'git worktree remove --force "$$work/base" 2> /dev/null; rm -rf "$$work"' EXIT && \
	git worktree add --quiet --detach "$$work/base" "$(BASE)" && \
	(cd "$$work/base" && PYTHONPATH="$$work/base" $(TEST_ENV) "$(abspath $(VENV_PYTHON))" scripts/golden.py --out "$$work/base.json") && \
	PYTHONPATH="$(CURDIR)" $(TEST_ENV) $(VENV_PYTHON) scripts/golden.py --out "$$work/here.json" && \
	if cmp -s "$$work/base.json" "$$work/here.json"; then \
		echo "Golden losses unchanged: bit for bit those of $(BASE)."; \
	else \
		diff "$$work/base.json" "$$work/here.json"; echo "Golden losses CHANGED against $(BASE): a refactor must not do that."; exit 1; \
	fi

chaos: dev ## Kill training again and again, and see that nothing is lost
	@$(TEST_ENV) $(VENV_PYTHON) -m pytest -n $(WORKERS) -m chaos --chaos-kills 50 $(PYTEST_FLAGS) < /dev/null

bench: dev ## Run the benchmarks, or one: make bench TASK=scan
	@for script in benchmarks/$(if $(TASK),$(TASK),*)/run.py; do echo "$$script"; $(VENV_PYTHON) $$script || exit 1; done

constraints: ## Write the versions in .venv to constraints.txt
	@$(PYTHON) scripts/bootstrap.py --freeze
