#!/bin/sh
# Compiles the kit's Java driver against the RocketMQ client that was just built: /out/driver/driver.jar.
# An edition whose client has another interface still makes an image; it has no driver then, and BUILD-INFO.json says so.
set -eu
. /rmqkit/build/common.sh
NOTES=/out/driver/driver.env
mkdir -p /out/driver/classes
: >"$NOTES"
# -source 8: the runtime image may have an older Java than this one.
if javac -source 8 -target 8 -nowarn -Xlint:none -encoding UTF-8 -cp '/rocketmq-lib/*' -d /out/driver/classes \
    /rmqkit/driver/*.java >/out/driver/javac.log 2>&1; then
    jar cf /out/driver/driver.jar -C /out/driver/classes .
    chmod 0644 /out/driver/driver.jar
    note driver yes
else
    say "NOTE: the Java driver does not compile against this client; the image gets none:"
    grep error: /out/driver/javac.log >&2 || tail -n 5 /out/driver/javac.log >&2
    note driver "no: $(grep -m 1 -o 'error: .*' /out/driver/javac.log || echo 'javac failed')"
fi
rm -rf /out/driver/classes /out/driver/javac.log
