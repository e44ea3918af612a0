# SPDX-License-Identifier: MIT-0
# Copies the shared blocks of the first file into the others (make blocks), or with -v check=1 only says
# which differ: awk -f tests/blocks.awk [-v check=1] stream.h stream_json.h stream_pool.h
FNR == 1 { file++; inside = "" }
/^\/\* ==\[ shared block: / {
    inside = $0; sub(/^.*shared block: /, "", inside); sub(/ \].*$/, "", inside)
    text = ""
}
inside != "" { text = text $0 "\n" }
file == 1 && /^\/\* ==\[ end of shared block/ { block[inside] = text; inside = ""; next }
file > 1 && inside == "" { out[FILENAME] = out[FILENAME] $0 "\n" }
file > 1 && /^\/\* ==\[ end of shared block/ {
    blocks++
    if (!(inside in block)) { print FILENAME ": no block " inside " in the first file"; bad = 1 }
    else if (block[inside] != text) { print FILENAME ": block " inside " differs"; bad = 1; changed[FILENAME] = 1 }
    out[FILENAME] = out[FILENAME] block[inside]
    inside = ""
}
END {
    if (blocks == 0) { print "no shared block found"; exit 1 }
    if (check) exit bad
    for (f in changed) { printf "%s", out[f] > f; close(f); print f ": brought up to date" }
}
