/* SPDX-License-Identifier: MIT-0
   What stream_wrap cannot be faster than: standard input to standard output by reads and writes of 64 KiB, as
   it does them from a file (copy), and with the records framed on the way, but not looked into (frame). */
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
    static char block[65536];
    const bool frames = argc > 1 && strcmp(argv[1], "frame") == 0;
    unsigned long long records = 0;
    stream_json_desc desc;
    stream_json json;
    ssize_t n;
    memset(&desc, 0, sizeof desc);
    if (stream_json_init(&json, &desc) != STREAM_OK) return 1;
    while ((n = read(0, block, sizeof block)) > 0) {
        stream_item item;
        ssize_t done = 0, w;
        for (; done < n; done += w)
            if ((w = write(1, block + done, (size_t)(n - done))) <= 0) return 1;
        if (!frames) continue;
        (void)stream_json_feed(&json, block, (size_t)n);
        while (stream_json_next(&json, &item) != STREAM_MORE) records++;
    }
    stream_json_free(&json);
    if (frames) fprintf(stderr, "%llu records\n", records);
    return n < 0;
}
