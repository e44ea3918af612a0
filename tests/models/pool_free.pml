/* SPDX-License-Identifier: MIT-0
   stream_pool_free while buffers are out: stream_pool_free, the end of stream_pool_release, stream_pool__discard
   and stream_pool__drop, one step for each atomic call. One buffer is kept; two are out, with a thread each, which
   release them while a third thread frees the pool.

   Proven: the tables are given back once, after the last touch of them, by whoever is last.

   progress

   -DWEAK_CLOSED  the list is emptied, not closed: a late release puts its buffer on a list nobody takes from
   -DWEAK_TOUCH   release counts in the tables after its push, when its buffer is no longer its own
   -DWEAK_DROP    discard drops its reference before it hands back the slot */

#define SLOTS 3
#define NONE 0
#define CLOSED 7

byte kept_generation, kept = 3;  /* slot 3 is kept, 1 and 2 are out */
byte next[SLOTS + 1];
byte empty_list;                      /* how many slots went back: the list itself is the one of pool.pml */
byte refs = 1 + SLOTS;           /* core->refs: the pool's own, and one for each buffer */
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
    atomic { CORE; empty_list++ }                                /* push(&shelf->empty, ...) */
    CORE;                                                   /* add_relaxed(&core->bytes, -capacity) */
#ifndef WEAK_DROP
    stream_pool__drop()
#endif
}

/* stream_pool_release with the last reference: push, else discard */
proctype release(byte slot) {
    byte head_generation, head;
    bool last;
    atomic { CORE; head_generation = kept_generation; head = kept } /* load_relaxed(list) */
    do
    :: head == CLOSED -> stream_pool__discard(); break
    :: else ->
        CORE;
        next[slot] = head;                                  /* store_relaxed(&slots[index - 1].next) */
        atomic {                                            /* cas(list, &head, index) */
            CORE;
            if
            :: kept_generation == head_generation && kept == head -> kept = slot; break
            :: else -> head_generation = kept_generation; head = kept
            fi
        }
    od;
#ifdef WEAK_TOUCH
    CORE;
#endif
progress:
    done++
}

proctype stream_pool_free() {
    byte head_generation, head, below;
    bool last;
    atomic { CORE; head_generation = kept_generation; head = kept } /* load_relaxed(kept) */
    do
    :: atomic {                                             /* cas(kept, &head, CLOSED) */
            CORE;
            if
            :: kept_generation == head_generation && kept == head ->
#ifdef WEAK_CLOSED
                kept = NONE;
#else
                kept = CLOSED;
#endif
                break
            :: else -> head_generation = kept_generation; head = kept
            fi
        }
    od;
    do
    :: head != NONE ->
        CORE;
        below = next[head];                                 /* load_relaxed(&slot->next) */
        stream_pool__discard();
        head = below
    :: else -> break
    od;
    stream_pool__drop();
progress:
    done++
}

init {
    atomic {
        run release(1);
        run release(2);
        run stream_pool_free()
    }
    done == 3;
    assert(core_gone && refs == 0 && empty_list == SLOTS)
}
