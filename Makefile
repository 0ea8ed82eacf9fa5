# `make up` tries everything on this machine; `make test` runs every test. Both use one build (docs/building.md).
.PHONY: up test build emulator dist check clean

up: build
	target/debug/curfew up

test: build emulator
	cargo test --workspace --doc --quiet
	cargo nextest run --workspace

# Tests included, so that the crates have the same features in every build and the AWS SDK is compiled once.
build:
	cargo build --workspace --all-targets

# Installed beforehand, so that the tests themselves touch nothing but loopback.
emulator: build
	target/debug/curfew up --install-only
	tools/schemathesis

# What is shipped to AWS: target/lambda/curfew-lambda.zip. `curfew deploy` finds it there.
dist:
	cargo build --profile dist -p curfew-lambda
	mkdir -p target/lambda
	cp target/dist/bootstrap target/lambda/
	# The same code gives the same zip, so that a second deploy uploads nothing.
	touch -d 2000-01-01T00:00Z target/lambda/bootstrap
	cd target/lambda && python3 -m zipfile -c curfew-lambda.zip bootstrap

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
	tools/dependency-direction

clean:
	cargo clean
