/* SPDX-License-Identifier: MIT-0
   An allocator that counts, refuses on request, always moves, and leaves nothing to be found. Zero a heap to
   start. Include after the implementation of stream.h. */
#ifndef HEAP_H
#define HEAP_H

enum { HEAP_HEADER = 16 };

typedef struct heap {
    size_t live, blocks, peak, calls, requests; /* requests: calls that want memory */
    size_t fail_at;                             /* the request to refuse, from 1; 0: none */
    bool fail_from;                             /* and all after it */
    bool failed, wrong;                         /* one was refused; an old size was not the true one */
} heap;

static inline void *heap_resize(void *ctx, void *ptr, size_t old_size, size_t new_size, size_t align) {
    heap *h = (heap *)ctx;
    char *old = ptr ? (char *)ptr - HEAP_HEADER : NULL, *fresh = NULL;
    size_t true_size = 0;
    h->calls++;
    if (old) memcpy(&true_size, old, sizeof true_size);
    if (true_size != old_size || align == 0 || align > HEAP_HEADER) h->wrong = true;
    if (new_size) {
        h->requests++;
        if (h->requests == h->fail_at || (h->fail_from && h->fail_at && h->requests > h->fail_at)) {
            h->failed = true;
            return NULL;
        }
        fresh = (char *)malloc(HEAP_HEADER + new_size);
        if (!fresh) return NULL;
        memcpy(fresh, &new_size, sizeof new_size);
        memset(fresh + HEAP_HEADER, 0xdb, new_size);
        if (old) memcpy(fresh + HEAP_HEADER, ptr, true_size < new_size ? true_size : new_size);
        h->live += new_size;
        h->blocks++;
    }
    if (old) {
        memset(ptr, 0xdd, true_size);
        free(old);
        h->live -= true_size;
        h->blocks--;
    }
    if (h->live > h->peak) h->peak = h->live;
    return fresh ? fresh + HEAP_HEADER : NULL;
}

static inline stream_allocator heap_hook(heap *h) {
    stream_allocator a;
    a.resize = heap_resize;
    a.ctx = h;
    return a;
}

#endif
