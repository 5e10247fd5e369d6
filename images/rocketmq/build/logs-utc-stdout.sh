#!/bin/sh
# Edits the distribution's logback files: every time stamp in UTC with milliseconds, and the lines that tell a
# cluster's story on standard output too. The file logs and their size limits stay as they are.
#   whole:   RocketmqBroker, RocketmqNamesrv, RocketmqController and root (DLedger: elections) - some lines a minute
#   WARN up: everything else, except what is a record by itself (watermarks, statistics, traffic, ...); and DLedger's
#            pusher and the 5.x NameServer, which write water marks every few seconds
set -eu
conf=$1
for file in "$conf"/logback_*.xml "$conf"/rmq.*.logback.xml; do
    [ -f "$file" ] || continue
    case "${file##*/}" in
        # Their standard output is the answer to a question, not a log.
        *tools* | *client*) console=no ;;
        *) console=yes ;;
    esac
    attributes=0
    case "${file##*/}" in rmq.*) attributes=1 ;; esac
    # The chatty ones that would come through root.
    quiet=
    case "${file##*/}" in
        *broker*) quiet=io.openmessaging.storage.dledger.DLedgerEntryPusher ;;
        *namesrv*) quiet=RocketmqNamesrvWaterMark ;;
    esac
    sed 's/%d{[^}]*}/%d{yyyy-MM-dd HH:mm:ss.SSS,UTC}/' "$file" | awk -v console="$console" -v quiet="$quiet" -v attributes="$attributes" '
        # 5.x: a <level> of its own line makes logback print its whole start-up status on standard output.
        attributes && held != "" && $0 ~ /<level value="INFO"\/>/ { sub(/>/, " level=\"INFO\">", held); $0 = "" }
        held != "" { print held; held = ""; if ($0 == "") next }
        { line = $0 }
        console == "yes" && line ~ /<logger / {
            name = line; sub(/.*name="/, "", name); sub(/".*/, "", name); inside = 1
        }
        console == "yes" && line ~ /<root/ { name = "root"; inside = 1 }
        inside && line ~ /appender-ref/ && line ~ /"STDOUT"/ { inside = 0 }
        inside && line ~ /appender-ref/ { own = line }
        inside && line ~ /<\/(logger|root)>/ {
            if (name ~ /^(root|RocketmqBroker|RocketmqNamesrv|RocketmqController)$/)
                print "        <appender-ref ref=\"RMQKIT_STDOUT\"/>"
            else if (name !~ /([Ww]ater[Mm]ark|Protection|Stats|Commercial|Traffic|Audit|opentelemetry|Pop$|ColdCtr|RebalanceLock)/)
                print "        <appender-ref ref=\"RMQKIT_STDOUT_WARN\"/>"
            inside = 0
        }
        attributes && line ~ /<logger name=/ && line !~ /level=/ { held = line; next }
        { print line }
        quiet != "" && line ~ /<\/root>/ {
            print "    <logger name=\"" quiet "\" additivity=\"false\" level=\"INFO\">"; print own
            print "        <appender-ref ref=\"RMQKIT_STDOUT_WARN\"/>"; print "    </logger>"
        }
        console == "yes" && !done && line ~ /<configuration/ {
            done = 1
            pattern = "            <pattern>%d{yyyy-MM-dd HH:mm:ss.SSS,UTC} %p %t - %m%n</pattern>"
            print "    <appender name=\"RMQKIT_STDOUT\" class=\"ch.qos.logback.core.ConsoleAppender\">"
            print "        <encoder>"; print pattern; print "        </encoder>"
            print "    </appender>"
            print "    <appender name=\"RMQKIT_STDOUT_WARN\" class=\"ch.qos.logback.core.ConsoleAppender\">"
            print "        <filter class=\"ch.qos.logback.classic.filter.ThresholdFilter\"><level>WARN</level></filter>"
            print "        <encoder>"; print pattern; print "        </encoder>"
            print "    </appender>"
        }' >"$file.new"
    # An edit that found nothing to edit means that the files look different in this version: say so, do not ship it.
    if [ "$console" = yes ] && ! grep -q 'ref="RMQKIT_STDOUT"' "$file.new"; then
        printf '[rmqkit] ERROR: %s has no logger that could be sent to standard output\n' "$file" >&2
        exit 1
    fi
    if grep -q 'GMT+8' "$file.new"; then
        printf '[rmqkit] ERROR: %s still has a GMT+8 time stamp\n' "$file" >&2
        exit 1
    fi
    mv "$file.new" "$file"
done
