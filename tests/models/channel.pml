/* SPDX-License-Identifier: MIT-0
   stream_channel of stream.h: who waits, who is told, who sleeps, and close; one lane, one step for each
   atomic call and for each futex call. SENDERS_N senders of ITEMS each, RECEIVERS_N receivers of TAKES
   each.

   Proven: nobody sleeps for ever, on an item, on room, or on close; no telling is left behind or made up.
   Nobody closes, for close wakes everyone and hides what was lost; with CLOSE 1 the last sender does when
   it is done, and receivers go on until END; with CLOSE 2 a third thread does, at any time, and senders may
   be turned away.

   parts
   also -DSENDERS_N=1 -DITEMS=2 -DRECEIVERS_N=2 -DTAKES=1
   also -DSENDERS_N=1 -DITEMS=2 -DRECEIVERS_N=2 -DTAKES=1 -DCELLS=2
   also -DSENDERS_N=1 -DRECEIVERS_N=2 -DCLOSE=1
   also -DCLOSE=1
   also -DSENDERS_N=1 -DCLOSE=2
   long -DSENDERS_N=1 -DRECEIVERS_N=2 -DCLOSE=2
   long -DITEMS=2 -DTAKES=4 -DCELLS=2
   long -DCLOSE=2
   long -DRECEIVERS_N=2 -DTAKES=1
   long -DRECEIVERS_N=2 -DTAKES=1 -DCELLS=2
   progress

   -DWEAK_LOOK    who is about to sleep looks first and announces itself then
   -DWEAK_TELL    who has put an item (or taken one) looks for sleepers before it hands the turn on
   -DWEAK_CHAIN -DRECEIVERS_N=2 -DITEMS=2 -DTAKES=2 -DCELLS=2
                  who was told does not tell the next when there is more
   -DWEAK_LEAVE   who leaves takes no telling along
   -DWEAK_SLEEP   the sleep does not compare the word
   -DWEAK_CLOSE -DCLOSE=2 -DSENDERS_N=1
                  close looks for sleepers before it closes */

#ifndef SENDERS_N
#define SENDERS_N 2
#endif
#ifndef RECEIVERS_N
#define RECEIVERS_N 1
#endif
#ifndef TAKES
#define TAKES 2
#endif
#ifndef CELLS
#define CELLS 1
#endif
#ifndef ITEMS
#define ITEMS 1
#endif
#ifndef CLOSE
#define CLOSE 0
#endif
#define CELL(p) (((p) >> 1) & (CELLS - 1))
#define RECEIVERS 0
#define SENDERS 1
#define EVERYONE 3

#define WAITING(w) ((w) & 3)
#define TOLD(w) ((w) >> 2)
#define ONE_TOLD 4
#define UNTOLD(w) (WAITING(w) - TOLD(w))

byte tail, head;                     /* positions in steps of two; bit 0 of tail: closed */
byte turn[CELLS];
byte word[2];
byte asleep[2];                      /* the kernel's: one bit for each thread */
byte sending = SENDERS_N, done, sent, got;   /* not in the code, but for who closes */

#define READY (turn[CELL(own)] >= own + 1)
#define ENDED ((own & 1) && head == own - 1)

/* stream__wake: any of them, `count` at most */
inline wake(q, count) {
    atomic {
        k = count;
        do
        :: k > 0 && (asleep[q] & 1) -> asleep[q] = asleep[q] & 14; k--
        :: k > 0 && (asleep[q] & 2) -> asleep[q] = asleep[q] & 13; k--
        :: k > 0 && (asleep[q] & 4) -> asleep[q] = asleep[q] & 11; k--
        :: k > 0 && (asleep[q] & 8) -> asleep[q] = asleep[q] & 7; k--
        :: k == 0 || asleep[q] == 0 -> break
        od;
        k = 0;
        n = 0
    }
}

/* stream__tell, from the word as loaded into `seen`; nothing if nobody waits untold */
inline tell(q, count) {
    do
    :: d_step { UNTOLD(seen) == 0 -> seen = 0 }; break
    :: d_step {                                             /* cas_seq_cst(&s->word) */
            UNTOLD(seen) > 0 ->
            if
            :: word[q] == seen ->
                n = (UNTOLD(seen) < count -> UNTOLD(seen) : count);
                word[q] = seen + n * ONE_TOLD;
                seen = 0
            :: else -> seen = word[q]
            fi
        };
        if
        :: n > 0 -> wake(q, n); break
        :: else
        fi
    od
}
inline tell_if(q, count) {
    seen = word[q];                                         /* load_seq_cst(&s->word) */
    tell(q, count)
}

/* stream__channel_wait up to the second look; `look` is set to whether it may sleep */
inline announce(q) {
    atomic { word[q] = word[q] + 1; assert(WAITING(word[q]) <= 2) } /* the exchange that wins */
}
inline sleep_and_leave(q, me) {
    if
    :: look && TOLD(seen) == 0 ->
        atomic {                                            /* stream__sleep */
            if
#ifdef WEAK_SLEEP
            :: true -> asleep[q] = asleep[q] | me
#else
            :: word[q] == seen -> asleep[q] = asleep[q] | me
            :: else
#endif
            fi
        };
        (asleep[q] & me) == 0
    :: else
    fi;
    d_step {                                                /* leaves, with a telling if there is one */
        word[q] = word[q] - 1;
#ifndef WEAK_LEAVE
        if
        :: TOLD(word[q]) > 0 -> word[q] = word[q] - ONE_TOLD
        :: else
        fi;
#endif
        assert(TOLD(word[q]) <= WAITING(word[q]));
        look = false;
        own = 0;
        seen = 0
    }
}

/* stream__channel_roomy, into look: there is none */
inline roomy() {
    own = tail;                                             /* load_seq_cst(&lane->tail) */
    look = !((own & 1) || turn[CELL(own)] >= own)           /* lane_room */
}
/* stream__channel_ready, into look: it is not */
inline ready() {
    own = head;                                             /* load_acquire(&lane->head) */
    if
    :: READY -> look = false                                /* load_seq_cst(&cell->turn) */
    :: else ->
        own = tail;                                         /* stream__channel_ended */
        look = !ENDED
    fi
}

inline close_lane() {
#ifndef WEAK_CLOSE
    tail = tail | 1;                                        /* the exchange that wins */
#endif
    tell_if(SENDERS, EVERYONE);
    tell_if(RECEIVERS, EVERYONE)
#ifdef WEAK_CLOSE
    ;tail = tail | 1
#endif
}

proctype sender(byte me) {
    byte own, seen, n, k, items;
    bool look, put;
    do
    :: items < ITEMS ->
        own = tail;                                         /* stream__lane_push */
        do
        :: own & 1 -> break
        :: else ->
            if
            :: turn[CELL(own)] == own ->                    /* load_seq_cst(&cell->turn) */
                atomic {                                    /* cas(&lane->tail) */
                    if
                    :: tail == own -> tail = own + 2; put = true; break
                    :: else -> own = tail
                    fi
                }
            :: atomic { turn[CELL(own)] < own -> own = 0; break }
            :: else -> own = tail
            fi
        od;
        if
        :: put ->
#ifdef WEAK_TELL
            tell_if(RECEIVERS, 1);
            turn[CELL(own)] = own + 1;
#else
            turn[CELL(own)] = own + 1;                      /* store_seq_cst(&cell->turn) */
            tell_if(RECEIVERS, 1);
#endif
#ifndef WEAK_CHAIN
            seen = word[SENDERS];                           /* load_seq_cst(&senders->word) */
            if
            :: seen -> roomy(); if :: !look -> tell(SENDERS, 1) :: else fi
            :: else
            fi;
#endif
progress:
            atomic { put = false; look = false; seen = 0; own = 0; items++; sent++ }
        :: else ->
            if
            :: tail & 1 -> tell_if(SENDERS, EVERYONE); break /* E_STATE */
            :: else
            fi;
#ifdef WEAK_LOOK
            roomy();
            announce(SENDERS);
            seen = word[SENDERS];
#else
            announce(SENDERS);
            seen = word[SENDERS];
            roomy();
#endif
            sleep_and_leave(SENDERS, me)
        fi
    :: else -> break
    od;
    atomic { own = 0; look = false; sending--; put = sending == 0 };
#if CLOSE == 1
    if
    :: put -> close_lane()
    :: else
    fi;
#endif
    done++
}

proctype receiver(byte me) {
    byte own, seen, n, k, items;
    bool look, put;
    do
    :: CLOSE || items < TAKES ->
        own = head;                                         /* stream__lane_pop */
        do
        :: turn[CELL(own)] == own + 1 ->                    /* load_seq_cst(&cell->turn) */
            atomic {                                        /* cas(&lane->head) */
                if
                :: head == own -> head = own + 2; put = true; break
                :: else -> own = head
                fi
            }
        :: atomic { turn[CELL(own)] < own + 1 -> own = 0; break }
        :: else -> own = head
        od;
        if
        :: put ->
#ifdef WEAK_TELL
            tell_if(SENDERS, 1);
            turn[CELL(own)] = own + 2 * CELLS;
#else
            turn[CELL(own)] = own + 2 * CELLS;              /* store_seq_cst(&cell->turn) */
            tell_if(SENDERS, 1);
#endif
#ifndef WEAK_CHAIN
            seen = word[RECEIVERS];                         /* load_seq_cst(&receivers->word) */
            if
            :: seen -> ready(); if :: !look -> tell(RECEIVERS, 1) :: else fi
            :: else
            fi;
#endif
progress:
            atomic { put = false; look = false; seen = 0; own = 0; got++; items = (CLOSE -> 0 : items + 1) }
        :: else ->
            own = tail;
            if
            :: ENDED -> tell_if(RECEIVERS, EVERYONE); break /* END */
            :: else
            fi;
#ifdef WEAK_LOOK
            ready();
            announce(RECEIVERS);
            seen = word[RECEIVERS];
#else
            announce(RECEIVERS);
            seen = word[RECEIVERS];
            ready();
#endif
            sleep_and_leave(RECEIVERS, me)
        fi
    :: else -> break
    od;
    done++
}

#if CLOSE == 2
proctype closer() {
    byte seen, n, k;
    close_lane();
    done++
}
#endif

init {
    byte i;
    atomic {
        do
        :: i < CELLS -> turn[i] = 2 * i; i++
        :: else -> break
        od;
        run sender(1);
        run receiver(4);
#if SENDERS_N == 2
        run sender(2);
#endif
#if RECEIVERS_N == 2
        run receiver(8);
#endif
#if CLOSE == 2
        run closer();
#endif
        i = 0
    }
    done == SENDERS_N + RECEIVERS_N + (CLOSE == 2 -> 1 : 0);
    assert(word[0] == 0 && word[1] == 0 && asleep[0] == 0 && asleep[1] == 0);
    assert(sent == got && (CLOSE == 2 || sent == SENDERS_N * ITEMS))
}
