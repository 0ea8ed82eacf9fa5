# `make up` runs Curfew on this machine; `make test` runs every test. Both use one build of the AWS SDK (docs/contribute/building.md).
.PHONY: up program book build test test-examples test-programs test-localstack emulator test-tools browser localstack dist deb test-package bench-cold count-cold check clean

up: program
	target/debug/curfew up

# What the tests need is installed while they are compiled, and the examples in the documentation of the code are tested while others wait.
test:
	$(MAKE) --jobs build emulator test-tools browser localstack
	$(MAKE) --jobs test-examples test-programs

test-examples:
	cargo test --workspace --doc --quiet

test-programs:
	cargo nextest run --workspace

# The documentation as a book, in target/book, with its links checked.
book:
	tools/book --self-test
	tools/book

# The end-to-end tests on LocalStack: on the one at CURFEW_TEST_ENDPOINT, or on one that the tests start.
test-localstack: build localstack
	CURFEW_LOCALSTACK_TESTS=required cargo nextest run --workspace -E 'package(curfew) & test(/^localstack::/)'

# Only the programs, to keep `make up` fast.
program:
	cargo build --workspace

# The programs and the tests. The dependencies have the same features in both builds, so the AWS SDK is compiled once (docs/contribute/building.md).
build:
	cargo test --workspace --no-run

# The requirements of `curfew up` and of the tests are installed in advance, so that later steps use only loopback.
emulator: program
	target/debug/curfew up --install-only

test-tools:
	tools/schemathesis
	tools/policy-simulator --install-only || echo "The tests of the roles' conditions will be skipped: they need node 20 or newer, and npm."

# The two npm packages that the page's tests need in addition to node and Chromium, at the versions of the lock file. Without npm,
# these tests are skipped with a message.
BROWSER_TESTS := cli/tests/browser
browser: $(if $(shell command -v npm),$(BROWSER_TESTS)/node_modules/.package-lock.json)

$(BROWSER_TESTS)/node_modules/.package-lock.json: $(BROWSER_TESTS)/package-lock.json
	cd $(BROWSER_TESTS) && npm ci --no-audit --no-fund || echo "The tests of the page will be skipped: npm could not install their packages."

# A script that runs LocalStack without Docker, at CURFEW_LOCALSTACK_SCRIPT or next to the checkout. It installs LocalStack once.
RUN_LOCALSTACK := $(or $(CURFEW_LOCALSTACK_SCRIPT),$(wildcard ../shared/localstack/run-localstack.sh))
localstack:
	$(if $(CURFEW_TEST_ENDPOINT),,$(if $(RUN_LOCALSTACK),$(RUN_LOCALSTACK) install))

# The Lambda's zip: target/lambda/curfew-lambda.zip. `curfew deploy` finds it there.
dist:
	cargo build --profile dist -p curfew-lambda
	tools/lambda-zip target/dist/bootstrap target/lambda/curfew-lambda.zip

# The Debian package, including the Lambda: target/package/curfew.deb. The release build compiles the SDK again (docs/contribute/building.md). Packed
# relocations, which need glibc 2.36, and merged identical functions reduce the resident memory (docs/contribute/performance.md).
deb: dist
	cargo rustc --release --package curfew --bin curfew -- -C link-arg=-Wl,-z,pack-relative-relocs,--icf=all
	tools/deb target/release/curfew target/lambda/curfew-lambda.zip

# Tests the package, with the program as built for tests and an empty Lambda. Needs root, cargo-deb and, for deb-boot, debootstrap and
# systemd-nspawn.
test-package: build
	mkdir -p target/package-test
	strip -o target/package-test/curfew target/debug/curfew
	python3 -c 'import zipfile; zipfile.ZipFile("target/package-test/lambda.zip", "w").writestr("bootstrap", "")'
	tools/deb target/package-test/curfew target/package-test/lambda.zip --fast
	tools/deb-check target/package/curfew.deb
	tools/deb-boot target/package/curfew.deb

# Measures the Lambda's latency, compared with Python and boto3 (docs/contribute/performance.md).
bench-cold: dist
	cargo build --release --manifest-path benches/Cargo.toml --target-dir target/benches
	test -d target/benches/venv || python3.11 -m venv target/benches/venv
	target/benches/venv/bin/pip install --quiet --requirement benches/boto3/requirements.txt
	target/benches/release/curfew-cold-start --python target/benches/venv/bin/python target/dist/bootstrap

# Checks that the instructions of a cold start, which do not depend on the machine's load, are within 3 % of
# benches/cold-start-instructions. Needs valgrind.
count-cold: dist
	cargo build --release --manifest-path benches/Cargo.toml --target-dir target/benches
	tools/cold-start-instructions

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
	tools/dependency-direction
	tools/module-cycles --self-test
	tools/module-cycles
	tools/rustc-wrapper-check
	tools/cfn-lint

clean:
	cargo clean
