/* SPDX-License-Identifier: MIT-0
   Fuzz target: what a tmux server sends in control mode, whole against split; the first four bytes of the
   input choose limits and cuts. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "fuzz_split.h"
#include "../examples/common/text.c"
#include "../examples/tmux_bridge/control.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static trace run(const control_desc *desc, size_t commands, const uint8_t *data, size_t len,
                 const uint8_t *cuts) {
    trace t = {0, 0, 0};
    size_t at = 0, turn = 0, i;
    control c;
    stream_item item;
    stream_status st = STREAM_MORE;
    text_buffer out = {NULL, 0, 0};
    FUZZ_CHECK(control_init(&c, desc) == STREAM_OK);
    for (i = 0; i < commands; i++) FUZZ_CHECK(control_command(&c, &out, i, "x") == STREAM_OK);
    while (st != STREAM_END) {
        size_t n = cuts ? (size_t)cuts[turn++ % 2] + 1 : len;
        char *loan = NULL;
        if (n > len - at) n = len - at;
        if (n) {
            loan = (char *)malloc(n);
            if (!loan) abort();
            memcpy(loan, data + at, n);
            FUZZ_CHECK(control_feed(&c, loan, n) == STREAM_OK);
            at += n;
        } else {
            control_finish(&c);
        }
        while ((st = control_next(&c, &item)) != STREAM_MORE && st != STREAM_END) {
            if (item.kind == CONTROL_REPLY) {
                trace_add(&t, c.reply_to);
                FUZZ_CHECK(item.len <= desc->max_reply);
            } else {
                trace_add(&t, c.target);
                FUZZ_CHECK(item.len <= desc->max_line);
            }
            trace_item(&t, st, &item);
        }
        free(loan);
    }
    FUZZ_CHECK(c.scanned == len);
    FUZZ_CHECK(c.line.len <= desc->max_line && c.block.len <= desc->max_reply);
    trace_add(&t, c.strays);
    control_free(&c);
    text_free(&out);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    control_desc desc;
    trace whole, split;
    size_t commands;
    uint8_t cuts[2];
    if (len < 4) return 0;
    memset(&desc, 0, sizeof desc);
    desc.max_line = 128 + data[0] % 64u;
    desc.max_reply = 1 + data[0];
    desc.max_queue = 8;
    commands = data[1] % 9u;
    memcpy(cuts, data + 2, 2);
    data += 4;
    len -= 4;
    whole = run(&desc, commands, data, len, NULL);
    split = run(&desc, commands, data, len, cuts);
    FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items);
    return 0;
}
