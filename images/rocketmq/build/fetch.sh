#!/bin/sh
# Puts the sources to build into /src: /src/rocketmq, and /src/dledger unless DLedger can only come from Maven Central.
# Which sources is decided here and nowhere else (build arg SOURCE), so that every way of building does the same.
# What was chosen is noted in $NOTES (key=value) and ends in the image's BUILD-INFO.json.
set -eu
. /rmqkit/build/common.sh
. /rmqkit/build/git-sources.sh

: "${SOURCE:=auto}" "${VERSION:=4.5.1}" "${ROCKETMQ_URL:?}" "${ROCKETMQ_REF:?}" "${DLEDGER_URL:?}" "${DLEDGER_REF:=}"
NOTES=/meta/source.env
RMQ_SRC=/src/rocketmq DLG_SRC=/src/dledger
mkdir -p /src /meta "$RMQKIT_TMP"
: >"$NOTES"

# ---- git ----------------------------------------------------------------------------------------------------------

take_dledger_from_git() { # WANTED
    ref=$DLEDGER_REF how='as asked for'
    if [ -z "$ref" ]; then
        ref=$(dledger_ref_for "$1")
        how="the ref that is version $1"
        [ -n "$ref" ] || die "RocketMQ asks for DLedger $1, and $DLEDGER_URL has neither a tag nor a commit of that version" \
            "name the ref to build yourself: --build-arg DLEDGER_REF=..."
    fi
    git_take "$DLEDGER_URL" "$ref" "$DLG_SRC"
    # compile.sh proves it by the jar; here it costs nothing to say so before anything is built.
    has=$(pom_version "$DLG_SRC/pom.xml")
    case "$has" in
        "$1" | '' | *'$'*) ;;
        *) die "RocketMQ's pom asks for DLedger $1, but $ref of $DLEDGER_URL is version $has" \
            "Maven would take $1 from Maven Central in silence, so the build stops here" \
            "name the ref that is version $1 (--build-arg DLEDGER_REF=...), or a RocketMQ ref that asks for $has" ;;
    esac
    note dledger_source git
    note dledger_ref "$ref"
    note dledger_commit "$(git -C "$DLG_SRC" rev-parse HEAD)"
    say "DLedger $ref ($how), commit $(git -C "$DLG_SRC" rev-parse --short HEAD)"
    echo git >/src/dledger.kind
}

from_git() {
    git_lists "$ROCKETMQ_URL" || die "cannot list $ROCKETMQ_URL" "git said: $(last_words "$RMQKIT_TMP/ls-remote.err")" \
        "is the URL right, and reachable from inside a container? (a proxy, a CA bundle: docs of the image)" \
        "without git hosting: --build-arg SOURCE=release"
    git_take "$ROCKETMQ_URL" "$ROCKETMQ_REF" "$RMQ_SRC"
    note source git
    note rocketmq_ref "$ROCKETMQ_REF"
    note rocketmq_commit "$(git -C "$RMQ_SRC" rev-parse HEAD)"
    say "RocketMQ $ROCKETMQ_REF, commit $(git -C "$RMQ_SRC" rev-parse --short HEAD)"
    wanted=$(dledger_wanted "$RMQ_SRC")
    [ -n "$wanted" ] || die "$ROCKETMQ_URL at $ROCKETMQ_REF does not use DLedger" "the kit needs a ref from 4.5.0 on"
    git_lists "$DLEDGER_URL" || die "cannot list $DLEDGER_URL" "git said: $(last_words "$RMQKIT_TMP/ls-remote.err")"
    take_dledger_from_git "$wanted"
}

# ---- published artifacts ------------------------------------------------------------------------------------------

# maven_get LAX|STRICT DIR COORDINATES...: published files (group:artifact:version:type[:classifier]) into DIR, in one run
# of Maven. STRICT = Maven itself refuses a file whose published checksum is missing or differs (-C).
# Exit 1 = it could not be had; the reason lies in $RMQKIT_TMP/get.log.
maven_get() {
    strict=
    [ "$1" = LAX ] || strict=-C
    into=$2
    shift 2
    {
        echo '<project><modelVersion>4.0.0</modelVersion><groupId>rmqkit</groupId><artifactId>fetch</artifactId><version>1</version>'
        echo '<packaging>pom</packaging><build><plugins><plugin><groupId>org.apache.maven.plugins</groupId>'
        echo '<artifactId>maven-dependency-plugin</artifactId><version>3.6.1</version><configuration><artifactItems>'
        for coordinates in "$@"; do
            printf '%s\n' "$coordinates" | awk -F: '{
                printf "<artifactItem><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version><type>%s</type>", $1, $2, $3, $4
                if ($5 != "") printf "<classifier>%s</classifier>", $5
                print "</artifactItem>" }'
        done
        echo '</artifactItems></configuration></plugin></plugins></build></project>'
    } >"$RMQKIT_TMP/get.xml"
    maven_copy || { ! not_published && maven_copy; }
}

maven_copy() {
    # shellcheck disable=SC2086
    mvn -B -ntp $strict $MVN_SETTINGS $MVN_NETWORK -Dmaven.repo.local="$RMQKIT_M2" -f "$RMQKIT_TMP/get.xml" dependency:copy \
        -DoutputDirectory="$into" -Dmdep.overWriteReleases=true >"$RMQKIT_TMP/get.log" 2>&1
}

# not_published: was the last maven_get refused because the file does not exist (rather than for a network reason)?
not_published() { grep -q 'Could not find artifact' "$RMQKIT_TMP/get.log"; }
maven_words() { grep -E '^\[ERROR\]' "$RMQKIT_TMP/get.log" | head -n 2 | cut -c1-400; }

# same_sum KIND FILE TEXT: does FILE have the checksum that the published TEXT holds? Prints it as KIND:HEX.
same_sum() {
    published=$(printf '%s' "$3" | tr -d '\r\n' | grep -oE '[0-9a-fA-F ]{40,}' | head -n 1 | tr -d ' ' | tr A-F a-f)
    computed=$("${1}sum" "$2" | cut -d' ' -f1)
    [ "$published" = "$computed" ] ||
        die "$(basename "$2") does not have its published $1 checksum" "published: ${published:-none}" "computed:  $computed"
    printf '%s:%s\n' "$1" "$computed"
}

# verified_sum ZIP: the source release's checksum as published, after comparing. Maven has compared SHA-1 already
# (STRICT) and keeps what was published beside the file; a published SHA-512 is stronger, but older releases have none.
verified_sum() {
    if maven_get LAX "$RMQKIT_TMP/sums" "org.apache.rocketmq:rocketmq-all:$VERSION:zip.sha512:source-release"; then
        same_sum sha512 "$1" "$(cat "$RMQKIT_TMP"/sums/*.sha512)"
    elif not_published; then
        kept=$RMQKIT_M2/org/apache/rocketmq/rocketmq-all/$VERSION/$(basename "$1").sha1
        [ -s "$kept" ] || die "no published checksum of $(basename "$1") could be had"
        same_sum sha1 "$1" "$(cat "$kept")"
    else
        die "cannot get the published checksum of $(basename "$1")" "$(maven_words)"
    fi
}

take_dledger_sources_jar() { # WANTED
    group=io.openmessaging.storage at=$RMQKIT_TMP/dledger
    if maven_get STRICT "$at" "$group:dledger:$1:jar:sources" "$group:dledger:$1:pom"; then
        mkdir -p "$DLG_SRC/src/main/java" "$DLG_SRC/src/main/resources"
        cp "$at/dledger-$1.pom" "$DLG_SRC/pom.xml"
        (cd "$DLG_SRC/src/main/resources" && jar xf "$at/dledger-$1-sources.jar" && rm -rf META-INF/MANIFEST.MF && mv io ../java/)
        note dledger_source sources-jar
        note dledger_checksum "sha256:$(sha256sum "$at/dledger-$1-sources.jar" | cut -d' ' -f1)"
        say "DLedger $1 from its published sources and pom"
        echo sources-jar >/src/dledger.kind
    elif not_published; then
        note dledger_source central
        say "DLedger $1 has no published sources: its published jar is used as it is"
        echo central >/src/dledger.kind
    else
        die "cannot get the sources of DLedger $1" "$(maven_words)"
    fi
}

from_release() {
    zip=$RMQKIT_TMP/zip
    say "official source release of RocketMQ $VERSION, by Maven coordinates"
    # Not from the cache: what is verified is what was fetched now.
    rm -rf "$RMQKIT_M2/org/apache/rocketmq/rocketmq-all/$VERSION"
    maven_get STRICT "$zip" "org.apache.rocketmq:rocketmq-all:$VERSION:zip:source-release" || {
        if not_published; then
            die "there is no source release org.apache.rocketmq:rocketmq-all:$VERSION" \
                "known good: 4.5.1, 4.9.8, 5.3.2; a branch or tag is built with SOURCE=git and ROCKETMQ_REF"
        fi
        die "cannot get the source release of RocketMQ $VERSION" "$(maven_words)" \
            "behind a company proxy: give the build secrets ca_bundle and maven_settings"
    }
    file=$(ls "$zip"/*.zip)
    sum=$(verified_sum "$file")
    mkdir "$RMQKIT_TMP/unzip"
    (cd "$RMQKIT_TMP/unzip" && jar xf "$file")
    mv "$RMQKIT_TMP/unzip"/* "$RMQ_SRC"
    note source release
    note rocketmq_ref "$VERSION"
    note rocketmq_checksum "$sum"
    wanted=$(dledger_wanted "$RMQ_SRC")
    [ -n "$wanted" ] || die "RocketMQ $VERSION does not use DLedger" "the kit needs 4.5.0 or later"
    take_dledger_sources_jar "$wanted"
}

# ---- a local checkout ---------------------------------------------------------------------------------------------

# The context's checkout/ is RocketMQ, or holds rocketmq/ and, if DLedger is worked on too, dledger/.
from_path() {
    at=/checkout
    [ ! -f "$at/rocketmq/pom.xml" ] || at=/checkout/rocketmq
    [ -f "$at/pom.xml" ] && [ -d "$at/distribution" ] || die "SOURCE=path, but the build context's checkout/ holds no RocketMQ source tree" \
        "looked for checkout/pom.xml with checkout/distribution/, and the same under checkout/rocketmq/" \
        "copy your checkout there (without target/ directories)"
    cp -a "$at" "$RMQ_SRC"
    # With the checkout at the top of the folder, these are not RocketMQ's.
    rm -rf "$RMQ_SRC/README.txt" "$RMQ_SRC/dledger"
    note source path
    note_tree rocketmq "$RMQ_SRC"
    wanted=$(dledger_wanted "$RMQ_SRC")
    [ -n "$wanted" ] || die "the checkout does not use DLedger" "the kit needs RocketMQ 4.5.0 or later"
    if [ -f /checkout/dledger/pom.xml ]; then
        cp -a /checkout/dledger "$DLG_SRC"
        note dledger_source path
        note_tree dledger "$DLG_SRC"
        echo git >/src/dledger.kind
    elif [ -n "$DLEDGER_REF" ]; then
        git_lists "$DLEDGER_URL" || die "cannot list $DLEDGER_URL" "git said: $(last_words "$RMQKIT_TMP/ls-remote.err")"
        take_dledger_from_git "$wanted"
    else
        take_dledger_sources_jar "$wanted"
    fi
}

# note_tree NAME DIR: what identifies a tree that has no ref: a checksum over its files, and the commit under it if known.
note_tree() {
    note "$1_checksum" "sha256:$(cd "$2" && find . -name .git -prune -o -name target -prune -o -type f -print | LC_ALL=C sort |
        tr '\n' '\0' | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)"
    commit=$(git -c safe.directory='*' -C "$2" rev-parse -q --verify HEAD 2>/dev/null) || return 0
    note "$1_commit" "$commit"
}

# ---- which ---------------------------------------------------------------------------------------------------------

use_ca_bundle
use_maven_settings
note requested_source "$SOURCE"
case "$SOURCE" in
    git) from_git ;;
    release) from_release ;;
    path) from_path ;;
    auto)
        lost=
        for url in "$ROCKETMQ_URL" "$DLEDGER_URL"; do
            if ! git_lists "$url" && git_unreachable; then
                lost=$url
                break
            fi
        done
        if [ -n "$lost" ]; then
            # Compose takes one name, RMQ_EDITION, for the ref and for the version.
            VERSION=$(release_line "$VERSION")
            why="git hosting cannot be reached ($lost: $(last_words "$RMQKIT_TMP/ls-remote.err" | tail -n 1 | sed "s/^fatal: //; s/^unable to access '[^']*': //")); building the source release $VERSION instead"
            say "NOTE: $why"
            note note "$why"
            from_release
        else
            from_git
        fi
        ;;
    *) die "SOURCE=$SOURCE is none of: auto, git, release, path" ;;
esac
# Commits are in the notes. Without .git the next stage sees the same files whatever clone they came from, and is cached.
rm -rf "$RMQ_SRC/.git" "$DLG_SRC/.git"
# For the same reason: owner and modes say who unpacked it (umask, uid), not what it is.
chown -R 0:0 /src
chmod -R u=rwX,go=rX /src
printf '%s\n' "$wanted" >/src/dledger.wanted
