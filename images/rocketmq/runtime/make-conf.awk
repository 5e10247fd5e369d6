# Writes a broker.conf or namesrv.conf: the mounted file's lines (if any), then every RMQ_CONF_key=value of the
# environment as key=value, which replaces the file's line of that key; then the defaults that nobody gave.
#   -v file=  the mounted file, or ""     RMQ_DEFAULTS  lines of key=value (a variable: -v cannot carry line breaks)
# Java reads the result with Properties.load, hence the escaping: a value arrives in the broker as it was given.
function fail(text) { print text > "/dev/stderr"; failed = 1; exit 64 }
function key_of(line) {
    sub(/^[ \t\f]+/, "", line)
    return match(line, /[=: \t\f]/) ? substr(line, 1, RSTART - 1) : line
}
function continued(line) { return match(line, /\\+$/) && RLENGTH % 2 == 1 }
function value_of(line) {
    sub(/^[ \t\f]*[^=: \t\f]*[ \t\f]*[=:]?[ \t\f]*/, "", line)
    return line
}
function escaped(text,   lead) {
    gsub(/\\/, "&&", text); gsub(/\t/, "\\t", text)
    if (text ~ /^ /) text = "\\" text
    return text
}
BEGIN {
    for (name in ENVIRON) {
        if (substr(name, 1, 9) != "RMQ_CONF_" || name == "RMQ_CONF_FILE") continue
        key = substr(name, 10); value = ENVIRON[name]
        if (key == "") fail("rmq: the variable RMQ_CONF_ lacks a key: RMQ_CONF_<key>=value")
        if (value ~ /[\n\r]/) fail("rmq: the value of " name " has a line break; a configuration value is one line")
        # Properties.load reads Latin-1 and RocketMQ offers no other way in.
        if (value ~ /[\200-\377]/) fail("rmq: the value of " name " is not ASCII; write it as \\uXXXX in a mounted file (RMQ_CONF_FILE)")
        if (key == "sendMessageThreadPoolNums" && value == "auto") value = cores
        env[key] = value; keys[++n] = key
    }
    if (file != "") {
        skip = 0; open = 0; read = 0
        while ((got = (getline line < file)) > 0) {
            read = 1; sub(/\r$/, "", line)
            if (!open) {
                key = key_of(line)
                comment = line ~ /^[ \t\f]*([#!]|$)/
                skip = !comment && (key in env)
                if (!comment) { seen[key] = 1; filevalue[key] = value_of(line) }
            }
            open = !comment && continued(line)
            if (!skip) print line
        }
        if (got < 0) fail("rmq: cannot read the configuration file " file)
        close(file)
    }
    # In one order whatever the environment's, so that two starts write the same file.
    for (i = 2; i <= n; i++) for (j = i; j > 1 && keys[j] < keys[j - 1]; j--) { t = keys[j]; keys[j] = keys[j - 1]; keys[j - 1] = t }
    for (i = 1; i <= n; i++) { print keys[i] "=" escaped(env[keys[i]]); seen[keys[i]] = 1 }
    root = ("storePathRootDir" in env) ? env["storePathRootDir"] : filevalue["storePathRootDir"]
    m = split(ENVIRON["RMQ_DEFAULTS"], rows, "\n")
    for (i = 1; i <= m; i++) {
        if (rows[i] == "") continue
        key = key_of(rows[i])
        if (key in seen) continue
        # The commit log stays under a root that was given: only a root of our own has our own path below it.
        if (key == "storePathCommitLog" && root != "") print key "=" escaped(root) "/commitlog"
        else print rows[i]
    }
}
END { if (failed) exit 64 }
