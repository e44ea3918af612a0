/* SPDX-License-Identifier: MIT-0
   The memory orders of stream.h's rings and queues under tests/order.h. What travels is written before it is
   sent and read after it has come, with plain accesses, and the counters begin two steps before they wrap. */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "order.h"

/* The kernel's part. A futex is order.h's. An eventfd is a counter that order.h watches; its lock orders
   those who write and read it, and nobody else. */
static stream__a64 *fd_count;

static __attribute__((unused)) long kernel_futex(uint32_t *word, int op, uint32_t value,
                                                 const void *deadline) {
    if (order_self() < 0) return 0;
    if ((op & FUTEX_CMD_MASK) == FUTEX_WAKE) {
        order_wake(word, value);
        return 0;
    }
    if (order_wait(word, 4, value, deadline != NULL)) return 0;
    errno = ETIMEDOUT;
    return -1;
}
static int kernel_eventfd(void) {
    fd_count = (stream__a64 *)order_alloc(sizeof *fd_count);
    return 1000;
}
static long kernel_write(const void *ptr, size_t len) {
    (void)ptr;
    order_rmw(0, order_acq_rel, &fd_count->v, 8, '+', 1);
    order_wake(&fd_count->v, ORDER_THREADS);
    return (long)len;
}
static long kernel_read(void) {
    if (order_rmw(0, order_acq_rel, &fd_count->v, 8, '=', 0) > 0) return 8;
    errno = EAGAIN;
    return -1;
}
static void kernel_poll(void) { /* until the descriptor is readable */
    while (order_load(0, order_acquire, &fd_count->v, 8) == 0) order_wait(&fd_count->v, 8, 0, false);
}

/* Mutexes and condition variables, for tests/order_cond.c. The first word of either is its state: whether it
   is locked; which threads wait, one bit each, so that a signal takes exactly one of them. */
static __attribute__((unused)) void kernel_lock(pthread_mutex_t *lock) {
    for (;;) {
        uint64_t seen = 0;
        if (order_cas(0, order_acquire, lock, 8, &seen, 1, true)) return;
        if (seen) order_wait(lock, 8, 1, false);
    }
}
static __attribute__((unused)) void kernel_unlock(pthread_mutex_t *lock) {
    order_store(0, order_release, lock, 8, 0);
    order_wake(lock, 1);
}
static __attribute__((unused)) void kernel_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock,
                                                     bool timed) {
    uint64_t self = UINT64_C(1) << order_self(),
             seen = order_rmw(0, order_relaxed, cond, 8, '|', self) | self;
    kernel_unlock(lock);
    while (seen & self) {
        if (!order_wait(cond, 8, seen, timed))
            order_rmw(0, order_relaxed, cond, 8, '&', ~self); /* too late */
        seen = order_load(0, order_relaxed, cond, 8);
    }
    kernel_lock(lock);
}
static __attribute__((unused)) void kernel_cond_signal(pthread_cond_t *cond, bool all) {
    uint64_t seen = order_load(0, order_relaxed, cond, 8), to;
    do {
        unsigned waiting[ORDER_THREADS], n = 0, i;
        for (i = 0; i < ORDER_THREADS; i++)
            if (seen >> i & 1) waiting[n++] = i;
        to = n == 0 || all ? 0 : seen & ~(UINT64_C(1) << waiting[order_any(n)]);
    } while (!order_cas(0, order_relaxed, cond, 8, &seen, to, true));
    order_wake(cond, ORDER_THREADS);
}
#define pthread_mutex_lock(lock) kernel_lock(lock)
#define pthread_mutex_unlock(lock) kernel_unlock(lock)
#define pthread_mutex_init(lock, attr) (memset(lock, 0, sizeof *(lock)), 0)
#define pthread_mutex_destroy(lock) ((void)(lock))
#define pthread_cond_wait(cond, lock) kernel_cond_wait(cond, lock, false)
#define pthread_cond_timedwait(cond, lock, at) ((void)(at), kernel_cond_wait(cond, lock, true))
#define pthread_cond_signal(cond) kernel_cond_signal(cond, false)
#define pthread_cond_broadcast(cond) kernel_cond_signal(cond, true)
#define pthread_cond_init(cond, attr) (memset(cond, 0, sizeof *(cond)), 0)
#define pthread_cond_destroy(cond) ((void)(cond))

/* Of poll only what an idle loop asks: whether the eventfd was written, or until it is. */
static int kernel_poll_idle(struct pollfd *fds, int ms) {
    if (ms != 0) kernel_poll();
    else if (order_load(0, order_acquire, &fd_count->v, 8) == 0) return 0;
    fds->revents = POLLIN;
    return 1;
}

#define STREAM_SYS_POLL(fds, count, ms) ((void)(count), kernel_poll_idle(fds, ms))
#define STREAM_SYS_FUTEX(word, op, value, deadline) kernel_futex(word, op, value, deadline)
#define STREAM_SYS_WRITE(fd, ptr, len) ((void)(fd), kernel_write(ptr, len))
#define STREAM_SYS_READ(fd, ptr, len) ((void)(fd), (void)(ptr), (void)(len), kernel_read())
#define eventfd(count, flags) ((void)(count), (void)(flags), kernel_eventfd())
#define close(fd) ((void)(fd))
#define STREAM_IO_URING 0 /* its rings are shared with the kernel, which is not under the checker */
#define STREAM_NO_SIMD 1  /* and nothing of that is shared */
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

/* -- broadcast -- */

static stream_broadcast *broadcast;
static stream_broadcast_reader *reader[2];
static uint64_t first_number;

static size_t item_len(uint64_t number) { return number % 3 == 0 ? 12 : number % 3 == 1 ? 3 : 8; }

static void broadcast_make(size_t items, size_t bytes, stream_overrun overrun, bool hold) {
    stream_broadcast_desc desc;
    int i;
    memset(&desc, 0, sizeof desc);
    desc.max_items = items;
    desc.max_bytes = bytes;
    desc.max_held = 1;
    desc.start = first_number = UINT64_MAX - 1;
    desc.allocator.resize = order_resize;
    broadcast = (stream_broadcast *)order_alloc(sizeof *broadcast);
    ORDER_CHECK(stream_broadcast_init(broadcast, &desc) == STREAM_OK);
    for (i = 0; i < 2; i++) {
        reader[i] = (stream_broadcast_reader *)order_alloc(sizeof *reader[i]);
        stream_broadcast_join(broadcast, reader[i], overrun);
    }
    if (hold) ORDER_CHECK(stream_broadcast_hold(reader[0]) == STREAM_OK);
}
static void broadcast_oldest(void) { broadcast_make(2, 24, STREAM_OVERRUN_OLDEST, false); }
static void broadcast_newest(void) { broadcast_make(2, 24, STREAM_OVERRUN_NEWEST, false); }
static void broadcast_single(void) { broadcast_make(1, 16, STREAM_OVERRUN_OLDEST, false); }
static void broadcast_held(void) { broadcast_make(2, 16, STREAM_OVERRUN_OLDEST, true); }

static void item_make(char *bytes, uint64_t number) {
    memset(bytes, 'a' + (char)(number % 16), item_len(number));
}

static void broadcast_write(int count) {
    char bytes[16];
    uint64_t number = first_number;
    for (; count > 0; count--, number++) {
        item_make(bytes, number);
        while (stream_broadcast_write(broadcast, bytes, item_len(number)) == STREAM_FULL) order_pause();
    }
    stream_broadcast_close(broadcast);
}
static void write_3(void) { broadcast_write(3); }
static void write_4(void) { broadcast_write(4); }

/* Whole items in their order; what was missed is told, to the item and the byte. */
static void broadcast_read(stream_broadcast_reader *r, unsigned all, bool lossless) {
    char bytes[16], want[16];
    uint64_t number = first_number, got_bytes = 0, all_bytes = 0;
    size_t len;
    stream_status status;
    unsigned i;
    while ((status = stream_broadcast_read(r, bytes, sizeof bytes, &len)) != STREAM_END) {
        if (status == STREAM_EMPTY) {
            order_pause();
        } else if (status == STREAM_LOST) {
            ORDER_CHECK(!lossless && r->gap_items > 0);
            number += r->gap_items;
            ORDER_CHECK(r->next == number);
        } else {
            ORDER_CHECK(status == STREAM_OK && len == item_len(number));
            item_make(want, number);
            ORDER_CHECK(memcmp(bytes, want, len) == 0);
            got_bytes += len;
            number++;
        }
    }
    for (i = 0; i < all; i++) all_bytes += item_len(first_number + i);
    ORDER_CHECK(number == first_number + all && got_bytes + r->lost_bytes == all_bytes);
}
static void read_0_of_3(void) { broadcast_read(reader[0], 3, false); }
static void read_0_of_4(void) { broadcast_read(reader[0], 4, false); }
static void read_1_of_3(void) { broadcast_read(reader[1], 3, false); }
static void read_0_once(void) { /* whatever it gets, it is the first item, or the news that it is gone */
    char bytes[16], want[16];
    size_t len;
    stream_status status = stream_broadcast_read(reader[0], bytes, sizeof bytes, &len);
    if (status != STREAM_OK) return;
    item_make(want, first_number);
    ORDER_CHECK(len == item_len(first_number) && memcmp(bytes, want, len) == 0);
}
static void read_0_held(void) { broadcast_read(reader[0], 4, true); }
static void read_0_then_let_go(void) { /* one item held, then the writer is free to go on */
    char bytes[16], want[16];
    size_t len;
    while (stream_broadcast_read(reader[0], bytes, sizeof bytes, &len) == STREAM_EMPTY) order_pause();
    item_make(want, first_number);
    ORDER_CHECK(len == item_len(first_number) && memcmp(bytes, want, len) == 0);
    stream_broadcast_let_go(reader[0]);
}
static void look_around(void) { /* measures, and a reader that joins and goes back */
    stream_broadcast_reader *r = reader[1];
    uint64_t oldest, next, items, bytes;
    char text[16], want[16];
    size_t len;
    stream_broadcast_range(broadcast, &oldest, &next);
    ORDER_CHECK(next - oldest <= 4 && next - first_number <= 4);
    stream_broadcast_join(broadcast, r, STREAM_OVERRUN_OLDEST);
    stream_broadcast_lag(r, &items, &bytes);
    ORDER_CHECK(items <= 4 && bytes <= 4 * 12 && (items == 0) == (bytes == 0));
    if (stream_broadcast_seek(r, next) == STREAM_OK &&
        stream_broadcast_read(r, text, sizeof text, &len) == STREAM_OK) {
        ORDER_CHECK(r->next == next + 1 && len == item_len(next));
        item_make(want, next);
        ORDER_CHECK(memcmp(text, want, len) == 0);
    }
    if (oldest != next && stream_broadcast_seek(r, oldest) == STREAM_OK &&
        stream_broadcast_read(r, text, sizeof text, &len) == STREAM_OK) {
        ORDER_CHECK(r->next == oldest + 1 && len == item_len(oldest));
        item_make(want, oldest);
        ORDER_CHECK(memcmp(text, want, len) == 0);
    }
}
static void
write_and_hold_again(void) { /* as soon as the other lets go; from then on this one loses nothing */
    char bytes[16];
    uint64_t number = first_number;
    int i, ok = 0;
    for (i = 0; i < 4; i++, number++) {
        item_make(bytes, number);
        if (i == 1) {
            while (stream_broadcast_hold(reader[1]) == STREAM_FULL) order_pause();
            ORDER_CHECK(reader[1]->next == first_number);
        }
        if (stream_broadcast_write(broadcast, bytes, item_len(number)) == STREAM_FULL) break;
        ok++;
    }
    ORDER_CHECK(ok <= 2);
}
static void held_end(void) {
    char bytes[16], want[16];
    size_t len;
    item_make(want, first_number);
    ORDER_CHECK(stream_broadcast_read(reader[1], bytes, sizeof bytes, &len) == STREAM_OK &&
                len == item_len(first_number) && memcmp(bytes, want, len) == 0);
    stream_broadcast_free(broadcast);
    ORDER_CHECK(order_live() == 3);
}
static void seek_about(void) { /* to numbers it has from nobody who has seen the items */
    stream_broadcast_reader *r = reader[0];
    uint64_t number, items, bytes, want, k;
    for (number = first_number + 3; number != first_number; number--) {
        if (stream_broadcast_seek(r, number) != STREAM_OK) continue;
        stream_broadcast_lag(r, &items, &bytes);
        for (want = k = 0; k < items; k++) want += item_len(number + k);
        ORDER_CHECK(items <= 3 && bytes == want);
    }
}
static void broadcast_end(void) {
    stream_broadcast_free(broadcast);
    ORDER_CHECK(order_live() == 3);
}

/* -- credits -- */

static struct {
    stream_credits budget;
    char room[4]; /* what a credit stands for: given back after use, taken before */
} *credits;

static void credits_begin(void) { credits = order_alloc(sizeof *credits); }
static void credits_give(void) {
    int i;
    for (i = 0; i < 3; i++) {
        credits->room[i] = 'g';
        stream_credits_give(&credits->budget, 1);
    }
}
static void credits_take(void) { /* the only taker: credit n is for room n */
    int i;
    for (i = 0; i < 2; i++) {
        while (stream_credits_take(&credits->budget, 1) == STREAM_FULL) order_pause();
        ORDER_CHECK(credits->room[i] == 'g');
        credits->room[i] = 't';
    }
}
static void credits_take_some(void) {
    uint64_t all = 0, k, n;
    while (all < 3) {
        n = stream_credits_take_some(&credits->budget, 3);
        for (k = all; k < all + n; k++) ORDER_CHECK(credits->room[k] == 'g');
        all += n;
        if (n == 0) order_pause();
    }
}
static void credits_end(void) { ORDER_CHECK(credits->budget.left.v <= 3); }

/* -- flow and metrics: measures, relaxed throughout; nothing is lost, nothing goes back -- */

static stream_flow *flow;

static void flow_begin(void) {
    stream_flow_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.size = 1;
    flow = (stream_flow *)order_alloc(sizeof *flow);
    ORDER_CHECK(stream_flow_init(flow, &desc) == STREAM_OK);
}
static void flow_send(void) {
    int i;
    for (i = 0; i < 4; i++) stream_flow_sent(flow, 1);
}
static void flow_consume(void) {
    int i;
    for (i = 0; i < 3; i++) stream_flow_consumed(flow, 1);
}
static void flow_look(void) {
    stream_flow_monitor monitor;
    uint64_t sent = 0, consumed = 0;
    int i;
    memset(&monitor, 0, sizeof monitor);
    for (i = 0; i < 2; i++) {
        stream_flow_watch(&monitor, flow, 1000 * (uint64_t)i);
        ORDER_CHECK(monitor.sent >= sent && monitor.consumed >= consumed && monitor.lag <= 4);
        sent = monitor.sent;
        consumed = monitor.consumed;
    }
}
static void flow_end(void) { ORDER_CHECK(stream_flow_lag(flow) == 1 && stream_flow_max_lag(flow) <= 4); }

static struct {
    stream_counter counter;
    stream_gauge gauge;
} *measured;
static stream_histogram *histogram;

static void measure_begin(void) {
    measured = order_alloc(sizeof *measured);
    histogram = (stream_histogram *)order_alloc(sizeof *histogram);
}
static void measure(void) {
    stream_counter_add(&measured->counter, 1);
    stream_gauge_set(&measured->gauge, 10 + (uint64_t)order_self());
    stream_histogram_add(histogram, 7);
    stream_counter_add(&measured->counter, 1);
}
static void measure_look(void) {
    uint64_t count = stream_counter_get(&measured->counter);
    ORDER_CHECK(stream_counter_get(&measured->counter) >= count);
    count = stream_histogram_count(histogram);
    ORDER_CHECK(stream_histogram_count(histogram) >= count);
}
static void measure_end(void) {
    ORDER_CHECK(stream_counter_get(&measured->counter) == 4 && stream_gauge_highest(&measured->gauge) == 11);
    ORDER_CHECK(stream_histogram_count(histogram) == 2 && histogram->bucket[7].v == 2);
    ORDER_CHECK(histogram->sum_ns.v == 14 && stream_histogram_max_ns(histogram) == 7);
}

/* -- channel -- */

static stream_channel *channel;
static struct {
    stream__a64 senders; /* still sending; the last of them closes */
} *channel_rest;

static void channel_make(size_t capacity, stream_overflow overflow, unsigned senders, bool wake_fd) {
    stream_channel_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.queue.capacity = capacity;
    desc.queue.urgent = 1;
    desc.queue.overflow = overflow;
    desc.queue.start = START;
    desc.queue.allocator.resize = order_resize;
    desc.wake_fd = wake_fd;
    channel = (stream_channel *)order_alloc(sizeof *channel);
    ORDER_CHECK(stream_channel_init(channel, &desc) == STREAM_OK);
    things_begin();
    channel_rest = order_alloc(sizeof *channel_rest);
    channel_rest->senders.v = senders;
}
static void channel_one(void) { channel_make(1, STREAM_OVERFLOW_FAIL, 1, false); }
static void channel_one_of_two(void) { channel_make(1, STREAM_OVERFLOW_FAIL, 2, false); }
static void channel_two_of_two(void) { channel_make(2, STREAM_OVERFLOW_FAIL, 2, false); }
static void channel_two(void) { channel_make(2, STREAM_OVERFLOW_FAIL, 1, false); }
static void channel_armed(void) { channel_make(2, STREAM_OVERFLOW_FAIL, 1, true); }
static void channel_drop_old(void) { channel_make(1, STREAM_OVERFLOW_DROP_OLD, 1, false); }
static void channel_full(void) { /* of something that nobody takes */
    channel_make(1, STREAM_OVERFLOW_FAIL, 1, false);
    things[15].from = 3;
    things[15].number = 3;
    ORDER_CHECK(stream_channel_send(channel, &things[15], 0) == STREAM_OK);
}

/* Relaxed: nothing but the channel may order the close behind what the others have sent. */
static void channel_leave(void) {
    if (order_rmw(0, order_relaxed, &channel_rest->senders.v, 8, '-', 1) == 1) stream_channel_close(channel);
}
static void send_some(int count) {
    int i;
    for (i = 0; i < count; i++)
        ORDER_CHECK(stream_channel_send(channel, thing_make(i), STREAM_FOREVER) == STREAM_OK);
    channel_leave();
}
static void send_1(void) { send_some(1); }
static void send_2(void) { send_some(2); }
static void send_3(void) { send_some(3); }
static void send_both_lanes(void) {
    ORDER_CHECK(stream_channel_send(channel, thing_make(0), STREAM_FOREVER) == STREAM_OK);
    ORDER_CHECK(stream_channel_send_urgent(channel, thing_make(1), STREAM_FOREVER) == STREAM_OK);
    ORDER_CHECK(stream_channel_send_urgent(channel, thing_make(2), STREAM_FOREVER) == STREAM_OK);
    channel_leave();
}
static void send_batch(void) {
    void *item[3];
    size_t sent;
    int i;
    for (i = 0; i < 3; i++) item[i] = thing_make(i);
    ORDER_CHECK(stream_channel_send_n(channel, item, 3, STREAM_FOREVER, &sent) == STREAM_OK && sent == 3);
    channel_leave();
}
static void send_until_closed(void) { /* it is full: room never comes, close does */
    ORDER_CHECK(stream_channel_send(channel, thing_make(0), STREAM_FOREVER) == STREAM_E_STATE);
    things[4 * order_self()].taken++;
}
static void send_dropping(void) {
    int i;
    for (i = 0; i < 3; i++) {
        void *dropped;
        ORDER_CHECK(stream_channel_try_send(channel, thing_make(i), &dropped) == STREAM_OK);
        if (dropped) ORDER_CHECK(((thing *)dropped)->taken++ == 0);
    }
    channel_leave();
}
static void send_timed(void) {
    if (stream_channel_send(channel, thing_make(0), 1) != STREAM_OK) things[4 * order_self()].taken++;
    channel_leave();
}
static void recv_all(void) {
    int last[ORDER_THREADS] = {0};
    void *item;
    stream_status status;
    while ((status = stream_channel_recv(channel, &item, STREAM_FOREVER)) == STREAM_OK)
        thing_take(item, last);
    ORDER_CHECK(status == STREAM_END);
}
static void recv_any_order(void) {
    void *item;
    while (stream_channel_recv(channel, &item, STREAM_FOREVER) == STREAM_OK)
        ORDER_CHECK(((thing *)item)->taken++ == 0);
}
static void recv_batch(void) {
    int last[ORDER_THREADS] = {0};
    void *item[3];
    size_t got, k;
    stream_status status;
    while ((status = stream_channel_recv_n(channel, item, 3, STREAM_FOREVER, &got)) == STREAM_OK)
        for (k = 0; k < got; k++) thing_take(item[k], last);
    ORDER_CHECK(status == STREAM_END);
}
static void recv_timed(void) { /* once; what comes too late is left to end */
    int last[ORDER_THREADS] = {0};
    void *item;
    stream_status status = stream_channel_recv(channel, &item, 1);
    if (status == STREAM_OK) thing_take(item, last);
    else ORDER_CHECK(status == STREAM_EMPTY || status == STREAM_END);
}
static void recv_armed(void) { /* an event loop */
    int last[ORDER_THREADS] = {0};
    void *item;
    stream_status status;
    for (;;) {
        while ((status = stream_channel_try_recv(channel, &item)) == STREAM_OK) thing_take(item, last);
        if (status == STREAM_END) break;
        ORDER_CHECK(status == STREAM_EMPTY);
        if (stream_channel_arm(channel) == STREAM_EMPTY) kernel_poll();
    }
}
static void close_now(void) { stream_channel_close(channel); }

static void send_advised(void) {
    int i;
    for (i = 0; i < 2; i++) {
        ORDER_CHECK(stream_channel_send(channel, thing_make(i), STREAM_FOREVER) == STREAM_OK);
        stream_channel_advise_ns(channel, 1000 * (uint64_t)(i + 1));
    }
    channel_leave();
}

/* Nobody closes, for close wakes everyone: who is not told of what is there for him sleeps for ever. */
static void give_1(void) {
    ORDER_CHECK(stream_channel_send(channel, thing_make(0), STREAM_FOREVER) == STREAM_OK);
}
static void give_urgent(void) {
    ORDER_CHECK(stream_channel_send_urgent(channel, thing_make(0), STREAM_FOREVER) == STREAM_OK);
}
static void give_batch(void) {
    void *item[2];
    size_t sent;
    item[0] = thing_make(0);
    item[1] = thing_make(1);
    ORDER_CHECK(stream_channel_send_n(channel, item, 2, STREAM_FOREVER, &sent) == STREAM_OK && sent == 2);
}
static void get(int count) {
    void *item;
    while (count-- > 0) {
        ORDER_CHECK(stream_channel_recv(channel, &item, STREAM_FOREVER) == STREAM_OK);
        ORDER_CHECK(((thing *)item)->taken++ == 0);
    }
}
static void get_1(void) { get(1); }
static void get_2(void) { get(2); }
static void get_3(void) { get(3); }
static void get_batches(void) { /* three in all */
    void *item[3];
    size_t got, all = 0, k;
    while (all < 3) {
        ORDER_CHECK(stream_channel_recv_n(channel, item, 3 - all, STREAM_FOREVER, &got) == STREAM_OK);
        for (k = 0; k < got; k++) ORDER_CHECK(((thing *)item[k])->taken++ == 0);
        all += got;
    }
}
static void get_or_leave(void) { /* whose time is up leaves the item, and what he was told, to the other */
    void *item;
    stream_status status = stream_channel_recv(channel, &item, 1);
    if (status == STREAM_EMPTY) return;
    ORDER_CHECK(status == STREAM_OK && ((thing *)item)->taken++ == 0);
    give_1();
}
static void give_or_leave(void) { /* the same with room */
    void *item;
    stream_status status = stream_channel_send(channel, thing_make(0), 1);
    if (status == STREAM_OK) {
        ORDER_CHECK(stream_channel_recv(channel, &item, STREAM_FOREVER) == STREAM_OK);
        ORDER_CHECK(((thing *)item)->taken++ == 0);
    } else {
        ORDER_CHECK(status == STREAM_FULL);
        things[4 * order_self()].taken++;
    }
}
static void channel_full_two(void) {
    int i;
    channel_make(2, STREAM_OVERFLOW_FAIL, 1, false);
    for (i = 2; i < 4; i++) {
        things[12 + i].from = 3;
        things[12 + i].number = i;
        ORDER_CHECK(stream_channel_send(channel, &things[12 + i], 0) == STREAM_OK);
    }
}

static void channel_end(void) {
    int last[ORDER_THREADS] = {0}, i, made = 0;
    size_t live = channel->wake_read >= 0 ? 4 : 3;
    void *item;
    while (stream_channel_try_recv(channel, &item) == STREAM_OK) thing_take(item, last);
    for (i = 0; i < 4 * ORDER_THREADS; i++) made += things[i].from || things[i].number || things[i].taken;
    ORDER_CHECK(things_taken() == made);
    ORDER_CHECK((channel->receivers.word.v & ~(uint32_t)STREAM__ARMED) == 0);
    ORDER_CHECK(channel->senders[0].word.v == 0 && channel->senders[1].word.v == 0);
    stream_channel_free(channel);
    ORDER_CHECK(order_live() == live);
}

/* -- io: what other threads give to the one that waits -- */

static stream_io *io;
static stream_io_op *posts; /* [thread][4] */
static struct {
    stream__a64 told; /* how many wakers have */
} *io_rest;

static void io_begin(void) {
    stream_io_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.backends = "poll";
    desc.allocator.resize = order_resize;
    io = (stream_io *)order_alloc(sizeof *io);
    posts = (stream_io_op *)order_alloc(16 * sizeof *posts);
    io_rest = order_alloc(sizeof *io_rest);
    ORDER_CHECK(stream_io_init(io, &desc) == STREAM_OK);
    things_begin();
}
static void io_post_some(int count) {
    int i;
    for (i = 0; i < count; i++) {
        stream_io_op *op = &posts[4 * order_self() + i];
        op->user = thing_make(i);
        ORDER_CHECK(stream_io_post(io, op) == STREAM_OK);
    }
}
static void io_post_1(void) { io_post_some(1); }
static void io_post_2(void) { io_post_some(2); }
static void io_take_some(int count) {
    int last[ORDER_THREADS] = {0};
    stream_io_op *op;
    while (count) {
        ORDER_CHECK(stream_io_wait(io, STREAM_FOREVER) >= 0);
        for (; (op = stream_io_next(io)) != NULL; count--) thing_take(op->user, last);
    }
}
static void io_take_2(void) { io_take_some(2); }
static void io_take_3(void) { io_take_some(3); }
static void io_tell(void) { /* relaxed: a wait that is over must have seen what its wakers wrote before */
    order_rmw(0, order_relaxed, &io_rest->told.v, 8, '+', 1);
    stream_io_wake(io);
}
static void io_hear(uint64_t wakers) {
    while (order_load(0, order_relaxed, &io_rest->told.v, 8) < wakers)
        ORDER_CHECK(stream_io_wait(io, STREAM_FOREVER) >= 0);
}
static void io_hear_1(void) { io_hear(1); }
static void io_hear_2(void) { io_hear(2); }
static void io_end(void) {
    stream_io_free(io);
    ORDER_CHECK(order_live() == 5);
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
    {"queue.drop-old-of-three",
     queue_drop_old_of_three,
     {push_or_drop, push_or_drop, pop_some},
     queue_end,
     0},
    {"broadcast.oldest", broadcast_oldest, {write_4, read_0_of_4}, broadcast_end, 0},
    {"broadcast.newest", broadcast_newest, {write_4, read_0_of_4}, broadcast_end, 0},
    {"broadcast.single", broadcast_single, {write_3, read_0_of_3, read_1_of_3}, broadcast_end, 0},
    {"broadcast.held", broadcast_held, {write_4, read_0_held}, broadcast_end, 0},
    {"broadcast.let-go", broadcast_held, {write_3, read_0_then_let_go, read_1_of_3}, broadcast_end, 0},
    {"broadcast.hold-again", broadcast_held, {write_and_hold_again, read_0_then_let_go}, held_end, 0},
    {"broadcast.wrap", broadcast_single, {write_3, read_0_of_3}, broadcast_end, 3},
    {"broadcast.judged", broadcast_single, {write_3, read_0_once}, broadcast_end, 7},
    {"broadcast.seek", broadcast_oldest, {write_3, seek_about}, broadcast_end, 3},
    {"io.post", io_begin, {io_post_2, io_take_2}, io_end, 0},
    {"io.posts", io_begin, {io_post_1, io_post_2, io_take_3}, io_end, 0},
    {"io.wake", io_begin, {io_tell, io_hear_1}, io_end, 0},
    {"io.wakes", io_begin, {io_tell, io_tell, io_hear_2}, io_end, 0},
    {"io.post-and-wake", io_begin, {io_post_2, io_tell, io_take_2}, io_end, 0},
    {"broadcast.look-around", broadcast_oldest, {write_4, look_around}, broadcast_end, 0},
    {"credits", credits_begin, {credits_give, credits_take}, credits_end, 0},
    {"credits.some", credits_begin, {credits_give, credits_take_some}, credits_end, 0},
    {"flow", flow_begin, {flow_send, flow_consume, flow_look}, flow_end, 0},
    {"metrics", measure_begin, {measure, measure, measure_look}, measure_end, 0},
    {"channel.1x1", channel_one, {send_2, recv_all}, channel_end, 0},
    {"channel.2x1", channel_one_of_two, {send_2, send_1, recv_all}, channel_end, 0},
    {"channel.1x2", channel_one, {send_2, recv_all, recv_all}, channel_end, 0},
    {"channel.2x2", channel_two_of_two, {send_2, send_1, recv_all, recv_all}, channel_end, 0},
    {"channel.2x2-of-one", channel_one_of_two, {send_2, send_1, recv_all, recv_all}, channel_end, 0},
    {"channel.advised", channel_two_of_two, {send_advised, send_advised, recv_all}, channel_end, 0},
    {"channel.two", channel_two, {send_3, recv_all}, channel_end, 0},
    {"channel.lanes", channel_one, {send_both_lanes, recv_any_order}, channel_end, 0},
    {"channel.batch", channel_two, {send_batch, recv_batch}, channel_end, 0},
    {"channel.batch-to-two", channel_two, {send_batch, recv_all, recv_batch}, channel_end, 0},
    {"channel.close-receivers", channel_one, {close_now, recv_all, recv_all}, channel_end, 0},
    {"channel.close-senders",
     channel_full,
     {close_now, send_until_closed, send_until_closed},
     channel_end,
     0},
    {"channel.close-twice", channel_one, {close_now, close_now, recv_all}, channel_end, 0},
    {"channel.one-each", channel_two, {give_1, give_1, get_1, get_1}, channel_end, 0},
    {"channel.one-each-of-one", channel_one, {give_1, give_1, get_1, get_1}, channel_end, 0},
    {"channel.two-to-one-each", channel_two, {give_batch, get_1, get_1}, channel_end, 0},
    {"channel.lanes-one-each", channel_two, {give_1, give_urgent, get_1, get_1}, channel_end, 0},
    {"channel.room", channel_full, {give_1, give_1, get_3}, channel_end, 0},
    {"channel.room-by-two", channel_full, {give_1, give_1, get_1, get_2}, channel_end, 0},
    {"channel.room-in-batches", channel_full_two, {give_1, give_batch, get_batches, get_2}, channel_end, 0},
    {"channel.leave-item", channel_one, {give_1, get_or_leave, get_1}, channel_end, 0},
    {"channel.leave-room", channel_full, {get_1, give_or_leave, give_1}, channel_end, 0},
    {"channel.timed", channel_one, {send_timed, recv_timed}, channel_end, 0},
    {"channel.timed-both",
     channel_one_of_two,
     {send_timed, send_timed, recv_timed, recv_all},
     channel_end,
     0},
    {"channel.drop-old", channel_drop_old, {send_dropping, recv_all}, channel_end, 0},
    {"channel.armed", channel_armed, {send_3, recv_armed}, channel_end, 0},
    {NULL, NULL, {NULL}, NULL, 0},
};

int main(int argc, char **argv) {
#ifdef STREAM_WAIT_PTHREAD /* the others are as they were */
    const order_case *channels = cases;
    while (strncmp(channels->name, "channel", 7) != 0) channels++;
    return order_main(argc, argv, "order.cond", channels);
#else
    return order_main(argc, argv, "order.stream", cases);
#endif
}
