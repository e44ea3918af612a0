/* SPDX-License-Identifier: MIT-0
   stream_spsc of stream.h: stream_spsc_push and stream_spsc_pop, one step for each atomic call and each
   access to a slot. Capacity 2, counters of 3 bits that never stop, so the search holds every state of
   every wrap.

   Proven: the consumer gets 0, 1, 2 ... in this order, and never touches a slot the producer is in.

   progress

   -DWEAK_TAIL     the slot is written after tail is stored (what a store that does not release allows)
   -DWEAK_HEAD     the slot is read after head is stored
   -DWEAK_COMPARE  full is tail > head + capacity, not a difference: wrong at the wrap
   -DWEAK_FULL     full one too late */

#define CAPACITY 2
#define COUNTER(x) ((x) & 7)

byte tail, head;
byte slot[CAPACITY];
bool writing[CAPACITY], reading[CAPACITY]; /* not in the code */

#ifdef WEAK_COMPARE
#define FULL(t, h) ((t) >= (h) + CAPACITY)
#elif defined(WEAK_FULL)
#define FULL(t, h) (COUNTER((t) - (h)) > CAPACITY)
#else
#define FULL(t, h) (COUNTER((t) - (h)) >= CAPACITY)
#endif

inline write_slot() { /* ring->producer_slot[tail & mask] = item: two steps, and a reader may come between */
    atomic { assert(!reading[own & 1]); writing[own & 1] = true };
    atomic { slot[own & 1] = item; writing[own & 1] = false }
}

active proctype producer() { /* stream_spsc_push, for ever */
    byte own, head_seen, item;
end:
    do
    :: FULL(own, head_seen) ->
        head_seen = head;                                   /* load_acquire(&ring->head) */
        if
        :: FULL(own, head_seen) -> COUNTER(own - head) < CAPACITY /* FULL: the caller comes again later */
        :: else
        fi
    :: else ->
#ifdef WEAK_TAIL
        tail = COUNTER(own + 1);
        write_slot();
#else
        write_slot();
        tail = COUNTER(own + 1);                            /* store_release(&ring->tail) */
#endif
progress:
        own = COUNTER(own + 1);
        item = COUNTER(item + 1)
    od
}

inline read_slot() { /* *item = ring->consumer_slot[head & mask] */
    atomic { assert(!writing[own & 1]); reading[own & 1] = true };
    atomic { assert(slot[own & 1] == item); reading[own & 1] = false }
}

active proctype consumer() { /* stream_spsc_pop, for ever */
    byte own, tail_seen, item;
end:
    do
    :: own == tail_seen ->
        tail_seen = tail;                                   /* load_acquire(&ring->tail) */
        if
        :: own == tail_seen -> tail != own                  /* EMPTY: the caller comes again later */
        :: else
        fi
    :: else ->
#ifdef WEAK_HEAD
        head = COUNTER(own + 1);
        read_slot();
#else
        read_slot();
        head = COUNTER(own + 1);                            /* store_release(&ring->head) */
#endif
progress:
        own = COUNTER(own + 1);
        item = COUNTER(item + 1)
    od
}
