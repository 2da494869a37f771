# CI calls these targets word for word. Everything runs in .venv, which the first of them makes from requirements.lock.
# A machine needs only Python 3.11 or newer with venv; uv is used where it is on PATH.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test chaos compose-test lint bench bench-learning fuzz fuzz-http dashboards lock clean

demo: $(READY)  ## 20,000 events of a drifting stream on the embedded log; prints where to look, and ends
	$(BIN)/freshet demo --events 20000 --rate 2000

test: $(READY)  ## on all cores, four at most: each has a broker of its own
	$(BIN)/pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile

chaos: $(READY)  ## the long form of the fault tests, hours; for a look: make chaos FRESHET_CHAOS_KILLS=20 FRESHET_CHAOS_ROUNDS=500
	$(BIN)/pytest -m chaos --durations=0

compose-test: $(READY)  ## builds the image and the compose stack with Docker, and breaks it; minutes
	$(BIN)/pytest -m compose -n 0 --durations=0 tests/acceptance/test_compose.py

lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## rates, gaps, memory and restart, one after the other
	set -e; for name in ingest memory poll_gap restart; do echo "== $$name"; $(BIN)/python benchmarks/$$name.py; done

STREAMS ?= streams
bench-learning: $(READY)  ## accuracy and errors beside the peers', and all else that docs/LEARNING.md claims: STREAMS=DIR; hours
	test -e $(STREAMS) || $(BIN)/python benchmarks/streams.py $(STREAMS)
	$(BIN)/python benchmarks/learning.py $(STREAMS)
	! test -d $(STREAMS)/regression || $(BIN)/python benchmarks/learning.py $(STREAMS)/regression --task regression

fuzz: $(READY)  ## 1,000,000 records through ingest and 100,000 files of a store; FRESHET_FUZZ_RECORDS, _FILES and _SEED change that
	$(BIN)/python -m tests.fuzz

fuzz-http: $(READY)  ## at least 10,000 requests made up by schemathesis; prints how many there were and what was answered
	FRESHET_HTTP_CASES=10000 $(BIN)/pytest -s tests/acceptance/test_http_contract.py

dashboards: $(READY)  ## writes config/grafana/dashboards from the code in dashboards/
	$(BIN)/python -m dashboards

lock:  ## after a change of pyproject.toml's dependencies; locks serve all platforms and name no registry; deploy/locks: the image
	uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 --all-extras \
	  pyproject.toml -o requirements.lock
	awk '/^[a-z0-9]/ {on = /^(torch|triton|(nvidia|cuda)-[^=]*)==/} on' requirements.lock >deploy/locks/torch.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 --extra compression --extra otel \
	  --constraint requirements.lock $$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' deploy/locks/torch.lock) \
	  --custom-compile-command 'make lock' pyproject.toml -o deploy/locks/packages.lock
	sed -n 's/^requires = \["\(.*\)"\]$$/\1/p' pyproject.toml | uv pip compile --universal --generate-hashes \
	  --no-emit-index-url --python-version 3.11 --custom-compile-command 'make lock' - -o deploy/locks/build.lock

clean:  ## removes what these targets made; never freshet-data
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist freshet-demo
	find service tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Freshet needs Python 3.11 or newer, this is " \
	  + sys.version.split()[0] + "; name another: make PYTHON=python3.12")'
	@if command -v uv >/dev/null; then set -ex; \
	  uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" .venv; \
	  uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock; \
	  uv pip install --quiet --python $(BIN)/python --no-deps --editable .; \
	else set -ex; \
	  $(PYTHON) -m venv .venv; \
	  $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock; \
	  $(BIN)/python -m pip install --quiet --no-deps --editable .; \
	fi
	@touch $(READY)
