/* SPDX-License-Identifier: MIT-0
   What the records of an LLM CLI mean: who speaks, which tools run, what it costs. Knows the stream-json
   of Claude Code, and others by a mapping; any other NDJSON is counted by its "type". All memory is in the
   struct, and bounded whatever the records say. */
#ifndef WRAP_SESSION_H
#define WRAP_SESSION_H

#include "mapping.h"
#include "stream.h"
#include "stream_json.h"

#define SESSION_TYPES 24 /* distinct "type"s counted by name; the rest share the last row */
#define SESSION_TOOLS 16 /* tools in flight at once that are followed by name */
#define SESSION_NAME  64 /* bytes kept of a type, a tool name, an id */
#define SESSION_OPEN  8  /* messages that may go on at a time: the assistant's, and its subagents' */

typedef struct session_tool {
    char id[SESSION_NAME], name[SESSION_NAME];
    uint64_t since_ns;
} session_tool;

/* All the calls of one tool that have ended. */
typedef struct session_tool_kind {
    char name[SESSION_NAME];
    uint64_t calls, failed, total_ns, longest_ns;
} session_tool_kind;

typedef struct session_type {
    char name[SESSION_NAME];
    size_t len; /* of name */
    uint64_t count;
} session_type;

typedef struct session_usage {
    uint64_t input, output, cache_read, cache_write;
} session_usage;

/* A message comes in pieces, block by block, and others may come between. */
typedef struct session_message {
    char id[SESSION_NAME];
    session_usage usage; /* as its last piece told */
} session_message;

/* start -> streaming <-> tool -> result -> exit; what was missed on the way shows at the end. */
typedef enum session_state {
    SESSION_START = 0, /* nothing came yet */
    SESSION_STREAMING,
    SESSION_TOOL,   /* waiting for a tool */
    SESSION_RESULT, /* the result came; only the end is missing */
    SESSION_EXIT
} session_state;

typedef struct session {
    session_state state;
    bool saw_result;
    uint64_t records, noise, invalid, oversize, truncated; /* invalid: framed, but no JSON inside */
    uint64_t truncated_before;                             /* of these, before the present child */
    bool unterminated;                                     /* the last record had no line end */
    session_type type[SESSION_TYPES];
    size_t types;
    session_tool tool[SESSION_TOOLS];
    size_t tools;
    uint64_t tools_started, tools_untracked;
    session_tool_kind tool_kind[SESSION_TOOLS]; /* the rest share the last row */
    size_t tool_kinds;
    uint64_t messages;       /* assistant messages */
    session_usage before, done; /* of children before this one; of its messages that are not open */
    session_message open[SESSION_OPEN];
    size_t opens, streamed; /* the next place in open, counted on; the message that arrives in deltas */
    char session_id[SESSION_NAME], model[SESSION_NAME];
    char cost[32];      /* US dollars as written in the result, or a sum; "" unknown */
    double cost_before; /* of children before this one */
    bool result_is_error;
    mapping map; /* set before, with mapped; or detect: by the first record */
    bool mapped, detect;
    bool silent;    /* set before: nobody wants to be told what is said, only what it means */
    bool text_open; /* a text block is arriving in deltas */
    bool partial;   /* messages arrive in deltas before they arrive whole */
    stream_json_picker delta; /* of those deltas: one is like the other */
} session;

/* What a record was, for the outputs. Slices point into the record. */
typedef enum session_event_kind {
    SESSION_UNKNOWN = 0, /* a record of a type not known here; value: the whole record */
    SESSION_INIT,        /* value: the whole record */
    SESSION_TEXT,        /* value: a string of assistant text */
    SESSION_TEXT_END,    /* a streamed text block is complete */
    SESSION_THINKING,    /* value: a string */
    SESSION_TOOL_START,  /* name, id; value: the input, or NONE: it comes */
    SESSION_TOOL_INPUT,  /* id, name; value: the whole input object */
    SESSION_TOOL_END,    /* id; is_error */
    SESSION_FINAL        /* value: the whole record */
} session_event_kind;

typedef struct session_event {
    session_event_kind kind;
    stream_json_value value, id, name;
    session_tool tool; /* of a TOOL_END whose start was seen; else its name is empty */
    bool is_error;
    bool subagent; /* said by a subagent, not by the assistant itself */
    bool piece;    /* of a text that goes on */
    bool repeated; /* the same came in deltas before */
} session_event;

/* Takes one framed record, and hands out what it says, event by event:
       if (!session_count(s, item))
           for (session_begin(s, &read, item, now_ns); session_next(s, &read, &event);) ...  */
typedef struct session_reading {
    bool invalid; /* it is no JSON, as far as it was looked at; not counted yet */
    /* private */
    session_event first;      /* the next event, if that is known already */
    const char *blocks, *end; /* the content blocks of a whole message that are left */
    uint64_t now_ns;
    bool has_first, walking, subagent, repeated;
} session_reading;

/* Counts it; true: that is all there is to it. */
bool session_count(session *s, const stream_item *record);
void session_begin(session *s, session_reading *r, const stream_item *record, uint64_t now_ns);
bool session_next(session *s, session_reading *r, session_event *event);

/* The child is started again: what was under way is not any more; what was counted stays. */
void session_restart(session *s);

/* Counts an item that is no whole record. */
void session_count_lost(session *s, stream_status status, const stream_item *item);

/* Tokens so far, and the cost, US dollars. */
session_usage session_tokens(const session *s);
double session_cost(const session *s);
const char *session_state_text(session_state state);
/* Why the stream is not whole, in words, or NULL. */
const char *session_missing(const session *s);

#endif
