#!/bin/sh
# SPDX-License-Identifier: MIT-0
# embed.sh FILE...: the files as C arrays on standard output, each by its name, with _ for what is no letter or
# digit.
for file; do
    name=$(basename "$file" | tr -c 'a-zA-Z0-9\n' _)
    echo "static const char $name[] = {"
    od -An -v -tu1 "$file" |
        awk '{ for (i = 1; i <= NF; i++) printf "%d,", ($i > 127 ? $i - 256 : $i); print "" }'
    echo "};"
done
