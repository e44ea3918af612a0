/* SPDX-License-Identifier: MIT-0
   Counts the record types of newline-delimited JSON on stdin, in whatever fragments it comes; log lines and
   cut records are named on stderr and cost nothing else. Build: cc -I. examples/json.c -o build/json */
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#include <stdio.h>

int main(void) {
    static const char *const pointer = "/type";
    static struct { char name[32]; size_t len; unsigned long count; } types[64];
    char chunk[4096]; /* any size gives the same records */
    stream_json json;
    stream_item item;
    stream_json_value type;
    stream_status st;
    size_t n, i, used = 0;
    stream_json_init(&json, NULL);
    do {
        n = fread(chunk, 1, sizeof chunk, stdin);
        if (n) stream_json_feed(&json, chunk, n);
        else stream_json_finish(&json); /* next() now hands out the tail, then END */
        while ((st = stream_json_next(&json, &item)) != STREAM_MORE && st != STREAM_END) {
            if (st != STREAM_OK) { /* noise, or what was lost: an event like any other */
                fprintf(stderr, "offset %llu: %s: %.*s\n", (unsigned long long)item.offset,
                        stream_status_text(st), (int)item.len, item.len ? item.ptr : "");
                continue;
            }
            stream_json_pick(item.ptr, item.len, &pointer, 1, &type); /* a slice of item, no copy */
            for (i = 0; i < used && !stream_json_equals(type, types[i].name, types[i].len); i++) continue;
            if (i == used && i < 64 &&
                stream_json_string(type, STREAM_JSON_PASS, types[i].name, 32, &types[i].len) == STREAM_OK)
                used++;
            if (i < used) types[i].count++; /* else it has no type: other JSON between the records */
        }
    } while (n);
    for (i = 0; i < used; i++) printf("%8lu %.*s\n", types[i].count, (int)types[i].len, types[i].name);
    stream_json_free(&json);
    return 0;
}
