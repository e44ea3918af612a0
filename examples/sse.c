/* Shows server-sent events from standard input (`curl -sN URL | sse`), one a line; then writes one of its own:
   whatever its data is, it cannot become another event. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include <stdio.h>

int main(void) {
    stream_sse sse;
    stream_pipeline pipe;
    stream_pipeline_desc desc = {0};
    stream_sse_event mine = {0};
    stream_item item;
    stream_status st;
    char out[100];
    size_t len;

    if (stream_sse_init(&sse, NULL) != STREAM_OK) return 1;
    desc.source = stream_source_fd(0);
    desc.decoder = stream_sse_decoder(&sse);
    if (stream_pipeline_init(&pipe, &desc) != STREAM_OK) return 1;
    while ((st = stream_pipeline_next(&pipe, &item)) != STREAM_END) {
        stream_slice type = stream_sse_type(&sse.event), id = stream_sse_last_id(&sse);
        if (st == STREAM_OK)
            printf("%.*s #%.*s: %.*s\n", (int)type.len, type.ptr, (int)id.len, id.len ? id.ptr : "",
                   (int)item.len, item.ptr);
        else fprintf(stderr, "offset %llu: %s\n", (unsigned long long)item.offset, stream_status_text(st));
    }
    mine.event = stream_slice_text("done");
    mine.data = stream_slice_text("two\nlines");
    if (stream_sse_write(&mine, out, sizeof out, &len) == STREAM_OK) fwrite(out, 1, len, stdout);
    stream_pipeline_free(&pipe);
    stream_sse_free(&sse);
    return 0;
}
