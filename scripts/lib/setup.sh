# shellcheck shell=bash
# Set-up that scripts/test and scripts/drill share: the virtual environment, the engine, the images; and how the two
# run what takes long, so that a signal ends it before anything is taken away from under it.
# Each step says what it does and how long it took; each is quick when nothing is to be done.
# Needs $ROOT (the checkout). Sources engine.sh for Docker Engine and Compose.
#
# What `timed` calls runs without errexit (bash switches it off in everything left of `||`, and in conditions):
# every command of a *_ensure function whose failure matters says so itself, with `|| die` or `|| return`.

# shellcheck source=scripts/lib/engine.sh
. "$ROOT/scripts/lib/engine.sh"

VENV=${RMQKIT_VENV:-$ROOT/.venv}
# What runs now; the scripts name it when they end early.
STAGE=

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

die() {
    printf 'rmqkit: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf 'What to do: %s\n' "$2" >&2
    exit 4
}

# timed "what" command...: runs it and says how long it took.
timed() {
    local began=$SECONDS code=0
    STAGE=$1
    shift
    say "$STAGE"
    "$@" || code=$?
    [ -z "$INTERRUPTED" ] || exit 130
    [ "$code" = 0 ] || return "$code"
    printf '    %s: %d s\n' "$STAGE" $((SECONDS - began)) >&2
    STAGE=
}

# ---- signals ------------------------------------------------------------------------------------------------------

INTERRUPTED='' CHILD=
# A shell that was started in the background ignores SIGINT for good, and hands that on.
HEARS_INT=()
! env --default-signal=INT true 2>/dev/null || HEARS_INT=(env --default-signal=INT)

# SIGINT, SIGTERM or SIGHUP came. A program run by `forwarded` is told; within a stage, the script ends where the stage's
# present command has ended (at the latest with the stage): exiting in the middle of one would lose what is still said.
_signalled() {
    INTERRUPTED=1
    if [ -n "$CHILD" ]; then
        kill -INT -- "-$CHILD" 2>/dev/null || true
    elif [ -z "$STAGE" ]; then
        exit 130
    fi
}
trap _signalled INT TERM HUP

# forwarded COMMAND...: runs a program (no function) within a stage and returns its exit code. A signal to this script
# reaches it once, as SIGINT, after which pytest too cleans up; when it has ended, the script exits with 130.
forwarded() {
    local code=0
    [ -z "$INTERRUPTED" ] || exit 130
    # Its own process group: a terminal's Ctrl-C would come twice, and spoil the clean-up after the first.
    set -m
    ${HEARS_INT[@]+"${HEARS_INT[@]}"} "$@" </dev/null &
    CHILD=$!
    set +m
    # One that came before the child had a number.
    [ -z "$INTERRUPTED" ] || _signalled
    wait "$CHILD" || code=$?
    # A signal ends `wait`, not the child.
    while kill -0 "$CHILD" 2>/dev/null; do
        code=0
        wait "$CHILD" || code=$?
    done
    CHILD=
    [ -z "$INTERRUPTED" ] || exit 130
    return "$code"
}

# ---- Python -------------------------------------------------------------------------------------------------------

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
    local mark want advice
    # Written last: only an environment that is complete has it.
    mark=$VENV/.rmqkit-made-from
    want=$(cd "$ROOT" && { echo "$ROOT" && cat pyproject.toml; } | sha256sum) || die "cannot read $ROOT/pyproject.toml"
    if [ -f "$mark" ] && [ "$(cat "$mark")" = "$want" ] && [ -x "$VENV/bin/rmqkit" ] && "$VENV/bin/python" -c '' 2>/dev/null; then
        return
    fi
    rm -f "$mark" || die "cannot replace $VENV" "is it yours? RMQKIT_VENV names another folder"
    if ! "$PYTHON" -m venv --clear "$VENV" 2>/dev/null; then
        advice=$(_engine_may_install python3-venv) || die "$PYTHON cannot make a virtual environment in $VENV" "$advice"
        _engine_apt python3-venv
        "$PYTHON" -m venv --clear "$VENV" || die "$PYTHON cannot make a virtual environment in $VENV, with python3-venv installed"
    fi
    forwarded "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e "${ROOT}[dev]" ||
        die "pip could not install the kit and what its tests need into $VENV" \
            "look at pip's lines above: is the package index reachable? (pip reads PIP_INDEX_URL and HTTPS_PROXY)"
    echo "$want" >"$mark" || die "cannot write $mark"
}

# ---- images -------------------------------------------------------------------------------------------------------

have_image() { docker image inspect "$1" >/dev/null 2>&1; }
dockerfile_default() { sed -n "s/^ARG $1=//p" "$ROOT/images/rocketmq/Dockerfile"; }

# Is there something to build on? Named by the user, made here earlier, on the engine already, or pulled now.
base_found() { # NAMED LOCAL DEFAULT
    [ -z "$1" ] || return 0
    [ -n "$3" ] || die "images/rocketmq/Dockerfile names no default for a base image"
    have_image "$2" || have_image "$3" || forwarded sh -c 'exec timeout 600 docker pull --quiet "$1" >/dev/null 2>&1' sh "$3"
}

# The two base images to build on; where one is not to be had, both are made from Debian packages.
base_ensure() {
    local advice
    if base_found "${RMQKIT_RUNTIME_IMAGE:-}" rmqkit/base-runtime:jdk8 "$(dockerfile_default RUNTIME_IMAGE)" &&
        base_found "${RMQKIT_BUILD_IMAGE:-}" rmqkit/base-build:jdk8 "$(dockerfile_default BUILD_IMAGE)"; then
        return 0
    fi
    echo "    no container registry answers: making local base images from Debian packages" >&2
    if ! command -v debootstrap >/dev/null; then
        advice=$(_engine_may_install debootstrap) || die "debootstrap is missing, and no container registry answers" \
            "$advice; or name images with RMQKIT_BUILD_IMAGE and RMQKIT_RUNTIME_IMAGE"
        _engine_apt debootstrap
    fi
    forwarded "$ROOT/scripts/make-base-image" || die "there are no base images to build on" \
        "see above; or name images with RMQKIT_BUILD_IMAGE and RMQKIT_RUNTIME_IMAGE"
}

# image_ensure EDITION: built from source; where arguments and files are those of an earlier build, Docker's cache makes
# it a second. A branch that has moved is not seen: `rmqkit build EDITION --refresh` looks again.
image_ensure() {
    local edition=$1
    forwarded "$VENV/bin/rmqkit" build "$edition"
}
