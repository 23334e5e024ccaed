# `make run` starts the product, `make test` proves it; both set themselves up on a machine that has only Python 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PAGES := tests/livekit_page
WEB := web
SBOM := sbom.json
UV_COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.PHONY: run test acceptance bench bench-turns bench-stt lint audit sbom lock clean system-packages

run: $(VENV)/installed
	@$(BIN)/python run.py

test: $(VENV)/installed-tests lint $(PAGES)/node_modules/installed
	$(call page_check,test)
	$(BIN)/python -m pytest -n 3 --dist loadgroup --cov=pipeline --cov=mediaserver.localengine --cov-report=
	$(BIN)/coverage report --include='pipeline/*' --fail-under=90
	$(BIN)/coverage report --include='mediaserver/localengine/*' --fail-under=90
	tests/second_python.sh $(VENV)

acceptance: $(VENV)/installed-tests $(PAGES)/node_modules/installed
	$(BIN)/python -m pytest -m acceptance --timeout=1200
	$(BIN)/python -m pytest -m 'hypothesis and not acceptance' -n 2 --dist worksteal --hypothesis-profile thorough --timeout=600

# JSON lines, then the table of docs/bench.md; such as `make bench BENCH="--sessions 1 20 --screen"`.
bench: $(VENV)/installed
	@$(BIN)/python -m bench $(BENCH)

# The table of docs/bench.md; such as `make bench-turns BENCH="--speech recordings"`.
bench-turns: $(VENV)/installed
	@$(BIN)/python -m bench.turns $(BENCH)

# The local engine's ear; such as `make bench-stt BENCH="--speech folder"`.
bench-stt: $(VENV)/installed
	@$(BIN)/python -m bench.speech_to_text $(BENCH)

lint: $(VENV)/installed-tests $(WEB)/node_modules/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(call page_check,lint)

# Known vulnerabilities of the locked packages; needs an advisory database, and fails if a package cannot be looked up.
audit: $(VENV)/installed-tests
	$(BIN)/pip-audit --requirement requirements.lock --require-hashes --disable-pip --strict --progress-spinner off

# The locked packages with their hashes, as CycloneDX.
sbom: $(VENV)/installed-tests
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --of JSON -o $(SBOM)

lock:
	$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet uv
	$(VENV)/lock/bin/$(UV_COMPILE) --excludes config/lock-excludes.txt --extra local pyproject.toml -o requirements.lock
	$(VENV)/lock/bin/$(UV_COMPILE) --excludes config/lock-excludes.txt --constraints requirements.lock --group test -o tests/requirements.lock
	echo uv | $(VENV)/lock/bin/$(UV_COMPILE) - -o config/uv.lock
	$(PYTHON) config/vendor_swagger_ui.py

clean:
	rm -rf $(VENV) $(PAGES)/node_modules $(WEB)/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*

$(VENV)/installed: requirements.lock config/uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Mediaserver needs Python 3.11 or newer; PYTHON=python3.11 make run chooses one")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing from requirements.lock (once)"
	@config/install.sh $(BIN)/python requirements.lock
	@touch $@

$(VENV)/installed-tests: $(VENV)/installed tests/requirements.lock
	@config/install.sh $(BIN)/python tests/requirements.lock
	@touch $@

system-packages:
	@tests/system_packages.sh

# LiveKit's JavaScript clients. Without npm their tests are skipped, and say so; in CI system_packages.sh has failed before.
$(PAGES)/node_modules/installed: $(PAGES)/package.json $(PAGES)/package-lock.json | system-packages
	@if command -v npm >/dev/null; then cd $(PAGES) && npm ci --silent && touch node_modules/installed; fi

# The checks of the page's own modules; the page runs without them.
$(WEB)/node_modules/installed: $(WEB)/package.json $(WEB)/package-lock.json | system-packages
	@if command -v npm >/dev/null; then cd $(WEB) && npm ci --silent && touch node_modules/installed; fi

# Runs a script of web/package.json. Without npm it is skipped, and says so; in CI that is a failure.
page_check = @if command -v npm >/dev/null; then npm run --silent --prefix $(WEB) $(1); \
	else echo "Skipped the page's $(1); for it install: nodejs npm"; test -z "$${CI:-}"; fi
