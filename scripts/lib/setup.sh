# shellcheck shell=bash
# Set-up that scripts/test and scripts/drill share: the virtual environment, the engine, the images.
# Each step says what it does and how long it took; each is quick when nothing is to be done.
# Needs $ROOT (the checkout). Sources engine.sh for Docker Engine and Compose.

# shellcheck source=scripts/lib/engine.sh
. "$ROOT/scripts/lib/engine.sh"

VENV=${RMQKIT_VENV:-$ROOT/.venv}

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

die() {
    printf 'rmqkit: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf 'What to do: %s\n' "$2" >&2
    exit 4
}

# timed "what" command...: runs it and says how long it took.
timed() {
    local what=$1 began=$SECONDS
    shift
    say "$what"
    "$@" || return
    printf '    %s: %d s\n' "$what" $((SECONDS - began)) >&2
}

# A Python of at least 3.11, into $PYTHON.
find_python() {
    local candidate
    for candidate in ${RMQKIT_PYTHON:+"$RMQKIT_PYTHON"} python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
            PYTHON=$candidate
            return
        fi
    done
    die "no Python 3.11 or later in the PATH" "install one (Debian 12: apt-get install python3 python3-venv)"
}

# The virtual environment with the kit (editable) and what its tests need; made anew when pyproject.toml changes.
venv_ensure() {
    find_python
    local mark want
    mark=$VENV/.rmqkit-made-from
    want=$(cd "$ROOT" && { echo "$ROOT"; cat pyproject.toml; } | sha256sum)
    if [ -f "$mark" ] && [ "$(cat "$mark")" = "$want" ]; then
        return
    fi
    if ! "$PYTHON" -m venv --clear "$VENV" 2>/dev/null; then
        if allowed_to_install && command -v apt-get >/dev/null; then
            apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
            "$PYTHON" -m venv --clear "$VENV"
        else
            die "$PYTHON cannot make a virtual environment" "install its venv module (Debian: apt-get install python3-venv)"
        fi
    fi
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e "$ROOT[dev]"
    echo "$want" >"$mark"
}

# Whether this run may install packages on the machine.
allowed_to_install() { [ "${INSTALL_ENGINE:-}" = 1 ] || [ "${CI:-}" = true ]; }

# Base images to build on: named by the user, or already there, or pulled, or made from Debian packages.
base_ensure() {
    [ -z "${RMQKIT_BUILD_IMAGE:-}" ] || return 0
    local image
    for image in rmqkit/base-build:jdk8 rmqkit/base-runtime:jdk8; do
        docker image inspect "$image" >/dev/null 2>&1 || break
        [ "$image" != rmqkit/base-runtime:jdk8 ] || return 0
    done
    local build runtime
    build=$(sed -n 's/^ARG BUILD_IMAGE=//p' "$ROOT/images/rocketmq/Dockerfile")
    runtime=$(sed -n 's/^ARG RUNTIME_IMAGE=//p' "$ROOT/images/rocketmq/Dockerfile")
    if timeout 600 docker pull --quiet "$runtime" >/dev/null 2>&1 && timeout 600 docker pull --quiet "$build" >/dev/null 2>&1; then
        return 0
    fi
    echo "    no container registry answers: making local base images from Debian packages" >&2
    if ! command -v debootstrap >/dev/null; then
        allowed_to_install || die "debootstrap is missing, and no container registry answers" \
            "apt-get install debootstrap, or name images with RMQKIT_BUILD_IMAGE and RMQKIT_RUNTIME_IMAGE"
        apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
    fi
    "$ROOT/scripts/make-base-image"
}

# image_ensure EDITION: built from source unless an image of this very source tree is there.
image_ensure() {
    local edition=$1
    "$VENV/bin/rmqkit" build "$edition"
}
