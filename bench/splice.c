/* SPDX-License-Identifier: MIT-0 splice [copy]       standard input to standard output by stream_splice
   (or its copying way) splice source SIZE  SIZE bytes (2G, 500M) to standard output, gifted and not copied,
   so that it is not what is measured splice drain        throws standard input away without looking at it */
#define STREAM_IMPLEMENTATION
#include "stream.h"

#include <signal.h>
#include <stdlib.h>

static void wait_for(int fd, short events) {
    struct pollfd p;
    p.fd = fd;
    p.events = events;
    (void)poll(&p, 1, -1);
}

int main(int argc, char **argv) {
    stream_splice s;
    stream_splice_desc desc;
    stream_status status;
    size_t moved, granted;
    signal(SIGPIPE, SIG_IGN);
    if (argc > 2 && strcmp(argv[1], "source") == 0) {
        static char data[1 << 20];
        char *unit;
        uint64_t left = strtoull(argv[2], &unit, 10) << (*unit == 'G' ? 30 : *unit == 'M' ? 20 : 0);
        stream_kernel_buffer(1, sizeof data, &granted);
        while (left > 0) {
            struct iovec v;
            ssize_t n;
            v.iov_base = data;
            v.iov_len = left < sizeof data ? (size_t)left : sizeof data;
            n = vmsplice(1, &v, 1, 0);
            if (n <= 0) return 1;
            left -= (uint64_t)n;
        }
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "drain") == 0) {
        int null = open("/dev/null", O_WRONLY);
        stream_kernel_buffer(0, (size_t)1 << 20, &granted);
        while (splice(0, NULL, null, NULL, (size_t)1 << 20, 0) > 0) {
        }
        return 0;
    }
    memset(&desc, 0, sizeof desc);
    desc.from = 0;
    desc.to = 1;
    desc.copy = argc > 1;
    if (stream_splice_init(&s, &desc) != STREAM_OK) return 1;
    while ((status = stream_splice_step(&s, SIZE_MAX, &moved)) != STREAM_END) {
        if (status == STREAM_EMPTY) wait_for(0, POLLIN);
        else if (status == STREAM_FULL) wait_for(stream_splice_blocked(&s), POLLOUT);
        else if (status != STREAM_OK) return 1;
    }
    stream_splice_free(&s);
    return 0;
}
