# shellcheck shell=sh
# Shared by fetch.sh and compile.sh (sourced): how Maven, git and Java reach the outside, and how errors look.
# The certificates and the settings come from build secrets; what is made from them lies in $RMQKIT_TMP, a tmpfs of
# that one RUN, so that nothing of it is ever part of a layer.

: "${RMQKIT_TMP:=/run/rmqkit}" "${RMQKIT_SECRETS:=/run/secrets}" "${RMQKIT_M2:=/var/cache/rmqkit-m2}"

# without_users TEXT: TEXT with no user and password in its URLs. What a build says goes into logs, and its notes into
# the image; a repository may be named as https://USER:TOKEN@host/.
without_users() { printf '%s\n' "$*" | sed 's#://[^/[:space:]]*@#://#g'; }

say() { printf '[rmqkit] %s\n' "$(without_users "$*")"; }
die() {
    printf '\n[rmqkit] ERROR: %s\n' "$(without_users "$1")" >&2
    shift
    for line in "$@"; do printf '[rmqkit]   %s\n' "$(without_users "$line")" >&2; done
    exit 1
}

# use_ca_bundle: makes git, curl and Java trust the CA bundle of the secret ca_bundle in addition to what they trust.
use_ca_bundle() {
    [ -s "$RMQKIT_SECRETS/ca_bundle" ] || return 0
    grep -q 'BEGIN CERTIFICATE' "$RMQKIT_SECRETS/ca_bundle" ||
        die "the build secret ca_bundle holds no PEM certificate" "give a file with '-----BEGIN CERTIFICATE-----' blocks"
    cat "$RMQKIT_SECRETS/ca_bundle" /etc/ssl/certs/ca-certificates.crt >"$RMQKIT_TMP/ca.pem" 2>/dev/null || true
    export GIT_SSL_CAINFO="$RMQKIT_TMP/ca.pem" CURL_CA_BUNDLE="$RMQKIT_TMP/ca.pem" SSL_CERT_FILE="$RMQKIT_TMP/ca.pem"
    # keytool takes one certificate a call and half a second for each; this takes all in one second.
    javac -d "$RMQKIT_TMP" /rmqkit/build/PemToTruststore.java
    java -cp "$RMQKIT_TMP" PemToTruststore "$RMQKIT_SECRETS/ca_bundle" "$RMQKIT_TMP/truststore.jks"
    export MAVEN_OPTS="${MAVEN_OPTS:-} -Djavax.net.ssl.trustStore=$RMQKIT_TMP/truststore.jks -Djavax.net.ssl.trustStorePassword=changeit"
}

# The <proxy> element for a proxy URL. Maven reads no http_proxy variable; Docker passes the user's into the build.
maven_proxy() { # ID PROTOCOL URL
    rest=${3#*://}
    auth=
    case "$rest" in
        *@*)
            auth=${rest%@*}
            rest=${rest##*@}
            auth="<username>${auth%%:*}</username><password>${auth#*:}</password>"
            ;;
    esac
    rest=${rest%%/*}
    port=${rest##*:}
    [ "$port" != "$rest" ] || port=80
    skip=$(printf '%s' "${no_proxy:-${NO_PROXY:-}}" | tr ',' '|' | sed 's/|\./|*./g; s/^\./*./')
    printf '<proxy><id>%s</id><active>true</active><protocol>%s</protocol><host>%s</host><port>%s</port>%s<nonProxyHosts>%s</nonProxyHosts></proxy>\n' \
        "$1" "$2" "${rest%%:*}" "$port" "$auth" "$skip"
}

use_maven_settings() {
    MVN_SETTINGS=
    if [ -s "$RMQKIT_SECRETS/maven_settings" ]; then
        MVN_SETTINGS="-s $RMQKIT_SECRETS/maven_settings"
        return 0
    fi
    http=${http_proxy:-${HTTP_PROXY:-}} https=${https_proxy:-${HTTPS_PROXY:-${http_proxy:-${HTTP_PROXY:-}}}}
    [ -n "$http$https" ] || return 0
    {
        echo '<settings><proxies>'
        [ -z "$http" ] || maven_proxy http http "$http"
        [ -z "$https" ] || maven_proxy https https "$https"
        echo '</proxies></settings>'
    } >"$RMQKIT_TMP/settings.xml"
    MVN_SETTINGS="-s $RMQKIT_TMP/settings.xml"
}

# A connection that dies without a word is waited for half an hour by default, by Maven's resolver and by the older
# "wagon" that some plugins still use; and wagon reuses connections that a gateway has long forgotten.
MVN_NETWORK="-Daether.connector.connectTimeout=20000 -Daether.connector.requestTimeout=60000
    -Daether.connector.http.retryHandler.count=3 -Dmaven.wagon.rto=60000 -Dmaven.wagon.http.retryHandler.count=3
    -Dmaven.wagon.httpconnectionManager.ttlSeconds=25"

# mvn_quiet LOG ARGS...: Maven with the kit's local repository. The whole output goes to LOG; the build shows which
# module it is at, and the last lines if it fails. A failed download is tried once more: what came stays in the cache.
mvn_quiet() {
    mvn_once "$@" && return 0
    grep -Eq 'Could not transfer artifact|Read timed out|Connection reset|Premature end of' "$1" || return 1
    say "a download failed; once more"
    mvn_once "$@"
}

# (POSIX sh has no pipefail: the status goes through a file.)
mvn_once() {
    mvn_log=$1
    shift
    rm -f "$RMQKIT_TMP/mvn.failed"
    # shellcheck disable=SC2086  # MVN_SETTINGS is two words or none, MVN_NETWORK several
    { mvn -B -ntp $MVN_SETTINGS $MVN_NETWORK -Dmaven.repo.local="$RMQKIT_M2" "$@" 2>&1 || touch "$RMQKIT_TMP/mvn.failed"; } |
        tee "$mvn_log" | grep --line-buffered -E '^\[INFO\] Building [^j]|^\[INFO\] (Total time|BUILD)|^\[ERROR\]' || true
    [ ! -e "$RMQKIT_TMP/mvn.failed" ]
}

# dledger_wanted DIR: the DLedger version that a RocketMQ source tree asks for ('' if it asks for none).
# It stands in store/pom.xml itself (4.5.x) or in the parent's dependencyManagement through a property (later).
dledger_wanted() {
    for pom in "$1/store/pom.xml" "$1/pom.xml"; do
        [ -f "$pom" ] || continue
        found=$(tr -d '\n\r' <"$pom" | sed 's/<dependency>/\n&/g' |
            sed -n 's:.*<artifactId>dledger</artifactId>[[:space:]]*<version>\([^<]*\)</version>.*:\1:p' | head -n 1)
        [ -n "$found" ] || continue
        case "$found" in
            '${'*'}')
                name=${found#??}
                name=${name%?}
                sed -n "s:.*<$name>\([^<]*\)</$name>.*:\1:p" "$1/pom.xml" | head -n 1
                ;;
            *) printf '%s\n' "$found" ;;
        esac
        return 0
    done
}

# pom_version FILE: a project's own version, or its parent's where it states none. What may hold other versions is cut off.
pom_version() {
    flat=$(tr -d '\n\r' <"$1" | sed 's/<!--[^>]*-->//g; s:<\(dependencies\|dependencyManagement\|build\|properties\|modules\|profiles\)>.*::')
    for part in "$(printf '%s' "$flat" | sed 's:<parent>.*</parent>::')" "$(printf '%s' "$flat" | sed -n 's:.*<parent>\(.*\)</parent>.*:\1:p')"; do
        found=$(printf '%s\n' "$part" | sed -n 's:.*<version>[[:space:]]*\([^<[:space:]]*\)[[:space:]]*</version>.*:\1:p')
        [ -z "$found" ] || break
    done
    printf '%s\n' "$found"
}

# note KEY VALUE: one line of the notes that become BUILD-INFO.json.
note() { printf '%s=%s\n' "$1" "$(without_users "$2")" >>"$NOTES"; }
