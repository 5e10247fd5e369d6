#!/bin/sh
# Builds /src/dledger and /src/rocketmq by Maven and leaves the distribution in /out/rocketmq.
# Proves that the DLedger jar in it is the one built here: the two builds are joined only by a local Maven repository,
# and a version that differs by one digit would bring Maven Central's jar in silence.
set -eu
. /rmqkit/build/common.sh
NOTES=/out/build.env
mkdir -p /out "$RMQKIT_TMP"
: >"$NOTES"
use_ca_bundle
use_maven_settings

wanted=$(cat /src/dledger.wanted) kind=$(cat /src/dledger.kind)
own="$RMQKIT_M2/io/openmessaging/storage $RMQKIT_M2/org/apache/rocketmq"
# The cache keeps downloads from build to build. What a build *installs* there must not outlive it: another edition
# would find this one's DLedger, or RocketMQ modules of an older commit.
# shellcheck disable=SC2086
rm -rf $own

sum() { sha256sum "$1" | cut -d' ' -f1; }
started=$(date +%s)

if [ "$kind" != central ]; then
    say "DLedger: mvn clean install -DskipTests"
    # The published pom signs artifacts (gpg) and names a style file that the sources jar does not have.
    extra=-Dgpg.skip=true
    [ "$kind" = git ] || extra="$extra -Dcheckstyle.skip=true"
    # shellcheck disable=SC2086
    (cd /src/dledger && mvn_quiet /out/dledger-build.log clean install -DskipTests $extra) ||
        die "DLedger does not build" "the last lines of Maven's output:" "$(tail -n 30 /out/dledger-build.log)"
    # The jar without classifier, wherever the module lies (older: the root; later: dledger/).
    built=$(find /src/dledger -path '*/target/dledger-[0-9]*.jar' ! -name '*-sources.jar' ! -name '*-javadoc.jar' \
        ! -name '*-with-dependencies.jar' ! -name '*-tests.jar' | head -n 1)
    [ -n "$built" ] || die "DLedger built, but no target/dledger-VERSION.jar came out of it"
    version=$(basename "$built" .jar)
    version=${version#dledger-}
    [ "$version" = "$wanted" ] || die "RocketMQ's pom asks for DLedger $wanted, but the DLedger source builds $version" \
        "Maven would take $wanted from Maven Central in silence, so the build stops here" \
        "name the ref that is version $wanted (--build-arg DLEDGER_REF=...), or a RocketMQ ref that asks for $version"
    built_sum=$(sum "$built")
fi

say "RocketMQ: mvn -Prelease-all -DskipTests clean install -U"
# spotbugs (later 5.x) is a check of their CI and does not finish on every JDK 8.
(cd /src/rocketmq && mvn_quiet /out/rocketmq-build.log -Prelease-all -DskipTests clean install -U -Dspotbugs.skip=true) ||
    die "RocketMQ does not build" "the last lines of Maven's output:" "$(tail -n 40 /out/rocketmq-build.log)"

broker=$(find /src/rocketmq/distribution/target -path '*/lib/rocketmq-broker-*.jar' | head -n 1)
[ -n "$broker" ] || die "RocketMQ built, but distribution/target holds no lib/rocketmq-broker-*.jar" \
    "was the profile release-all renamed? found: $(cd /src/rocketmq/distribution && ls target 2>/dev/null | tr '\n' ' ')"
version=$(basename "$broker" .jar)
note rocketmq_version "${version#rocketmq-broker-}"

shipped=$(find "$(dirname "$broker")" -name 'dledger-[0-9]*.jar')
[ "$(printf '%s\n' "$shipped" | grep -c .)" = 1 ] || die "the distribution should hold one DLedger jar; it holds: ${shipped:-none}"
if [ "$kind" != central ] && [ "$(sum "$shipped")" != "$built_sum" ]; then
    die "the DLedger jar in the distribution is not the one that was built" \
        "built:   $built_sum" "shipped: $(sum "$shipped")  $(basename "$shipped")"
fi
note dledger_version "$wanted"
note dledger_jar "sha256:$(sum "$shipped")"
note build_jdk "$(java -version 2>&1 | sed -n 's/.*version "\([^"]*\)".*/\1/p' | head -n 1)"

mkdir -p /out/rocketmq
cp -a "$(dirname "$broker")/../." /out/rocketmq/
# Readable for any uid, whatever the umask of a checkout was. (Here: in the runtime stage it would copy every jar.)
chmod -R a+rX /out/rocketmq
# shellcheck disable=SC2086
rm -rf $own
note build_seconds "$(($(date +%s) - started))"
say "built in $(($(date +%s) - started)) s: RocketMQ ${version#rocketmq-broker-} with DLedger $wanted ($kind)"
