# Healthy = every port of the file 'want' (hexadecimal, upper case) is listened on, as /proc/net/tcp{,6} say.
# Input: want, then the two tables. Prints the ports that are missing (decimal) and fails if there are any.
FILENAME == want { need[$1] = $2; next }
$4 == "0A" { n = split($2, part, ":"); listening[part[n]] = 1 }
END {
    for (port in need) if (!(port in listening)) missing = missing " " need[port]
    if (missing != "") { print "not listening:" missing; exit 1 }
}
