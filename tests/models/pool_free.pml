/* SPDX-License-Identifier: MIT-0
   stream_pool_free while buffers are out: stream_pool_free, the end of stream_pool_release with a cache and
   without, stream_pool__discard and stream_pool__drop, one step for each atomic call. Of four buffers one
   is on the list, one remembered by a cache, and two are out, with a thread each, which release them while
   a third thread frees the pool.

   Proven: the tables are given back once, after the last touch of them, by whoever is last.

   progress

   -DWEAK_CLOSED  the list is emptied, not closed: a late release puts its buffer on a list nobody takes from
   -DWEAK_ORPHAN  free does not mark what is out: a late release leaves it for a cache that nobody asks
   -DWEAK_MARK    release marks CACHED by a store, not by an exchange that sees the mark
   -DWEAK_TOUCH   release counts in the tables after its push, when its buffer is no longer its own
   -DWEAK_DROP    discard drops its reference before it hands back the place */

#define PLACES 4
#define NONE 0
#define CLOSED 7

#define OUT 8                    /* the state of a buffer, and in its low bits the place below it */
#define BUSY 16
#define LISTED 32
#define CACHED 64
#define ORPHAN 128
#define BELOW(s) ((s) & 7)

byte kept_generation, kept = 3;  /* the head of the list */
byte state[PLACES + 1];
byte blank;                      /* how many places went back: the list itself is the one of pool.pml */
byte refs = 1 + PLACES;          /* core->refs: the pool's own, and one for each buffer */
bool core_gone;                  /* not in the code */
byte done;

#define CORE assert(!core_gone)  /* what follows reads or writes the tables */

/* sub_acq_rel(&core->refs, 1); the last one frees the core */
inline stream_pool__drop() {
    atomic {
        CORE;
        refs--;
        last = refs == 0
    }
    if
    :: last -> atomic { CORE; core_gone = true }
    :: else
    fi
}

inline stream_pool__discard() {
#ifdef WEAK_DROP
    stream_pool__drop();
#endif
    atomic { CORE; blank++ }                                /* push(&shelf->blank, ...) */
    CORE;                                                   /* add_relaxed(&core->bytes, -capacity) */
#ifndef WEAK_DROP
    stream_pool__drop()
#endif
}

/* The last reference goes: OUT -> BUSY; seen: what it was */
inline let_go(place) {
    atomic { CORE; seen = state[place]; state[place] = BUSY } /* cas(&buf->state): the exchange that wins */
}

proctype release_cached(byte place) {
    byte seen;
    bool last;
    let_go(place);
    if
    :: seen & ORPHAN -> stream_pool__discard()
    :: else ->
#ifdef WEAK_MARK
        atomic { CORE; seen = state[place] };
        if
        :: seen == BUSY -> atomic { CORE; state[place] = CACHED }
#else
        atomic {                                            /* cas(&buf->state, &busy, CACHED) */
            CORE;
            seen = state[place];
            if
            :: seen == BUSY -> state[place] = CACHED
            :: else
            fi
        };
        if
        :: seen == BUSY
#endif
        :: else -> stream_pool__discard()
        fi
    fi;
progress:
    done++
}

proctype release(byte place) {
    byte generation, head, seen;
    bool last;
    let_go(place);
    if
    :: seen & ORPHAN -> stream_pool__discard()
    :: else ->
        atomic { CORE; generation = kept_generation; head = kept } /* load_relaxed(list) */
        do
        :: head == CLOSED -> stream_pool__discard(); break
        :: else ->
            atomic { CORE; state[place] = LISTED | head };  /* store_relaxed(&last->state) */
            atomic {                                        /* cas(list, &head, place) */
                CORE;
                if
                :: kept_generation == generation && kept == head -> kept = place; break
                :: else -> generation = kept_generation; head = kept
                fi
            }
        od
    fi;
#ifdef WEAK_TOUCH
    CORE;
#endif
progress:
    done++
}

proctype stream_pool_free() {
    byte generation, head, seen, place;
    bool last;
    atomic { CORE; generation = kept_generation; head = kept } /* load_relaxed(kept) */
    do
    :: atomic {                                             /* cas(kept, &state, CLOSED) */
            CORE;
            if
            :: kept_generation == generation && kept == head ->
#ifdef WEAK_CLOSED
                kept = NONE;
#else
                kept = CLOSED;
#endif
                break
            :: else -> generation = kept_generation; head = kept
            fi
        }
    od;
    do
    :: head != NONE ->
        atomic { CORE; head = BELOW(state[head]) };         /* load_relaxed(&buf->state) */
        stream_pool__discard()
    :: else -> break
    od;
    place = 1;
    do
    :: place <= PLACES ->
        atomic { CORE; seen = state[place] };               /* load_relaxed(&buf->state) */
#ifndef WEAK_ORPHAN
        do
        :: seen & (OUT | BUSY) ->
            atomic {                                        /* cas(&buf->state, &state, state | ORPHAN) */
                CORE;
                if
                :: state[place] == seen -> state[place] = seen | ORPHAN; break
                :: else -> seen = state[place]
                fi
            }
        :: else -> break
        od;
#endif
        if
        :: seen == CACHED ->                                /* stream_pool__claim */
            atomic { CORE; assert(state[place] == CACHED); state[place] = BUSY };
            stream_pool__discard()
        :: else
        fi;
        place++
    :: else -> break
    od;
    stream_pool__drop();
progress:
    done++
}

init {
    atomic {
        state[1] = OUT | 1;
        state[2] = OUT | 1;
        state[3] = LISTED;
        state[4] = CACHED;
        run release_cached(1);
        run release(2);
        run stream_pool_free()
    }
    done == 3;
    assert(core_gone && refs == 0 && blank == PLACES)
}
