#!/bin/sh
# Joins the notes of the build stages (key=value lines, files given as arguments) into one JSON object on standard
# output. Every value is a string; the order is fixed so that two images can be compared with diff.
set -eu
cat "$@" | awk '
    {
        at = index($0, "=")
        if (!at) next
        value[substr($0, 1, at - 1)] = substr($0, at + 1)
    }
    function quoted(text) {
        gsub(/\\/, "&&", text); gsub(/"/, "\\\"", text); gsub(/\t/, " ", text); gsub(/[\001-\037]/, "", text)
        return "\"" text "\""
    }
    END {
        if (value["edition"] == "") value["edition"] = value["rocketmq_ref"]
        n = split("edition source requested_source rocketmq_version rocketmq_ref rocketmq_commit rocketmq_checksum " \
            "dledger_version dledger_source dledger_ref dledger_commit dledger_checksum dledger_jar " \
            "build_jdk runtime_jdk build_seconds iptables tc faketime driver note", keys, " ")
        printf "{"
        for (i = 1; i <= n; i++) if (keys[i] in value && value[keys[i]] != "")
            printf "%s\n  %s: %s", (printed++ ? "," : ""), quoted(keys[i]), quoted(value[keys[i]])
        print "\n}"
    }'
