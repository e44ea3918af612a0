/* SPDX-License-Identifier: MIT-0 */
#include "mapping.h"

#include <string.h>

/* `codex exec --json`: threads, turns, items. Commands, file changes, calls of other tools and web searches
   are tools; the usage of a turn counts cached tokens as input, too. */
static const char codex[] =
    "{\"name\":\"codex exec --json\",\n"
    " \"first\":{\"/type\":\"thread.started\"},\n"
    " \"rules\":[\n"
    "  "
    "{\"when\":{\"/type\":[\"thread.started\",\"thread.resumed\"]},\"is\":\"start\",\"session\":\"/"
    "thread_id\"},\n"
    "  {\"when\":{\"/type\":\"item.completed\",\"/item/type\":[\"agent_message\",\"assistant_message\"]},"
    "\"is\":\"text\",\"text\":\"/item/text\"},\n"
    "  {\"when\":{\"/type\":\"item.completed\",\"/item/type\":\"reasoning\"},\"is\":\"thinking\","
    "\"text\":\"/item/text\"},\n"
    "  {\"when\":{\"/type\":\"item.started\",\"/item/type\":\"mcp_tool_call\"},\"is\":\"tool_start\","
    "\"id\":\"/item/id\",\"name\":\"/item/tool\",\"arguments\":\"/item/arguments\"},\n"
    "  {\"when\":{\"/type\":\"item.started\",\"/item/type\":\"command_execution\"},\"is\":\"tool_start\","
    "\"id\":\"/item/id\",\"name\":\"/item/type\",\"arguments\":\"/item/command\"},\n"
    "  "
    "{\"when\":{\"/type\":\"item.started\",\"/item/"
    "type\":[\"file_change\",\"web_search\"]},\"is\":\"tool_start\","
    "\"id\":\"/item/id\",\"name\":\"/item/type\"},\n"
    "  {\"when\":{\"/type\":[\"item.completed\",\"item.failed\"],\"/item/type\":[\"mcp_tool_call\","
    "\"command_execution\",\"file_change\",\"web_search\"]},\"is\":\"tool_end\",\"id\":\"/item/id\","
    "\"failed\":{\"/item/status\":\"failed\"}},\n"
    "  "
    "{\"when\":{\"/type\":[\"turn.completed\",\"turn.failed\"]},\"is\":\"result\",\"input\":\"/usage/"
    "input_tokens\","
    "\"cache_read\":\"/usage/cached_input_tokens\",\"output\":\"/usage/"
    "output_tokens\",\"include\":\"cache\","
    "\"failed\":{\"/type\":\"turn.failed\"}}]}\n";

/* `gemini --output-format stream-json`. */
static const char gemini[] =
    "{\"name\":\"gemini --output-format stream-json\",\n"
    " \"first\":{\"/type\":\"init\"},\n"
    " \"rules\":[\n"
    "  {\"when\":{\"/type\":\"init\"},\"is\":\"start\",\"session\":\"/session_id\",\"model\":\"/model\"},\n"
    "  {\"when\":{\"/type\":\"message\",\"/role\":\"assistant\",\"/delta\":true},\"is\":\"delta\","
    "\"text\":\"/content\"},\n"
    "  {\"when\":{\"/type\":\"message\",\"/role\":\"assistant\"},\"is\":\"text\",\"text\":\"/content\"},\n"
    "  "
    "{\"when\":{\"/type\":\"tool_use\"},\"is\":\"tool_start\",\"id\":\"/tool_id\",\"name\":\"/tool_name\","
    "\"arguments\":\"/parameters\"},\n"
    "  {\"when\":{\"/type\":\"tool_result\"},\"is\":\"tool_end\",\"id\":\"/tool_id\","
    "\"failed\":{\"/status\":\"error\"}},\n"
    "  "
    "{\"when\":{\"/type\":\"result\"},\"is\":\"result\",\"input\":\"/stats/input\",\"cache_read\":\"/stats/"
    "cached\","
    "\"output\":\"/stats/output_tokens\",\"failed\":{\"/status\":\"error\"}}]}\n";

static const struct { const char *name, *text; } built_in[] = {{"codex", codex}, {"gemini", gemini}};

enum { BUILT_IN = sizeof built_in / sizeof built_in[0] };

const char *mapping_name(size_t n) { return n < BUILT_IN ? built_in[n].name : NULL; }

const char *mapping_built_in(const char *name) {
    size_t i;
    for (i = 0; i < BUILT_IN; i++)
        if (strcmp(name, built_in[i].name) == 0) return built_in[i].text;
    return NULL;
}

static const char *const meanings[MEANINGS] = {"other",      "start",    "text",  "delta", "thinking",
                                               "tool_start", "tool_end", "usage", "result"};
static const char *const fields[MAPPING_FIELDS] = {"session",    "model",       "text",  "id",
                                                   "name",       "arguments",   "input", "output",
                                                   "cache_read", "cache_write", "cost"};

static bool is(stream_json_value v, const char *text) { return stream_json_equals(v, text, strlen(text)); }

/* The number of a pointer's text, kept once; -1: it is none, or there are too many. */
static int pointer_of(mapping *m, stream_json_value v) {
    char *text = m->names + m->names_len;
    const char *const pointer = text;
    size_t room = sizeof m->names - m->names_len, len = 0, i;
    stream_json_value unused;
    if (v.type != STREAM_JSON_STRING ||
        stream_json_string(v, STREAM_JSON_REJECT, text, room, &len) != STREAM_OK || len >= room ||
        memchr(text, '\0', len))
        return -1;
    text[len] = '\0';
    if (stream_json_pick("0", 1, &pointer, 1, &unused) != STREAM_OK) return -1;
    for (i = 0; i < m->pointers; i++)
        if (strcmp(m->pointer[i], text) == 0) return (int)i;
    if (m->pointers == MAPPING_POINTERS) return -1;
    m->names_len += len + 1;
    m->pointer[m->pointers] = text;
    return (int)m->pointers++;
}

static bool add_test(mapping *m, int pointer, stream_json_value v) {
    mapping_test *t = &m->test[m->tests];
    if (m->tests == MAPPING_TESTS || v.type == STREAM_JSON_OBJECT || v.type == STREAM_JSON_ARRAY)
        return false;
    t->pointer = pointer;
    t->text = v.ptr;
    t->len = v.len;
    m->tests++;
    return true;
}

/* {"/pointer": "text" or ["text", ...], ...} */
static bool read_tests(mapping *m, stream_json_value v, size_t *from, size_t *end) {
    stream_json_each each, inner;
    stream_json_value key, value, one;
    *from = m->tests;
    if (v.type != STREAM_JSON_OBJECT || stream_json_each_init(&each, v) != STREAM_OK) return false;
    while (stream_json_each_next(&each, &key, &value) == STREAM_OK) {
        int pointer = pointer_of(m, key);
        if (pointer < 0) return false;
        if (value.type != STREAM_JSON_ARRAY) {
            if (!add_test(m, pointer, value)) return false;
            continue;
        }
        if (stream_json_each_init(&inner, value) != STREAM_OK) return false;
        while (stream_json_each_next(&inner, NULL, &one) == STREAM_OK)
            if (!add_test(m, pointer, one)) return false;
    }
    *end = m->tests;
    return true;
}

/* *at: where it stood when something was wrong. */
static const char *read_rule(mapping *m, stream_json_value v, const char **at) {
    mapping_rule *rule = &m->rule[m->rules];
    stream_json_each each;
    stream_json_value key, value;
    size_t i;
    *at = v.ptr;
    if (m->rules == MAPPING_RULES) return "more than 48 rules";
    memset(rule, 0, sizeof *rule);
    for (i = 0; i < MAPPING_FIELDS; i++) rule->field[i] = -1;
    if (v.type != STREAM_JSON_OBJECT || stream_json_each_init(&each, v) != STREAM_OK)
        return "a rule is no object";
    while (stream_json_each_next(&each, &key, &value) == STREAM_OK) {
        *at = key.ptr;
        if (is(key, "when")) {
            if (!read_tests(m, value, &rule->when, &rule->when_end))
                return "\"when\" is no object of pointers and texts";
        } else if (is(key, "failed")) {
            if (!read_tests(m, value, &rule->failed, &rule->failed_end))
                return "\"failed\" is no object of pointers and texts";
        } else if (is(key, "include")) {
            rule->input_includes_cache = is(value, "cache");
        } else if (is(key, "is")) {
            for (i = 0; i < MEANINGS && !is(value, meanings[i]); i++) {
            }
            if (i == MEANINGS) return "\"is\" is none of the words it may be";
            rule->means = (mapping_meaning)i;
        } else {
            for (i = 0; i < MAPPING_FIELDS && !is(key, fields[i]); i++) {
            }
            if (i == MAPPING_FIELDS) return "a rule has a member of an unknown name";
            rule->field[i] = pointer_of(m, value);
            if (rule->field[i] < 0)
                return "a member of a rule is no JSON pointer, or there are more than 64";
        }
    }
    m->rules++;
    return NULL;
}

const char *mapping_read(mapping *m, const char *json, size_t len, size_t *at) {
    static const char *const want[] = {"/type", "/first", "/rules"};
    static const char type[] = "\"/type\"";
    stream_json_value v[3];
    stream_json_each each;
    stream_json_value rule;
    memset(m, 0, sizeof *m);
    while (len > 0 && strchr(" \t\r\n", json[len - 1])) len--;
    if (stream_json_check(json, len, at) != STREAM_OK) return "no JSON";
    *at = 0;
    (void)stream_json_pick(json, len, want, 3, v);
    if (v[0].type == STREAM_JSON_NONE) {
        v[0].type = STREAM_JSON_STRING;
        v[0].ptr = type;
        v[0].len = sizeof type - 1;
    }
    m->type = pointer_of(m, v[0]);
    if (v[0].ptr != type) *at = (size_t)(v[0].ptr - json);
    if (m->type < 0) return "\"type\" is no JSON pointer";
    if (v[1].type != STREAM_JSON_NONE) *at = (size_t)(v[1].ptr - json);
    if (v[1].type != STREAM_JSON_NONE && !read_tests(m, v[1], &m->first, &m->first_end))
        return "\"first\" is no object of pointers and texts";
    *at = v[2].type != STREAM_JSON_NONE ? (size_t)(v[2].ptr - json) : 0;
    if (v[2].type != STREAM_JSON_ARRAY || stream_json_each_init(&each, v[2]) != STREAM_OK)
        return "no \"rules\"";
    while (stream_json_each_next(&each, NULL, &rule) == STREAM_OK) {
        const char *place, *wrong = read_rule(m, rule, &place);
        *at = (size_t)(place - json);
        if (wrong) return wrong;
    }
    return NULL;
}

/* Texts are compared as written in the mapping; one with escapes in the record is unescaped first. */
static bool equals(const mapping_test *t, stream_json_value v) {
    if (v.type == STREAM_JSON_NONE) return false;
    if (t->text[0] == '"') return stream_json_equals(v, t->text + 1, t->len - 2);
    return v.len == t->len && memcmp(v.ptr, t->text, t->len) == 0;
}

static bool holds(const mapping *m, size_t from, size_t end, const stream_json_value *v) {
    while (from < end) {
        int pointer = m->test[from].pointer;
        bool any = false;
        for (; from < end && m->test[from].pointer == pointer; from++)
            any = any || equals(&m->test[from], v[pointer]);
        if (!any) return false;
    }
    return true;
}

const mapping_rule *mapping_apply(const mapping *m, const char *json, size_t len, stream_json_value *v) {
    size_t i;
    stream_json_pick(json, len, m->pointer, m->pointers, v);
    for (i = 0; i < m->rules; i++)
        if (holds(m, m->rule[i].when, m->rule[i].when_end, v)) return &m->rule[i];
    return NULL;
}

bool mapping_failed(const mapping *m, const mapping_rule *rule, const stream_json_value *v) {
    return rule->failed < rule->failed_end && holds(m, rule->failed, rule->failed_end, v);
}

bool mapping_begins(const mapping *m, const char *json, size_t len) {
    stream_json_value v[MAPPING_POINTERS];
    stream_json_pick(json, len, m->pointer, m->pointers, v);
    return m->first < m->first_end && holds(m, m->first, m->first_end, v);
}
