/* SPDX-License-Identifier: MIT-0
   Fan-out: fanout.c has the events and those who want them, source.c where they come from. */
#ifndef RELAY_FANOUT_H
#define RELAY_FANOUT_H

#include "relay.h"

/* ---- source.c ---- */

bool source_init(fanout *f);
void source_free(fanout *f);
void source_wanted(fanout *f);   /* somebody subscribed */
void source_unwanted(fanout *f); /* the last one left */

/* ---- fanout.c ---- */

/* REFUSED: it cannot be encoded, or a rule cannot be applied to it. */
typedef enum { FANOUT_PUBLISHED, FANOUT_LEFT_OUT, FANOUT_REFUSED, FANOUT_NO_MEMORY } fanout_outcome;

/* One event from the source, or from POST /publish, after --drop, --only and --set. Without a key it has
   that of --conflate-key. */
fanout_outcome fanout_offer(fanout *f, const stream_sse_event *event, stream_slice topic, stream_slice key,
                            bool urgent);
/* One event to everybody as it is. */
fanout_outcome fanout_publish(fanout *f, const stream_sse_event *event, stream_slice topic, stream_slice key,
                              bool urgent);
/* An event of the source is lost, and everybody is told as soon as there is memory for it. */
void fanout_lose(fanout *f);
/* Nothing more will come: streams end when they have got what there is. */
void fanout_end(fanout *f);

#endif
