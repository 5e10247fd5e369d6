# shellcheck shell=bash
# Docker Engine and Compose v2 for scripts/test and scripts/drill: found, or installed and started where that is allowed.
# Sourced; safe under `set -euo pipefail`. Installing is allowed by INSTALL_ENGINE=1 (--install-engine) or CI=true.
#
#   engine_ensure    a Docker Engine answers, or an error that says what was seen and what to do
#   compose_ensure   `docker compose` is v2 and `docker buildx` is there
#   engine_stop      stops the engine that engine_ensure started; never another one

# shellcheck source=scripts/lib/debian.sh
. "$(dirname "${BASH_SOURCE[0]}")/debian.sh"

# A folder with dockerd.pid and dockerd.log while an engine of ours runs; empty otherwise.
ENGINE_STATE=${ENGINE_STATE:-}
# The Debian release from which the Compose and buildx plugins are taken where the machine's own has none of v2.
ENGINE_PLUGIN_SUITE=trixie

_engine_say() { printf '    %s\n' "$*" >&2; }

# _engine_die "what" "seen" "what to do"...: one screen. Exit code 4: the machine lacks something.
_engine_die() {
    printf 'rmqkit: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf '%s\n' "$2" | sed 's/^/    /' >&2
    shift 2
    printf 'What to do: ' >&2
    printf '%s\n' "$@" | sed '2,$s/^/            /' >&2
    exit 4
}

_engine_answers() { timeout 20 docker info >/dev/null 2>&1; }

# _engine_may_install THING: returns if this run may install THING here; otherwise the reason goes to stdout.
_engine_may_install() {
    if [ "${INSTALL_ENGINE:-}" != 1 ] && [ "${CI:-}" != true ]; then
        echo "install $1, or run again with --install-engine (root, on Debian or Ubuntu) to have it done"
    elif [ "$(id -u)" != 0 ]; then
        echo "run as root to have $1 installed, or install it yourself"
    elif [ -z "$(debian_id)" ]; then
        echo "install $1: only Debian and Ubuntu are known to this script"
    else
        return 0
    fi
    return 1
}

# _engine_apt PACKAGES...: installs them, quietly; the output is shown if it fails.
_engine_apt() {
    local log began=$SECONDS
    log=$(mktemp)
    if ! { DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
        local last
        last=$(tail -n 12 "$log")
        rm -f "$log"
        _engine_die "apt-get could not install: $*" "$last" "look at the lines above: is the Debian mirror reachable?"
    fi
    rm -f "$log"
    _engine_say "installed $* ($((SECONDS - began)) s)"
}

engine_ensure() {
    local advice
    if command -v docker >/dev/null && _engine_answers; then
        _engine_say "Docker Engine $(docker version --format '{{.Server.Version}}' 2>/dev/null) answers"
        return 0
    fi
    local seen
    seen=$(docker info 2>&1 | grep -i -E 'cannot connect|error|denied|not found' | head -n 3 || true)
    # Somebody chose that engine; starting another one here would not be what they meant.
    [ -z "${DOCKER_HOST:-}" ] || [ -n "${RMQKIT_DOCKERD_OPTIONS:-}" ] || _engine_die "the Docker Engine of DOCKER_HOST=$DOCKER_HOST does not answer" \
        "$seen" "start that engine, or unset DOCKER_HOST to use this machine's"
    case "$seen" in
        *denied*) _engine_die "no permission to talk to Docker Engine" "$seen" \
            "add your user to the group 'docker' (and log in again), or run as root" ;;
    esac
    advice=$(_engine_may_install "Docker Engine") || _engine_die "no Docker Engine answers (docker info)" "$seen" "$advice"
    if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null || ! command -v iptables >/dev/null; then
        # debootstrap belongs to the base images; in one go it costs nothing.
        _engine_apt docker.io iptables iproute2 debootstrap
        # With an init system the package has started the engine by itself: it stays the machine's.
        local try
        for try in 1 2 3 4 5; do
            [ -d /run/systemd/system ] || break
            _engine_answers && { _engine_say "Docker Engine was started by its package"; return 0; }
            sleep "$try"
        done
    fi
    _engine_start
}

_engine_start() {
    local began=$SECONDS pid
    ENGINE_STATE=$(mktemp -d "${TMPDIR:-/tmp}/rmqkit-engine.XXXXXX")
    # Its own session: a Ctrl-C on the script must not take the engine away before the clean-up has used it.
    # shellcheck disable=SC2086  # options are words
    setsid dockerd --pidfile "$ENGINE_STATE/dockerd.pid" ${RMQKIT_DOCKERD_OPTIONS:-} >"$ENGINE_STATE/dockerd.log" 2>&1 </dev/null &
    pid=$!
    while ! _engine_answers; do
        if [ $((SECONDS - began)) -ge 60 ] || ! kill -0 "$pid" 2>/dev/null; then
            local last
            last=$(grep -v 'level=info' "$ENGINE_STATE/dockerd.log" | tail -n 6)
            engine_stop
            _engine_die "Docker Engine was installed but does not come up (waited $((SECONDS - began)) s)" \
                "${last:-dockerd wrote nothing}" "start it by hand to see why: dockerd --debug"
        fi
        sleep 0.3
    done
    _engine_say "Docker Engine $(docker version --format '{{.Server.Version}}') started for this run ($((SECONDS - began)) s)"
}

engine_stop() {
    [ -n "$ENGINE_STATE" ] || return 0
    local pid began=$SECONDS children=''
    pid=$(cat "$ENGINE_STATE/dockerd.pid" 2>/dev/null || true)
    # A pid that has another program by now is not ours to end.
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]; then
        children=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null || true)
        kill -TERM "$pid" 2>/dev/null || true
        # It stops its containers first, then its containerd; both must be gone before the machine is clean.
        local each
        for each in $pid $children; do
            while kill -0 "$each" 2>/dev/null && [ $((SECONDS - began)) -lt 45 ]; do sleep 0.2; done
            if kill -0 "$each" 2>/dev/null; then
                _engine_say "pid $each of the engine does not end; killing it"
                kill -KILL "$each" 2>/dev/null || true
            fi
        done
        _engine_say "Docker Engine stopped ($((SECONDS - began)) s)"
    fi
    rm -rf "$ENGINE_STATE"
    ENGINE_STATE=
}

_compose_v2() { docker compose version --short 2>/dev/null | grep -Eq '^v?([2-9]|[1-9][0-9])\.'; }
_buildx() { docker buildx version >/dev/null 2>&1; }

compose_ensure() {
    local began=$SECONDS advice
    if ! _compose_v2 || ! _buildx; then
        advice=$(_engine_may_install "the Docker plugins compose (v2) and buildx") || _engine_die \
            "Docker has no Compose v2 or no buildx" \
            "docker compose: $(docker compose version --short 2>&1 | head -n 1); docker buildx: $(docker buildx version 2>&1 | head -n 1)" "$advice"
        if [ "$(debian_id)" = ubuntu ]; then
            _engine_apt docker-compose-v2 docker-buildx
        else
            _compose_from_debian
        fi
        if ! _compose_v2 || ! _buildx; then
            _engine_die "Compose v2 and buildx were installed, but docker does not find them" \
                "docker compose: $(docker compose version --short 2>&1 | head -n 1); docker buildx: $(docker buildx version 2>&1 | head -n 1)" \
                "look at ${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins: are they there, and executable?"
        fi
    fi
    _engine_say "Docker Compose $(docker compose version --short), buildx $(docker buildx version | awk '{print $2}') ($((SECONDS - began)) s)"
}

# Debian 12 has Compose v1 only. The packages of the next release run there (they need nothing but libc): they are
# downloaded, not installed, by apt with a configuration of its own, so that apt checks signature and checksums as
# always and the machine's own package lists and sources stay as they are.
_compose_from_debian() {
    local root mirror plugins last suite=$ENGINE_PLUGIN_SUITE keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || _engine_die "this machine's apt names no Debian mirror" "(apt-get indextargets)" \
        "install the Docker plugins compose (v2) and buildx by hand into ~/.docker/cli-plugins"
    [ -r "$keyring" ] || _engine_die "Debian's archive keys are missing" "$keyring" "apt-get install debian-archive-keyring"
    root=$(mktemp -d "${TMPDIR:-/tmp}/rmqkit-plugins.XXXXXX") ||
        _engine_die "no temporary folder can be made in ${TMPDIR:-/tmp}" "" "make room there, or set TMPDIR"
    mkdir -p "$root"/{lists/partial,cache/archives/partial,deb,unpacked}
    # check-valid-until=no: a mirror that lags still serves; what it serves is signed all the same.
    echo "deb [signed-by=$keyring check-valid-until=no] $mirror $suite main" >"$root/sources.list"
    : >"$root/status"
    local -a own=(-o "Dir::Etc::sourcelist=$root/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$root/lists"
        -o "Dir::Cache=$root/cache" -o "Dir::State::status=$root/status" -o APT::Sandbox::User=root -o Acquire::Languages=none)
    if ! (apt-get -q "${own[@]}" update && cd "$root/deb" &&
        apt-get -q "${own[@]}" download docker-compose docker-buildx) >"$root/log" 2>&1; then
        last=$(tail -n 8 "$root/log")
        rm -rf "$root"
        _engine_die "the packages docker-compose and docker-buildx of Debian $suite could not be had" "$last" \
            "install the Docker plugins compose (v2) and buildx by hand into ~/.docker/cli-plugins"
    fi
    plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
    mkdir -p "$plugins"
    local deb
    for deb in "$root"/deb/*.deb; do dpkg-deb -x "$deb" "$root/unpacked"; done
    install -m 0755 "$root"/unpacked/usr/libexec/docker/cli-plugins/* "$plugins/"
    rm -rf "$root"
}
