/* SPDX-License-Identifier: MIT-0
   stream_ring of stream.h: records that never straddle the end of the memory (reserve, commit), read in
   place (peek, consume), and close; one step for each atomic call and each access to the bytes. The memory
   holds CAPACITY bytes; records are one or two bytes long, as the producer likes; the counters have 4 bits
   and begin two before they wrap.

   Proven: the consumer gets what was written, byte by byte and in order, in whole records, never touches a
   byte that the producer is in, and is told END after the last one and not before.

   also -DCAPACITY=4
   progress

   -DWEAK_TAIL    the bytes are written after tail is stored (what a store that does not release allows)
   -DWEAK_HEAD    the bytes are read after head is stored
   -DWEAK_MARK    the part given up is marked after tail is stored
   -DWEAK_CLOSED  the consumer does not look at tail again when it finds the ring closed
   -DWEAK_GIVE    a part is given up without looking whether it is free */

#ifndef CAPACITY
#define CAPACITY 3
#endif
#ifndef RECORDS
#define RECORDS 7
#endif
#define START 14
#define C(x) ((x) & 15)

byte tail = START, head = START, mark = START - 1;
bool closed;
byte bytes[CAPACITY];
byte inside[CAPACITY];               /* not in the code: who is at a byte */
#define PRODUCER 1
#define CONSUMER 2

inline enter(who, at, count) {
    d_step {
        assert(inside[at] == 0);
        inside[at] = who;
        if
        :: count == 2 -> assert(inside[at + 1] == 0); inside[at + 1] = who
        :: else
        fi
    }
}

/* room: stream__ring_room */
inline look_for(want) {
    room = CAPACITY - C(staged - head_seen);
    if
    :: room < want ->
        head_seen = head;                                   /* load_acquire(&ring->head) */
        room = CAPACITY - C(staged - head_seen)
    :: else
    fi
}

inline fill() {
    enter(PRODUCER, write_at, size);
    d_step {
        bytes[write_at] = next;
        inside[write_at] = 0;
        if
        :: size == 2 -> bytes[write_at + 1] = next + 128; inside[write_at + 1] = 0
        :: else -> bytes[write_at] = next + 64 /* a record of one */
        fi
    }
}

active proctype producer() {
    byte staged = START, head_seen = START, write_at, size, room, next;
    do
    :: next < RECORDS ->
        if
        :: size = 1
        :: size = 2
        fi;
again:                                                      /* stream_ring_reserve */
        if
        :: size > CAPACITY - write_at ->
            room = CAPACITY - write_at;
#ifndef WEAK_GIVE
            look_for(CAPACITY - write_at);
#endif
            if
            :: room < CAPACITY - write_at -> head != head_seen; goto again /* FULL: the caller comes again */
            :: else
            fi;
#ifndef WEAK_MARK
            mark = staged;                                  /* store_relaxed(&ring->mark) */
#endif
#ifdef WEAK_MARK
            room = staged;
#endif
            staged = C(staged + CAPACITY - write_at);
            write_at = 0;
            tail = staged;                                  /* store_release(&ring->tail) */
#ifdef WEAK_MARK
            mark = room;
#endif
        :: else
        fi;
        look_for(size);
        if
        :: room < size -> head != head_seen; goto again      /* FULL */
        :: else
        fi;
#ifdef WEAK_TAIL
        tail = C(staged + size);
        fill();
#else
        fill();
        tail = C(staged + size);                             /* commit: store_release(&ring->tail) */
#endif
progress:
        d_step {
            staged = C(staged + size);
            write_at = (write_at + size == CAPACITY -> 0 : write_at + size);
            next++;
            size = 0;
            room = 0
        }
    :: else -> break
    od;
    closed = true                                           /* store_release(&ring->closed) */
}

/* stream__ring_look: the two counters as they are now; stream__ring_spans: over a part given up */
inline look_and_step() {
    tail_seen = tail;                                       /* load_acquire(&ring->tail) */
    mark_seen = mark;                                       /* load_relaxed(&ring->mark) */
    if
    :: mark_seen == own && tail_seen != own ->
        own = C(own + CAPACITY - read_at);
        read_at = 0;
        head = own                                          /* store_release(&ring->head) */
    :: else
    fi
}

active proctype consumer() {
    byte own = START, tail_seen = START, mark_seen, read_at, next, size;
    do
    :: true ->
        look_and_step();
        if
        :: tail_seen == own ->                              /* stream__ring_nothing */
            if
            :: closed ->                                    /* load_acquire(&ring->closed) */
#ifndef WEAK_CLOSED
                look_and_step();
#endif
                if
                :: tail_seen == own -> break                /* END */
                :: else
                fi
            :: else -> tail != own || closed                /* EMPTY: the caller comes again */
            fi
        :: else
        fi;
        if
        :: tail_seen != own ->
            size = (bytes[read_at] >= 64 -> 1 : 2);
#ifdef WEAK_HEAD
            head = C(own + size);
#endif
            enter(CONSUMER, read_at, size);
            d_step {
                assert(bytes[read_at] == next + (size == 1 -> 64 : 0));
                inside[read_at] = 0;
                if
                :: size == 2 -> assert(bytes[read_at + 1] == next + 128); inside[read_at + 1] = 0
                :: else
                fi
            };
#ifndef WEAK_HEAD
            head = C(own + size);                            /* consume: store_release(&ring->head) */
#endif
progress:
            d_step {
                own = C(own + size);
                read_at = (read_at + size == CAPACITY -> 0 : read_at + size);
                next++;
                size = 0
            }
        :: else
        fi
    od;
    assert(next == RECORDS)
}
