/* SPDX-License-Identifier: MIT-0
   Numbers the lines of standard input in bounded memory. A line over the limit is an outcome like any
   other: its place and true size are known, the next line is whole, and nothing has grown.
   Build: cc -I. examples/lines.c -o build/lines
   Try:   (echo one; head -c 5000000 /dev/zero | tr '\0' x; echo; echo three) | build/lines */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include <stdio.h>

int main(void) {
    stream_reader reader;
    stream_reader_desc desc = {0}; /* zero: standard input, all defaults */
    stream_item line;
    stream_status status;
    unsigned long number = 0;
    int result = 0;
    desc.lines.max_len = 4096;
    if (stream_reader_init(&reader, &desc) != STREAM_OK) return 1;
    while ((status = stream_reader_next(&reader, &line)) != STREAM_END) {
        if (status == STREAM_OK) { /* ptr is not NUL-terminated, and the line may hold NULs: use len */
            printf("%6lu  ", ++number);
            fwrite(line.ptr, 1, line.len, stdout);
            putchar('\n');
        } else if (status == STREAM_E_IO) { /* once; the lines read so far still come */
            fprintf(stderr, "standard input: %s\n", strerror(reader.os_error));
            result = 1;
        } else { /* too long, or no memory for it: this line is lost, the stream goes on. (A descriptor that
                    does not block would say STREAM_EMPTY too: then poll it.) */
            fprintf(stderr, "line %lu: %s: %llu bytes at offset %llu\n", ++number, stream_status_text(status),
                    (unsigned long long)line.size, (unsigned long long)line.offset);
            result = 1;
        }
    }
    stream_reader_free(&reader);
    return result;
}
