# What a checkout can do. Needs git, make and Rust on Debian 12 or later; the rest is installed when it is
# first needed, as root or through sudo, and only if it is missing.

CARGO ?= cargo
ORACLE := target/oracle
REQUIREMENTS := tests/it/oracle/requirements.txt

# A C compiler for SQLite and aws-lc; a registry; a client; what makes certificates speak.
BUILD_PACKAGES := ca-certificates gcc libc6-dev
DEMO_PACKAGES := $(BUILD_PACKAGES) curl docker-registry python3 skopeo
TEST_PACKAGES := $(DEMO_PACKAGES) apache2-bin buildah crun docker.io e2fsprogs faketime gzip haproxy mount nginx openssl pebble podman \
	python3-venv slowhttptest strace tar tinyproxy uidmap util-linux webhook
BENCH_PACKAGES := $(DEMO_PACKAGES) binutils haproxy nginx

.DEFAULT_GOAL := help
.PHONY: help build demo doc test test-long prepare lint bench

help:  ## says what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 20

build:  ## the binary, as it is released: target/release/pushbell
	@deploy/install.sh $(BUILD_PACKAGES)
	$(CARGO) build --release --locked

demo:  ## a registry, Pushbell and a receiver over TLS; one push, and the webhook it becomes
	@deploy/install.sh $(DEMO_PACKAGES)
	@$(CARGO) build --release --locked --quiet
	@deploy/demo/run.sh

test: prepare  ## every test, against real registries, clients and receivers
	$(CARGO) test --locked --doc
	$(CARGO) test --locked --no-fail-fast --lib --tests

test-long: prepare  ## every test against the binary as it is released, at full length
	PUSHBELL_TEST_LONG=1 $(CARGO) test --locked --release --no-fail-fast --lib --tests

prepare: $(ORACLE)/.ready  ## installs what the tests use
	@deploy/install.sh $(TEST_PACKAGES)

# The venv needs python3-venv, so packages come first even where make runs both.
$(ORACLE)/.ready: $(REQUIREMENTS)
	@deploy/install.sh $(TEST_PACKAGES)
	/usr/bin/python3 -m venv --clear $(ORACLE)
	$(ORACLE)/bin/pip install --quiet --requirement $(REQUIREMENTS)
	@touch $@

lint:  ## formatting, clippy, documentation, dependency policy
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items
	.ci/deny

doc:  ## the tour of the source, rendered: target/doc/pushbell/index.html
	@deploy/install.sh $(BUILD_PACKAGES)
	$(CARGO) doc --locked --no-deps

bench:  ## measured beside nginx and HAProxy: every target in one table; BENCH="--quick", BENCH=--help
	@deploy/install.sh $(BENCH_PACKAGES)
	$(CARGO) bench --locked -- $(BENCH)
