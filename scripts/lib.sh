# Shared by the scripts; sourced, never run.
# shellcheck shell=sh

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$ROOT" || exit
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
# The stack that a script works on; scripts/test-stack sets these for a second one.
PROJECT=${STACK_PROJECT:-planaria}
STACK_FILE=${STACK_FILE:-$ROOT/compose/docker-compose.yml}
CONFIG=${PLANARIA_CONFIG:-$ROOT/config.ini}
SECRETS=$ROOT/.secrets
# The secrets' folder as the compose file names it: relative where the two stand in this checkout together.
if [ "$STACK_FILE" = "$ROOT/compose/docker-compose.yml" ]; then
    SECRETS_SEEN=../.secrets
else
    SECRETS_SEEN=$SECRETS
fi
export ROOT TARGET PROJECT STACK_FILE CONFIG SECRETS SECRETS_SEEN

say() {
    printf '%s\n' "$*"
}

fail() {
    printf 'planaria: %s\n' "$*" >&2
    exit 1
}

# One sentence for each way in which Docker can be unusable.
require_docker() {
    if ! command -v docker >/dev/null 2>&1; then
        fail "Docker is not installed; install Docker Engine (Debian: apt-get install docker.io docker-compose), then try again."
    fi
    if docker_error=$(docker version --format '{{.Server.Version}}' 2>&1); then
        return 0
    fi
    case $docker_error in
        *"permission denied"*)
            fail "this user may not use the Docker socket; run 'sudo usermod --append --groups docker $(id --user --name)' and log in again, or use sudo." ;;
        *)
            fail "Docker does not answer; start it ('sudo systemctl start docker' or 'sudo service docker start'), then try again. Docker said: $(printf '%s' "$docker_error" | tr '\n' ' ')" ;;
    esac
}

# The plugin of today or the tool of yesterday, whichever is there.
compose() {
    if [ -z "${COMPOSE_TOOL:-}" ]; then
        if docker compose version >/dev/null 2>&1; then
            COMPOSE_TOOL=plugin
        elif command -v docker-compose >/dev/null 2>&1; then
            COMPOSE_TOOL=standalone
        else
            fail "Docker Compose is not installed; install it (Debian: apt-get install docker-compose), then try again."
        fi
    fi
    case $COMPOSE_TOOL in
        plugin) docker compose --project-name "$PROJECT" --file "$STACK_FILE" "$@" ;;
        *) docker-compose --project-name "$PROJECT" --file "$STACK_FILE" "$@" ;;
    esac
}

# Debian packages by name; as root only.
install_packages() {
    if [ "$(id --user)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        fail "missing: $*; install it with your package manager, then try again."
    fi
    say "Installing $*."
    apt_log=$(mktemp)
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"; } >"$apt_log" 2>&1; then
        tail --lines=20 "$apt_log" >&2
        rm --force "$apt_log"
        fail "apt-get could not install $*; the lines above say why."
    fi
    rm --force "$apt_log"
}

# require_space FOLDER MEBIBYTES WHAT
require_space() {
    free=$(df --output=avail --block-size=1M "$1" 2>/dev/null | tail --lines=1 | tr --delete ' ')
    if [ -n "$free" ] && [ "$free" -lt "$2" ]; then
        fail "$1 has $free MiB left, $3 needs $2; make room ('docker system df' shows what Docker holds), then try again."
    fi
}

find_cargo() {
    if ! command -v cargo >/dev/null 2>&1 && [ -x "${HOME:-/root}/.cargo/bin/cargo" ]; then
        PATH=$HOME/.cargo/bin:$PATH
        export PATH
    fi
    command -v cargo >/dev/null 2>&1
}

# Everything that runs in containers is one static file, whatever C library the host has.
cargo_static() {
    TRIPLE=${TRIPLE:-$(rustc --version --verbose | sed --quiet 's/^host: //p')}
    export TRIPLE
    RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" cargo build --manifest-path "$ROOT/Cargo.toml" --locked --target "$TRIPLE" "$@"
}

# The generator, built when a source of it is newer.
planaria_compose() {
    if find_cargo; then
        cargo_static --quiet --release --package planaria-compose
        "$TARGET/$TRIPLE/release/planaria-compose" "$@"
    else
        [ -x "$TARGET/docker/bin/planaria-compose" ] || "$ROOT/scripts/build"
        "$TARGET/docker/bin/planaria-compose" "$@"
    fi
}

containers_of() {
    docker ps --all --no-trunc --filter "label=com.docker.compose.project=$1" --format "${2:-{{.Names}}}"
}

# remove_project PROJECT [volumes]: everything with the project's label, however broken the stack is.
remove_project() {
    # Healers first, so that nobody undoes what is being taken down; the stop also lets the monkey undo its own.
    for role in healer chaos; do
        docker ps --quiet --filter "label=com.docker.compose.project=$1" --filter "label=planaria.role=$role" \
            | xargs --no-run-if-empty docker stop --time 5 >/dev/null 2>&1 || true
    done
    docker ps --quiet --filter "label=com.docker.compose.project=$1" \
        | xargs --no-run-if-empty docker stop --time 5 >/dev/null 2>&1 || true
    docker ps --all --quiet --filter "label=com.docker.compose.project=$1" \
        | xargs --no-run-if-empty docker rm --force --volumes >/dev/null 2>&1 || true
    docker network ls --quiet --filter "label=com.docker.compose.project=$1" \
        | xargs --no-run-if-empty docker network rm >/dev/null 2>&1 || true
    if [ "${2:-}" = volumes ]; then
        docker volume ls --quiet --filter "label=com.docker.compose.project=$1" \
            | xargs --no-run-if-empty docker volume rm --force >/dev/null 2>&1 || true
    fi
    left=$(docker ps --all --quiet --filter "label=com.docker.compose.project=$1")
    if [ -n "$left" ]; then
        fail "some containers of $1 could not be removed; 'docker ps --all' shows them, 'docker rm --force NAME' says why."
    fi
}

# The text before each container's name, from the compose file that is running.
container_prefix() {
    sed --quiet 's/^    container_name: "\(.*\)rabbitmq"$/\1/p' "$STACK_FILE"
}

# The first healer that runs; its monitor knows the group.
a_healer() {
    docker ps --filter "label=com.docker.compose.project=$PROJECT" --filter label=planaria.role=healer \
        --format '{{.Names}}' | sort | head --lines=1
}
