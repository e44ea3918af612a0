/* SPDX-License-Identifier: MIT-0 */
#include "session.h"

#include <stdio.h>

#include "../common/text.h"

#define MOST_COST 1e9 /* US dollars: what is more is no cost */

static const char *const state_text[] = {"start", "streaming", "tool", "result", "exit"};

const char *session_state_text(session_state state) { return state_text[state]; }

/* A name for people and labels: unescaped, cut to fit between characters, made safe to show. */
static void keep_name(char dst[SESSION_NAME], stream_json_value value) {
    char raw[SESSION_NAME], safe[SESSION_NAME * 3 + 4];
    text_buffer t = {safe, 0, sizeof safe};
    size_t len = 0;
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

static size_t find_type(const session *s, const char *name) {
    size_t i = 0;
    while (i < s->types && strcmp(s->type[i].name, name) != 0) i++;
    return i;
}

static void count_type(session *s, const char *name) {
    size_t i = find_type(s, name);
    if (i == s->types && i >= SESSION_TYPES - 1) {
        name = "(others)";
        i = find_type(s, name);
    }
    if (i == s->types) memcpy(s->type[s->types++].name, name, strlen(name) + 1);
    s->type[i].count++;
}

/* The usual case: a type that came before, written without an escape, is found as it stands. */
static bool count_known_type(session *s, stream_json_value type) {
    size_t i, len = type.len - 2;
    if (type.type != STREAM_JSON_STRING || len >= SESSION_NAME || memchr(type.ptr, '\\', type.len))
        return false;
    for (i = 0; i < s->types; i++) {
        session_type *known = &s->type[i];
        if (known->name[0] != '(' && strncmp(known->name, type.ptr + 1, len) == 0 &&
            known->name[len] == '\0') {
            known->count++;
            return true;
        }
    }
    return false;
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

/* {"type":"stream_event","event":{...}}: a piece of the message that is arriving */
static void read_delta(session *s, session_reading *r, const stream_item *record) {
    enum {
        TYPE,
        PARENT,
        DELTA_TYPE,
        TEXT,
        THINKING,
        BLOCK_TYPE,
        BLOCK_ID,
        BLOCK_NAME,
        MESSAGE_ID,
        MESSAGE_USAGE,
        USAGE,
        COUNT
    };
    static const char *const want[COUNT] = {"/event/type",
                                            "/parent_tool_use_id",
                                            "/event/delta/type",
                                            "/event/delta/text",
                                            "/event/delta/thinking",
                                            "/event/content_block/type",
                                            "/event/content_block/id",
                                            "/event/content_block/name",
                                            "/event/message/id",
                                            "/event/message/usage",
                                            "/event/usage"};
    stream_json_value v[COUNT];
    session_event *first = &r->first;
    s->partial = true;
    stream_json_pick(record->ptr, record->len, want, COUNT, v);
    first->subagent = v[PARENT].type == STREAM_JSON_STRING;
    if (is(v[TYPE], "content_block_delta")) {
        if (is(v[DELTA_TYPE], "text_delta")) {
            first->kind = SESSION_TEXT;
            first->value = v[TEXT];
            first->piece = true;
        } else if (is(v[DELTA_TYPE], "thinking_delta")) {
            first->kind = SESSION_THINKING;
            first->value = v[THINKING];
        }
        r->has_first = first->value.type == STREAM_JSON_STRING;
    } else if (is(v[TYPE], "content_block_start")) {
        if (is(v[BLOCK_TYPE], "tool_use") || is(v[BLOCK_TYPE], "server_tool_use")) {
            tool_started(s, v[BLOCK_ID], v[BLOCK_NAME], r->now_ns);
            first->kind = SESSION_TOOL_START;
            first->id = v[BLOCK_ID];
            first->name = v[BLOCK_NAME];
            first->value.type = STREAM_JSON_NONE; /* its input comes */
            r->has_first = true;
        }
        s->text_open = is(v[BLOCK_TYPE], "text");
    } else if (is(v[TYPE], "content_block_stop")) {
        first->kind = SESSION_TEXT_END;
        r->has_first = s->text_open;
        s->text_open = false;
    } else if (is(v[TYPE], "message_start")) {
        s->streamed = message_seen(s, v[MESSAGE_ID], v[MESSAGE_USAGE]);
    } else if (is(v[TYPE], "message_delta")) {
        session_usage u = read_usage(v[USAGE]); /* cumulative for this message */
        if (u.output) s->open[s->streamed].usage.output = u.output;
        if (u.input) s->open[s->streamed].usage.input = u.input;
    } else if (!is(v[TYPE], "message_stop") && !is(v[TYPE], "ping")) {
        r->has_first = true; /* an error, or what is not known here */
    }
}

/* {"type":"assistant"|"user","message":{"content":[...]}}: whole blocks, walked in session_next */
static void read_message(session *s, session_reading *r, const stream_item *record, bool assistant) {
    enum { ID, CONTENT, USAGE, PARENT, COUNT };
    static const char *const want[COUNT] = {"/message/id", "/message/content", "/message/usage",
                                            "/parent_tool_use_id"};
    stream_json_value v[COUNT];
    char key[SESSION_NAME];
    stream_json_pick(record->ptr, record->len, want, COUNT, v);
    r->subagent = v[PARENT].type == STREAM_JSON_STRING;
    /* After its deltas a message comes whole, block by block. One that never streamed (a subagent's, an
       error that the CLI words itself) says something new. */
    keep_name(key, v[ID]);
    r->repeated = s->partial && (key[0] == '\0' || s->open[s->streamed].id[0] == '\0' ||
                                 strcmp(key, s->open[s->streamed].id) == 0);
    if (assistant && !r->repeated) message_seen(s, v[ID], v[USAGE]);
    if (v[CONTENT].type == STREAM_JSON_ARRAY)
        r->walking = stream_json_each_init(&r->each, v[CONTENT]) == STREAM_OK;
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

/* What a tool gave back is most of the bytes of many streams, and nearly always alone in its record. When
   nobody wants to see it, one pass over them is enough; false: it is another kind of message. */
static bool read_tool_result(session *s, session_reading *r, const stream_item *record) {
    enum { TYPE, ID, ERROR, SECOND, COUNT };
    static const char *const want[COUNT] = {"/message/content/0/type", "/message/content/0/tool_use_id",
                                            "/message/content/0/is_error", "/message/content/1"};
    stream_json_value v[COUNT];
    if (!s->silent) return false;
    stream_json_pick(record->ptr, record->len, want, COUNT, v);
    if (!is(v[TYPE], "tool_result") || v[SECOND].type != STREAM_JSON_NONE) return false;
    r->first.kind = SESSION_TOOL_END;
    r->first.id = v[ID];
    r->first.is_error = v[ERROR].type == STREAM_JSON_TRUE;
    tool_ended(s, &r->first, r->now_ns);
    r->has_first = true;
    return true;
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

/* Nearly every record of a stream in deltas begins with one of these, and when nobody wants its text that
   is all there is to know. Comparing costs a tenth of looking two members up. */
static bool silent_record(session *s, const stream_item *record) {
    static const struct {
        const char *begin, *type;
        size_t len;
    } known[] = {
#define KNOWN(begin, type) {begin, type, sizeof begin - 1}
        KNOWN("{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_delta\"", "stream_event"),
        KNOWN("{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_stop\"", "stream_event"),
        KNOWN("{\"type\":\"stream_event\",\"event\":{\"type\":\"message_stop\"", "stream_event"),
        KNOWN("{\"type\":\"system\",\"subtype\":\"thinking_tokens\"", "system"),
#undef KNOWN
    };
    size_t i;
    if (!s->silent || s->mapped || s->detect) return false;
    for (i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (record->len <= known[i].len || memcmp(record->ptr, known[i].begin, known[i].len) != 0) continue;
        s->partial |= i < 3;
        count_type(s, known[i].type);
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
    char name[SESSION_NAME];
    size_t i;
    keep_name(name, v[s->map.type]);
    count_type(s, v[s->map.type].type == STREAM_JSON_STRING ? name : "(none)");
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

void session_begin(session *s, session_reading *r, const stream_item *record, uint64_t now_ns) {
    static const char *const want[] = {"/type"};
    static const char *const no_object[] = {"(none)",   "(null)",   "(boolean)", "(boolean)",
                                            "(number)", "(string)", "(array)"};
    stream_json_value type;
    char name[SESSION_NAME];
    memset(r, 0, sizeof *r);
    r->now_ns = now_ns;
    r->first.value.ptr = record->ptr;
    r->first.value.len = record->len;
    r->first.value.type = (stream_json_type)record->kind;
    s->records++;
    if (s->state == SESSION_START || s->state == SESSION_RESULT) s->state = SESSION_STREAMING;
    if (silent_record(s, record)) return;
    if (record->kind != STREAM_JSON_OBJECT) {
        count_type(s, no_object[record->kind]);
        r->has_first = true;
        return;
    }
    if (s->detect) detect(s, record);
    if (s->mapped) {
        read_mapped(s, r, record);
        return;
    }
    r->invalid = stream_json_pick(record->ptr, record->len, want, 1, &type) == STREAM_E_INVALID;
    if (!count_known_type(s, type)) {
        keep_name(name, type);
        count_type(s, type.type == STREAM_JSON_STRING ? name : "(none)");
    }
    if (is(type, "stream_event")) {
        read_delta(s, r, record);
    } else if (is(type, "assistant")) {
        read_message(s, r, record, true);
    } else if (is(type, "user")) {
        if (!read_tool_result(s, r, record)) read_message(s, r, record, false);
    } else if (is(type, "result")) {
        read_result(s, r, record);
    } else if (is(type, "system")) {
        read_system(s, r, record);
    } else {
        r->has_first = true; /* SESSION_UNKNOWN: passed on untouched */
    }
}

bool session_next(session *s, session_reading *r, session_event *event) {
    enum { TYPE, TEXT, THINKING, ID, NAME, INPUT, RESULT_ID, ERROR, COUNT };
    static const char *const want[COUNT] = {"/type", "/text",  "/thinking",    "/id",
                                            "/name", "/input", "/tool_use_id", "/is_error"};
    stream_json_value block, v[COUNT];
    if (r->has_first) {
        *event = r->first;
        r->has_first = false;
        return true;
    }
    memset(event, 0, sizeof *event);
    event->subagent = r->subagent;
    event->repeated = r->repeated;
    while (r->walking) {
        block = r->pending;
        if (block.type == STREAM_JSON_NONE && stream_json_each_next(&r->each, NULL, &block) != STREAM_OK)
            break;
        if (block.type != STREAM_JSON_OBJECT) continue;
        stream_json_pick(block.ptr, block.len, want, 1, v);
        if (s->silent && !is(v[TYPE], "tool_result") && !is(v[TYPE], "tool_use") &&
            !is(v[TYPE], "server_tool_use"))
            continue;
        stream_json_pick(block.ptr, block.len, want, COUNT, v);
        event->id = v[ID];
        event->name = v[NAME];
        if (r->pending.type != STREAM_JSON_NONE) { /* its start was the event before */
            memset(&r->pending, 0, sizeof r->pending);
            event->kind = SESSION_TOOL_INPUT;
            event->value = v[INPUT];
            return true;
        }
        if (is(v[TYPE], "tool_use") || is(v[TYPE], "server_tool_use")) {
            event->kind = SESSION_TOOL_INPUT;
            event->value = v[INPUT];
            if (!event->repeated) { /* not announced by a delta */
                tool_started(s, v[ID], v[NAME], r->now_ns);
                event->kind = SESSION_TOOL_START;
                r->pending = block;
            }
            return true;
        }
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
        if (is(v[TYPE], "tool_result")) {
            event->kind = SESSION_TOOL_END;
            event->id = v[RESULT_ID];
            event->is_error = v[ERROR].type == STREAM_JSON_TRUE;
            tool_ended(s, event, r->now_ns);
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
        char name[SESSION_NAME];
        stream_json_pick(item->ptr, item->len, want, 1, &type);
        keep_name(name, type);
        count_type(s, type.type == STREAM_JSON_STRING ? name : "(none)");
    }
}

const char *session_missing(const session *s) {
    if (s->truncated > s->truncated_before) return "the last record was cut off";
    if (s->records == 0) return "no record came";
    if (!s->saw_result && s->messages > 0) return "the stream ended without a result";
    return NULL;
}
