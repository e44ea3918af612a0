/* SPDX-License-Identifier: MIT-0
   Fuzz target: the input is a list of calls on a byte ring and on a ring of pointers, by one thread, each
   beside a plain list of what must be in it. The first three bytes choose the capacities and where the
   counters begin: shortly before their end, too. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "fuzz_split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { MOST = 1 << 14 };

/* Bytes in the order they were written: [read, published) can be read, [published, staged) cannot be yet.
   */
typedef struct model {
    char bytes[MOST];
    size_t read, published, staged, reserved;
    bool closed;
    bool gaps; /* a reservation, which lies in one piece, may have given up the rest of the memory's end */
} model;

static char next_byte(const model *m, size_t i) { return (char)((m->staged + i) * 167 >> 3); }

static void bytes(const uint8_t *p, const uint8_t *e, size_t capacity, uint64_t start) {
    static model m;
    stream_ring ring;
    stream_ring_desc desc;
    heap h;
    memset(&m, 0, sizeof m);
    memset(&desc, 0, sizeof desc);
    desc.capacity = capacity;
    desc.start = start;
    desc.allocator = fuzz_memory(&h, 0);
    FUZZ_CHECK(stream_ring_init(&ring, &desc) == STREAM_OK);
    for (; e - p >= 2 && m.staged < MOST - 512; p += 2) {
        const size_t n = p[1], used = m.staged - m.read, room = capacity - used, there = m.published - m.read;
        char text[256];
        size_t i, took = 0;
        void *span;
        stream_slice two[2];
        stream_status status;
        FUZZ_CHECK(used <= capacity);
        switch (p[0] % 9) {
        case 0: /* what was staged before is published as well, an open reservation is dropped */
            for (i = 0; i < n; i++) text[i] = next_byte(&m, i);
            status = stream_ring_write(&ring, text, n, &took);
            if (m.closed) {
                FUZZ_CHECK(status == STREAM_E_STATE);
                break;
            }
            FUZZ_CHECK(m.gaps ? took <= n && took <= room : took == (n < room ? n : room));
            FUZZ_CHECK(status == (took || n == 0 ? STREAM_OK : STREAM_FULL));
            memcpy(m.bytes + m.staged, text, took);
            m.staged += took;
            if (took) m.published = m.staged; /* with nothing to write, nothing happens */
            m.reserved = 0;
            break;
        case 1:
            status = stream_ring_reserve(&ring, n, &span);
            m.reserved = 0; /* the one before, whatever comes of this one */
            m.gaps = true;
            if (m.closed) FUZZ_CHECK(status == STREAM_E_STATE);
            else if (n > capacity) FUZZ_CHECK(status == STREAM_E_TOO_LONG);
            else FUZZ_CHECK(n <= room ? status == STREAM_OK || status == STREAM_FULL : status == STREAM_FULL);
            if (status == STREAM_OK) {
                m.reserved = n;
                for (i = 0; i < n; i++) ((char *)span)[i] = next_byte(&m, i);
            }
            break;
        case 2:
        case 3:
            status = p[0] % 9 == 2 ? stream_ring_commit(&ring, n) : stream_ring_stage(&ring, n);
            if (status != STREAM_OK) {
                FUZZ_CHECK(status == STREAM_E_ARGUMENT ? n > m.reserved : m.closed);
                break;
            }
            FUZZ_CHECK(n <= m.reserved);
            for (i = 0; i < n; i++) m.bytes[m.staged + i] = next_byte(&m, i);
            m.staged += n;
            m.reserved = 0;
            if (p[0] % 9 == 2) m.published = m.staged;
            break;
        case 4:
            stream_ring_publish(&ring);
            m.published = m.staged;
            break;
        case 5:
            status = stream_ring_read(&ring, text, n, &took);
            if (there) FUZZ_CHECK(status == STREAM_OK && took == (n < there ? n : there));
            else FUZZ_CHECK(status == (m.closed ? STREAM_END : STREAM_EMPTY));
            if (status != STREAM_OK) break;
            FUZZ_CHECK(memcmp(text, m.bytes + m.read, took) == 0);
            m.read += took;
            break;
        case 6:
            status = stream_ring_peek(&ring, two);
            FUZZ_CHECK(status == (there ? STREAM_OK : m.closed ? STREAM_END : STREAM_EMPTY));
            if (status != STREAM_OK) break;
            FUZZ_CHECK(two[0].len > 0 && two[0].len + two[1].len == there);
            FUZZ_CHECK(memcmp(two[0].ptr, m.bytes + m.read, two[0].len) == 0);
            if (two[1].len) FUZZ_CHECK(memcmp(two[1].ptr, m.bytes + m.read + two[0].len, two[1].len) == 0);
            status = stream_ring_consume(&ring, n);
            FUZZ_CHECK(status == (n <= there ? STREAM_OK : STREAM_E_ARGUMENT));
            if (status == STREAM_OK) m.read += n;
            break;
        case 7:
            stream_ring_abort(&ring);
            m.reserved = 0;
            break;
        default:
            if (n > 250) { /* not too soon */
                stream_ring_close(&ring);
                m.closed = true;
                m.published = m.staged;
                m.reserved = 0;
            } else {
                took = stream_ring_writable(&ring);
                FUZZ_CHECK(took <= room && (m.gaps || m.closed || took == room));
            }
        }
    }
    stream_ring_free(&ring);
    fuzz_memory_done(&h, capacity);
}

static void pointers(const uint8_t *p, const uint8_t *e, size_t capacity, uint64_t start) {
    stream_spsc ring;
    stream_spsc_desc desc;
    heap h;
    size_t pushed = 0, popped = 0, i, took;
    static char things[MOST];
    void *some[16];
    memset(&desc, 0, sizeof desc);
    desc.capacity = capacity;
    desc.start = start;
    desc.allocator = fuzz_memory(&h, 0);
    FUZZ_CHECK(stream_spsc_init(&ring, &desc) == STREAM_OK);
    for (; p < e && pushed < MOST - 16; p++) {
        const size_t n = *p >> 2 & 15, room = capacity - (pushed - popped), there = pushed - popped;
        switch (*p & 3) {
        case 0:
            FUZZ_CHECK(stream_spsc_push(&ring, things + pushed) == (room ? STREAM_OK : STREAM_FULL));
            pushed += room > 0;
            break;
        case 1:
            some[0] = NULL;
            FUZZ_CHECK(stream_spsc_pop(&ring, some) == (there ? STREAM_OK : STREAM_EMPTY));
            if (there) FUZZ_CHECK(some[0] == things + popped);
            popped += there > 0;
            break;
        case 2:
            for (i = 0; i < n; i++) some[i] = things + pushed + i;
            took = stream_spsc_push_n(&ring, some, n);
            FUZZ_CHECK(took == (n < room ? n : room));
            pushed += took;
            break;
        default:
            took = stream_spsc_pop_n(&ring, some, n);
            FUZZ_CHECK(took == (n < there ? n : there));
            for (i = 0; i < took; i++) FUZZ_CHECK(some[i] == things + popped + i);
            popped += took;
        }
    }
    stream_spsc_free(&ring);
    FUZZ_CHECK(h.live == 0 && h.blocks == 0 && !h.wrong);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    size_t capacity;
    uint64_t start;
    if (len < 3) return 0;
    capacity = 1 + data[0];
    start = data[1] & 1 ? 0 - (uint64_t)data[2] : data[2];
    bytes(data + 3, data + len, capacity, start);
    pointers(data + 3, data + len, 1 + capacity % 32, start);
    return 0;
}
