/* SPDX-License-Identifier: MIT-0
   The checker of tests/order.h put to the test: small programs whose outcomes C11 settles. Each row names
   the outcomes that must be seen and those that must never be; all others are free. What the model cannot
   show has rows of its own, so that a change of the model is noticed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "order.h"

const char *const order_sites[] = {"-"};
const unsigned order_site_count = 1;
const unsigned order_grain = 0;

/* Shared words, and what the threads saw. */
static struct {
    stream__a64 x, y, z;
    uint64_t plain;
} *w;
static uint64_t r1, r2, r3, r4;
static unsigned long outcomes; /* bit r1 + 4 * r2 (+ 16 * ...), as the row packs them */
static unsigned (*pack)(void);

/* The orders of the row under test. */
static order_memory o1, o2;

#define LOAD(o, a)         order_load(0, o, &(a)->v, 8)
#define STORE(o, a, v_)    order_store(0, o, &(a)->v, 8, v_)
#define ADD(o, a, v_)      order_rmw(0, o, &(a)->v, 8, '+', v_)

static void begin(void) {
    w = order_alloc(sizeof *w);
    r1 = r2 = r3 = r4 = 9;
}
static void end(void) { outcomes |= 1ul << pack(); }
static unsigned two(void) { return (unsigned)(r1 + 4 * r2); }
static unsigned three(void) { return (unsigned)(r1 + 4 * r2 + 16 * r3); }
static unsigned bits(void) { return (unsigned)(r1 + 2 * r2 + 4 * r3 + 8 * r4); }

/* message passing: o1 publishes, o2 receives */
static void mp_write(void) {
    STORE(order_relaxed, &w->x, 1);
    STORE(o1, &w->y, 1);
}
static void mp_read(void) {
    r1 = LOAD(o2, &w->y);
    r2 = LOAD(order_relaxed, &w->x);
}

/* the same with plain bytes: anything weaker is a data race */
static void mp_plain_write(void) {
    w->plain = 1;
    STORE(o1, &w->y, 1);
}
static void mp_plain_read(void) {
    r1 = LOAD(o2, &w->y);
    r2 = r1 ? w->plain : 1;
}

/* store buffering */
static void sb_1(void) {
    STORE(o1, &w->x, 1);
    r1 = LOAD(o2, &w->y);
}
static void sb_2(void) {
    STORE(o1, &w->y, 1);
    r2 = LOAD(o2, &w->x);
}
static void sb_rmw_1(void) {
    ADD(o1, &w->x, 1);
    r1 = LOAD(o2, &w->y);
}
static void sb_rmw_2(void) {
    ADD(o1, &w->y, 1);
    r2 = LOAD(o2, &w->x);
}

/* the same, where a relaxed store is looked at by its own thread: hardware may forward it to that first */
static void sb_forward(void) {
    STORE(order_relaxed, &w->x, 1);
    r3 = LOAD(o2, &w->x);
    r1 = LOAD(o2, &w->y);
}

/* load buffering */
static void lb_1(void) {
    r1 = LOAD(o2, &w->x);
    STORE(o1, &w->y, 1);
}
static void lb_2(void) {
    r2 = LOAD(o2, &w->y);
    STORE(o1, &w->x, 1);
}

/* independent reads of independent writes */
static void iriw_x(void) { STORE(o1, &w->x, 1); }
static void iriw_y(void) { STORE(o1, &w->y, 1); }
static void iriw_xy(void) {
    r1 = LOAD(o2, &w->x);
    r2 = LOAD(o2, &w->y);
}
static void iriw_yx(void) {
    r3 = LOAD(o2, &w->y);
    r4 = LOAD(o2, &w->x);
}

/* coherence: two writers of one word, readers that look twice */
static void co_1(void) { STORE(order_relaxed, &w->x, 1); }
static void co_2(void) { STORE(order_relaxed, &w->x, 2); }
static void co_read(void) {
    r1 = LOAD(order_relaxed, &w->x);
    r2 = LOAD(order_relaxed, &w->x);
}
static void co_read_too(void) {
    r3 = LOAD(order_relaxed, &w->x);
    r4 = LOAD(order_relaxed, &w->x);
}
static unsigned co_pack(void) { /* 1: the readers disagree on the order of 1 and 2; 2: one went back to 0 */
    if ((r1 && !r2) || (r3 && !r4)) return 2;
    if (r1 && r2 && r3 && r4 && r1 != r2 && r3 != r4 && r1 != r3) return 1;
    return r1 == 2 && r2 == 1 ? 3 : 0;
}

/* a thread reads its own store, or a newer one */
static void own_1(void) {
    STORE(order_relaxed, &w->x, 1);
    r1 = LOAD(order_relaxed, &w->x);
}

/* two words written in opposite orders */
static void ww_1(void) {
    STORE(o1, &w->x, 1);
    STORE(o1, &w->y, 2);
}
static void ww_2(void) {
    STORE(o1, &w->y, 1);
    STORE(o1, &w->x, 2);
}
static unsigned ww_pack(void) { /* after all is done memory holds the last of the modification order */
    return (unsigned)(w->x.v + 4 * w->y.v);
}

/* release sequence: y is published, then raised by another's relaxed add, then received */
static void rs_publish(void) {
    STORE(order_relaxed, &w->x, 1);
    STORE(o1, &w->y, 1);
}
static void rs_add(void) { ADD(order_relaxed, &w->y, 1); }
static void rs_read(void) {
    r1 = LOAD(order_acquire, &w->y);
    r2 = LOAD(order_relaxed, &w->x);
}
/* and broken by a store of another thread */
static void rs_break(void) {
    if (LOAD(order_relaxed, &w->y) == 1) STORE(order_relaxed, &w->y, 2);
}

/* transitivity: a release that received passes on what it received */
static void wrc_1(void) { STORE(order_relaxed, &w->x, 1); }
static void wrc_2(void) {
    r1 = LOAD(order_relaxed, &w->x);
    STORE(o1, &w->y, 1);
}
static void wrc_3(void) {
    r2 = LOAD(o2, &w->y);
    r3 = LOAD(order_relaxed, &w->x);
}

/* adds lose nothing */
static void add_1(void) {
    ADD(order_relaxed, &w->x, 1);
    ADD(order_relaxed, &w->x, 1);
}
static unsigned add_pack(void) { return (unsigned)w->x.v; }

/* a compare-exchange may fail for no reason; then it must not have stored */
static void cas_1(void) {
    uint64_t seen = 0;
    r1 = order_cas(0, order_acq_rel, &w->x.v, 8, &seen, 1, true);
    r2 = seen;
}
static void cas_2(void) {
    uint64_t seen = 0;
    r3 = order_cas(0, order_acq_rel, &w->x.v, 8, &seen, 2, true);
    r4 = seen;
}
static unsigned cas_pack(void) {
    return (unsigned)(r1 + 2 * r3 + (w->x.v == (r1 ? 1u : r3 ? 2u : 0u) ? 0 : 4));
}

/* sleeping: the flag is set before the look at the word, or the wake is lost */
static void nap_sleep(void) {
    STORE(o1, &w->y, 1); /* "I may sleep" */
    if (LOAD(o2, &w->x) == 0) order_wait(&w->x.v, 8, 0, false);
}
static void nap_wake(void) {
    STORE(o1, &w->x, 1);
    if (LOAD(o2, &w->y) == 1) order_wake(&w->x.v, 1);
}
static unsigned nap_pack(void) { return 0; }

/* memory that goes away */
static char *block;
static void gone_begin(void) {
    begin();
    block = order_alloc(8);
}
static void gone_read(void) {
    r1 = (uint64_t)*(volatile char *)block;
    ADD(o1, &w->x, 1);
}
static void gone_free(void) {
    if (LOAD(o2, &w->x) == 1) order_free(block);
    else order_free(order_alloc(8));
    r2 = 0;
}

#define AT(i) (1ul << (i))

typedef struct row {
    order_case test;
    order_memory o1, o2;
    unsigned (*pack)(void);
    unsigned long must, never;
    const char *fault; /* how every search of it must fail; NULL: none may */
} row;

#define A order_acquire
#define R order_release
#define X order_relaxed
#define S order_seq_cst
#define AR order_acq_rel

static const row rows[] = {
    {{"mp.release.acquire", begin, {mp_write, mp_read}, end, 9},
     R, A, two, AT(0) | AT(5) | AT(4), AT(1), NULL},
    {{"mp.relaxed.acquire", begin, {mp_write, mp_read}, end, 9},
     X, A, two, AT(0) | AT(1) | AT(4) | AT(5), 0, NULL},
    {{"mp.release.relaxed", begin, {mp_write, mp_read}, end, 9},
     R, X, two, AT(0) | AT(1) | AT(4) | AT(5), 0, NULL},
    {{"mp.plain", begin, {mp_plain_write, mp_plain_read}, end, 9}, R, A, two, AT(4) | AT(5), AT(1), NULL},
    {{"mp.plain.relaxed.acquire", begin, {mp_plain_write, mp_plain_read}, end, 9},
     X, A, two, 0, 0, "data race"},
    {{"mp.plain.release.relaxed", begin, {mp_plain_write, mp_plain_read}, end, 9},
     R, X, two, 0, 0, "data race"},
    {{"sb.seq_cst", begin, {sb_1, sb_2}, end, 9}, S, S, two, AT(1) | AT(4) | AT(5), AT(0), NULL},
    {{"sb.release.acquire", begin, {sb_1, sb_2}, end, 9},
     R, A, two, AT(0) | AT(1) | AT(4) | AT(5), 0, NULL},
    {{"sb.seq_cst.relaxed", begin, {sb_1, sb_2}, end, 9},
     S, X, two, AT(0) | AT(1) | AT(4) | AT(5), 0, NULL},
    {{"sb.rmw.seq_cst", begin, {sb_rmw_1, sb_rmw_2}, end, 9},
     S, S, two, AT(1) | AT(4) | AT(5), AT(0), NULL},
    {{"sb.rmw.acq_rel", begin, {sb_rmw_1, sb_rmw_2}, end, 9},
     AR, A, two, AT(0) | AT(1) | AT(4) | AT(5), 0, NULL},
    {{"sb.forward", begin, {sb_forward, sb_2}, end, 9}, S, S, two, AT(0) | AT(1) | AT(4) | AT(5), 0, NULL},
    {{"lb.release.acquire", begin, {lb_1, lb_2}, end, 9}, R, A, two, AT(0) | AT(1) | AT(4), AT(5), NULL},
    {{"lb.relaxed.is-not-shown", begin, {lb_1, lb_2}, end, 9},
     X, X, two, AT(0) | AT(1) | AT(4), AT(5), NULL},
    {{"iriw.seq_cst", begin, {iriw_x, iriw_y, iriw_xy, iriw_yx}, end, 2},
     S, S, bits, AT(15) | AT(0) | AT(1) | AT(4), AT(5), NULL},
    {{"iriw.release.acquire", begin, {iriw_x, iriw_y, iriw_xy, iriw_yx}, end, 2},
     R, A, bits, AT(15) | AT(0) | AT(5), 0, NULL},
    {{"coherence", begin, {co_1, co_2, co_read, co_read_too}, end, 2},
     X, X, co_pack, AT(0) | AT(3), AT(1) | AT(2), NULL},
    {{"coherence.own", begin, {own_1, co_2}, end, 9}, X, X, two, AT(1 + 36) | AT(2 + 36), AT(0 + 36), NULL},
    {{"2+2w.relaxed", begin, {ww_1, ww_2}, end, 9},
     X, X, ww_pack, AT(2 + 4) | AT(1 + 8) | AT(1 + 4) | AT(2 + 8), 0, NULL},
    {{"2+2w.seq_cst", begin, {ww_1, ww_2}, end, 9},
     S, S, ww_pack, AT(2 + 4) | AT(1 + 8) | AT(2 + 8), AT(1 + 4), NULL},
    {{"release-sequence", begin, {rs_publish, rs_add, rs_read}, end, 9},
     R, A, two, AT(2 + 4) | AT(1) | AT(0), AT(2), NULL},
    {{"release-sequence.relaxed", begin, {rs_publish, rs_add, rs_read}, end, 9},
     X, A, two, AT(2) | AT(2 + 4), 0, NULL},
    {{"release-sequence.broken", begin, {rs_publish, rs_break, rs_read}, end, 9},
     R, A, two, AT(2) | AT(2 + 4) | AT(1 + 4), AT(1), NULL},
    {{"wrc.release.acquire", begin, {wrc_1, wrc_2, wrc_3}, end, 9},
     R, A, three, AT(1 + 4 + 16) | AT(0), AT(1 + 4), NULL},
    {{"wrc.relaxed.acquire", begin, {wrc_1, wrc_2, wrc_3}, end, 9},
     X, A, three, AT(1 + 4 + 16) | AT(1 + 4), 0, NULL},
    {{"adds", begin, {add_1, add_1}, end, 9}, X, X, add_pack, AT(4), AT(1) | AT(2) | AT(3), NULL},
    {{"compare-exchange", begin, {cas_1, cas_2}, end, 9},
     AR, A, cas_pack, AT(1) | AT(2), AT(3) | AT(4) | AT(5), NULL},
    {{"sleep.seq_cst", begin, {nap_sleep, nap_wake}, end, 9}, S, S, nap_pack, AT(0), 0, NULL},
    {{"sleep.release.acquire", begin, {nap_sleep, nap_wake}, end, 9}, R, A, nap_pack, 0, 0, "for ever"},
    {{"free.release.acquire", gone_begin, {gone_read, gone_free}, end, 9}, R, A, two, AT(0), 0, NULL},
    {{"free.relaxed.acquire", gone_begin, {gone_read, gone_free}, end, 9}, X, A, two, 0, 0, "data race"},
};

int main(void) {
    unsigned i, bad = 0;
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const row *r = &rows[i];
        order_result found;
        bool well;
        o1 = r->o1;
        o2 = r->o2;
        pack = r->pack;
        outcomes = 0;
        found = order_explore(&r->test, 1000000, 1000);
        if (r->fault) well = !found.well && strstr(found.message, r->fault) != NULL;
        else well = found.well && found.whole && (outcomes & r->must) == r->must && !(outcomes & r->never);
        printf("%s litmus.%s (%lu schedules, outcomes %lx%s%s)\n", well ? "ok  " : "FAIL", r->test.name,
               found.runs, outcomes, found.well ? "" : ", ", found.well ? "" : found.message);
        if (!well) printf("  must %lx, never %lx, whole %d\n", r->must, r->never, found.whole);
        bad += !well;
    }
    return bad != 0;
}
