/* SPDX-License-Identifier: MIT-0
   stream_queue of stream.h: stream__lane_push and stream__lane_pop for one item, one step for each atomic
   call and each access to an item. Two producers of ITEMS, two consumers.

   Proven: each item comes out once, those of one producer in their order for each consumer, never more than
   CAPACITY inside; a cell has one thread in it at a time; nobody goes round for ever without another
   getting on.

   Positions have 3 bits (and go in steps of two, as in the code), beginning two before they wrap.

   large
   also -DCELLS=1 -DCAPACITY=1
   also -DCELLS=4 -DCAPACITY=3
   progress -DITEMS=1
   long -DITEMS=3
   long -DCELLS=1 -DCAPACITY=1 -DITEMS=3

   -DWEAK_FILL    a producer hands the cell on before it has written the item
   -DWEAK_DRAIN   a consumer hands the cell on before it has read the item
   -DWEAK_TAIL    tail is claimed by a load and a store, not by an exchange
   -DWEAK_HEAD    the same for head */

#ifndef ITEMS
#define ITEMS 2
#endif
#ifndef CELLS
#define CELLS 2
#define CAPACITY 2
#endif
#define SPARE (CELLS - CAPACITY)
#define START 12
#define P(x) ((x) & 15)               /* a position; differences are signed: */
#define BEHIND(x) (P(x) >= 8)         /* off < 0 */
#define CELL(p) (((p) >> 1) & (CELLS - 1))

byte tail = START, head = START;
byte turn[CELLS];
byte item[CELLS];
byte depth;                           /* from here on not in the code */
bool inside[CELLS];
bool taken[2 * ITEMS];
byte left = 2 * ITEMS;

inline cas(word, seen, value, won) {
    atomic {
        won = (word == seen);
        if
        :: won -> word = value
        :: else -> seen = word
        fi
    }
}

proctype producer(byte me) {
    byte mine, number, off;
    bool won;
    do
    :: number < ITEMS ->
        mine = tail;                                        /* load_relaxed(&lane->tail) */
        do
        :: true ->
            off = 0;                                        /* stream__lane_room */
#if SPARE > 0
            off = P(turn[CELL(P(mine - 2 * CAPACITY))] - (mine + 2 * SPARE)); /* load_acquire(&behind->...) */
#endif
            if
            :: off == 0 -> off = P(turn[CELL(mine)] - mine) /* load_acquire(&cell->turn) */
            :: else
            fi;
            if
            :: off == 0 ->
#ifdef WEAK_TAIL
                won = (tail == mine);
                tail = P(mine + 2);
#else
                cas(tail, mine, P(mine + 2), won);          /* cas_relaxed(&lane->tail) */
#endif
                if
                :: won -> break
                :: else
                fi
            :: off != 0 && BEHIND(off) ->                   /* FULL: the caller comes again */
progress_full:
                mine = tail
            :: else -> mine = tail                          /* load_relaxed(&lane->tail) */
            fi
        od;
#ifdef WEAK_FILL
        turn[CELL(mine)] = P(mine + 1);
#endif
        atomic { assert(!inside[CELL(mine)]); inside[CELL(mine)] = true };
        atomic {                                            /* cell->item = items[i] */
            item[CELL(mine)] = me * ITEMS + number;
            inside[CELL(mine)] = false;
            depth++;
            assert(depth <= CAPACITY)
        }
#ifndef WEAK_FILL
        turn[CELL(mine)] = P(mine + 1);                     /* store_release(&cell->turn) */
#endif
progress_pushed:
        number++;
        mine = 0;
        off = 0;
        won = false
    :: else -> break
    od
}

proctype consumer() {
    byte mine, off, got;
    byte last[2];                                           /* the next number from each producer, at least */
    bool won;
    do
    :: left > 0 ->
        mine = head;                                        /* load_relaxed(&lane->head) */
        do
        :: true ->
            off = P(turn[CELL(mine)] - (mine + 1));         /* load_acquire(&cell->turn) */
            if
            :: off == 0 ->
#ifdef WEAK_HEAD
                won = (head == mine);
                head = P(mine + 2);
#else
                cas(head, mine, P(mine + 2), won);          /* cas_relaxed(&lane->head) */
#endif
                if
                :: won -> break
                :: else
                fi
            :: off != 0 && BEHIND(off) ->                   /* EMPTY: the caller comes again, or stops */
progress_empty:
                if
                :: left == 0 -> goto stop
                :: else -> mine = head
                fi
            :: else -> mine = head                          /* load_relaxed(&lane->head) */
            fi
        od;
#ifdef WEAK_DRAIN
        turn[CELL(mine)] = P(mine + 2 * CELLS);
#endif
        atomic { assert(!inside[CELL(mine)]); inside[CELL(mine)] = true };
        atomic {                                            /* items[i] = cell->item */
            got = item[CELL(mine)];
            inside[CELL(mine)] = false;
            assert(!taken[got]);
            taken[got] = true;
            assert(got % ITEMS >= last[got / ITEMS]);
            last[got / ITEMS] = got % ITEMS;
            got = 0;
            depth--;
            left--
        }
#ifndef WEAK_DRAIN
        turn[CELL(mine)] = P(mine + 2 * CELLS);             /* store_release(&cell->turn) */
#endif
progress_popped:
        mine = 0;
        won = false
    :: else -> break
    od;
stop:
    skip
}

init {
    byte i;
    atomic {
        do
        :: i < CELLS -> turn[CELL(START + 2 * i)] = P(START + 2 * i); i++
        :: else -> break
        od;
        i = 0;
        run producer(0);
        run producer(1);
        run consumer();
        run consumer()
    }
}
