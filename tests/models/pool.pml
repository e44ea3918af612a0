/* SPDX-License-Identifier: MIT-0
   The free lists and caches of stream_pool.h: stream_pool__pop, _push, _take, _claim and _shed, one step
   for each atomic call of theirs. One thread works through a cache: it takes two of PLACES buffers at once,
   uses one, remembers both, and sheds what it still has. The others take one or two from the list, or
   whatever a cache remembers, and put them back on the list in either order.

   Proven: a buffer has one owner at a time, none is lost, listed twice, or listed and remembered at once,
   no thread goes round for ever without another one getting on.

   large
   progress -DOTHERS=1
   long -DOTHERS=2 -DPLACES=4

   -DWEAK_GENERATION a pop does not raise the generation: the exchange of a late pop succeeds (ABA)
   -DWEAK_LINK       what is below is written after the exchange that publishes the place
   -DWEAK_CLAIM      what is remembered is claimed by a load and a store
   -DWEAK_SHED       what is remembered is pushed unclaimed

   The generation has 4 bits; while one thread sleeps in a pop the others finish fewer than 16, so none of
   them is mistaken for another: that is the limit stream_pool.h states for 32. */

#ifndef OTHERS
#define OTHERS 2
#endif
#ifndef PLACES
#define PLACES 3
#endif
#define NONE 0

#define OUT 0                         /* the state of a buffer, and in its low bits the place below it */
#define LISTED 8
#define CACHED 16
#define BELOW(s) ((s) & 7)

byte generation, top = PLACES;        /* the head of the list */
byte state[PLACES + 1];
bool owned[PLACES + 1];               /* not in the code: who holds a buffer is alone with it */
byte done;

inline own(place) { assert(!owned[place]); owned[place] = true }
inline disown(place) { assert(owned[place]); owned[place] = false }

/* first: NONE, or the first of `got` places that are ours, linked by their states */
inline stream_pool__pop(most) {
    atomic { head_generation = generation; head = top };    /* load_acquire(list) */
    do
    :: head == NONE -> first = NONE; got = 0; break
    :: else ->
        atomic { first = head; below = head; got = 0 };
        do
        :: d_step {                                         /* load_relaxed(&at(table, below)->state) */
                seen = state[below];
                if
                :: seen & LISTED -> below = BELOW(seen); got++
                :: else
                fi
            };
            if
            :: !(seen & LISTED) || got == most || below == NONE -> break
            :: else
            fi
        od;
        if
        :: !(seen & LISTED) -> atomic { head_generation = generation; head = top }
        :: else ->
            atomic {                                        /* cas(list, &head, generation + 1, below) */
                if
                :: generation == head_generation && top == head ->
#ifndef WEAK_GENERATION
                    generation = (generation + 1) & 15;
#endif
                    top = below;
                    own(first);
                    if
                    :: got == 2 -> own(BELOW(state[first]))
                    :: else
                    fi;
                    break
                :: else -> head_generation = generation; head = top
                fi
            }
        fi
    od;
    atomic { head = NONE; head_generation = 0; below = NONE; seen = 0 }
}

/* `from` to `to` of ours, whose states between them are linked already */
inline stream_pool__push(from, to) {
    atomic { head_generation = generation; head = top };    /* load_relaxed(list) */
    do
    :: true ->
#ifndef WEAK_LINK
        state[to] = LISTED | head;                          /* store_relaxed(&last->state) */
#endif
        atomic {                                            /* cas(list, &head, generation, first) */
            if
            :: generation == head_generation && top == head ->
                top = from;
                disown(from);
                if
                :: from != to -> disown(to)
                :: else
                fi;
                break
            :: else -> head_generation = generation; head = top
            fi
        }
    od;
#ifdef WEAK_LINK
    state[to] = LISTED | head;
#endif
    atomic { head = NONE; head_generation = 0 }
}

/* CACHED -> what; won: it was */
inline stream_pool__claim(place, what) {
#ifdef WEAK_CLAIM
    won = state[place] == CACHED;
    if
    :: won -> atomic { state[place] = what; own(place) }
    :: else
    fi
#else
    atomic {                                                /* cas(&buf->state) */
        won = state[place] == CACHED;
        if
        :: won -> state[place] = what; own(place)
        :: else
        fi
    }
#endif
}

proctype cached() {
    byte head_generation, head, below, seen, first, got, last, remembered[2], n, i;
    bool won;
    stream_pool__pop(2);                                    /* stream_pool__take */
    if
    :: got == 2 ->
        n = 1;
        remembered[0] = BELOW(state[first]);                /* load_relaxed: nobody else writes it */
        state[first] = OUT;
        atomic { state[remembered[0]] = CACHED; disown(remembered[0]) } /* store_release(&buf->state) */
    :: got == 1 -> state[first] = OUT
    :: else
    fi;
    if
    :: got > 0 ->
        atomic { state[first] = CACHED; disown(first) };    /* stream_pool__release: cas(&buf->state) */
        remembered[n] = first;
        n++
    :: else
    fi;
progress:
    atomic { first = NONE; got = 0 };
    do                                                      /* stream_pool__shed */
    :: i < n ->
#ifdef WEAK_SHED
        atomic { won = true; state[remembered[i]] = LISTED | first; own(remembered[i]) };
#else
        stream_pool__claim(remembered[i], LISTED | first);
#endif
        atomic {
            if
            :: won && last == NONE -> last = remembered[i]
            :: else
            fi;
            if
            :: won -> first = remembered[i]
            :: else
            fi;
            i++
        }
    :: else -> break
    od;
    if
    :: first != NONE -> stream_pool__push(first, last)
    :: else
    fi;
    done++
}

/* One from the list, else one that a cache remembers (stream_pool__search); NONE */
inline acquire(place) {
    stream_pool__pop(1);
    place = first;
    if
    :: place != NONE -> state[place] = OUT                  /* store_relaxed(&first->state) */
    :: else ->
        i = 1;
        do
        :: i <= PLACES ->
            stream_pool__claim(i, OUT);
            if
            :: won -> place = i; break
            :: else -> i++
            fi
        :: else -> break
        od
    fi;
    atomic { first = NONE; got = 0; i = 0; won = false }
}

proctype uncached() {
    byte head_generation, head, below, seen, first, got, a, b, i;
    bool won;
    acquire(a);
    if
    :: a != NONE ->
        if
        :: acquire(b)
        :: b = NONE
        fi;
        if
        :: b == NONE -> stream_pool__push(a, a)
        :: b != NONE -> stream_pool__push(a, a); stream_pool__push(b, b)
        :: b != NONE -> stream_pool__push(b, b); stream_pool__push(a, a)
        fi
    :: else
    fi;
progress:
    done++
}

init {
    byte i, n;
    atomic {
        do
        :: i < PLACES -> state[i + 1] = LISTED | i; i++
        :: else -> break
        od;
        run cached();
        run uncached();
#if OTHERS == 2
        run uncached()
#endif
    }
    done == OTHERS + 1;
    d_step { /* all are listed, each once */
        i = top;
        do
        :: i != NONE && n <= PLACES -> assert(!owned[i] && (state[i] & LISTED)); i = BELOW(state[i]); n++
        :: else -> break
        od;
        assert(n == PLACES)
    }
}
