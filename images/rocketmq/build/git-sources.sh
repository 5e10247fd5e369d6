# shellcheck shell=sh
# What fetch.sh does with git repositories (sourced; needs common.sh). Its own file, so that tests can call it.

# Nothing may ask a question during a build.
export GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND='ssh -oBatchMode=yes -oConnectTimeout=20'

# git_lists URL: can the repository be listed? Its answer or complaint goes to $RMQKIT_TMP/ls-remote.{out,err}.
git_lists() {
    : >"$RMQKIT_TMP/ls-remote.err"
    timeout 60 git ls-remote "$1" >"$RMQKIT_TMP/ls-remote.out" 2>"$RMQKIT_TMP/ls-remote.err" && return 0
    # Nothing within a minute: git has no time limit of its own for connecting, so ask curl whether one can connect.
    if [ $? = 124 ]; then
        case "$1" in
            http*) curl -sS -o /dev/null --connect-timeout 15 --max-time 30 "$1" 2>>"$RMQKIT_TMP/ls-remote.err" || true ;;
            *) echo "no answer within 60 s" >>"$RMQKIT_TMP/ls-remote.err" ;;
        esac
    fi
    return 1
}

git_unreachable() { sh "${RMQKIT_BUILD:-/rmqkit/build}/git-unreachable.sh" <"$RMQKIT_TMP/ls-remote.err"; }

# release_line NAME: the release that stands in for a branch or version. store_with_dledger was merged into 4.5; any other
# name stands for itself, so that a branch of no release is an error and never another one's code under its name.
release_line() { [ "$1" != store_with_dledger ] && printf '%s\n' "$1" || echo 4.5.1; }

last_words() { grep -v '^$' "$1" | tail -n 3; }

# git_take URL REF DIR: a checkout of REF (branch, tag or commit), without history where the server can do that.
git_take() {
    git init -q "$3"
    if ! git -C "$3" fetch -q --depth 1 "$1" "$2" 2>"$RMQKIT_TMP/fetch.err" && ! git_take_whole "$@" 2>>"$RMQKIT_TMP/fetch.err"; then
        die "no branch, tag or commit '$2' in $1" "git said: $(last_words "$RMQKIT_TMP/fetch.err")" \
            "branches there: $(git ls-remote --heads "$1" 2>/dev/null | sed 's:.*refs/heads/::' | head -n 12 | tr '\n' ' ')" \
            "set the ref with --build-arg ROCKETMQ_REF=... or DLEDGER_REF=..."
    fi
    git -C "$3" -c advice.detachedHead=false checkout -q FETCH_HEAD
}

# Plain HTTP servers know no shallow fetch; and some refuse a bare commit id that a branch holds. The whole history helps.
git_take_whole() { # URL REF DIR
    git -C "$3" fetch -q "$1" "$2" && return 0
    case "$2" in
        *[!0-9a-f]*) return 1 ;;
        ???????*) ;;
        *) return 1 ;;
    esac
    git -C "$3" fetch -q "$1" '+refs/heads/*:refs/remotes/origin/*' && git -C "$3" rev-parse -q --verify "$2^{commit}" >"$3/.git/FETCH_HEAD"
}

# dledger_ref_for VERSION: which ref of the DLedger repository is that version? A tag if there is one; else the newest
# commit whose pom says so (the old branches ask for versions that were never tagged).
dledger_ref_for() {
    for tag in "v$1" "$1" "dledger-$1" "dledger-all-$1"; do
        if grep -q "refs/tags/$tag\$" "$RMQKIT_TMP/ls-remote.out"; then
            printf '%s\n' "$tag"
            return 0
        fi
    done
    history=$RMQKIT_TMP/dledger-history
    rm -rf "$history"
    git clone -q --bare "$DLEDGER_URL" "$history" 2>"$RMQKIT_TMP/fetch.err" ||
        die "cannot clone $DLEDGER_URL" "$(last_words "$RMQKIT_TMP/fetch.err")"
    for commit in $(git -C "$history" log --format=%H HEAD -- pom.xml); do
        git -C "$history" show "$commit:pom.xml" >"$RMQKIT_TMP/pom.xml" 2>/dev/null || continue
        if [ "$(pom_version "$RMQKIT_TMP/pom.xml")" = "$1" ]; then
            # Newest first: the last commit that touched the pom and left it at this version. Later commits
            # belong to it too, up to the one that changed the version.
            printf '%s\n' "$commit"
            return 0
        fi
    done
}
