/* SPDX-License-Identifier: MIT-0 */
#include "session.h"

#include <stdio.h>

#include "../common/text.h"

#define MOST_COST 1e9 /* US dollars: what is more is no cost */

static const char *const state_text[] = {"start", "streaming", "tool", "result", "exit"};

const char *session_state_text(session_state state) { return state_text[state]; }

/* Whether it can be shown as it stands between the quotes of a string. */
static bool is_plain(const char *p, size_t len) {
    size_t i = 0;
    while (i < len && p[i] >= ' ' && p[i] < 0x7F && p[i] != '\\') i++;
    return i == len;
}

/* A name for people and labels: unescaped, cut to fit between characters, made safe to show. */
static void keep_name(char dst[SESSION_NAME], stream_json_value value) {
    char raw[SESSION_NAME], safe[SESSION_NAME * 3 + 4];
    text_buffer t = {safe, 0, sizeof safe};
    size_t len = value.len - 2;
    if (value.type == STREAM_JSON_STRING && len < SESSION_NAME && is_plain(value.ptr + 1, len)) {
        memcpy(dst, value.ptr + 1, len); /* nearly always */
        dst[len] = '\0';
        return;
    }
    len = 0;
    if (stream_json_string(value, STREAM_JSON_REPLACE, raw, sizeof raw, &len) < 0) len = 0;
    text_add_safe(&t, raw, len < sizeof raw ? len : sizeof raw, true);
    if (t.len > SESSION_NAME - 1) t.len = stream_utf8_cut(safe, SESSION_NAME - 1);
    memcpy(dst, safe, t.len);
    dst[t.len] = '\0';
}

static bool is(stream_json_value value, const char *text) {
    return stream_json_equals(value, text, strlen(text));
}

static uint64_t count_of(stream_json_value value) {
    int64_t n;
    return stream_json_int64(value, &n) == STREAM_OK && n > 0 ? (uint64_t)n : 0;
}

static session_type *find_type(session *s, const char *name, size_t len) {
    size_t i;
    for (i = 0; i < s->types; i++)
        if (s->type[i].len == len && memcmp(s->type[i].name, name, len) == 0) return &s->type[i];
    return NULL;
}

static void count_type(session *s, const char *name, size_t len) {
    static const char others[] = "(others)";
    session_type *type = find_type(s, name, len);
    if (!type && s->types >= SESSION_TYPES - 1) {
        name = others;
        len = sizeof others - 1;
        type = find_type(s, name, len);
    }
    if (!type) {
        type = &s->type[s->types++];
        memcpy(type->name, name, len);
        type->name[len] = '\0';
        type->len = len;
    }
    type->count++;
}

/* A record's own word for what it is; a word of ours stands in for what is none. */
static void count_type_of(session *s, stream_json_value type) {
    char name[SESSION_NAME];
    if (type.type != STREAM_JSON_STRING) {
        count_type(s, "(none)", 6);
        return;
    }
    keep_name(name, type);
    count_type(s, name, strlen(name));
}

static session_tool *find_tool(session *s, const char *id) {
    size_t i;
    for (i = 0; i < s->tools; i++)
        if (strcmp(s->tool[i].id, id) == 0) return &s->tool[i];
    return NULL;
}

static void tool_started(session *s, stream_json_value id, stream_json_value name, uint64_t now_ns) {
    char key[SESSION_NAME];
    s->tools_started++;
    s->state = SESSION_TOOL;
    keep_name(key, id);
    if (find_tool(s, key)) return;
    if (s->tools == SESSION_TOOLS) {
        s->tools_untracked++;
        return;
    }
    memcpy(s->tool[s->tools].id, key, sizeof key);
    keep_name(s->tool[s->tools].name, name);
    s->tool[s->tools++].since_ns = now_ns;
}

static void count_tool(session *s, const session_event *event, uint64_t now_ns) {
    uint64_t ns = now_ns > event->tool.since_ns ? now_ns - event->tool.since_ns : 0;
    session_tool_kind *kind;
    size_t i;
    for (i = 0; i < s->tool_kinds; i++)
        if (strcmp(s->tool_kind[i].name, event->tool.name) == 0) break;
    if (i == SESSION_TOOLS) {
        i = SESSION_TOOLS - 1;
        memcpy(s->tool_kind[i].name, "(others)", 9);
    } else if (i == s->tool_kinds) {
        memcpy(s->tool_kind[s->tool_kinds++].name, event->tool.name, SESSION_NAME);
    }
    kind = &s->tool_kind[i];
    kind->calls++;
    kind->failed += event->is_error;
    kind->total_ns += ns;
    if (ns > kind->longest_ns) kind->longest_ns = ns;
}

static void tool_ended(session *s, session_event *event, uint64_t now_ns) {
    char key[SESSION_NAME];
    session_tool *tool;
    keep_name(key, event->id);
    tool = find_tool(s, key);
    if (tool) {
        event->tool = *tool;
        count_tool(s, event, now_ns);
        memmove(tool, tool + 1, (size_t)(&s->tool[s->tools] - (tool + 1)) * sizeof *tool);
        s->tools--;
    } else if (s->tools_untracked > 0) {
        s->tools_untracked--;
    }
    if (s->tools == 0 && s->tools_untracked == 0 && s->state == SESSION_TOOL) s->state = SESSION_STREAMING;
}

static session_usage read_usage(stream_json_value usage) {
    static const char *const want[] = {"/input_tokens", "/output_tokens", "/cache_read_input_tokens",
                                       "/cache_creation_input_tokens"};
    stream_json_value v[4];
    session_usage u;
    memset(&u, 0, sizeof u);
    if (usage.type != STREAM_JSON_OBJECT) return u;
    stream_json_pick(usage.ptr, usage.len, want, 4, v);
    u.input = count_of(v[0]);
    u.output = count_of(v[1]);
    u.cache_read = count_of(v[2]);
    u.cache_write = count_of(v[3]);
    return u;
}

static void add(session_usage *sum, const session_usage *u) {
    sum->input += u->input;
    sum->output += u->output;
    sum->cache_read += u->cache_read;
    sum->cache_write += u->cache_write;
}

/* Of all the open messages: what they used is part of done now, or is told otherwise. */
static void close_messages(session *s, bool counted) {
    size_t i;
    for (i = 0; i < SESSION_OPEN; i++) {
        if (counted) add(&s->done, &s->open[i].usage);
        memset(&s->open[i].usage, 0, sizeof s->open[i].usage);
    }
}

/* A message announces itself: in a message_start, or by its id on each of its whole blocks. Its place. */
static size_t message_seen(session *s, stream_json_value id, stream_json_value usage) {
    char key[SESSION_NAME];
    size_t i;
    keep_name(key, id);
    for (i = 0; i < SESSION_OPEN && (key[0] == '\0' || strcmp(key, s->open[i].id) != 0); i++) {
    }
    if (i == SESSION_OPEN) { /* a new one takes the place of the oldest */
        i = s->opens++ % SESSION_OPEN;
        add(&s->done, &s->open[i].usage);
        memset(&s->open[i].usage, 0, sizeof s->open[i].usage);
        memcpy(s->open[i].id, key, sizeof key);
        s->messages++;
    }
    if (usage.type == STREAM_JSON_OBJECT) s->open[i].usage = read_usage(usage);
    return i;
}

session_usage session_tokens(const session *s) {
    session_usage u = s->before;
    size_t i;
    add(&u, &s->done);
    for (i = 0; i < SESSION_OPEN; i++) add(&u, &s->open[i].usage);
    return u;
}

double session_cost(const session *s) {
    stream_json_value cost;
    double dollars = 0;
    memset(&cost, 0, sizeof cost);
    cost.ptr = s->cost;
    cost.len = strlen(s->cost);
    cost.type = cost.len > 0 ? STREAM_JSON_NUMBER : STREAM_JSON_NONE;
    return stream_json_double(cost, &dollars) == STREAM_OK ? dollars : 0;
}

/* Most of what writes records puts their members in the same order every time, and no space between: then a
   record can be known by how it begins, for a tenth of what looking its members up costs. */
static bool begins(const stream_item *record, const char *begin, size_t len) {
    return record->len > len && memcmp(record->ptr, begin, len) == 0;
}

/* What stands behind `begin` in the record, when that is a short text without escapes; else NONE. */
static stream_json_value word_behind(const stream_item *record, const char *begin, size_t len) {
    stream_json_value word;
    const char *p = record->ptr + len;
    size_t n, most = SESSION_NAME;
    memset(&word, 0, sizeof word);
    if (!begins(record, begin, len) || *p != '"') return word;
    if (most > record->len - len) most = record->len - len;
    for (n = 1; n < most && p[n] != '"' && p[n] != '\\'; n++) {
    }
    if (n == most || p[n] != '"') return word;
    word.ptr = p;
    word.len = n + 1;
    word.type = STREAM_JSON_STRING;
    return word;
}

static bool of_subagent(const session *s, const stream_item *record) {
    static const char *const want[] = {"/parent_tool_use_id"};
    stream_json_value parent;
    if (s->silent) return false; /* nobody wants to know */
    stream_json_pick(record->ptr, record->len, want, 1, &parent);
    return parent.type == STREAM_JSON_STRING;
}

/* {"type":"stream_event","event":{...}}: a piece of the message that is arriving. One pass over it for what
   its kind tells; nobody who is silent wants to know whose it is. */
static void read_delta(session *s, session_reading *r, const stream_item *record) {
    static const char begin[] = "{\"type\":\"stream_event\",\"event\":{\"type\":";
    static const char *const want_type[] = {"/event/type"};
    static const char *const want_delta[] = {"/event/delta/type", "/event/delta/text",
                                             "/event/delta/thinking", "/parent_tool_use_id"};
    static const char *const want_block[] = {"/event/content_block/type", "/event/content_block/id",
                                             "/event/content_block/name", "/parent_tool_use_id"};
    static const char *const want_message[] = {"/event/message/id", "/event/message/usage"};
    static const char *const want_usage[] = {"/event/usage"};
    stream_json_value type = word_behind(record, begin, sizeof begin - 1), v[4];
    session_event *first = &r->first;
    if (!s->partial) (void)stream_json_picker_init(&s->delta, want_delta, 4);
    s->partial = true;
    if (type.type == STREAM_JSON_NONE) stream_json_pick(record->ptr, record->len, want_type, 1, &type);
    if (is(type, "content_block_delta")) {
        if (s->silent) return;
        stream_json_picker_pick(&s->delta, record->ptr, record->len, v);
        first->subagent = v[3].type == STREAM_JSON_STRING;
        if (is(v[0], "text_delta")) {
            first->kind = SESSION_TEXT;
            first->value = v[1];
            first->piece = true;
        } else if (is(v[0], "thinking_delta")) {
            first->kind = SESSION_THINKING;
            first->value = v[2];
        }
        r->has_first = first->kind != SESSION_UNKNOWN && first->value.type == STREAM_JSON_STRING;
    } else if (is(type, "content_block_start")) {
        stream_json_pick(record->ptr, record->len, want_block, s->silent ? 3 : 4, v);
        if (is(v[0], "tool_use") || is(v[0], "server_tool_use")) {
            tool_started(s, v[1], v[2], r->now_ns);
            first->kind = SESSION_TOOL_START;
            first->id = v[1];
            first->name = v[2];
            first->value.type = STREAM_JSON_NONE; /* its input comes */
            first->subagent = !s->silent && v[3].type == STREAM_JSON_STRING;
            r->has_first = true;
        }
        s->text_open = is(v[0], "text");
    } else if (is(type, "message_start")) {
        stream_json_pick(record->ptr, record->len, want_message, 2, v);
        s->streamed = message_seen(s, v[0], v[1]);
    } else if (is(type, "message_delta")) {
        session_usage u;
        stream_json_pick(record->ptr, record->len, want_usage, 1, v);
        u = read_usage(v[0]); /* cumulative for this message */
        if (u.output) s->open[s->streamed].usage.output = u.output;
        if (u.input) s->open[s->streamed].usage.input = u.input;
    } else if (is(type, "content_block_stop")) {
        first->kind = SESSION_TEXT_END;
        first->subagent = s->text_open && of_subagent(s, record);
        r->has_first = s->text_open;
        s->text_open = false;
    } else if (!is(type, "message_stop") && !is(type, "ping")) {
        first->subagent = of_subagent(s, record);
        r->has_first = true; /* an error, or what is not known here */
    }
}

/* {"type":"assistant"|"user","message":{"content":[...]}}: whole blocks, walked in session_next. */
static void walk(session_reading *r, const char *blocks, const char *end) {
    r->walking = true;
    r->blocks = blocks;
    r->end = end;
}

/* After its deltas a message comes whole, block by block. One that never streamed (a subagent's, an error
   that the CLI words itself) says something new. */
static bool repeats(const session *s, stream_json_value id) {
    const char *streamed = s->open[s->streamed].id;
    char key[SESSION_NAME];
    if (!s->partial || streamed[0] == '\0') return s->partial;
    keep_name(key, id);
    return key[0] == '\0' || strcmp(key, streamed) == 0;
}

static void read_assistant(session *s, session_reading *r, const stream_item *record) {
    enum { ID, USAGE, CONTENT, PARENT, COUNT };
    static const char *const want[COUNT] = {"/message/id", "/message/usage", "/message/content",
                                            "/parent_tool_use_id"};
    stream_json_value v[COUNT];
    stream_json_pick(record->ptr, record->len, want, s->silent ? ID + 1 : COUNT, v);
    r->repeated = repeats(s, v[ID]);
    if (s->silent) {
        if (r->repeated) return;
        stream_json_pick(record->ptr, record->len, want, CONTENT + 1, v);
    }
    r->subagent = !s->silent && v[PARENT].type == STREAM_JSON_STRING;
    if (!r->repeated) message_seen(s, v[ID], v[USAGE]);
    if (v[CONTENT].type == STREAM_JSON_ARRAY) walk(r, v[CONTENT].ptr + 1, v[CONTENT].ptr + v[CONTENT].len);
}

/* What a tool gave back is most of the bytes of many streams. When nobody wants to see it, one pass over its
   block is enough, and none over what follows, which may repeat it. */
static void read_user(session *s, session_reading *r, const stream_item *record) {
    enum { CONTENT, ID, PARENT, COUNT };
    static const char begin[] = "{\"type\":\"user\",\"message\":{\"role\":\"user\",\"content\":[";
    static const char *const want[COUNT] = {"/message/content", "/message/id", "/parent_tool_use_id"};
    stream_json_value v[COUNT];
    if (s->silent && begins(record, begin, sizeof begin - 1)) {
        r->repeated = s->partial; /* by what it calls itself: nothing */
        walk(r, record->ptr + sizeof begin - 1, record->ptr + record->len);
        return;
    }
    stream_json_pick(record->ptr, record->len, want, COUNT, v);
    r->subagent = v[PARENT].type == STREAM_JSON_STRING;
    r->repeated = repeats(s, v[ID]);
    if (v[CONTENT].type == STREAM_JSON_ARRAY) walk(r, v[CONTENT].ptr + 1, v[CONTENT].ptr + v[CONTENT].len);
}

/* As written, while it is the only one: nothing is lost to arithmetic. */
static void keep_cost(session *s, stream_json_value cost) {
    double dollars;
    if (cost.type != STREAM_JSON_NUMBER || cost.len >= sizeof s->cost ||
        stream_json_double(cost, &dollars) != STREAM_OK || dollars < 0 || dollars > MOST_COST)
        return;
    if (s->cost_before > 0) {
        snprintf(s->cost, sizeof s->cost, "%.12g", s->cost_before + dollars);
        return;
    }
    memcpy(s->cost, cost.ptr, cost.len);
    s->cost[cost.len] = '\0';
}

static void read_result(session *s, session_reading *r, const stream_item *record) {
    enum { USAGE, COST, ERROR, COUNT };
    static const char *const want[COUNT] = {"/usage", "/total_cost_usd", "/is_error"};
    stream_json_value v[COUNT];
    session_usage usage;
    stream_json_pick(record->ptr, record->len, want, COUNT, v);
    usage = read_usage(v[USAGE]); /* of the whole run of the CLI; one that failed may not know */
    if (usage.input + usage.output + usage.cache_read + usage.cache_write > 0) {
        close_messages(s, false);
        s->done = usage;
    }
    keep_cost(s, v[COST]);
    s->result_is_error = v[ERROR].type == STREAM_JSON_TRUE;
    s->saw_result = true;
    s->state = SESSION_RESULT;
    s->tools = 0;
    s->tools_untracked = 0;
    r->first.kind = SESSION_FINAL;
    r->first.is_error = s->result_is_error;
    r->has_first = true;
}

static void read_system(session *s, session_reading *r, const stream_item *record) {
    static const char *const want[] = {"/subtype", "/session_id", "/model"};
    stream_json_value v[3];
    stream_json_pick(record->ptr, record->len, want, 1, v);
    if (!is(v[0], "init")) { /* but for signs of life, it may be worth knowing: a retry, a compaction */
        r->has_first = !is(v[0], "status") && !is(v[0], "thinking_tokens");
        return;
    }
    stream_json_pick(record->ptr, record->len, want, 3, v);
    keep_name(s->session_id, v[1]);
    keep_name(s->model, v[2]);
    r->first.kind = SESSION_INIT;
    r->has_first = true;
}

/* When nobody wants its text, that it came is all there is to know of nearly every record of a stream in
   deltas. */
static bool is_small_talk(session *s, const stream_item *record) {
    static const char event[] = "{\"type\":\"stream_event\",\"event\":{\"type\":",
                      delta[] = "{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_delta\",",
                      stop[] = "{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_stop\",",
                      end[] = "{\"type\":\"stream_event\",\"event\":{\"type\":\"message_stop\"}",
                      thought[] = "{\"type\":\"system\",\"subtype\":\"thinking_tokens\",",
                      status[] = "{\"type\":\"system\",\"subtype\":\"status\",";
    if (begins(record, delta, sizeof delta - 1) ||
        (begins(record, event, sizeof event - 1) &&
         (begins(record, stop, sizeof stop - 1) || begins(record, end, sizeof end - 1)))) {
        s->partial = true;
        count_type(s, "stream_event", 12);
        return true;
    }
    if (begins(record, thought, sizeof thought - 1) || begins(record, status, sizeof status - 1)) {
        count_type(s, "system", 6);
        return true;
    }
    return false;
}

static void add_usage(session *s, const mapping_rule *rule, const stream_json_value *v) {
    session_usage u;
    uint64_t *const to[] = {&u.input, &u.output, &u.cache_read, &u.cache_write};
    int i;
    memset(&u, 0, sizeof u);
    for (i = 0; i < 4; i++)
        if (rule->field[FIELD_INPUT + i] >= 0) *to[i] = count_of(v[rule->field[FIELD_INPUT + i]]);
    if (rule->input_includes_cache) u.input -= u.input < u.cache_read ? u.input : u.cache_read;
    add(&s->done, &u);
}

static void read_mapped(session *s, session_reading *r, const stream_item *record) {
    stream_json_value v[MAPPING_POINTERS], got[MAPPING_FIELDS];
    const mapping_rule *rule = mapping_apply(&s->map, record->ptr, record->len, v);
    session_event *first = &r->first;
    size_t i;
    count_type_of(s, v[s->map.type]);
    r->has_first = true; /* SESSION_UNKNOWN if nothing else */
    if (!rule) return;
    memset(got, 0, sizeof got);
    for (i = 0; i < MAPPING_FIELDS; i++)
        if (rule->field[i] >= 0) got[i] = v[rule->field[i]];
    if (got[FIELD_SESSION].type == STREAM_JSON_STRING) keep_name(s->session_id, got[FIELD_SESSION]);
    if (got[FIELD_MODEL].type == STREAM_JSON_STRING) keep_name(s->model, got[FIELD_MODEL]);
    keep_cost(s, got[FIELD_COST]);
    first->id = got[FIELD_ID];
    first->name = got[FIELD_NAME];
    first->is_error = mapping_failed(&s->map, rule, v);
    switch (rule->means) {
    case MEANS_START: first->kind = SESSION_INIT; break;
    case MEANS_TEXT:
    case MEANS_DELTA:
    case MEANS_THINKING:
        first->kind = rule->means == MEANS_THINKING ? SESSION_THINKING : SESSION_TEXT;
        first->value = got[FIELD_TEXT];
        first->piece = rule->means == MEANS_DELTA;
        if (first->kind == SESSION_TEXT && !(first->piece && s->text_open)) s->messages++;
        r->has_first = first->value.type == STREAM_JSON_STRING;
        break;
    case MEANS_TOOL_START:
        first->kind = SESSION_TOOL_START;
        first->value = got[FIELD_ARGUMENTS];
        tool_started(s, first->id, first->name, r->now_ns);
        break;
    case MEANS_TOOL_END:
        first->kind = SESSION_TOOL_END;
        tool_ended(s, first, r->now_ns);
        break;
    case MEANS_RESULT:
        first->kind = SESSION_FINAL;
        s->result_is_error = first->is_error;
        s->saw_result = true;
        s->state = SESSION_RESULT;
        s->tools = 0;
        s->tools_untracked = 0;
        add_usage(s, rule, v);
        break;
    case MEANS_USAGE: add_usage(s, rule, v); break;
    default: break;
    }
    if (rule->means != MEANS_OTHER) s->text_open = rule->means == MEANS_DELTA;
}

/* What writes a stream is told by its first record. */
static void detect(session *s, const stream_item *record) {
    const char *name, *text;
    size_t i, at;
    for (i = 0; !s->mapped && (name = mapping_name(i)) != NULL; i++) {
        text = mapping_built_in(name);
        s->mapped = mapping_read(&s->map, text, strlen(text), &at) == NULL &&
                    mapping_begins(&s->map, record->ptr, record->len);
    }
    s->detect = false;
}

bool session_count(session *s, const stream_item *record) {
    s->records++;
    if (s->state == SESSION_START || s->state == SESSION_RESULT) s->state = SESSION_STREAMING;
    return s->silent && !s->mapped && !s->detect && is_small_talk(s, record);
}

void session_begin(session *s, session_reading *r, const stream_item *record, uint64_t now_ns) {
    static const char begin[] = "{\"type\":";
    static const char *const want[] = {"/type"};
    static const char *const no_object[] = {"(none)",   "(null)",   "(boolean)", "(boolean)",
                                            "(number)", "(string)", "(array)"};
    stream_json_value type;
    memset(r, 0, sizeof *r);
    r->now_ns = now_ns;
    r->first.value.ptr = record->ptr;
    r->first.value.len = record->len;
    r->first.value.type = (stream_json_type)record->kind;
    if (record->kind != STREAM_JSON_OBJECT) {
        count_type(s, no_object[record->kind], strlen(no_object[record->kind]));
        r->has_first = true;
        return;
    }
    if (s->detect) detect(s, record);
    if (s->mapped) {
        read_mapped(s, r, record);
        return;
    }
    type = word_behind(record, begin, sizeof begin - 1);
    if (type.type == STREAM_JSON_NONE)
        r->invalid = stream_json_pick(record->ptr, record->len, want, 1, &type) == STREAM_E_INVALID;
    count_type_of(s, type);
    if (is(type, "stream_event")) {
        read_delta(s, r, record);
    } else if (is(type, "assistant")) {
        read_assistant(s, r, record);
    } else if (is(type, "user")) {
        read_user(s, r, record);
    } else if (is(type, "result")) {
        read_result(s, r, record);
    } else if (is(type, "system")) {
        read_system(s, r, record);
    } else {
        r->has_first = true; /* SESSION_UNKNOWN: passed on untouched */
    }
}

/* The next content block, of which v is told what matters of it; false behind the last. */
enum { BLOCK, TYPE, RESULT_ID, ERROR, ID, NAME, SILENT, TEXT = SILENT, THINKING, INPUT, BLOCK_VALUES };

static bool next_block(const session *s, session_reading *r, stream_json_value v[BLOCK_VALUES]) {
    static const char *const want[BLOCK_VALUES] = {"",      "/type", "/tool_use_id", "/is_error", "/id",
                                                   "/name", "/text", "/thinking",    "/input"};
    const char *p = r->blocks;
    while (p < r->end && (*p == ',' || *p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) p++;
    if (p == r->end || *p == ']') return false;
    stream_json_pick(p, (size_t)(r->end - p), want, s->silent ? SILENT : BLOCK_VALUES, v);
    r->blocks = v[BLOCK].ptr + v[BLOCK].len;
    return v[BLOCK].type != STREAM_JSON_NONE;
}

bool session_next(session *s, session_reading *r, session_event *event) {
    stream_json_value v[BLOCK_VALUES];
    if (r->has_first) {
        *event = r->first;
        r->has_first = false;
        return true;
    }
    memset(event, 0, sizeof *event);
    event->subagent = r->subagent;
    event->repeated = r->repeated;
    while (r->walking && next_block(s, r, v)) {
        if (v[BLOCK].type != STREAM_JSON_OBJECT) continue;
        event->id = v[ID];
        event->name = v[NAME];
        if (is(v[TYPE], "tool_use") || is(v[TYPE], "server_tool_use")) {
            event->kind = SESSION_TOOL_INPUT;
            if (!s->silent) event->value = v[INPUT];
            if (!event->repeated) { /* not announced by a delta: its start is the event before */
                r->first = *event;
                r->has_first = true;
                tool_started(s, v[ID], v[NAME], r->now_ns);
                event->kind = SESSION_TOOL_START;
            }
            return true;
        }
        if (is(v[TYPE], "tool_result")) {
            event->kind = SESSION_TOOL_END;
            event->id = v[RESULT_ID];
            event->is_error = v[ERROR].type == STREAM_JSON_TRUE;
            tool_ended(s, event, r->now_ns);
            return true;
        }
        if (s->silent) continue;
        if (is(v[TYPE], "text") && v[TEXT].type == STREAM_JSON_STRING) {
            event->kind = SESSION_TEXT;
            event->value = v[TEXT];
            return true;
        }
        if (is(v[TYPE], "thinking") && v[THINKING].type == STREAM_JSON_STRING) {
            event->kind = SESSION_THINKING;
            event->value = v[THINKING];
            return true;
        }
    }
    r->walking = false;
    return false;
}

void session_restart(session *s) {
    s->state = SESSION_START;
    s->saw_result = s->result_is_error = s->unterminated = s->text_open = false;
    s->tools = 0;
    s->tools_untracked = 0;
    s->truncated_before = s->truncated;
    close_messages(s, true);
    add(&s->before, &s->done);
    memset(&s->done, 0, sizeof s->done);
    s->cost_before = session_cost(s);
}

void session_count_lost(session *s, stream_status status, const stream_item *item) {
    if (s->state == SESSION_START) s->state = SESSION_STREAMING;
    if (status == STREAM_NOISE)
        s->noise++;
    else if (status == STREAM_E_TOO_LONG)
        s->oversize++;
    else if (status == STREAM_E_TRUNCATED)
        s->truncated++;
    else
        s->invalid++;
    /* The head of an oversize record still tells its type. */
    if (status == STREAM_E_TOO_LONG && item->kind == STREAM_JSON_OBJECT) {
        static const char *const want[] = {"/type"};
        stream_json_value type;
        stream_json_pick(item->ptr, item->len, want, 1, &type);
        count_type_of(s, type);
    }
}

const char *session_missing(const session *s) {
    if (s->truncated > s->truncated_before) return "the last record was cut off";
    if (s->records == 0) return "no record came";
    if (!s->saw_result && s->messages > 0) return "the stream ended without a result";
    return NULL;
}
