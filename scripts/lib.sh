# Shared by the scripts; sourced, never run.
# shellcheck shell=sh

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
export ROOT

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
            fail "Docker does not answer; start it ('sudo systemctl start docker' or 'sudo service docker start'), then try again. Docker said: $docker_error" ;;
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
