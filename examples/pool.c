/* SPDX-License-Identifier: MIT-0
   One buffer, three readers, no copies: each reader holds a reference, and the last one to let go puts the
   buffer back. A reader that lags keeps its buffers, not everybody's.
   Build: cc -I. examples/pool.c -o build/pool */
#define STREAM_POOL_IMPLEMENTATION
#include "stream_pool.h"
#include <stdio.h>

int main(void) {
    stream_pool pool;
    stream_pool_usage usage;
    stream_pool_buf *inbox[3][4] = {{NULL}}; /* reader n looks into its inbox n events late */
    unsigned long read[3] = {0, 0, 0};
    unsigned n, i;
    if (stream_pool_init(&pool, NULL) != STREAM_OK) return 1;
    for (n = 0; n < 1000; n++) {
        stream_pool_buf *event;
        if (stream_pool_acquire(&pool, 100, &event) != STREAM_OK) return 1;
        event->len = (size_t)snprintf(event->data, event->capacity, "data: event %u\n\n", n);
        for (i = 0; i < 3; i++) inbox[i][n % 4] = stream_pool_retain(event);
        stream_pool_release(event); /* our own reference; the readers have theirs */
        for (i = 0; i < 3 && i <= n; i++) {
            stream_pool_buf **late = &inbox[i][(n - i) % 4];
            read[i] += (unsigned long)(*late)->len;
            stream_pool_release(*late);
            *late = NULL;
        }
    }
    stream_pool_stats(&pool, &usage);
    printf("readers got %lu, %lu and %lu bytes\n", read[0], read[1], read[2]);
    printf("%llu buffers allocated, reused %llu times, %llu still with a reader\n",
           (unsigned long long)usage.total.allocated, (unsigned long long)usage.total.reused,
           (unsigned long long)usage.total.in_use);
    for (i = 0; i < 12; i++) stream_pool_release(inbox[i / 4][i % 4]); /* NULL is fine */
    stream_pool_free(&pool);
    return 0;
}
