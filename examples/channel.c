/* Two threads and a channel of four: one reads lines and sends them, the other counts letters. The reader
   waits when the counter is slow, the counter when the input is; both asleep, nothing queued beyond four. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *count(void *arg) {
    stream_channel *ch = (stream_channel *)arg;
    void *line;
    while (stream_channel_recv(ch, &line, STREAM_FOREVER) == STREAM_OK) { /* until closed and empty */
        printf("%zu\n", strlen((char *)line));
        free(line);
    }
    return NULL;
}

int main(void) {
    stream_channel ch;
    stream_channel_desc desc = {0};
    stream_reader reader;
    stream_item line;
    pthread_t counter;
    desc.queue.capacity = 4;
    if (stream_channel_init(&ch, &desc) != STREAM_OK || stream_reader_init(&reader, NULL) != STREAM_OK) return 1;
    if (pthread_create(&counter, NULL, count, &ch) != 0) return 1;
    while (stream_reader_next(&reader, &line) == STREAM_OK) {
        char *copy = (char *)calloc(1, line.len + 1); /* the receiver's, as soon as send says OK */
        if (!copy) break;
        if (line.len) memcpy(copy, line.ptr, line.len);
        if (stream_channel_send(&ch, copy, STREAM_FOREVER) != STREAM_OK) free(copy);
    }
    stream_channel_close(&ch); /* what is inside is still received */
    pthread_join(counter, NULL);
    stream_channel_free(&ch);
    stream_reader_free(&reader);
    return 0;
}
