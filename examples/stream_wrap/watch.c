/* SPDX-License-Identifier: MIT-0
   Time: a timer for every state in which something may never come. One that runs out is reported first,
   with what is known of the child; it is stopped only if that was asked for.

   A timer is a moment from which it counts. When that moment moves on (a byte came, the tool ended) the
   timer starts over by itself; nothing of our own moves one, but that we were stopped ourselves: what the
   child said meanwhile was not heard, so all but the total one start over then. */
#include <stdio.h>

#include "wrap.h"

static const char *const name[TIMERS] = {"startup", "idle", "tool", "total", "exit"};

const char *watch_name(int timer) { return name[timer]; }

static uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Since when the timer counts; 0: it does not. */
static uint64_t counts_from(const run *r, int timer) {
    const session *s = &r->session;
    bool heard = r->bytes + r->err_ring.in > r->run_bytes, tool = s->tools > 0;
    if (r->ended && timer != TIMER_EXIT && timer != TIMER_TOTAL) return 0;
    switch (timer) {
    case TIMER_STARTUP: return heard ? 0 : later(r->run_ns, r->back_ns);
    case TIMER_IDLE:
        return heard && !tool && s->state != SESSION_RESULT ? later(r->active_ns, r->back_ns) : 0;
    case TIMER_TOOL: return tool ? later(s->tool[0].since_ns, r->back_ns) : 0;
    case TIMER_TOTAL: return r->started_ns;
    default:
        return s->state == SESSION_RESULT && r->has_child && !r->child_done
                   ? later(r->active_ns, r->back_ns)
                   : 0;
    }
}

/* What the child did with its time is seen between two looks: half way, and at the end. */
static void look_at_cpu(run *r, uint64_t from) {
    watch *w = &r->watch;
    if (w->cpu_from == from) return;
    w->cpu_from = from;
    w->cpu_known = r->has_child && !r->child_done && child_cpu_ns(&r->child, &w->cpu_ns);
}

static void fire(run *r, int timer, uint64_t from, uint64_t now_ns) {
    watch *w = &r->watch;
    uint64_t cpu_ns = 0;
    bool looked = w->cpu_from == from && w->cpu_known && child_cpu_ns(&r->child, &cpu_ns);
    w->fired[timer] = from;
    w->count++;
    w->last = timer;
    w->since_ns = from;
    w->busy = !looked ? WATCH_UNKNOWN : cpu_ns - w->cpu_ns > UINT64_C(20000000) ? WATCH_BUSY : WATCH_IDLE;
    w->stops = r->opt.timer[timer].stop;
    w->event_due = true;
    if (w->stops || r->opt.timer[timer].asked) {
        char what[160];
        watch_describe(r, what, sizeof what, now_ns);
        view_say(r, "stream_wrap: %s%s", what, w->stops ? "; stopping it" : "");
    }
    if (!w->stops) return;
    if (!r->stopping) r->timed_out = true; /* else it is what stops it already that counts */
    if (r->has_child && !r->child_done)
        stop_child(r, CHILD_TERMINATE);
    else
        r->give_up = true;
}

bool watch_stalled(const run *r) {
    const watch *w = &r->watch;
    return w->count > 0 && !r->ended && w->fired[w->last] != 0 &&
           w->fired[w->last] == counts_from(r, w->last);
}

void watch_describe(const run *r, char *out, size_t cap, uint64_t now_ns) {
    const watch *w = &r->watch;
    const session *s = &r->session;
    snprintf(out, cap, "stalled: %s%s%s for %u s%s%s", watch_name(w->last),
             w->last == TIMER_TOOL && s->tools > 0 ? " " : "",
             w->last == TIMER_TOOL && s->tools > 0 ? s->tool[0].name : "",
             (unsigned)(since_ns(now_ns, w->since_ns) / 1000000000),
             w->busy == WATCH_IDLE   ? ", no CPU used"
             : w->busy == WATCH_BUSY ? ", CPU in use"
                                     : "",
             pipes_child_reads(r) ? ", its stdin is open" : "");
}

void watch_heard(run *r) {
    if (!r->watch.told || watch_stalled(r)) return;
    r->watch.told = false;
    output_resumed(r, r->read_ns);
}

uint64_t watch_tick(run *r, uint64_t now_ns) {
    watch *w = &r->watch;
    uint64_t wait = UINT64_MAX;
    int timer;
    if (pipes_blocked(r)) r->active_ns = now_ns; /* it is our reader that is slow */
    for (timer = 0; timer < TIMERS; timer++) {
        uint64_t limit = r->opt.timer[timer].limit_ns, from = counts_from(r, timer), passed;
        if (limit == 0 || from == 0 || w->fired[timer] == from) continue;
        passed = since_ns(now_ns, from);
        if (passed >= limit / 2 && timer != TIMER_TOTAL) look_at_cpu(r, from);
        if (passed >= limit)
            fire(r, timer, from, now_ns);
        else
            wait = passed < limit / 2 && limit / 2 - passed < wait ? limit / 2 - passed
                   : limit - passed < wait                         ? limit - passed
                                                                   : wait;
    }
    if (w->event_due && !pipes_blocked(r)) { /* what is on its way out must not move */
        w->event_due = false;
        w->told = true;
        output_stalled(r, now_ns);
    } else if (w->told && !pipes_blocked(r) && !watch_stalled(r)) {
        w->told = false;
        output_resumed(r, now_ns);
    }
    return wait;
}
