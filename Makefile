.PHONY: help docker-image docker-compose-up docker-compose-down docker-compose-logs status s3-credentials console-password \
	demo watch-demo test test-unit test-clients test-engine test-faults test-watch test-programs test-all simulate bench adopt prove

help: ; @scripts/help
docker-image: ; @scripts/build
docker-compose-up: ; @scripts/up
docker-compose-down: ; @VOLUMES="$(VOLUMES)" scripts/down
docker-compose-logs: ; @scripts/logs
status: ; @JSON="$(JSON)" scripts/status
s3-credentials: ; @scripts/s3-credentials
console-password: ; @scripts/console-password
demo: ; @scripts/demo
watch-demo: ; @scripts/watch-demo
test: test-unit test-clients test-engine test-faults test-watch test-programs ; scripts/test-stack run $(E2E)
test-unit: ; scripts/check
test-clients: ; scripts/clients all && $(CLIENTS)
test-engine: ; scripts/base-image && $(ENGINE)
test-faults: ; scripts/base-image && $(FAULTS)
test-watch: ; scripts/base-image && $(WATCH)
test-programs: ; scripts/test-programs
test-all: test-engine test-faults test-watch
	scripts/check-manifests
	scripts/clients all && CLIENT_FILES=2000 $(CLIENTS)
	$(SOAK)
	scripts/test-programs --include-ignored
	SEEDS=2000 scripts/check
	E2E_ROUNDS=20 scripts/test-stack run $(E2E) --include-ignored
simulate: ; @SEEDS="$(SEEDS)" SEED="$(SEED)" scripts/simulate
bench: ; scripts/bench
adopt: ; @FILE="$(FILE)" DRY_RUN="$(DRY_RUN)" SOLO="$(SOLO)" scripts/adopt
prove: ; @MINUTES="$(MINUTES)" SEED="$(SEED)" scripts/prove

# Always the whole workspace, so that what all of them depend on is compiled once.
# What fails is run once more by itself and said to be flaky if it passes then.
RUN = scripts/repeat-failed cargo test --locked --workspace
FAULTS = $(RUN) --features planaria-chaos/engine-tests --test chaos docker::
WATCH = $(RUN) --features planaria-monitor/engine-tests --test watch -- --test-threads=4
CLIENTS = $(RUN) --features planaria-storage/client-tests --test cluster clients:: -- --test-threads=2
SOAK = SOAK_SECONDS=$${SOAK_SECONDS:-900} $(RUN) --features planaria-storage/soak-test --test cluster soak:: -- --nocapture
ENGINE = $(RUN) --features planaria-e2e/stack --test engine -- --test-threads=1
E2E = $(RUN) --features planaria-e2e/stack --test walkthrough --test healing -- --test-threads=1 --nocapture
