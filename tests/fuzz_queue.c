/* SPDX-License-Identifier: MIT-0
   Fuzz target: the input is a list of calls on a queue, and on a channel that never waits, by one thread,
   beside two plain lists of what must be in the lanes. The first four bytes choose the capacities, what
   becomes of an item that has no room, where the counters begin (shortly before their end, too), and
   whether the channel has a descriptor, which must be readable when it says so and not before. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "fuzz_split.h"

#include <poll.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { MOST = 1 << 12, BATCH = 16 };

/* What is in the lanes: item i of all that were ever offered is things + i. */
typedef struct model {
    size_t item[2][MOST]; /* ordinary, urgent; [from, to) are inside */
    size_t from[2], to[2], capacity[2];
    size_t offered;
    uint64_t pushed, popped, refused, dropped_new, dropped_old;
    stream_overflow overflow;
    bool closed;
} model;

static char things[MOST];

static size_t inside(const model *m, int lane) { return m->to[lane] - m->from[lane]; }

static void put(model *m, int lane, size_t item) {
    m->item[lane][m->to[lane]++] = item;
    m->pushed++;
}

static void *take(model *m) {
    const int lane = inside(m, 1) > 0;
    FUZZ_CHECK(inside(m, lane) > 0);
    m->popped++;
    return things + m->item[lane][m->from[lane]++];
}

/* One push by the policy: what it must say, and hand back. */
static stream_status push(model *m, int lane, size_t item, void **back) {
    *back = NULL;
    if (m->closed) return STREAM_E_STATE;
    if (inside(m, lane) < m->capacity[lane]) {
        put(m, lane, item);
    } else if (m->overflow == STREAM_OVERFLOW_FAIL) {
        m->refused++;
        return STREAM_FULL;
    } else if (m->overflow == STREAM_OVERFLOW_DROP_NEW) {
        m->dropped_new++;
        *back = things + item;
    } else {
        *back = things + m->item[lane][m->from[lane]++];
        m->popped++;
        m->dropped_old++;
        put(m, lane, item);
    }
    return STREAM_OK;
}

/* As many as fit into a lane, and nothing dropped. */
static size_t push_some(model *m, int lane, size_t first, size_t count) {
    size_t i, room = m->capacity[lane] - inside(m, lane);
    if (m->closed) return 0;
    for (i = 0; i < count && i < room; i++) put(m, lane, first + i);
    return i;
}

static void same_counts(const model *m, const stream_queue_usage *u) {
    FUZZ_CHECK(u->depth == inside(m, 0) + inside(m, 1) && u->pushed == m->pushed && u->popped == m->popped);
    FUZZ_CHECK(u->refused == m->refused);
    FUZZ_CHECK(u->dropped_new == m->dropped_new && u->dropped_old == m->dropped_old);
}

static void begin(model *m, const stream_queue_desc *desc) {
    m->from[0] = m->from[1] = m->to[0] = m->to[1] = m->offered = 0;
    m->pushed = m->popped = m->refused = m->dropped_new = m->dropped_old = 0;
    m->capacity[0] = desc->capacity;
    m->capacity[1] = desc->urgent;
    m->overflow = desc->overflow;
    m->closed = false;
}

static void queue(const uint8_t *p, const uint8_t *e, const stream_queue_desc *desc) {
    static model m;
    stream_queue q;
    stream_queue_usage usage;
    begin(&m, desc);
    FUZZ_CHECK(stream_queue_init(&q, desc) == STREAM_OK);
    for (; p < e && m.offered < MOST - BATCH; p++) {
        const size_t n = *p >> 3 & (BATCH - 1);
        const int lane = *p % 8 == 1;
        void *some[BATCH], *back = things, *want = NULL;
        size_t i, took;
        switch (*p % 8) {
        case 0:
        case 1: {
            const stream_status status = push(&m, lane, m.offered, &want);
            void *item = things + m.offered++;
            FUZZ_CHECK((lane ? stream_queue_push_urgent(&q, item, &back)
                             : stream_queue_push(&q, item, n % 2 ? &back : NULL)) == status);
            if (lane || n % 2) FUZZ_CHECK(back == want);
            break;
        }
        case 2:
        case 3:
            took = push_some(&m, 0, m.offered, n);
            m.refused += n - took;
            for (i = 0; i < n; i++) some[i] = things + m.offered++;
            FUZZ_CHECK(stream_queue_push_n(&q, some, n) == took);
            break;
        case 4:
        case 5:
            took = stream_queue_pop_n(&q, some, n);
            FUZZ_CHECK(took == (n < inside(&m, 0) + inside(&m, 1) ? n : inside(&m, 0) + inside(&m, 1)));
            for (i = 0; i < took; i++) FUZZ_CHECK(some[i] == take(&m));
            break;
        case 6:
            if (inside(&m, 0) + inside(&m, 1) == 0) FUZZ_CHECK(stream_queue_pop(&q, &back) == STREAM_EMPTY);
            else FUZZ_CHECK(stream_queue_pop(&q, &back) == STREAM_OK && back == take(&m));
            break;
        default:
            stream_queue_stats(&q, &usage);
            same_counts(&m, &usage);
        }
    }
    stream_queue_free(&q);
}

/* Whether the descriptor is readable. */
static bool readable(const stream_channel *c) {
    struct pollfd fd;
    fd.fd = stream_channel_fd(c);
    fd.events = POLLIN;
    return poll(&fd, 1, 0) == 1;
}

static void channel(const uint8_t *p, const uint8_t *e, const stream_channel_desc *desc) {
    static model m;
    stream_channel c;
    stream_queue_usage usage;
    bool armed = false;
    begin(&m, &desc->queue);
    FUZZ_CHECK(stream_channel_init(&c, desc) == STREAM_OK);
    FUZZ_CHECK((stream_channel_fd(&c) >= 0) == desc->wake_fd);
    for (; p < e && m.offered < MOST - BATCH; p++) {
        const size_t n = *p >> 4, there = inside(&m, 0) + inside(&m, 1);
        const stream_status none = m.closed ? STREAM_END : STREAM_EMPTY;
        const int lane = *p % 16 == 2;
        void *some[BATCH], *back = things, *want = NULL, *item = things + m.offered;
        stream_status status;
        bool sent = false;
        size_t i, took, got;
        switch (*p % 16) {
        case 0:
        case 1:
        case 2: /* they never drop */
            took = push_some(&m, lane, m.offered++, 1);
            status = took ? STREAM_OK : m.closed ? STREAM_E_STATE : STREAM_FULL;
            m.refused += status == STREAM_FULL;
            FUZZ_CHECK((lane ? stream_channel_send_urgent(&c, item, 0) : stream_channel_send(&c, item, 0)) ==
                       status);
            sent = took > 0;
            break;
        case 3:
        case 4:
            took = push_some(&m, 0, m.offered, n);
            status = took == n ? STREAM_OK : m.closed ? STREAM_E_STATE : STREAM_FULL;
            if (status == STREAM_FULL) m.refused += n - took;
            for (i = 0; i < n; i++) some[i] = things + m.offered++;
            FUZZ_CHECK(stream_channel_send_n(&c, some, n, 0, &got) == status && got == took);
            sent = took > 0;
            break;
        case 5:
        case 6:
        case 7:
            status = push(&m, 0, m.offered++, &want);
            FUZZ_CHECK(stream_channel_try_send(&c, item, &back) == status && back == want);
            sent = status == STREAM_OK;
            break;
        case 8:
        case 9:
            status = *p % 2 ? stream_channel_try_recv(&c, &back) : stream_channel_recv(&c, &back, 0);
            FUZZ_CHECK(status == (there ? STREAM_OK : none));
            if (there) FUZZ_CHECK(back == take(&m));
            break;
        case 10:
        case 11:
            status = stream_channel_recv_n(&c, some, n, 0, &got);
            FUZZ_CHECK(status == (there || n == 0 ? STREAM_OK : none) && got == (n < there ? n : there));
            for (i = 0; i < got; i++) FUZZ_CHECK(some[i] == take(&m));
            break;
        case 12:
            status = stream_channel_arm(&c);
            if (!desc->wake_fd) {
                FUZZ_CHECK(status == STREAM_E_STATE);
                break;
            }
            FUZZ_CHECK(status == (there || m.closed ? STREAM_OK : STREAM_EMPTY));
            armed = status == STREAM_EMPTY;
            if (armed) FUZZ_CHECK(!readable(&c));
            break;
        case 13:
            FUZZ_CHECK(stream_channel_advise_ns(&c, m.offered * 1000) <= 100000000);
            break;
        case 14:
            stream_channel_stats(&c, &usage);
            same_counts(&m, &usage);
            break;
        default:
            if (n < 12) break; /* not too soon */
            stream_channel_close(&c);
            m.closed = sent = true;
        }
        if (armed && sent) FUZZ_CHECK(readable(&c));
        armed = armed && !sent;
    }
    stream_channel_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    stream_channel_desc desc;
    heap h;
    size_t need;
    void *memory;
    if (len < 4) return 0;
    memset(&desc, 0, sizeof desc);
    desc.queue.capacity = 1 + data[0] % 40;
    desc.queue.urgent = 1 + data[1] % 8;
    desc.queue.overflow = (stream_overflow)(data[2] % 3);
    desc.queue.start = data[2] & 64 ? data[3] : (UINT64_C(1) << 63) - data[3];
    desc.queue.allocator = fuzz_memory(&h, 0);
    need = stream_queue_memory(&desc.queue);
    queue(data + 4, data + len, &desc.queue);
    fuzz_memory_done(&h, need);
    desc.wake_fd = data[2] >= 128 && len % 8 == 0; /* a call of the system takes longer than all others */
    channel(data + 4, data + len, &desc);
    fuzz_memory_done(&h, need);
    memory = malloc(need);
    if (!memory) exit(1);
    desc.queue.memory = memory;
    queue(data + 4, data + len, &desc.queue);
    fuzz_memory_done(&h, need);
    free(memory);
    return 0;
}
