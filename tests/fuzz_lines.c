/* SPDX-License-Identifier: MIT-0
   Fuzz target: lines whole against split, and UTF-8 validation whole against split. The first three bytes
   of the input choose the limit and the cuts. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "fuzz_split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    stream_lines_desc desc;
    stream_lines lines;
    stream_utf8 whole_state, split_state;
    trace whole, split;
    size_t at, cut;
    if (len < 3) return 0;
    memset(&desc, 0, sizeof desc);
    desc.max_len = 1 + data[0] % 64;
    desc.first_len = 1 + data[1] % 8;
    FUZZ_CHECK(stream_lines_init(&lines, &desc) == STREAM_OK);
    whole = fuzz_run(stream_lines_decoder(&lines), data + 3, len - 3, NULL, 0);
    FUZZ_CHECK(lines.scanned == len - 3);
    stream_lines_reset(&lines);
    split = fuzz_run(stream_lines_decoder(&lines), data + 3, len - 3, data + 1, 2);
    FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items);
    stream_lines_free(&lines);

    memset(&whole_state, 0, sizeof whole_state);
    memset(&split_state, 0, sizeof split_state);
    stream_utf8_feed(&whole_state, data + 3, len - 3);
    for (at = 3; at < len; at += cut) {
        cut = (size_t)data[1] + 1;
        if (cut > len - at) cut = len - at;
        if (stream_utf8_feed(&split_state, data + at, cut) == STREAM_E_INVALID) break;
    }
    FUZZ_CHECK(stream_utf8_finish(&whole_state) == stream_utf8_finish(&split_state));
    FUZZ_CHECK(whole_state.offset == split_state.offset);
    cut = stream_utf8_cut(data + 3, len - 3);
    FUZZ_CHECK(cut <= len - 3 && len - 3 - cut <= 3);
    if (stream_utf8_finish(&whole_state) != STREAM_E_INVALID) FUZZ_CHECK(stream_utf8_valid(data + 3, cut));
    return 0;
}
