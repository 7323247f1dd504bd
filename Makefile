# The few things one does with this repository. Everything they install or make stays below target/, Debian packages aside.

PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
DAEMUN := $(TARGET)/release/daemun
# As root, the example's files may lie where no other user can read them (/root): the edge then stays root, too.
STAY_ROOT := $(if $(filter 0,$(shell id -u)),-g 'user root;')
export PYTHON

.PHONY: run test bench soak fuzz build fmt clean

# Serves the example site on http://localhost:8000/ until Ctrl-C; on a fresh machine, installs and builds what that takes.
run:
	@scripts/install
	@$(MAKE) --no-print-directory build
	@scripts/example-venv
	@exec env DAEMUN="$(DAEMUN)" examples/django/start $(STAY_ROOT)

# Everything that CI checks: format, lints, house rules, unit tests, and tests against real nginx, uWSGI and MariaDB.
test:
	@scripts/test

# Measures daemun beside nginx, uWSGI, Granian, Gunicorn and Bjoern. Choose with BENCH="--rows static --rounds 5"; see --help.
bench:
	@scripts/install-peers
	@$(MAKE) --no-print-directory build
	@$(PYTHON) benches/run.py --daemun "$(DAEMUN)" $(BENCH)

# Load while backends of every protocol are killed and started at random; ten minutes, or SOAK_SECONDS.
soak:
	@scripts/install-peers
	@$(MAKE) --no-print-directory build
	@$(PYTHON) benches/soak.py --daemun "$(DAEMUN)" $(if $(SOAK_SECONDS),--seconds $(SOAK_SECONDS))

# A minute of random input at each reader of foreign text: configuration, request head, chunked body. FUZZ_SECONDS=600 for longer.
fuzz:
	@scripts/fuzz $(FUZZ_SECONDS)

# The program and its Python module, optimised: target/release/daemun and libdaemun_wsgi.so beside it.
build:
	cargo build --release --locked --package daemun --package daemun-wsgi

# Formats the Rust sources.
fmt:
	cargo fmt --all

# Removes what was built and what the example site wrote.
clean:
	rm -rf target examples/django/venv examples/django/static examples/django/media examples/django/log examples/django/run
	rm -f examples/django/db.sqlite3*
