/* SPDX-License-Identifier: MIT-0
   The memory orders of stream.h's rings and queues under tests/order.h. What travels is written before it is
   sent and read after it has come, with plain accesses, and the counters begin two steps before they wrap. */
#include "order.h"

#define STREAM_NO_OS
#define STREAM_IMPLEMENTATION
#include "stream.h"

const char *const order_sites[] = {
#include "stream.sites"
};
const unsigned order_site_count = sizeof order_sites / sizeof order_sites[0];
const unsigned order_grain = 0;

#define START (UINT64_MAX - 1)

/* Payloads: who made it, its number, and how often it was taken. */
typedef struct thing {
    int from, number, taken;
} thing;

static thing *things; /* [thread][4] */

static thing *thing_make(int number) {
    thing *t = &things[4 * order_self() + number];
    t->from = order_self();
    t->number = number;
    return t;
}

/* Every thing once, and those of one maker in their order. */
static void thing_take(void *item, int last[ORDER_THREADS]) {
    thing *t = (thing *)item;
    ORDER_CHECK(t == &things[4 * t->from + t->number]);
    ORDER_CHECK(t->taken++ == 0);
    ORDER_CHECK(t->number >= last[t->from]);
    last[t->from] = t->number + 1;
}

static void things_begin(void) { things = (thing *)order_alloc(4 * ORDER_THREADS * sizeof *things); }

static int things_taken(void) {
    int i, n = 0;
    for (i = 0; i < 4 * ORDER_THREADS; i++) n += things[i].taken;
    return n;
}

/* -- ring -- */

static stream_ring *ring;

static void ring_make(size_t capacity) {
    stream_ring_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.capacity = capacity;
    desc.start = START;
    desc.allocator.resize = order_resize;
    ring = (stream_ring *)order_alloc(sizeof *ring);
    ORDER_CHECK(stream_ring_init(ring, &desc) == STREAM_OK);
}
static void ring_end(void) {
    stream_ring_free(ring);
    ORDER_CHECK(order_live() == 1);
}

/* Copies of two and three bytes through three, then END. */
static void ring_three(void) { ring_make(3); }
static void ring_write(void) {
    static const char text[] = "abcdefg";
    size_t at = 0, put;
    while (at < 7) {
        size_t len = at & 1 ? 3 : 2;
        if (len > 7 - at) len = 7 - at;
        if (stream_ring_write(ring, text + at, len, &put) == STREAM_FULL) order_pause();
        at += put;
    }
    stream_ring_close(ring);
    ORDER_CHECK(stream_ring_write(ring, text, 1, &put) == STREAM_E_STATE);
}
static void ring_read(void) {
    char bytes[12];
    size_t at = 0, got;
    stream_status status;
    while ((status = stream_ring_read(ring, bytes + at, at & 1 ? 3 : 2, &got)) != STREAM_END) {
        if (status == STREAM_EMPTY) order_pause();
        at += got;
        ORDER_CHECK(at <= 7);
    }
    ORDER_CHECK(at == 7 && memcmp(bytes, "abcdefg", 7) == 0);
}

/* Records of two bytes in place: a part before the end is given up in each lap. */
static void ring_reserve(void) {
    void *span;
    int i;
    for (i = 0; i < 3; i++) {
        while (stream_ring_reserve(ring, 2, &span) == STREAM_FULL) order_pause();
        ((char *)span)[0] = (char)('a' + i);
        ((char *)span)[1] = (char)('A' + i);
        ORDER_CHECK(stream_ring_commit(ring, 2) == STREAM_OK);
    }
    stream_ring_close(ring);
}
static void ring_peek(void) {
    stream_slice span[2];
    stream_status status;
    int i = 0;
    while ((status = stream_ring_peek(ring, span)) != STREAM_END) {
        if (status == STREAM_EMPTY) {
            order_pause();
            continue;
        }
        ORDER_CHECK(i < 3 && span[0].len >= 2 && span[0].len % 2 == 0);
        ORDER_CHECK(span[0].ptr[0] == 'a' + i && span[0].ptr[1] == 'A' + i);
        ORDER_CHECK(stream_ring_consume(ring, 2) == STREAM_OK);
        i++;
    }
    ORDER_CHECK(i == 3);
}
static void ring_read_pairs(void) { /* the same records copied out */
    char pair[2];
    size_t got;
    stream_status status;
    int i = 0;
    while ((status = stream_ring_read(ring, pair, 2, &got)) != STREAM_END) {
        if (status == STREAM_EMPTY) {
            order_pause();
            continue;
        }
        ORDER_CHECK(i < 3 && got == 2 && pair[0] == 'a' + i && pair[1] == 'A' + i);
        i++;
    }
    ORDER_CHECK(i == 3);
}

/* Two spans staged become visible together. */
static void ring_four(void) { ring_make(4); }
static void ring_stage(void) {
    void *span;
    int i, k;
    for (i = 0; i < 2; i++) {
        for (k = 0; k < 2; k++) {
            while (stream_ring_reserve(ring, 1, &span) == STREAM_FULL) order_pause();
            *(char *)span = (char)('a' + 2 * i + k);
            ORDER_CHECK(stream_ring_stage(ring, 1) == STREAM_OK);
        }
        stream_ring_publish(ring);
    }
    stream_ring_close(ring);
}
static void ring_peek_pairs(void) {
    stream_slice span[2];
    stream_status status;
    int i = 0;
    while ((status = stream_ring_peek(ring, span)) != STREAM_END) {
        if (status == STREAM_EMPTY) {
            order_pause();
            continue;
        }
        ORDER_CHECK((span[0].len + span[1].len) % 2 == 0);
        ORDER_CHECK(span[0].ptr[0] == 'a' + i);
        ORDER_CHECK((span[0].len > 1 ? span[0].ptr[1] : span[1].ptr[0]) == 'a' + i + 1);
        ORDER_CHECK(stream_ring_consume(ring, 2) == STREAM_OK);
        i += 2;
    }
    ORDER_CHECK(i == 4);
}

/* -- spsc -- */

static stream_spsc *spsc;

static void spsc_two(void) {
    stream_spsc_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.capacity = 2;
    desc.start = START;
    desc.allocator.resize = order_resize;
    spsc = (stream_spsc *)order_alloc(sizeof *spsc);
    ORDER_CHECK(stream_spsc_init(spsc, &desc) == STREAM_OK);
    things_begin();
}
static void spsc_push(void) {
    int i;
    for (i = 0; i < 4; i++) {
        thing *t = thing_make(i);
        while (stream_spsc_push(spsc, t) == STREAM_FULL) order_pause();
    }
}
static void spsc_pop(void) {
    int last[ORDER_THREADS] = {0}, i;
    void *item;
    for (i = 0; i < 4; i++) {
        while (stream_spsc_pop(spsc, &item) == STREAM_EMPTY) order_pause();
        thing_take(item, last);
    }
}
static void spsc_push_n(void) {
    void *item[4];
    size_t at = 0, n;
    int i;
    for (i = 0; i < 4; i++) item[i] = thing_make(i);
    while (at < 4) {
        at += n = stream_spsc_push_n(spsc, item + at, at ? 4 - at : 1);
        if (n == 0) order_pause();
    }
}
static void spsc_pop_n(void) {
    int last[ORDER_THREADS] = {0};
    void *item[4];
    size_t at = 0, n, k;
    while (at < 4) {
        n = stream_spsc_pop_n(spsc, item, 4);
        for (k = 0; k < n; k++) thing_take(item[k], last);
        at += n;
        if (n == 0) order_pause();
    }
}
static void spsc_end(void) {
    void *item;
    ORDER_CHECK(things_taken() == 4 && stream_spsc_pop(spsc, &item) == STREAM_EMPTY);
    stream_spsc_free(spsc);
    ORDER_CHECK(order_live() == 2);
}

/* -- queue -- */

static stream_queue *queue;

static void queue_make(size_t capacity, stream_overflow overflow) {
    stream_queue_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.capacity = capacity;
    desc.urgent = 1;
    desc.overflow = overflow;
    desc.start = START;
    desc.allocator.resize = order_resize;
    queue = (stream_queue *)order_alloc(sizeof *queue);
    ORDER_CHECK(stream_queue_init(queue, &desc) == STREAM_OK);
    things_begin();
}
static void queue_one(void) { queue_make(1, STREAM_OVERFLOW_FAIL); }
static void queue_two(void) { queue_make(2, STREAM_OVERFLOW_FAIL); }
static void queue_three(void) { queue_make(3, STREAM_OVERFLOW_FAIL); }
static void queue_drop_old(void) { queue_make(1, STREAM_OVERFLOW_DROP_OLD); }
static void queue_drop_old_of_three(void) {
    void *dropped;
    int i;
    queue_make(3, STREAM_OVERFLOW_DROP_OLD);
    for (i = 0; i < 3; i++) { /* full; made by nobody's thread, in the fourth row */
        things[12 + i].from = 3;
        things[12 + i].number = i;
        ORDER_CHECK(stream_queue_push(queue, &things[12 + i], &dropped) == STREAM_OK && !dropped);
    }
}

static void queue_push(int count) {
    void *dropped;
    int i;
    for (i = 0; i < count; i++) {
        thing *t = thing_make(i);
        while (stream_queue_push(queue, t, &dropped) == STREAM_FULL) order_pause();
    }
}
static void queue_pop(int count) {
    int last[ORDER_THREADS] = {0};
    void *item;
    while (count-- > 0) {
        while (stream_queue_pop(queue, &item) == STREAM_EMPTY) order_pause();
        thing_take(item, last);
    }
}
static void push_1(void) { queue_push(1); }
static void push_2(void) { queue_push(2); }
static void push_3(void) { queue_push(3); }
static void pop_1(void) { queue_pop(1); }
static void pop_2(void) { queue_pop(2); }
static void pop_3(void) { queue_pop(3); }
static void pop_4(void) { queue_pop(4); }
static void push_urgent(void) {
    void *dropped;
    thing *t = thing_make(0);
    ORDER_CHECK(stream_queue_push(queue, thing_make(1), &dropped) == STREAM_OK);
    ORDER_CHECK(stream_queue_push_urgent(queue, t, &dropped) == STREAM_OK);
}
static void pop_urgent(void) { /* the urgent one overtakes, unless the other was gone already */
    void *item;
    int i;
    for (i = 0; i < 2; i++) {
        while (stream_queue_pop(queue, &item) == STREAM_EMPTY) order_pause();
        ORDER_CHECK(((thing *)item)->taken++ == 0);
    }
}

/* All or some of a batch in one step: nobody else's in between. */
static void push_n(void) {
    void *item[2];
    size_t at = 0, n;
    item[0] = thing_make(0);
    item[1] = thing_make(1);
    while (at < 2) {
        at += n = stream_queue_push_n(queue, item + at, 2 - at);
        if (n == 0) order_pause();
    }
}
static void pop_n(void) {
    int last[ORDER_THREADS] = {0};
    void *item[2];
    size_t at = 0, n, k;
    while (at < 2) {
        at += n = stream_queue_pop_n(queue, item, 2 - at);
        for (k = 0; k < n; k++) thing_take(item[k], last);
        if (n == 0) order_pause();
    }
}

/* What is dropped is the pusher's again: it counts as taken, by it. */
static void push_or_drop(void) {
    int i;
    for (i = 0; i < 2; i++) {
        void *dropped = NULL;
        ORDER_CHECK(stream_queue_push(queue, thing_make(i), &dropped) == STREAM_OK);
        if (dropped) ORDER_CHECK(((thing *)dropped)->taken++ == 0);
    }
}
static void pop_some(void) {
    int last[ORDER_THREADS] = {0}, tries;
    void *item;
    for (tries = 0; tries < 2; tries++)
        if (stream_queue_pop(queue, &item) == STREAM_OK) thing_take(item, last);
}

static void queue_end(void) {
    int last[ORDER_THREADS] = {0}, i, made = 0;
    stream_queue_usage usage;
    void *item;
    while (stream_queue_pop(queue, &item) == STREAM_OK) thing_take(item, last);
    for (i = 0; i < 4 * ORDER_THREADS; i++) made += things[i].from || things[i].number || things[i].taken;
    ORDER_CHECK(things_taken() == made);
    stream_queue_stats(queue, &usage);
    ORDER_CHECK(usage.depth == 0 && usage.pushed == usage.popped);
    stream_queue_free(queue);
    ORDER_CHECK(order_live() == 2);
}

static const order_case cases[] = {
    {"ring.copy", ring_three, {ring_write, ring_read}, ring_end, 0},
    {"ring.span", ring_three, {ring_reserve, ring_peek}, ring_end, 0},
    {"ring.span-copied", ring_three, {ring_reserve, ring_read_pairs}, ring_end, 0},
    {"ring.stage", ring_four, {ring_stage, ring_peek_pairs}, ring_end, 0},
    {"spsc.one", spsc_two, {spsc_push, spsc_pop}, spsc_end, 0},
    {"spsc.n", spsc_two, {spsc_push_n, spsc_pop_n}, spsc_end, 0},
    {"queue.1x1", queue_two, {push_3, pop_3}, queue_end, 0},
    {"queue.2x1", queue_two, {push_2, push_2, pop_4}, queue_end, 0},
    {"queue.1x2", queue_two, {push_3, pop_1, pop_2}, queue_end, 0},
    {"queue.2x2", queue_two, {push_2, push_1, pop_2, pop_1}, queue_end, 0},
    {"queue.of-one", queue_one, {push_2, push_1, pop_2, pop_1}, queue_end, 0},
    {"queue.of-three", queue_three, {push_3, push_2, pop_3, pop_2}, queue_end, 0},
    {"queue.urgent", queue_two, {push_urgent, pop_urgent}, queue_end, 0},
    {"queue.n", queue_two, {push_n, push_n, pop_n, pop_n}, queue_end, 0},
    {"queue.n-of-three", queue_three, {push_n, push_2, pop_n, pop_2}, queue_end, 0},
    {"queue.drop-old", queue_drop_old, {push_or_drop, push_or_drop, pop_some}, queue_end, 0},
    {"queue.drop-old-of-three", queue_drop_old_of_three, {push_or_drop, push_or_drop, pop_some}, queue_end, 0},
    {NULL, NULL, {NULL}, NULL, 0},
};

int main(int argc, char **argv) { return order_main(argc, argv, "order.stream", cases); }
