# `make up` tries everything on this machine; `make test` runs every test. Both use one build of the AWS SDK (docs/building.md).
.PHONY: up program build test test-localstack emulator test-tools browser localstack dist deb test-package bench-cold count-cold check clean

up: program
	target/debug/curfew up

test: build emulator test-tools browser localstack
	cargo test --workspace --doc --quiet
	cargo nextest run --workspace

# The whole flow on LocalStack alone: on the one that CURFEW_TEST_ENDPOINT names, or on one that is started for it.
test-localstack: build localstack
	CURFEW_LOCALSTACK_TESTS=required cargo nextest run --workspace -E 'package(curfew) & test(/^localstack::/)'

# The programs alone: what somebody waits for who tries Curfew.
program:
	cargo build --workspace

# And the tests. The crates below have the same features in both builds, so that the AWS SDK is compiled once (docs/building.md).
build:
	cargo build --workspace --all-targets

# Installed beforehand, so that what follows touches nothing but loopback: what `curfew up` needs, and what the tests need besides.
emulator: program
	target/debug/curfew up --install-only

test-tools:
	tools/schemathesis
	tools/policy-simulator --install-only || echo "The tests of the roles' conditions will be skipped: they need node 20 or newer, and npm."

# What the tests of the page need besides node and Chromium: two npm packages, as the lock file has them. Without npm, those tests
# are skipped and say so.
BROWSER_TESTS := cli/tests/browser
browser: $(if $(shell command -v npm),$(BROWSER_TESTS)/node_modules/.package-lock.json)

$(BROWSER_TESTS)/node_modules/.package-lock.json: $(BROWSER_TESTS)/package-lock.json
	cd $(BROWSER_TESTS) && npm ci --no-audit --no-fund || echo "The tests of the page will be skipped: npm could not install their packages."

# A script that runs LocalStack without Docker may lie beside the checkout, or be named. It installs LocalStack once.
RUN_LOCALSTACK := $(or $(CURFEW_LOCALSTACK_SCRIPT),$(wildcard ../shared/localstack/run-localstack.sh))
localstack:
	$(if $(CURFEW_TEST_ENDPOINT),,$(if $(RUN_LOCALSTACK),$(RUN_LOCALSTACK) install))

# What is shipped to AWS: target/lambda/curfew-lambda.zip. `curfew deploy` finds it there.
dist:
	cargo build --profile dist -p curfew-lambda
	tools/lambda-zip target/dist/bootstrap target/lambda/curfew-lambda.zip

# The Debian package, with the Lambda in it: target/package/curfew.deb. The release build is one more SDK (docs/building.md). Its relocations
# are packed, which glibc reads since 2.36, and equal functions are one: less that is resident (docs/performance.md).
deb: dist
	cargo rustc --release --package curfew --bin curfew -- -C link-arg=-Wl,-z,pack-relative-relocs,--icf=all
	tools/deb target/release/curfew target/lambda/curfew-lambda.zip

# The package with the program as it is built for tests, and a Lambda that is none: what is tested is the package. Needs root, cargo-deb,
# and for the second half debootstrap and systemd-nspawn.
test-package: build
	mkdir -p target/package-test
	strip -o target/package-test/curfew target/debug/curfew
	python3 -c 'import zipfile; zipfile.ZipFile("target/package-test/lambda.zip", "w").writestr("bootstrap", "")'
	tools/deb target/package-test/curfew target/package-test/lambda.zip --fast
	tools/deb-check target/package/curfew.deb
	tools/deb-boot target/package/curfew.deb

# How long somebody waits for the Lambda, beside the same in Python with boto3 (docs/performance.md).
bench-cold: dist
	cargo build --release --manifest-path benches/Cargo.toml --target-dir target/benches
	test -d target/benches/venv || python3.11 -m venv target/benches/venv
	target/benches/venv/bin/pip install --quiet --requirement benches/boto3/requirements.txt
	target/benches/release/curfew-cold-start --python target/benches/venv/bin/python target/dist/bootstrap

# The instructions of one cold start, which are the same on a busy machine, within 3 % of benches/cold-start-instructions. Needs valgrind.
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
