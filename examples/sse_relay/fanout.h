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

/* One event to everybody: from the source, or from POST /publish. False: it cannot be encoded, or no
 * memory. */
bool fanout_publish(fanout *f, const stream_sse_event *event, stream_slice topic, stream_slice key,
                    bool urgent);
/* An event of the source is lost, and everybody is told as soon as there is memory for it. */
void fanout_lose(fanout *f);
/* Nothing more will come: streams end when they have got what there is. */
void fanout_end(fanout *f);

#endif
