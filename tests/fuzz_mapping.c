/* SPDX-License-Identifier: MIT-0
   Fuzz target: a mapping of stream_wrap, read from any text, and applied to any record. What was read
   stays within its bounds, what a rule finds is there, and reading it again says the same. The input is
   the mapping, a NUL, the record. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#include "fuzz_split.h"
#include "../examples/stream_wrap/mapping.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void apply(const mapping *m, const char *record, size_t len) {
    stream_json_value v[MAPPING_POINTERS], again;
    const mapping_rule *rule = mapping_apply(m, record, len, v);
    size_t i;
    for (i = 0; i < m->pointers; i++) {
        FUZZ_CHECK(v[i].type == STREAM_JSON_NONE ||
                   (v[i].ptr >= record && v[i].ptr + v[i].len <= record + len));
        if (stream_json_pick(record, len, &m->pointer[i], 1, &again) != STREAM_E_INVALID && v[i].ptr)
            FUZZ_CHECK(again.ptr == v[i].ptr && again.len == v[i].len);
    }
    (void)mapping_begins(m, record, len);
    if (!rule) return;
    FUZZ_CHECK(rule >= m->rule && rule < m->rule + m->rules);
    (void)mapping_failed(m, rule, v);
    /* It is the first one that holds: of each pointer it names, one of the texts is there. */
    for (i = rule->when; i < rule->when_end; i++) {
        size_t k = rule->when;
        bool held = false;
        for (; k < rule->when_end; k++) {
            const mapping_test *t = &m->test[k];
            const stream_json_value *at = &v[t->pointer];
            if (t->pointer != m->test[i].pointer) continue;
            if (t->text[0] == '"') held |= stream_json_equals(*at, t->text + 1, t->len - 2);
            else held |= at->type == stream_json_value_of(t->text, t->len).type;
        }
        FUZZ_CHECK(held);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static mapping m, twice;
    const uint8_t *end = (const uint8_t *)memchr(data, 0, len);
    const size_t text_len = end ? (size_t)(end - data) : len, record_len = end ? len - text_len - 1 : 0;
    char *text = fuzz_copy(data, text_len), *record = fuzz_copy(end ? end + 1 : data, record_len);
    size_t i, k, at, again;
    const char *wrong = mapping_read(&m, text, text_len, &at), *name;
    FUZZ_CHECK(mapping_read(&twice, text, text_len, &again) == wrong);
    if (wrong) FUZZ_CHECK(at <= text_len && at == again);
    if (!wrong) {
        FUZZ_CHECK(m.pointers <= MAPPING_POINTERS && m.tests <= MAPPING_TESTS && m.rules <= MAPPING_RULES);
        FUZZ_CHECK(m.pointers == twice.pointers && m.tests == twice.tests && m.rules == twice.rules);
        for (i = 0; i < m.pointers; i++) {
            FUZZ_CHECK(m.pointer[i] >= m.names && m.pointer[i] < m.names + m.names_len);
            FUZZ_CHECK(m.pointer[i] + strlen(m.pointer[i]) < m.names + sizeof m.names);
        }
        for (i = 0; i < m.tests; i++) {
            FUZZ_CHECK(m.test[i].pointer >= 0 && (size_t)m.test[i].pointer < m.pointers);
            FUZZ_CHECK(m.test[i].text >= text && m.test[i].text + m.test[i].len <= text + text_len);
        }
        for (i = 0; i < m.rules; i++) {
            FUZZ_CHECK(m.rule[i].when <= m.rule[i].when_end && m.rule[i].when_end <= m.tests);
            FUZZ_CHECK(m.rule[i].failed <= m.rule[i].failed_end && m.rule[i].failed_end <= m.tests);
            for (k = 0; k < MAPPING_FIELDS; k++) FUZZ_CHECK(m.rule[i].field[k] < (int)m.pointers);
        }
        apply(&m, record, record_len);
    }
    for (i = 0; (name = mapping_name(i)) != NULL; i++) { /* those that come with the tool take any record */
        const char *built_in_text = mapping_built_in(name);
        FUZZ_CHECK(built_in_text && mapping_read(&m, built_in_text, strlen(built_in_text), &at) == NULL);
        apply(&m, record, record_len);
    }
    free(text);
    free(record);
    return 0;
}
