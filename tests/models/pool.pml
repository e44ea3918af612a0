/* SPDX-License-Identifier: MIT-0
   The free lists of stream_pool.h [list]: stream_pool__pop and stream_pool__push, one step for each atomic
   call of theirs. Two threads take one or two of three slots and put them back in either order; a third takes
   and puts back one.

   Proven: a slot has one owner at a time, no slot is lost or listed twice, no thread goes round for ever without
   another one getting on.

   progress

   -DWEAK_GENERATION  a pop does not raise the generation: the exchange of a late pop succeeds (ABA)
   -DWEAK_NEXT        next is written after the exchange that publishes the slot

   The generation has 3 bits. While one thread sleeps in a pop the others finish 2 x ROUNDS + 1 pops at most,
   fewer than 8, so none of them is mistaken for another: that is the limit stream_pool.h states for 32. */

#ifndef ROUNDS
#define ROUNDS 1
#endif
#define SLOTS 3
#define NONE 0

byte generation, top = SLOTS; /* the head of the list */
byte next[SLOTS + 1];         /* slot i lies on slot i - 1 at first */
bool owned[SLOTS + 1];        /* not in the code: who holds a slot is alone with it */
byte done;

/* index: NONE, or the slot that is ours */
inline stream_pool__pop(index) {
    atomic { head_generation = generation; head = top }     /* load_acquire(list) */
    do
    :: head == NONE -> index = NONE; break
    :: else ->
        below = next[head];                                 /* load_relaxed(&slots[index - 1].next) */
        atomic {                                            /* cas(list, &head, generation + 1, below) */
            if
            :: generation == head_generation && top == head ->
#ifndef WEAK_GENERATION
                generation = (generation + 1) & 7;
#endif
                top = below;
                index = head;
                assert(!owned[index]);
                owned[index] = true;
                break
            :: else -> head_generation = generation; head = top
            fi
        }
    od
}

inline stream_pool__push(index) {
    atomic { head_generation = generation; head = top }     /* load_relaxed(list) */
    do
    :: true ->
#ifndef WEAK_NEXT
        next[index] = head;                                 /* store_relaxed(&slots[index - 1].next) */
#endif
        atomic {                                            /* cas(list, &head, generation, index) */
            if
            :: generation == head_generation && top == head ->
                top = index;
                assert(owned[index]);
                owned[index] = false;
                break
            :: else -> head_generation = generation; head = top
            fi
        }
    od
#ifdef WEAK_NEXT
    ;next[index] = head
#endif
}

proctype takes_two() {
    byte head_generation, head, below, a, b, round;
    do
    :: round < ROUNDS ->
        stream_pool__pop(a);
        if
        :: a != NONE ->
            if
            :: stream_pool__pop(b)
            :: b = NONE
            fi;
            if
            :: b != NONE ->
                if
                :: stream_pool__push(a); stream_pool__push(b)
                :: stream_pool__push(b); stream_pool__push(a)
                fi
            :: else -> stream_pool__push(a)
            fi
        :: else
        fi;
progress:
        a = NONE;
        b = NONE;
        head = NONE;
        head_generation = 0;
        below = NONE;
        round++
    :: else -> break
    od;
    done++
}

proctype takes_one() {
    byte head_generation, head, below, a;
    stream_pool__pop(a);
    if
    :: a != NONE -> stream_pool__push(a)
    :: else
    fi;
progress:
    done++
}

init {
    byte i, n;
    atomic {
        next[2] = 1;
        next[3] = 2;
        run takes_two();
        run takes_two();
        run takes_one()
    }
    done == 3;
    d_step { /* all three are listed, each once */
        i = top;
        do
        :: i != NONE && n <= SLOTS -> assert(!owned[i]); i = next[i]; n++
        :: else -> break
        od;
        assert(n == SLOTS)
    }
}
