/* SPDX-License-Identifier: MIT-0
   A checker of memory orders: runs a few threads as coroutines in one real thread, under every schedule or
   under many, with loads that may return old values wherever C11 lets them.

   How it sees the code. tests/order.sh copies a header and turns each ordered call into one of this file,
   with a number: `stream__a64_load_acquire(x)` becomes `ORDER_a64_load(17, acquire, x)`. Number 17 can then
   be weakened at run time, so that one program is the unmutated build and every mutant. Plain accesses are
   seen because the test is compiled with -fsanitize=thread and linked with the __tsan_ functions below in
   place of the real ones; memcpy and its like are renamed on the command line.

   What is modelled is C11 as RC11 mends it, without consume and fences, release sequences as in C++20: run as
   a machine that keeps for each location all its stores, and for each thread what it must have seen of them,
   but that makes no promises (RC11: Lahav et al., PLDI 2017; such machines: Kang et al., POPL 2017).
   What it may do:
   - Every atomic call is a point where another thread may go on.
   - A location keeps all its stores, in modification order. A load returns any store that is not older
     than what its thread must know: the last one that happens before, or that it, or anything that happens
     before, has read or written. A store may also enter the modification order before stores that ran
     earlier, where nothing orders the two. A read-modify-write sits directly behind what it read.
   - Each store carries what an acquire of it learns: the clock of a release, handed on by the
     read-modify-writes behind it. Clocks are vectors, one number a thread.
   - The calls that are seq_cst have an order of their own, S. Of S only what must be is kept, a partial
     order: program order, happens before, and between two calls of one location which wrote, read or
     overwrote what the other wrote. A call may do what closes no circle in it. (As C17 has it, S agrees with
     happens before. Not as in C++20, where also a call that reads a store that is not seq_cst takes a place
     in S by it: hardware that forwards a thread its own store does not keep that.)
   - A compare-exchange may fail on an old value, and, once a run, for no reason.
   - Two plain accesses to one byte, one a write, or a plain and an atomic one, that neither happens before:
     a data race, and the run has failed. So has an access to memory that is freed, or allocated by a thread
     whose allocation does not happen before.
   - order_wait is a futex: it compares and sleeps in one step, and wakes for no reason once a run. All
     asleep is a deadlock, and the run has failed.

   What it cannot show: a load that returns a store which has not run yet (load buffering: no promises), and
   what needs more threads, preemptions or items than a case has. It finds mistakes and shows what it ran;
   only where it says `all` was every schedule within the bound looked at.

   A failure prints what happened and the run's choices, one character each; `PROGRAM replay CASE CHOICES
   [NUMBER WEAKENING]` runs exactly that again and prints every step. */
#ifndef ORDER_H
#define ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ORDER_THREADS = 4 };
typedef enum order_memory {
    order_relaxed,
    order_acquire,
    order_release,
    order_acq_rel,
    order_seq_cst
} order_memory;

/* One configuration. begin sets up, alone, what the threads then find; end, alone again, checks what is left.
   bound: how often, in the exhaustive part, a thread that could go on is interrupted, and how often a call
   meets anything but the newest store; 0 means 2. */
typedef struct order_case {
    const char *name;
    void (*begin)(void);
    void (*thread[ORDER_THREADS])(void);
    void (*end)(void);
    unsigned bound;
} order_case;

/* What every case is told of each numbered call: "stream_pool.h:857 stream_pool__push cas_acq_rel". */
extern const char *const order_sites[];
extern const unsigned order_site_count;
/* Accesses are told apart by the byte where this is 0, by words of 1 << order_grain bytes else: faster. */
extern const unsigned order_grain;

int order_main(int argc, char **argv, const char *program, const order_case *cases);

/* Runs every schedule of a case within its bound, `most` at most, and then seeded ones, until one fails. */
typedef struct order_result {
    bool well, whole; /* none failed; within the bound none was left out */
    unsigned long runs, seeded;
    const char *message; /* of the failure; valid until the next run */
} order_result;
order_result order_explore(const order_case *c, unsigned long most, unsigned long seeded);

/* Everything the threads share lives here: zeroed, forgotten after the run. */
void *order_alloc(size_t size);
void order_free(void *ptr);
size_t order_live(void); /* blocks not freed */
void *order_resize(void *ctx, void *ptr, size_t old_size, size_t new_size,
                   size_t align); /* for a stream_allocator */

void order_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define ORDER_CHECK(cond) ((cond) ? (void)0 : order_fail("%s:%d: not true: %s", __FILE__, __LINE__, #cond))

/* Marks a use of bytes that is no access the compiler knows of, such as poisoning. */
void order_touch(const void *ptr, size_t size);

uint64_t order_load(unsigned site, order_memory order, const void *at, unsigned width);
void order_store(unsigned site, order_memory order, void *at, unsigned width, uint64_t value);
uint64_t order_rmw(unsigned site, order_memory order, void *at, unsigned width, char verb, uint64_t value);
bool order_cas(unsigned site, order_memory order, void *at, unsigned width, void *seen, uint64_t value,
               bool weak);
/* Sleeps if *at is still `seen`, until a wake or, if timed, until the time is up: then false. */
bool order_wait(void *at, unsigned width, uint64_t seen, bool timed);
void order_wake(void *at, unsigned most);
unsigned order_any(unsigned of); /* for what the kernel may choose: below `of` */
void order_pause(void); /* for waiting in a loop: another goes on; what it wrote is seen, in time */
int order_self(void);

#define ORDER_a64_load(site, order, a) order_load(site, order_##order, &(a)->v, 8)
#define ORDER_a64_store(site, order, a, x) order_store(site, order_##order, &(a)->v, 8, x)
#define ORDER_a64_add(site, order, a, x) order_rmw(site, order_##order, &(a)->v, 8, '+', x)
#define ORDER_a64_sub(site, order, a, x) order_rmw(site, order_##order, &(a)->v, 8, '-', x)
#define ORDER_a64_and(site, order, a, x) order_rmw(site, order_##order, &(a)->v, 8, '&', x)
#define ORDER_a64_or(site, order, a, x) order_rmw(site, order_##order, &(a)->v, 8, '|', x)
#define ORDER_a64_swap(site, order, a, x) order_rmw(site, order_##order, &(a)->v, 8, '=', x)
#define ORDER_a64_cas(site, order, a, seen, x) order_cas(site, order_##order, &(a)->v, 8, seen, x, true)
#define ORDER_a32_load(site, order, a) ((uint32_t)order_load(site, order_##order, &(a)->v, 4))
#define ORDER_a32_store(site, order, a, x) order_store(site, order_##order, &(a)->v, 4, x)
#define ORDER_a32_add(site, order, a, x) ((uint32_t)order_rmw(site, order_##order, &(a)->v, 4, '+', x))
#define ORDER_a32_sub(site, order, a, x) ((uint32_t)order_rmw(site, order_##order, &(a)->v, 4, '-', x))
#define ORDER_a32_and(site, order, a, x) ((uint32_t)order_rmw(site, order_##order, &(a)->v, 4, '&', x))
#define ORDER_a32_or(site, order, a, x) ((uint32_t)order_rmw(site, order_##order, &(a)->v, 4, '|', x))
#define ORDER_a32_swap(site, order, a, x) ((uint32_t)order_rmw(site, order_##order, &(a)->v, 4, '=', x))
#define ORDER_a32_cas(site, order, a, seen, x) order_cas(site, order_##order, &(a)->v, 4, seen, x, true)

/* In place of the shared block [atomics]: its types, and its one helper. */
#define STREAM__ATOMICS 1
#ifndef STREAM_CACHE_LINE
#define STREAM_CACHE_LINE 16
#endif
typedef struct stream__a64 {
    __attribute__((aligned(8))) uint64_t v;
} stream__a64;
typedef struct stream__a32 {
    uint32_t v;
} stream__a32;
#define STREAM__READS(ptr, len) ((void)0) /* the accesses themselves are seen */
#define STREAM__WRITES(ptr, len) ((void)0)
static inline __attribute__((unused)) void stream__a64_raise(stream__a64 *a, uint64_t v) {
    uint64_t seen = ORDER_a64_load(0, relaxed, a);
    while (seen < v && !ORDER_a64_cas(0, relaxed, a, &seen, v)) {
    }
}

#endif /* ORDER_H */

#if defined(ORDER_IMPLEMENTATION) && !defined(ORDER__IMPLEMENTED)
#define ORDER__IMPLEMENTED 1

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum {
    ORDER__ARENA = 1 << 18,  /* bytes the threads of one run can share */
    ORDER__STACK = 1 << 18,  /* bytes of a thread's stack; printf runs on it */
    ORDER__STORES = 96,      /* to one location in one run */
    ORDER__LOCATIONS = 192,
    ORDER__CHOICES = 4000,   /* in one run; more means that it does not end */
    ORDER__SEQUENCED = 256,  /* seq_cst calls in one run */
    ORDER__BLOCKS = 64,
    ORDER__CASES = 64
};

typedef uint16_t order__clock[ORDER_THREADS];

typedef struct order__store_record {
    uint64_t value;
    order__clock view;     /* what an acquire of it learns; zeros are known to all anyway */
    uint8_t thread, place; /* who ran it; where it is in the modification order */
    bool rmw;              /* sits directly behind what it read */
    uint16_t sequence;     /* the seq_cst call that ran it, plus 1; 0 for none */
} order__store_record;

typedef struct order__location {
    char *at;
    unsigned width, stores;
    order__store_record store[ORDER__STORES]; /* in the order they ran; 0 is what was there before */
    uint8_t line[ORDER__STORES];              /* in modification order, as indices of store */
    struct {
        uint16_t sequence; /* seq_cst calls that read and did not write, and what */
        uint8_t store;
    } load[ORDER__STORES];
    unsigned loads;
    struct {
        uint16_t clock;
        uint8_t store;
    } seen[ORDER_THREADS][ORDER__STORES]; /* what each thread read or wrote, when; rising in both */
    unsigned seen_count[ORDER_THREADS];
    order__clock last_read, last_write;
} order__location;

/* A seq_cst call, and those that come before it in S. */
typedef struct order__sequenced {
    uint16_t clock;
    uint64_t before[ORDER__SEQUENCED / 64];
} order__sequenced;

/* What is known of one byte. A record of another run means nothing happened to the byte yet. */
typedef struct order__cell {
    uint32_t run;
    uint16_t write_clock;
    uint8_t write_thread;
    bool freed;
    order__clock read;
} order__cell;

static struct {
    /* the run */
    uint32_t run;
    int current; /* thread, or -1 outside the threads */
    enum {
        ORDER__NONE,
        ORDER__READY,
        ORDER__PAUSED,
        ORDER__ASLEEP,
        ORDER__TIMED,
        ORDER__DONE
    } state[ORDER_THREADS];
    const void *sleeps_at[ORDER_THREADS];
    bool woken[ORDER_THREADS];
    unsigned wrote[ORDER_THREADS], known[ORDER_THREADS],
        paused_at[ORDER_THREADS]; /* stores; others' stores; step */
    order__clock clock[ORDER_THREADS];
    unsigned locations, preempted, old, spurious, late, steps, calls;
    unsigned sequenced, sequenced_of[ORDER_THREADS];
    size_t top;
    struct {
        size_t start, size;
        bool freed;
    } block[ORDER__BLOCKS];
    unsigned blocks;
    /* the choices */
    struct {
        uint8_t taken, of;
    } choice[ORDER__CHOICES];
    unsigned choices, made;
    bool seeded;
    uint64_t random;
    unsigned switch_one_in, stale_one_in;
    /* the search */
    const order_case *test;
    unsigned mutant; /* the weakened call, 0 for none */
    char weakening[16];
    bool trace, mutant_ran;
    char message[300];
    /* the threads */
    jmp_buf driver, resume[ORDER_THREADS], start[ORDER_THREADS];
    ucontext_t home, first[ORDER_THREADS];
    bool built;
} order;

static order__location order__locations[ORDER__LOCATIONS];
static order__cell order__cells[ORDER__ARENA];
static order__sequenced order__sequence[ORDER__SEQUENCED];
static uint16_t order__sequence_of[ORDER_THREADS][ORDER__SEQUENCED]; /* each thread's */
static struct {
    uint32_t run;
    uint16_t location;
} order__map[ORDER__ARENA / 4];
static char order__arena[ORDER__ARENA] __attribute__((aligned(4096)));
static char order__stack[ORDER_THREADS][ORDER__STACK] __attribute__((aligned(64)));

/* -- choices -- */

void order_fail(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(order.message, sizeof order.message, format, list);
    va_end(list);
    if (order.trace) printf("  !! %s\n", order.message);
    order.current = -1;
    _longjmp(order.driver, 2);
}

#define ORDER__SAY(...) (order.trace ? (void)printf(__VA_ARGS__) : (void)0)

static unsigned order__random(unsigned below) {
    uint64_t x = order.random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    order.random = x;
    return (unsigned)((x * UINT64_C(2685821657736338717) >> 33) % below);
}

/* One of `of` ways to go on. 0 is the plainest; in a seeded run the others come once in `one_in`. */
static unsigned order__choose(unsigned of, unsigned one_in) {
    unsigned taken = 0;
    if (of <= 1) return 0;
    if (order.made == ORDER__CHOICES) order_fail("no end in sight after %u choices", order.made);
    if (order.made < order.choices) {
        taken = order.choice[order.made].taken;
        if (order.choice[order.made].of == 0) order.choice[order.made].of = (uint8_t)of; /* a replay */
        if (order.choice[order.made].of != of || taken >= of) {
            fprintf(stderr, "order: %s does not repeat itself\n", order.test->name);
            abort();
        }
    } else {
        if (order.seeded && order__random(one_in) == 0) taken = 1 + order__random(of - 1);
        order.choice[order.made].taken = (uint8_t)taken;
        order.choice[order.made].of = (uint8_t)of;
        order.choices = order.made + 1;
    }
    order.made++;
    return taken;
}

static unsigned order__bound(const order_case *c) { return c->bound ? c->bound : 2; }

/* One of `of` stores to go by, the newest first. */
static unsigned order__choose_old(unsigned of) {
    unsigned taken;
    if (!order.seeded && order.old >= order__bound(order.test)) return 0;
    taken = order__choose(of, order.stale_one_in);
    order.old += taken > 0;
    return taken;
}

/* -- clocks, bytes, locations -- */

static bool order__before(unsigned thread, unsigned clock) {
    return clock <= order.clock[order.current][thread];
}

static void order__learn(uint16_t *into, const uint16_t *view) {
    unsigned i;
    for (i = 0; i < ORDER_THREADS; i++)
        if (view[i] > into[i]) into[i] = view[i];
}

static size_t order__offset(const void *ptr) { return (size_t)((uintptr_t)ptr - (uintptr_t)order__arena); }

static order__cell *order__cell_at(size_t offset) {
    order__cell *cell = &order__cells[offset >> order_grain];
    if (cell->run != order.run) {
        memset(cell, 0, sizeof *cell);
        cell->run = order.run;
    }
    return cell;
}

static order__location *order__location_at(size_t offset) {
    return order__map[offset / 4].run == order.run ? &order__locations[order__map[offset / 4].location]
                                                   : NULL;
}

/* "block 2 + 48" in a small ring of texts. */
static const char *order__place(const void *ptr) {
    static char text[4][40];
    static unsigned turn;
    char *s = text[turn++ % 4];
    size_t offset = order__offset(ptr);
    unsigned i = order.blocks;
    while (i > 0 && order.block[i - 1].start > offset) i--;
    snprintf(s, sizeof text[0], "block %u + %u", i,
             (unsigned)(i ? offset - order.block[i - 1].start : offset));
    return s;
}

static void order__race(const char *what, const void *ptr, int thread, const char *other,
                        unsigned other_thread) {
    order_fail("data race at %s: %s in thread %d, %s in thread %u", order__place(ptr), what, thread, other,
               other_thread);
}

/* Checks one byte against plain accesses; the location over it, against atomic ones, is the caller's. */
static void order__check_byte(order__cell *cell, size_t offset, bool write, const char *what) {
    const uint16_t *known = order.clock[order.current];
    const char *ptr = order__arena + offset;
    unsigned i;
    if (cell->freed)
        order_fail("%s in thread %d of freed memory at %s", what, order.current, order__place(ptr));
    if (cell->write_clock > known[cell->write_thread])
        order__race(what, ptr, order.current, "plain write or allocation", cell->write_thread);
    for (i = 0; write && i < ORDER_THREADS; i++)
        if (cell->read[i] > known[i]) order__race(what, ptr, order.current, "plain read", i);
}

static void order__plain(const void *ptr, size_t size, bool write, const char *what) {
    size_t offset = order__offset(ptr), end = offset + size;
    const order__location *known = NULL;
    uint16_t now;
    if (order.current < 0 || offset >= ORDER__ARENA) return; /* set-up, or nothing that is shared */
    if (end > order.top) order_fail("%s past all blocks, at %s", what, order__place(ptr));
    now = order.clock[order.current][order.current];
    for (offset &= ~(size_t)0 << order_grain; offset < end; offset += (size_t)1 << order_grain) {
        order__cell *cell = order__cell_at(offset);
        const order__location *l;
        unsigned i;
        if (!write && cell->read[order.current] == now && !cell->freed)
            continue; /* checked at this very time */
        order__check_byte(cell, offset, write, what);
        l = order__location_at(offset);
        if (l && l != known) {
            known = l;
            for (i = 0; i < ORDER_THREADS; i++) {
                if (!order__before(i, l->last_write[i]))
                    order__race(what, ptr, order.current, "atomic write", i);
                if (write && !order__before(i, l->last_read[i]))
                    order__race(what, ptr, order.current, "atomic read", i);
            }
        }
        if (write) {
            cell->write_clock = now;
            cell->write_thread = (uint8_t)order.current;
        } else {
            cell->read[order.current] = now;
        }
    }
}

void order_touch(const void *ptr, size_t size) { order__plain(ptr, size, true, "touch"); }

void *order_alloc(size_t size) {
    size_t start = (order.top + 63) & ~(size_t)63, i;
    if (start + size > ORDER__ARENA || order.blocks == ORDER__BLOCKS) {
        fprintf(stderr, "order: %s allocates too much\n", order.test->name);
        abort();
    }
    order.block[order.blocks].start = start;
    order.block[order.blocks].size = size;
    order.block[order.blocks].freed = false;
    order.blocks++;
    order.top = start + size;
    memset(order__arena + start, order.current < 0 ? 0 : 0xa5, size);
    ORDER__SAY("  T%d allocates block %u, %zu bytes\n", order.current, order.blocks, size);
    for (i = 0; order.current >= 0 && i < size; i += (size_t)1 << order_grain) {
        order__cell *cell = order__cell_at(start + i);
        cell->write_clock = order.clock[order.current][order.current];
        cell->write_thread = (uint8_t)order.current;
    }
    return order__arena + start;
}

void order_free(void *ptr) {
    size_t start = order__offset(ptr), i;
    unsigned b;
    for (b = 0; b < order.blocks && order.block[b].start != start; b++) {
    }
    if (b == order.blocks) order_fail("free of %s, which is no block", order__place(ptr));
    if (order.block[b].freed) order_fail("second free of block %u", b + 1);
    ORDER__SAY("  T%d frees block %u\n", order.current, b + 1);
    order__plain(ptr, order.block[b].size, true, "free");
    order.block[b].freed = true;
    for (i = 0; i < order.block[b].size; i += (size_t)1 << order_grain)
        order__cell_at(start + i)->freed = true;
}

size_t order_live(void) {
    size_t live = 0;
    unsigned b;
    for (b = 0; b < order.blocks; b++) live += !order.block[b].freed;
    return live;
}

void *order_resize(void *ctx, void *ptr, size_t old_size, size_t new_size, size_t align) {
    void *grown = new_size ? order_alloc(new_size) : NULL;
    (void)ctx, (void)align;
    if (grown && ptr) memcpy(grown, ptr, old_size < new_size ? old_size : new_size);
    if (ptr) order_free(ptr);
    return grown;
}

/* -- who runs -- */

int order_self(void) { return order.current; }

static void order__enter(int next) {
    order.current = next;
    _longjmp(order.resume[next], 1);
}

static unsigned order__others_wrote(int self) {
    unsigned n = 0;
    int i;
    for (i = 0; i < ORDER_THREADS; i++) n += i == self ? 0 : order.wrote[i];
    return n;
}

/* Something has changed since the thread last looked round. */
static bool order__may_resume(int i) {
    return order.state[i] == ORDER__PAUSED && order__others_wrote(i) != order.known[i];
}

/* Lets one of the threads that can go on do so: this one first if it may, for then the others interrupt it.
 */
static void order__schedule(bool stays) {
    int list[ORDER_THREADS], self = order.current, i, next;
    unsigned n = 0, taken;
    if (stays) list[n++] = self;
    if (!stays || order.seeded || order.preempted < order__bound(order.test)) {
        for (i = 0; i < ORDER_THREADS; i++) {
            if (i != self &&
                (order.state[i] == ORDER__READY || (order.state[i] == ORDER__TIMED && !order.late) ||
                 ((stays || order.seeded) && order__may_resume(i))))
                list[n++] = i;
        }
    }
    if (n == 0) { /* who waits in a loop goes on when nobody else can, in turn */
        for (i = 0; i < ORDER_THREADS; i++)
            if (order__may_resume(i) && (n == 0 || order.paused_at[i] < order.paused_at[list[0]]))
                list[0] = i, n = 1;
    }
    if (n == 0) {
        for (i = 0; i < ORDER_THREADS; i++)
            if (order.state[i] == ORDER__TIMED) list[n++] = i;
    }
    if (n == 0) {
        for (i = 0; i < ORDER_THREADS; i++) {
            if (order.state[i] == ORDER__ASLEEP)
                order_fail("thread %d sleeps at %s for ever", i, order__place(order.sleeps_at[i]));
            if (order.state[i] == ORDER__PAUSED) order_fail("thread %d waits for ever", i);
        }
        order.current = -1;
        _longjmp(order.driver, 1);
    }
    taken = order__choose(n, stays ? order.switch_one_in : 2);
    next = list[taken];
    if (stays && taken) order.preempted++;
    if (order.state[next] == ORDER__TIMED) order.late++; /* once a run while others could go on */
    order.state[next] = ORDER__READY;
    if (next == self) return;
    if (_setjmp(order.resume[self]) == 0) order__enter(next);
    order.current = self;
}

/* A call by begin or end, which run alone: true, and the caller just does it. */
static bool order__alone(void) {
    if (order.current >= 0) return false;
    if (++order.calls > 100 * ORDER__CHOICES)
        order_fail("no end in sight after %u calls of begin or end", order.calls);
    return true;
}

static void order__point(void) {
    if (++order.steps > ORDER__CHOICES) order_fail("no end in sight after %u steps", order.steps);
    order__schedule(true);
}

/* -- the atomic calls -- */

static uint64_t order__raw(const void *at, unsigned width) {
    uint32_t half;
    uint64_t whole;
    if (width == 4) return memcpy(&half, at, 4), half;
    return memcpy(&whole, at, 8), whole;
}

static void order__raw_set(void *at, unsigned width, uint64_t value) {
    uint32_t half = (uint32_t)value;
    memcpy(at, width == 4 ? (void *)&half : (void *)&value, width);
}

static const char *order__name(unsigned site) { return site < order_site_count ? order_sites[site] : "?"; }

/* The order a call has in this run, and that of a compare-exchange that fails. */
static order_memory order__actual(unsigned site, order_memory o, order_memory *failed) {
    *failed = o == order_acq_rel ? order_acquire : o == order_release ? order_relaxed : o;
    if (site == 0 || site != order.mutant) return o;
    order.mutant_ran = true;
    if (strcmp(order.weakening, "relaxed") == 0) return *failed = order_relaxed;
    if (strcmp(order.weakening, "failure") == 0) return *failed = order_relaxed, o;
    if (*failed == order_seq_cst) *failed = order_acquire;
    if (strcmp(order.weakening, "acquire") == 0) return order_acquire;
    if (strcmp(order.weakening, "release") == 0) return order_release;
    if (strcmp(order.weakening, "acq_rel") == 0) return order_acq_rel;
    fprintf(stderr, "order: no weakening is called %s\n", order.weakening);
    abort();
}

static bool order__acquires(order_memory o) { return o == order_acquire || o >= order_acq_rel; }
static bool order__releases(order_memory o) { return o >= order_release; }

static order__location *order__touch_location(const void *at, unsigned width, bool write) {
    size_t offset = order__offset(at), i;
    order__location *l;
    if (offset >= ORDER__ARENA) {
        fprintf(stderr, "order: %s shares a word that order_alloc did not give\n", order.test->name);
        abort();
    }
    if (offset + width > order.top) order_fail("atomic access past all blocks, at %s", order__place(at));
    for (i = 0; i < width; i += (size_t)1 << order_grain)
        order__check_byte(order__cell_at(offset + i), offset + i, write,
                          write ? "atomic write" : "atomic read");
    l = order__location_at(offset);
    if (!l) {
        if (order.locations == ORDER__LOCATIONS) order_fail("more than %d shared words", ORDER__LOCATIONS);
        for (i = 0; i < width; i += 4) {
            order__map[(offset + i) / 4].run = order.run;
            order__map[(offset + i) / 4].location = (uint16_t)order.locations;
        }
        l = &order__locations[order.locations++];
        memset(l, 0, offsetof(order__location, store));
        memset(&l->store[0], 0, sizeof l->store[0]); /* known to all: the bytes were checked above */
        memset(l->seen_count, 0, sizeof *l - offsetof(order__location, seen_count));
        l->loads = 0;
        l->line[0] = 0;
        l->at = order__arena + offset;
        l->width = width;
        l->stores = 1;
        l->store[0].value = order__raw(at, width);
    }
    if (l->at != at || l->width != width) order_fail("calls of two widths at %s", order__place(at));
    (write ? l->last_write : l->last_read)[order.current] = order.clock[order.current][order.current];
    return l;
}

static bool order__in(const uint64_t *set, unsigned i) { return (set[i / 64] >> i % 64 & 1) != 0; }

static void order__join(uint64_t *set, unsigned i) { /* i, and what comes before it */
    unsigned k;
    for (k = 0; k < ORDER__SEQUENCED / 64; k++) set[k] |= order__sequence[i].before[k];
    set[i / 64] |= UINT64_C(1) << i % 64;
}

/* The seq_cst calls that happen before what the running thread does next, if it learns `view` by it. */
static void order__sequence_now(uint64_t *set, const uint16_t *view) {
    unsigned i;
    memset(set, 0, ORDER__SEQUENCED / 8);
    for (i = 0; i < ORDER_THREADS; i++) {
        unsigned n = order.sequenced_of[i], known = order.clock[order.current][i];
        if (view && view[i] > known) known = view[i];
        while (n > 0 && order__sequence[order__sequence_of[i][n - 1]].clock > known) n--;
        if (n > 0) order__join(set, order__sequence_of[i][n - 1]);
    }
}

/* Whether a seq_cst call may read the store at this place, or write behind it: it comes before all seq_cst
   stores that follow, so none of them may come before it. */
static bool order__sequence_allows(const order__location *l, unsigned place, bool reads) {
    const order__store_record *s = &l->store[l->line[place]];
    uint64_t set[ORDER__SEQUENCED / 64];
    bool asked = false;
    unsigned i;
    for (i = place + 1; i < l->stores; i++) {
        const order__store_record *later = &l->store[l->line[i]];
        if (!later->sequence) continue;
        if (!asked) {
            asked = true;
            order__sequence_now(set, reads ? s->view : NULL);
            if (reads && s->sequence) order__join(set, s->sequence - 1u);
        }
        if (order__in(set, later->sequence - 1u)) return false;
    }
    return true;
}

/* Gives a seq_cst call that is done its place in S: it read, or wrote, or both, these stores; -1 for none. */
static void order__sequence_add(order__location *l, int read, int wrote) {
    unsigned id = order.sequenced++, t = (unsigned)order.current, after, i, k;
    order__sequenced *self = &order__sequence[id];
    if (id == ORDER__SEQUENCED) order_fail("more than %d seq_cst calls", ORDER__SEQUENCED);
    order__sequence_now(self->before, NULL);
    self->clock = (uint16_t)(order.clock[t][t] - (wrote >= 0)); /* a store has moved it on */
    order__sequence_of[t][order.sequenced_of[t]++] = (uint16_t)id;
    if (read >= 0 && l->store[read].sequence) order__join(self->before, l->store[read].sequence - 1u);
    if (wrote >= 0) {
        for (i = 0; i < l->store[wrote].place; i++)
            if (l->store[l->line[i]].sequence) order__join(self->before, l->store[l->line[i]].sequence - 1u);
        for (i = 0; i < l->loads; i++)
            if (l->store[l->load[i].store].place < l->store[wrote].place)
                order__join(self->before, l->load[i].sequence);
        l->store[wrote].sequence = (uint16_t)(id + 1);
    } else {
        if (l->loads == ORDER__STORES)
            order_fail("no end in sight: %u loads of %s", l->loads, order__place(l->at));
        l->load[l->loads].sequence = (uint16_t)id;
        l->load[l->loads++].store = (uint8_t)read;
    }
    for (i = l->store[wrote >= 0 ? wrote : read].place + 1u; i < l->stores; i++) {
        if (!l->store[l->line[i]].sequence) continue;
        after = l->store[l->line[i]].sequence - 1u;
        for (k = 0; k < order.sequenced; k++)
            if (k == after || order__in(order__sequence[k].before, after))
                order__join(order__sequence[k].before, id);
    }
}

/* The place, in modification order, of the oldest store the running thread may still see. */
static unsigned order__floor(const order__location *l) {
    unsigned i, place = 0;
    for (i = 0; i < ORDER_THREADS; i++) {
        unsigned k = l->seen_count[i];
        while (k > 0 && !order__before(i, l->seen[i][k - 1].clock)) k--;
        if (k > 0 && l->store[l->seen[i][k - 1].store].place > place)
            place = l->store[l->seen[i][k - 1].store].place;
    }
    return place;
}

static void order__saw(order__location *l, unsigned store) {
    unsigned t = (unsigned)order.current, n = l->seen_count[t];
    uint16_t now = order.clock[t][t];
    if (n > 0 && l->seen[t][n - 1].store == store) return;
    if (n > 0 && l->seen[t][n - 1].clock == now) n--;
    l->seen[t][n].clock = now;
    l->seen[t][n].store = (uint8_t)store;
    l->seen_count[t] = n + 1;
}

void order_pause(void) {
    unsigned i, self = (unsigned)order.current;
    if (order.current < 0) return;
    order.state[self] = ORDER__PAUSED;
    order.paused_at[self] = order.steps++;
    order__schedule(false);
    order.known[self] = order__others_wrote(order.current);
    for (i = 0; i < order.locations; i++) {
        order__location *l = &order__locations[i];
        order__saw(l, l->line[l->stores - 1]);
    }
}

static uint64_t order__read(order__location *l, unsigned store, order_memory o) {
    order__saw(l, store);
    if (order__acquires(o)) order__learn(order.clock[order.current], l->store[store].view);
    return l->store[store].value;
}

/* Puts a store at `place` in the modification order; behind `read` if it is a read-modify-write. */
static void order__write(order__location *l, unsigned place, order_memory o, uint64_t value,
                         const order__store_record *read) {
    unsigned t = (unsigned)order.current, id = l->stores, i;
    order__store_record *s = &l->store[id];
    if (id == ORDER__STORES) order_fail("no end in sight: %u stores at %s", id, order__place(l->at));
    memset(s, 0, sizeof *s);
    s->value = l->width == 4 ? (uint32_t)value : value;
    s->thread = (uint8_t)t;
    s->rmw = read != NULL;
    if (read) memcpy(s->view, read->view, sizeof s->view);
    if (order__releases(o)) order__learn(s->view, order.clock[t]);
    for (i = id; i > place; i--) {
        l->line[i] = l->line[i - 1];
        l->store[l->line[i]].place = (uint8_t)i;
    }
    l->line[place] = (uint8_t)id;
    s->place = (uint8_t)place;
    l->stores++;
    order__raw_set(l->at, l->width, l->store[l->line[id]].value);
    order__saw(l, id);
    order.clock[t][t]++;
    order.wrote[t]++;
}

/* The places, newest first, of the stores a call may read, or write behind, or both. */
static unsigned order__ways(const order__location *l, order_memory o, bool reads, bool writes, uint8_t *way) {
    unsigned place = l->stores, floor = order__floor(l), n = 0;
    while (place-- > floor) {
        if (writes && place + 1 < l->stores && l->store[l->line[place + 1]].rmw)
            continue; /* nothing fits between */
        if (o == order_seq_cst && !order__sequence_allows(l, place, reads)) continue;
        way[n++] = (uint8_t)place;
    }
    return n;
}

uint64_t order_load(unsigned site, order_memory o, const void *at, unsigned width) {
    order__location *l;
    order_memory failed;
    uint8_t way[ORDER__STORES];
    unsigned id;
    uint64_t value;
    if (order__alone()) return order__raw(at, width);
    order__point();
    o = order__actual(site, o, &failed);
    l = order__touch_location(at, width, false);
    id = l->line[way[order__choose_old(order__ways(l, o, true, false, way))]];
    value = order__read(l, id, o);
    if (o == order_seq_cst) order__sequence_add(l, (int)id, -1);
    ORDER__SAY("  T%d %-55s %s: %llx%s\n", order.current, order__name(site), order__place(at),
               (unsigned long long)value, l->store[id].place + 1u == l->stores ? "" : " (old)");
    return value;
}

void order_store(unsigned site, order_memory o, void *at, unsigned width, uint64_t value) {
    order__location *l;
    order_memory failed;
    uint8_t way[ORDER__STORES];
    unsigned place;
    if (order__alone()) {
        order__raw_set(at, width, value);
        return;
    }
    order__point();
    o = order__actual(site, o, &failed);
    l = order__touch_location(at, width, true);
    place = way[order__choose_old(order__ways(l, o, false, true, way))];
    order__write(l, place + 1, o, value, NULL);
    if (o == order_seq_cst) order__sequence_add(l, -1, (int)l->stores - 1);
    ORDER__SAY("  T%d %-55s %s = %llx%s\n", order.current, order__name(site), order__place(at),
               (unsigned long long)value, place + 2 == l->stores ? "" : " (behind in modification order)");
}

static uint64_t order__apply(char verb, uint64_t a, uint64_t b) {
    return verb == '+' ? a + b : verb == '-' ? a - b : verb == '&' ? (a & b) : verb == '|' ? (a | b) : b;
}

/* Reads the store at place and writes directly behind it. */
static void order__exchange(order__location *l, unsigned place, order_memory o, uint64_t value) {
    unsigned read = l->line[place];
    order__read(l, read, o);
    order__write(l, place + 1, o, value, &l->store[read]);
    if (o == order_seq_cst) order__sequence_add(l, (int)read, (int)l->stores - 1);
}

uint64_t order_rmw(unsigned site, order_memory o, void *at, unsigned width, char verb, uint64_t x) {
    order__location *l;
    order_memory failed;
    uint8_t way[ORDER__STORES];
    unsigned place;
    uint64_t was;
    if (order__alone()) {
        was = order__raw(at, width);
        order__raw_set(at, width, order__apply(verb, was, x));
        return was;
    }
    order__point();
    o = order__actual(site, o, &failed);
    l = order__touch_location(at, width, true);
    place = way[order__choose_old(order__ways(l, o, true, true, way))];
    was = l->store[l->line[place]].value;
    order__exchange(l, place, o, order__apply(verb, was, x));
    ORDER__SAY("  T%d %-55s %s: %llx -> %llx\n", order.current, order__name(site), order__place(at),
               (unsigned long long)was, (unsigned long long)order__apply(verb, was, x));
    return was;
}

bool order_cas(unsigned site, order_memory o, void *at, unsigned width, void *seen, uint64_t x, bool weak) {
    order__location *l;
    order_memory failed;
    uint64_t expected = order__raw(seen, width), value;
    uint8_t way[3 * ORDER__STORES], fail[ORDER__STORES];
    unsigned wins = 0, n, fails, i, pick;
    if (order__alone()) {
        bool same = order__raw(at, width) == expected;
        memcpy(same ? at : seen, same ? (void *)&x : at, width); /* little endian, as all that runs this */
        return same;
    }
    order__point();
    o = order__actual(site, o, &failed);
    l = order__touch_location(at, width, true);
    n = order__ways(l, o, true, true, way);
    for (i = 0; i < n; i++)
        if (l->store[l->line[way[i]]].value == expected) way[wins++] = way[i];
    n = wins;
    fails = order__ways(l, failed, true, false, fail);
    for (i = 0; i < fails; i++)
        if (l->store[l->line[fail[i]]].value != expected) way[n++] = fail[i];
    for (i = 0; i < wins && weak && !order.spurious; i++) way[n++] = way[i]; /* for no reason */
    pick = order__choose_old(n);
    value = l->store[l->line[way[pick]]].value;
    if (pick < wins) {
        order__exchange(l, way[pick], o, x);
    } else {
        if (value == expected) order.spurious++;
        order__read(l, l->line[way[pick]], failed);
        if (failed == order_seq_cst) order__sequence_add(l, l->line[way[pick]], -1);
        order__raw_set(seen, width, value);
    }
    ORDER__SAY("  T%d %-55s %s: %llx %s %llx\n", order.current, order__name(site), order__place(at),
               (unsigned long long)value, pick < wins ? "->" : "stays, not", (unsigned long long)x);
    return pick < wins;
}

bool order_wait(void *at, unsigned width, uint64_t seen, bool timed) {
    order__location *l;
    unsigned self = (unsigned)order.current;
    order__point();
    l = order__touch_location(at, width, true);
    order__saw(l, l->line[l->stores - 1]); /* the kernel reads what is there */
    if (l->store[l->line[l->stores - 1]].value != seen) {
        ORDER__SAY("  T%u does not sleep at %s\n", self, order__place(at));
        return true;
    }
    if (!order.spurious && order__choose_old(2) == 1) {
        order.spurious++;
        ORDER__SAY("  T%u sleeps at %s and wakes for no reason\n", self, order__place(at));
        return true;
    }
    ORDER__SAY("  T%u sleeps at %s\n", self, order__place(at));
    order.state[self] = timed ? ORDER__TIMED : ORDER__ASLEEP;
    order.sleeps_at[self] = at;
    order.woken[self] = false;
    order__schedule(false);
    ORDER__SAY("  T%u %s at %s\n", self, order.woken[self] ? "is woken" : "has slept its time",
               order__place(at));
    order.sleeps_at[self] = NULL;
    return order.woken[self];
}

void order_wake(void *at, unsigned most) {
    if (order.current < 0) return;
    order__point();
    ORDER__SAY("  T%d wakes %u at %s\n", order.current, most, order__place(at));
    while (most-- > 0) {
        unsigned list[ORDER_THREADS], n = 0, i;
        for (i = 0; i < ORDER_THREADS; i++)
            if ((order.state[i] == ORDER__ASLEEP || order.state[i] == ORDER__TIMED) &&
                order.sleeps_at[i] == at)
                list[n++] = i;
        if (n == 0) return;
        i = list[order__choose(n, 2)];
        order.state[i] = ORDER__READY;
        order.woken[i] = true;
    }
}

unsigned order_any(unsigned of) { return order__choose(of, 2); }

/* -- the search -- */

static void order__thread(int t) {
    if (_setjmp(order.start[t]) == 0) swapcontext(&order.first[t], &order.home);
    order.test
        ->thread[t](); /* again for each run: what an unfinished one left above on this stack is dropped */
    order.state[t] = ORDER__DONE;
    ORDER__SAY("  T%d is done\n", t);
    order__schedule(false);
}

static void order__begin(const order_case *c) {
    int list[ORDER_THREADS], i;
    unsigned n = 0;
    order.test = c;
    order.run++;
    order.current = -1;
    order.top = 0;
    order.blocks = order.locations = order.steps = order.calls = order.made = 0;
    order.preempted = order.old = order.spurious = order.late = order.sequenced = 0;
    memset(order.sequenced_of, 0, sizeof order.sequenced_of);
    order.message[0] = 0;
    memset(order.state, 0, sizeof order.state);
    memset(order.clock, 0, sizeof order.clock);
    memset(order.wrote, 0, sizeof order.wrote);
    memset(order.known, 0, sizeof order.known);
    c->begin();
    for (i = 0; i < ORDER_THREADS; i++) {
        if (!order.built) {
            getcontext(&order.first[i]);
            order.first[i].uc_stack.ss_sp = order__stack[i];
            order.first[i].uc_stack.ss_size = ORDER__STACK;
            makecontext(&order.first[i], (void (*)(void))(uintptr_t)order__thread, 1, i);
            swapcontext(&order.home, &order.first[i]);
        }
        memcpy(order.resume[i], order.start[i], sizeof order.start[i]);
        order.clock[i][i] = 1; /* what happens before the threads has clock 0, known to all */
        if (!c->thread[i]) continue;
        order.state[i] = ORDER__READY;
        list[n++] = i;
    }
    order.built = true;
    order__enter(list[order__choose(n, 2)]);
}

static bool order__run(const order_case *c) {
    int outcome = _setjmp(order.driver);
    if (outcome == 0) order__begin(c);
    if (outcome == 1) c->end();
    return outcome == 1;
}

static bool order__exhaust(const order_case *c, unsigned long most, order_result *r) {
    order.seeded = false;
    order.choices = 0;
    for (r->runs = 0; r->runs < most;) {
        r->runs++;
        if (!order__run(c)) return false;
        order.choices = order.made;
        while (order.choices &&
               order.choice[order.choices - 1].taken + 1 == order.choice[order.choices - 1].of)
            order.choices--;
        r->whole = order.choices == 0;
        if (r->whole) return true;
        order.choice[order.choices - 1].taken++;
    }
    return true;
}

static bool order__seed(const order_case *c, unsigned long from, unsigned long runs, order_result *r) {
    order.seeded = true;
    for (r->seeded = 0; r->seeded < runs; r->seeded++) {
        unsigned long i = from + r->seeded;
        order.random = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        order.switch_one_in = 2u << i % 5;
        order.stale_one_in = 2u << i / 5 % 3;
        order.choices = 0;
        if (!order__run(c)) return false;
    }
    return true;
}

order_result order_explore(const order_case *c, unsigned long most, unsigned long seeded) {
    order_result r;
    memset(&r, 0, sizeof r);
    r.well = order__exhaust(c, most, &r) && order__seed(c, 0, seeded, &r);
    r.message = order.message;
    return r;
}

static void order__print_choices(void) {
    unsigned i, n = order.made;
    while (n > 0 && order.choice[n - 1].taken == 0) n--;
    for (i = 0; i < n; i++)
        putchar("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[order.choice[i].taken % 62]);
    if (n == 0) putchar('0');
    putchar('\n');
}

static int order__replay(const order_case *c, const char *text) {
    for (order.choices = 0; text[order.choices]; order.choices++) {
        char k = text[order.choices];
        order.choice[order.choices].taken = (uint8_t)(k <= '9'   ? k - '0'
                                                      : k >= 'a' ? k - 'a' + 10
                                                                 : k - 'A' + 36);
        order.choice[order.choices].of = 0; /* not known until it comes up */
    }
    order.trace = true;
    order.seeded = false;
    if (order__run(c)) return printf("  this run is well\n"), 0;
    return 1;
}

/* A child of its own for each mutant: it may crash or never end. A few runs of each case show which of them
   run the weakened call at all; then those are searched. */
static bool order__mutant(const char *program, const order_case *cases, unsigned long scale,
                          const char *expected) {
    const unsigned long most = 100 * scale, first = 10 + scale, seeded = 30 * scale;
    order_result r;
    int status = 0;
    pid_t child;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        bool caught = false, ran = false, runs_it[ORDER__CASES] = {false};
        unsigned n, share;
        alarm(120);
        for (n = 0; cases[n].name && !caught; n++) {
            order.mutant_ran = false;
            caught = !order__seed(&cases[n], 0, first, &r);
            runs_it[n] = order.mutant_ran;
            ran |= order.mutant_ran;
        }
        for (share = 64; share > 0; share /= 8) /* in rounds: where it shows, it mostly does so soon */
            for (n = 0; cases[n].name && !caught; n++)
                caught = runs_it[n] && (!order__exhaust(&cases[n], most / share, &r) ||
                                        !order__seed(&cases[n], first, seeded / share, &r));
        if (caught) {
            printf("%s %s.%u: %s -> %s: caught by %s: %s\n", *expected ? "FAIL" : "ok  ", program,
                   order.mutant, order__name(order.mutant), order.weakening, order.test->name, order.message);
            if (*expected) printf("  though: %s\n", expected);
            if (*expected || getenv("ORDER_CHOICES")) {
                printf("  choices: ");
                order__print_choices();
            }
        } else if (!ran) {
            printf("FAIL %s.%u: %s is never run\n", program, order.mutant, order__name(order.mutant));
        } else if (*expected) {
            printf("ok   %s.%u: %s -> %s makes no difference: %s\n", program, order.mutant,
                   order__name(order.mutant), order.weakening, expected);
        } else {
            printf("FAIL %s.%u: %s -> %s is not caught\n", program, order.mutant, order__name(order.mutant),
                   order.weakening);
        }
        fflush(stdout);
        _exit(caught ? *expected != '\0' : !ran || !*expected);
    }
    waitpid(child, &status, 0);
    if (WIFEXITED(status)) return WEXITSTATUS(status) == 0;
    printf("%s %s.%u: %s -> %s: ended by signal %d\n", WTERMSIG(status) == SIGALRM ? "FAIL" : "ok  ", program,
           order.mutant, order__name(order.mutant), order.weakening, WTERMSIG(status));
    return WTERMSIG(status) != SIGALRM;
}

/* PROGRAM                                              every case, unmutated
   PROGRAM mutants <LIST                                lines of NUMBER WEAKENING [why it makes no difference]
   PROGRAM replay CASE CHOICES [NUMBER WEAKENING]       one run, each step printed */
int order_main(int argc, char **argv, const char *program, const order_case *cases) {
    const char *text = getenv("TEST_SCALE");
    unsigned long scale = text ? strtoul(text, NULL, 10) : 100, bad = 0;
    const order_case *c;
    if (argc >= 4 && strcmp(argv[1], "replay") == 0) {
        if (argc >= 6) {
            order.mutant = (unsigned)atoi(argv[4]);
            snprintf(order.weakening, sizeof order.weakening, "%s", argv[5]);
        }
        for (c = cases; c->name; c++)
            if (strcmp(c->name, argv[2]) == 0) return order__replay(c, argv[3]);
        fprintf(stderr, "%s: no case %s\n", program, argv[2]);
        return 2;
    }
    if (argc >= 2 && strcmp(argv[1], "mutants") == 0) {
        char line[300], expected[300];
        while (fgets(line, sizeof line, stdin)) {
            expected[0] = 0;
            if (sscanf(line, "%u %15s %299[^\n]", &order.mutant, order.weakening, expected) < 2) continue;
            /* Those that are thought to make no difference cost the whole search each time. */
            bad += !order__mutant(program, cases, *expected ? scale / 50 + 1 : scale, expected);
        }
        return bad != 0;
    }
    for (c = cases; c->name; c++) {
        order_result r = order_explore(c, 50 * scale, 10 * scale);
        if (r.well) {
            printf("ok   %s.%s (%s %lu schedules of bound %u, %lu seeded ones)\n", program, c->name,
                   r.whole ? "all" : "first", r.runs, order__bound(c), r.seeded);
        } else {
            printf("FAIL %s.%s: %s\n  choices: ", program, c->name, order.message);
            order__print_choices();
        }
        fflush(stdout);
        bad += !r.well;
    }
    return bad != 0;
}

/* -- what -fsanitize=thread calls, and the copies it does not see -- */

#define ORDER__WATCH(name, size)                                                                            \
    void __tsan_read##name(void *p);                                                                        \
    void __tsan_read##name(void *p) { order__plain(p, size, false, "plain read"); }                         \
    void __tsan_write##name(void *p);                                                                       \
    void __tsan_write##name(void *p) { order__plain(p, size, true, "plain write"); }                        \
    void __tsan_unaligned_read##name(void *p);                                                              \
    void __tsan_unaligned_read##name(void *p) { order__plain(p, size, false, "plain read"); }               \
    void __tsan_unaligned_write##name(void *p);                                                             \
    void __tsan_unaligned_write##name(void *p) { order__plain(p, size, true, "plain write"); }
ORDER__WATCH(1, 1)
ORDER__WATCH(2, 2)
ORDER__WATCH(4, 4)
ORDER__WATCH(8, 8)
ORDER__WATCH(16, 16)
void __tsan_read_range(void *p, size_t n);
void __tsan_read_range(void *p, size_t n) { order__plain(p, n, false, "plain read"); }
void __tsan_write_range(void *p, size_t n);
void __tsan_write_range(void *p, size_t n) { order__plain(p, n, true, "plain write"); }
void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_func_entry(void *p);
void __tsan_func_entry(void *p) { (void)p; }
void __tsan_func_exit(void);
void __tsan_func_exit(void) {}

void *order_memcpy(void *to, const void *from, size_t n);
void *order_memcpy(void *to, const void *from, size_t n) {
    order__plain(from, n, false, "plain read");
    order__plain(to, n, true, "plain write");
    return memcpy(to, from, n);
}
void *order_memmove(void *to, const void *from, size_t n);
void *order_memmove(void *to, const void *from, size_t n) {
    order__plain(from, n, false, "plain read");
    order__plain(to, n, true, "plain write");
    return memmove(to, from, n);
}
void *order_memset(void *to, int byte, size_t n);
void *order_memset(void *to, int byte, size_t n) {
    order__plain(to, n, true, "plain write");
    return memset(to, byte, n);
}
int order_memcmp(const void *a, const void *b, size_t n);
int order_memcmp(const void *a, const void *b, size_t n) {
    order__plain(a, n, false, "plain read");
    order__plain(b, n, false, "plain read");
    return memcmp(a, b, n);
}

#endif /* ORDER_IMPLEMENTATION */
