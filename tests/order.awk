# SPDX-License-Identifier: MIT-0
# Makes of a header a copy in which every ordered call has a number and goes to tests/order.h, the table of
# those numbers, and the list of mutants: one for each way to take an acquire, a release or a seq_cst away.
# awk -v out=DIR [-v only=FUNCTIONS] [-v but=FUNCTIONS] -f tests/order.awk tests/order.expected HEADER
#
#   stream__a64_cas_acq_rel(x, ...)  ->  ORDER_a64_cas(17, acq_rel, x, ...)
#
# tests/order.expected names the mutants that make no difference, one a line, with the reason why:
#   HEADER FUNCTION CALL WEAKENING reason        where CALL is cas_acq_rel, or cas_acq_rel#2 for the second
FILENAME ~ /expected$/ {
    if ($0 !~ /^#/ && NF > 4) {
        key = $1 " " $2 " " $3 " " $4
        why = $0
        for (i = 0; i < 4; i++) sub(/^[^ ]+ +/, "", why)
        expected[key] = why
    }
    next
}
FNR == 1 {
    name = FILENAME
    sub(/^.*\//, "", name)
    copy = out "/" name
    base = name
    sub(/\.h$/, "", base)
    sites = out "/" base ".sites"
    mutants = out "/" base ".mutants"
    printf "" >mutants
    print "\"-\"," >sites
}
/shared block: atomics/ { block = $0 !~ /end of/ }
/^(STREAM[A-Z_]*|static) .*\(/ {
    where = $0
    sub(/\(.*$/, "", where)
    sub(/^.*[ *]/, "", where)
    split("", count)
}
function mutant(weaker) {
    key = name " " where " " call (count[call] > 1 ? "#" count[call] : "") " " weaker
    used[key] = 1
    if ((only == "" || where ~ only) && (but == "" || where !~ but))
        print number, weaker, expected[key] >mutants
}
{
    rest = $0
    line = ""
    while (!block && match(rest, /stream__a(32|64)_[a-z]+_(relaxed|acquire|release|acq_rel|seq_cst)\(/)) {
        found = substr(rest, RSTART + 8, RLENGTH - 9) # a64_cas_acq_rel
        line = line substr(rest, 1, RSTART - 1)
        rest = substr(rest, RSTART + RLENGTH)
        width = substr(found, 1, 3)
        call = substr(found, 5)
        verb = call
        sub(/_.*$/, "", verb)
        how = substr(call, length(verb) + 2)
        number++
        count[call]++
        line = line "ORDER_" width "_" verb "(" number ", " how (rest ~ /^\)/ ? "" : ", ")
        printf "\"%s:%d %s %s\",\n", name, FNR, where, call >sites
        if (how == "relaxed") continue
        mutant("relaxed")
        if (verb == "cas" && how != "release") mutant("failure")
        if (verb != "load" && verb != "store" && (how == "acq_rel" || how == "seq_cst")) {
            mutant("acquire")
            mutant("release")
        }
        if (how == "seq_cst") mutant(verb == "load" ? "acquire" : verb == "store" ? "release" : "acq_rel")
    }
    print line rest >copy
}
END {
    for (key in expected) {
        split(key, part, " ")
        if (part[1] == name && !(key in used)) {
            print "order.expected: no such mutant: " key
            bad = 1
        }
    }
    exit bad
}
