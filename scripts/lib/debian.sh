# shellcheck shell=bash
# What this machine's own apt is configured to use, for scripts that need packages of another Debian release.
# No mirror is named here: it is read from the machine, so that company mirrors and proxies keep working.

# debian_id: debian, ubuntu, or '' for anything else (a derivative counts as what it derives from).
debian_id() {
    local ID='' ID_LIKE=''
    # shellcheck disable=SC1091  # the machine's file, not this repository's
    . /etc/os-release 2>/dev/null || true
    case " $ID $ID_LIKE " in
        *' ubuntu '*) echo ubuntu ;;
        *' debian '*) echo debian ;;
        *) echo '' ;;
    esac
}

# debian_mirror: the mirror from which a Debian takes its own release; nothing on other systems. indextargets reads both
# the one-line and the deb822 format; matching the release's own name leaves out -security and -updates.
debian_mirror() {
    local VERSION_CODENAME=''
    [ "$(debian_id)" = debian ] && command -v apt-get >/dev/null || return 0
    # shellcheck disable=SC1091
    . /etc/os-release 2>/dev/null || true
    # shellcheck disable=SC2016  # $(REPO_URI) is apt's own notation, not the shell's
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
        awk -v own="$VERSION_CODENAME" '
            !found && $3 == "main" && ($2 == own || $2 ~ /^(oldstable|stable|testing|unstable|sid)$/) { print $1; found = 1 }'
}

# apt_proxy http|https: the proxy that apt is told to use, if any.
apt_proxy() {
    command -v apt-config >/dev/null || return 0
    apt-config dump "Acquire::$1::Proxy" 2>/dev/null | sed -n 's/^[^"]*"\(.*\)";$/\1/p' | grep -v '^DIRECT$' | head -n 1 || true
}
