# `make run` and `make test` do all their own set-up, and do it again only when what they need has changed.

PYTHON ?= python3
# Not ?=, since some shells export a HOST of their own.
HOST = 127.0.0.1
PORT ?= 8000

python := .venv/bin/python
url := http://$(subst 0.0.0.0,127.0.0.1,$(HOST)):$(PORT)
options := $(if $(filter http://127.0.0.1:8000,$(url)),, --url $(url))

define what_to_try
Once the last line below says that it listens, see an envelope and its ack travel:

  $(url)/demo/

The same in two more terminals, in this folder:

  .venv/bin/python manage.py realtime_listen ann --type chat_message --ack '"displayed"'$(options)
  .venv/bin/python manage.py realtime_publish ann --type chat_message --payload '{"text":"hello"}'$(options)

endef
export what_to_try

define port_is_free
import errno, socket, sys
try:
    socket.create_server(("$(HOST)", $(PORT))).close()
except OSError as error:
    in_use = error.errno == errno.EADDRINUSE
    sys.exit("$(HOST):$(PORT) is in use. Take another port, as in: make run PORT=8001" if in_use else str(error))
endef
export port_is_free

define env_file
from secrets import token_urlsafe
for name in ("JWT_SECRET", "DJANGO_SECRET_KEY", "POSTGRES_PASSWORD"):
    print(f"{name}={token_urlsafe(48)}")
print("DJANGO_DEBUG=true")
endef
export env_file

.PHONY: help run test docs docs-links fuzz bench pictures packages
.DELETE_ON_ERROR:

help:
	@echo "make run       start the service on http://127.0.0.1:8000 (other: make run HOST=0.0.0.0 PORT=8001)"
	@echo "make test      ruff, mypy and all tests"
	@echo "make docs      the site of README and docs/, in build/docs"
	@echo "make fuzz      bad input for many minutes"
	@echo "make bench     the benchmarks"
	@echo "make pictures  those in docs/pictures, taken of a running service"

run: .venv/run.stamp .env
	@$(PYTHON) -c "$$port_is_free"
	@$(python) manage.py migrate --verbosity 0
	@printf '%s\n' "$$what_to_try"
	@exec $(python) -m realtime.server -b $(HOST) -p $(PORT) hopeflow_site.asgi:application

test: .venv/dev.stamp packages npm/node_modules/.stamp benchmarks/peers/socketio/node_modules/.stamp
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy
	$(python) -m pytest -n 4 --dist loadgroup

docs: .venv/dev.stamp
	$(python) -m sphinx --fail-on-warning --keep-going --fresh-env --quiet docs build/docs
	@echo "build/docs/index.html"

docs-links: .venv/dev.stamp
	$(python) -m sphinx --builder linkcheck --quiet docs build/docs-links

fuzz: .venv/dev.stamp
	$(python) -m pytest tests/fuzz --verbose --timeout 0 --hypothesis-profile long --hypothesis-show-statistics

bench: .venv/dev.stamp
	$(python) -m benchmarks

pictures: .venv/dev.stamp packages
	$(python) -m tests.pictures

.venv/run.stamp: requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("It needs Python 3.11: make PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(python) -m pip install --quiet --requirement requirements.txt
	@touch $@

.venv/dev.stamp: requirements-dev.txt .venv/run.stamp
	$(python) -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

# Without npm the tests that need it say so.
%/node_modules/.stamp: %/package-lock.json | packages
	@if command -v npm > /dev/null; then \
		npm ci --prefix $* --ignore-scripts --no-audit --no-fund --loglevel error && touch $@; \
	else \
		echo "npm is missing: install Node 20 or later, with npm, to test what is in $*" >&2; \
	fi

.env:
	@umask 077 && $(PYTHON) -c "$$env_file" > $@
	@echo "Wrote new secrets to .env"

# For the tests that need them, which say what they miss where these cannot be had.
packages:
	@PATH="$$PATH:/usr/sbin"; missing=; \
	command -v nginx > /dev/null || missing="$$missing nginx"; \
	command -v chromium > /dev/null || missing="$$missing chromium fonts-dejavu-core"; \
	command -v systemctl > /dev/null && test -x /lib/systemd/systemd || missing="$$missing systemd"; \
	ls /usr/lib/postgresql/*/bin/postgres > /dev/null 2>&1 || missing="$$missing postgresql"; \
	command -v npm > /dev/null || missing="$$missing nodejs npm"; \
	command -v redis-server > /dev/null || missing="$$missing redis-server"; \
	command -v prometheus > /dev/null || missing="$$missing prometheus"; \
	test -z "$$missing" || test "$$(id -u)" != 0 || { \
		apt-get update --quiet && \
		DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $$missing; \
	} || true
