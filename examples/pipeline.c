/* The whole idea in one object: source -> pooled buffer -> decoder -> you, with flow and metrics wired.
   Counts the records on standard input; memory stays the same for a kilobyte and for a terabyte. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#define STREAM_POOL_IMPLEMENTATION
#include "stream_pool.h"
#include <stdio.h>

int main(void) {
    stream_pool pool;
    stream_json json;
    stream_pipeline pipe;
    stream_pipeline_desc desc = {0};
    stream_item item;
    stream_status st;

    if (stream_pool_init(&pool, NULL) != STREAM_OK || stream_json_init(&json, NULL) != STREAM_OK) return 1;
    desc.source = stream_source_fd(0);
    desc.buffers = stream_pool_buffers(&pool); /* borrowed only while bytes are in it */
    desc.decoder = stream_json_decoder(&json); /* any decoder goes here */
    if (stream_pipeline_init(&pipe, &desc) != STREAM_OK) return 1;

    while ((st = stream_pipeline_next(&pipe, &item)) != STREAM_END)
        if (st < 0) fprintf(stderr, "offset %llu: %s\n", (unsigned long long)item.offset, stream_status_text(st));

    printf("%llu records, %llu pieces of noise, %llu lost, in %llu bytes\n", (unsigned long long)pipe.items,
           (unsigned long long)pipe.noise, (unsigned long long)pipe.errors, (unsigned long long)pipe.bytes);
    stream_pipeline_free(&pipe);
    stream_json_free(&json);
    stream_pool_free(&pool);
    return 0;
}
