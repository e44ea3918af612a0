/* SPDX-License-Identifier: MIT-0
   The client's side of tmux control mode (tmux(1), CONTROL MODE), without any I/O: what the server sends,
   item by item, and what to send it.

   Reading follows the one protocol of stream.h (see stream_decoder there). It is done byte by byte: output is
   not UTF-8, and what a command prints may look like a notification or like the end of its block. Only the
   very triple that began a block ends it.

       control_feed(&c, chunk, n);
       while ((st = control_next(&c, &item)) != STREAM_MORE)
           if (st != STREAM_OK) note_the_loss(st);
           else if (item.kind == CONTROL_REPLY) answered(c.reply_to, item.ptr, item.len, c.reply_error);
           else if (item.kind == CONTROL_OUTPUT) changed(c.target);
           else if (item.kind == CONTROL_EXIT) break;

   The commands sent wait in a queue of tags, so that each reply tells whose it is. Replies come in order;
   those of commands that we did not send (flags without bit 0: the attach itself) are not handed out.

   One thread at a time for each object. */
#ifndef TMUX_BRIDGE_CONTROL_H
#define TMUX_BRIDGE_CONTROL_H

#include "stream.h"
#include "text.h"

enum { /* item.kind */
    CONTROL_REPLY = 1,   /* ptr/len: the lines of the block with their LF; reply_to, reply_error */
    CONTROL_OUTPUT,      /* ptr/len: output as the pane's program wrote it, unescaped; target: %pane */
    CONTROL_PAUSE,       /* target: %pane fell behind: capture it, and say continue */
    CONTROL_CONTINUE,    /* target: %pane */
    CONTROL_LAYOUT,      /* target: @window changed in size or division */
    CONTROL_WINDOW,      /* target: $session has another current window; or @window another active pane */
    CONTROL_SESSION,     /* target: $session this client is attached to now */
    CONTROL_SESSIONS,    /* sessions came, went or were renamed */
    CONTROL_MODE,        /* target: %pane entered or left a mode */
    CONTROL_EXIT,        /* ptr/len: the reason, may be empty; nothing comes behind it */
    CONTROL_OTHER        /* ptr/len: any other notification, the whole line */
};

typedef struct control_desc {
    size_t max_line;   /* longest line that is no output, bytes; 0: 64 KiB */
    /* Longest block; 0: 4 MiB; a longer one is E_TOO_LONG with its head, and the next whole. */
    size_t max_reply;
    size_t max_queue;  /* commands sent and not answered; 0: 1024 */
} control_desc;

typedef struct control {
    /* read only */
    uint64_t reply_to;  /* with CONTROL_REPLY: the tag of the command */
    bool reply_error;   /* it ended with %error */
    uint32_t target;    /* the number behind $, @ or % */
    char target_kind;
    uint64_t scanned;   /* bytes looked at so far: never above the bytes fed */
    uint64_t strays;    /* lines that fit nowhere */
    size_t queued;      /* commands not answered */
    /* private */
    const char *cur, *end;
    uint64_t offset, start;
    text_buffer line;   /* the open line, or what was handed out of it */
    text_buffer block;
    size_t max_line, max_reply, max_queue;
    uint64_t *tag;      /* a ring of max_queue */
    size_t first;
    char guard[64];     /* the open block's triple: " time number flags" */
    size_t guard_len;
    uint64_t reply_size; /* of the open block, kept or not */
    char tail[3];        /* of output handed out in pieces: an escape that is not whole yet */
    uint8_t tail_len;
    bool in_block, ours, finished, ended;
    bool skipping;       /* the rest of a line that was too long */
    bool output;         /* inside an output line, of which the head is gone */
    bool spent;          /* line was handed out */
} control;

/* desc NULL: all defaults. OK, E_NOMEM, E_ARGUMENT. */
stream_status control_init(control *c, const control_desc *desc);
/* A zeroed object is fine. */
void control_free(control *c);
stream_status control_feed(control *c, const void *data, size_t len);
/* OK, MORE, END; E_TOO_LONG: a line or a reply over its cap (a reply's tag in reply_to, item->kind
   CONTROL_REPLY); E_NOMEM likewise; E_TRUNCATED: the input ended inside a block or a line. */
stream_status control_next(control *c, stream_item *item);
stream_status control_finish(control *c);
stream_decoder control_decoder(control *c);

/* Appends a command of printf's format to *out, with its LF, and notes its tag. OK; FULL: too many wait for
   an answer; E_NOMEM; E_ARGUMENT: it has an LF in it. Commands are not to be joined by ; here: each has one
   reply. */
stream_status control_command(control *c, text_buffer *out, uint64_t tag, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;

/* Appends bytes as one argument of a command, quoted so that tmux takes them as they are: any but NUL, which
   is left out. Sends to *out; false when memory is out. */
bool control_quote(text_buffer *out, const char *bytes, size_t len);

#endif
