#!/bin/sh
# Reads what git said when it failed (standard input) and answers one question: could the hosting not be reached at
# all? Exit 0 = unreachable (a fall-back to the published release is honest), 1 = it was reached and said no, or we
# cannot tell (a wrong ref, a refused password, a bad certificate: falling back would hide a mistake).
# Its own file, so that tests can feed it saved texts.
set -eu
said=$(cat)

# A host that answered anything about the request itself was reached, whatever else stands in the text.
reached='requested URL returned error|Authentication failed|could not read (Username|Password)|Permission denied'
reached="$reached|certificate|Host key verification failed|[Rr]epository .*not found|remote ref|not our ref|access denied"
reached="$reached|does not appear to be a git repository|not valid: is this a git repository|not exported"
# 407 is a proxy that wants a password: the user's to give, not a reason to build something else.
reached="$reached|(CONNECT tunnel failed, response|HTTP code) 407|Proxy Authentication Required"
if printf '%s\n' "$said" | grep -Eq "$reached"; then exit 1; fi

# DNS (https, git and ssh each word it differently) ...
unreached="[Cc]ould not resolve (host|proxy|hostname)|[Cc]ouldn't resolve (host|proxy)|Temporary failure in name resolution"
unreached="$unreached|Name or service not known|No address associated with hostname|unable to look up"
# ... no connection ...
unreached="$unreached|Connection refused|Connection timed out|Operation timed out|Failed to connect to|Couldn't connect to server"
unreached="$unreached|Could not connect to server|No route to host|[Nn]etwork is unreachable|Network unreachable"
# ... a proxy that refuses the tunnel.
unreached="$unreached|CONNECT tunnel failed|from proxy after CONNECT|Proxy CONNECT aborted"
printf '%s\n' "$said" | grep -Eq "$unreached"
