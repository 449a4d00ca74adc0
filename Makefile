.PHONY: help docker-image docker-compose-up docker-compose-down docker-compose-logs status s3-credentials \
	demo watch-demo test test-unit test-faults test-all simulate bench

help: ; @scripts/help
docker-image: ; @scripts/build
docker-compose-up: ; @scripts/up
docker-compose-down: ; @VOLUMES="$(VOLUMES)" scripts/down
docker-compose-logs: ; @scripts/logs
status: ; @JSON="$(JSON)" scripts/status
s3-credentials: ; @scripts/s3-credentials
demo: ; @scripts/demo
watch-demo: ; @scripts/watch-demo
test: test-unit test-faults ; scripts/test-stack run $(E2E)
test-unit: ; scripts/check
test-faults: ; scripts/base-image && $(FAULTS)
test-all: test-faults ; SEEDS=2000 scripts/check && E2E_ROUNDS=20 scripts/test-stack run $(E2E)
simulate: ; @SEEDS="$(SEEDS)" SEED="$(SEED)" scripts/simulate
bench: ; scripts/bench

FAULTS = cargo test --locked --package planaria-chaos --features engine-tests --test chaos docker::
E2E = cargo test --locked --package planaria-e2e --features stack -- --test-threads=1 --nocapture
