/* SPDX-License-Identifier: MIT-0
   What the records become on standard output: the assistant's text, or one JSON event per line.

   Events, each with "event", "wrap" (--name, when given), "ms" since the start, and where a record or text
   is meant its stream "offset":

     start         session, model (of the init record)
     text          text; source: assistant, subagent, or output (bytes of the child that are no record)
     thinking      text
     tool_start    id, name; input when it is known at once
     tool_input    id, name, input
     tool_end      id, name, tool_ms, is_error
     result        record, whole
     record        type unknown here: record, whole
     oversize      bytes, head: a record over --max-record
     truncated     bytes, head: a record its line's end, or the input's, cut off
     invalid       bytes, head: no JSON inside, nested too deep, or lost for want of memory
     stalled       timer (startup, idle, tool, total, exit), quiet_ms, cpu (is the child busy: true, false
                   or null), stdin_open, tool (its name or null), action (report, stop)
     resumed       what the timer waited for came
     restart       code, wait_ms, session: the child is started again
     end           records, bytes, unterminated, missing (null, or what the stream lacks) */
#include "wrap.h"

#define HEAD_SHOWN 256

typedef enum { F_END = 0, F_TEXT, F_NUMBER, F_VALUE, F_BOOL } field_kind;

typedef struct field {
    field_kind kind;
    const char *key;
    const char *text;
    size_t len;
    uint64_t number;
    stream_json_value value;
} field;

static field text_field(const char *key, const char *ptr, size_t len) {
    field f;
    memset(&f, 0, sizeof f);
    f.kind = F_TEXT;
    f.key = key;
    f.text = ptr;
    f.len = len;
    return f;
}

static field number_field(const char *key, uint64_t n, field_kind kind) {
    field f = text_field(key, NULL, 0);
    f.kind = kind;
    f.number = n;
    return f;
}

static field value_field(const char *key, stream_json_value value) {
    field f = text_field(key, NULL, 0);
    f.kind = F_VALUE;
    f.value = value;
    return f;
}

static bool wants_events(const run *r) {
    return r->opt.output == OUTPUT_EVENTS || endpoint_wants(r) || publish_wants(r);
}

/* What there is no memory for is not passed over in silence. */
static void cut_short(run *r) {
    if (!r->write_failed)
        view_say(r, "stream_wrap: standard output is not complete: %s", stream_status_text(STREAM_E_NOMEM));
    r->write_failed = true;
}

/* Makes one event, and gives it to whoever wants it; what does not fit in the buffer makes it grow once. */
static void put_event(run *r, const char *name, uint64_t now_ns, const field *fields) {
    stream_json_writer w;
    size_t len;
    for (;;) {
        const field *f;
        stream_json_writer_init(&w, r->event.ptr, r->event.cap);
        stream_json_write_object(&w);
        stream_json_write_key(&w, "event", 5);
        stream_json_write_string(&w, name, strlen(name));
        if (r->opt.name) {
            stream_json_write_key(&w, "wrap", 4);
            stream_json_write_string(&w, r->opt.name, strlen(r->opt.name));
        }
        stream_json_write_key(&w, "ms", 2);
        stream_json_write_uint64(&w, since_ns(now_ns, r->started_ns) / 1000000);
        for (f = fields; f->kind != F_END; f++) {
            stream_json_write_key(&w, f->key, strlen(f->key));
            if (f->kind == F_TEXT && f->text)
                stream_json_write_string(&w, f->text, f->len);
            else if (f->kind == F_NUMBER)
                stream_json_write_uint64(&w, f->number);
            else if (f->kind == F_BOOL)
                stream_json_write_bool(&w, f->number != 0);
            else
                stream_json_write_value(&w, f->value);
        }
        stream_json_write_end(&w);
        if (stream_json_writer_finish(&w, &len) == STREAM_OK) break;
        r->event.len = 0;
        if (!text_room(&r->event, len + 1)) {
            endpoint_lost(r);
            publish_lost(r);
            if (r->opt.output == OUTPUT_EVENTS) cut_short(r);
            return;
        }
    }
    endpoint_event(r, name, r->event.ptr, len);
    publish_event(r, name, r->event.ptr, len);
    if (r->opt.output != OUTPUT_EVENTS) return;
    if (!text_room(&r->made, len + 1)) {
        cut_short(r);
        return;
    }
    memcpy(r->made.ptr + r->made.len, r->event.ptr, len);
    r->made.len += len;
    r->made.ptr[r->made.len++] = '\n';
}

static void event_of_record(run *r, const session_event *e, uint64_t offset, uint64_t now_ns) {
    field f[6];
    size_t n = 0;
    const char *name = "record";
    memset(f, 0, sizeof f);
    f[n++] = number_field("offset", offset, F_NUMBER);
    switch (e->kind) {
    case SESSION_INIT:
        name = "start";
        f[n++] = text_field("session", r->session.session_id, strlen(r->session.session_id));
        f[n++] = text_field("model", r->session.model, strlen(r->session.model));
        break;
    case SESSION_TEXT:
    case SESSION_THINKING:
        if (e->repeated) return;
        name = e->kind == SESSION_TEXT ? "text" : "thinking";
        f[n++] = e->subagent ? text_field("source", "subagent", 8) : text_field("source", "assistant", 9);
        f[n++] = value_field("text", e->value);
        break;
    case SESSION_TOOL_START:
    case SESSION_TOOL_INPUT:
        name = e->kind == SESSION_TOOL_START ? "tool_start" : "tool_input";
        f[n++] = value_field("id", e->id);
        f[n++] = value_field("name", e->name);
        if (e->kind == SESSION_TOOL_INPUT || e->value.type != STREAM_JSON_NONE)
            f[n++] = value_field("input", e->value);
        break;
    case SESSION_TOOL_END:
        name = "tool_end";
        f[n++] = value_field("id", e->id);
        if (e->tool.name[0]) {
            f[n++] = text_field("name", e->tool.name, strlen(e->tool.name));
            f[n++] = number_field("tool_ms", since_ns(now_ns, e->tool.since_ns) / 1000000, F_NUMBER);
        }
        f[n++] = number_field("is_error", e->is_error, F_BOOL);
        break;
    case SESSION_TEXT_END: return;
    case SESSION_FINAL:
        name = "result";
        f[n++] = value_field("record", e->value);
        break;
    case SESSION_UNKNOWN: f[n++] = value_field("record", e->value); break;
    }
    put_event(r, name, now_ns, f);
}

/* The assistant's own words only; a block ends with a line feed whatever it contains. */
static void text_of_record(run *r, const session_event *e) {
    bool other = e->kind != SESSION_TEXT && e->kind != SESSION_THINKING && r->session.mapped;
    if (e->subagent) return;
    if (e->kind == SESSION_TEXT && !e->repeated) {
        size_t len, from = r->made.len;
        r->scratch.len = 0;
        if (!text_room(&r->scratch, e->value.len)) {
            cut_short(r);
            return;
        }
        if (stream_json_string(e->value, STREAM_JSON_REPLACE, r->scratch.ptr, r->scratch.cap, &len) < 0) return;
        if (!text_add_safe(&r->made, r->scratch.ptr, len, false)) cut_short(r);
        if (r->made.len > from) r->text_line_open = r->made.ptr[r->made.len - 1] != '\n';
    }
    if ((e->kind == SESSION_TEXT_END || other || (e->kind == SESSION_TEXT && !e->repeated && !e->piece)) &&
        r->text_line_open && text_room(&r->made, 1)) {
        r->made.ptr[r->made.len++] = '\n';
        r->text_line_open = false;
    }
}

void output_record(run *r, const stream_item *record, uint64_t now_ns) {
    session_reading reading;
    session_event event;
    bool events;
    size_t at;
    if (session_count(&r->session, record)) return;
    events = wants_events(r);
    session_begin(&r->session, &reading, record, now_ns);
    /* Framing trusts brackets and quotes; what is spliced into an event must be JSON to the letter. */
    if (events && stream_json_check(record->ptr, record->len, &at) != STREAM_OK) {
        output_lost(r, STREAM_E_INVALID, record, now_ns);
        events = false;
        if (r->opt.output == OUTPUT_EVENTS) return;
    } else if (reading.invalid) {
        r->session.invalid++;
    }
    while (session_next(&r->session, &reading, &event)) {
        if (events) event_of_record(r, &event, record->offset, now_ns);
        if (r->opt.output == OUTPUT_TEXT) text_of_record(r, &event);
    }
}

/* Whether a backslash that stands there begins an escape, and is not the end of one. */
static bool begins_escape(const char *p, size_t at) {
    size_t from = at;
    while (from > 0 && p[from - 1] == '\\') from--;
    return p[at] == '\\' && (at - from) % 2 == 0;
}

/* Where the head of a record may end: not inside a character, an escape, or a pair of surrogates. */
static size_t head_cut(const char *p, size_t len) {
    size_t end = len < HEAD_SHOWN ? len : stream_utf8_cut(p, HEAD_SHOWN), back;
    if (end == len) return end;
    for (back = 1; back < 6 && back <= end; back++) {
        if (!begins_escape(p, end - back) || (back > 1 && p[end - back + 1] != 'u')) continue;
        end -= back;
        break;
    }
    if (end >= 6 && begins_escape(p, end - 6) && p[end - 5] == 'u' && (p[end - 4] | 32) == 'd' &&
        strchr("89abAB", p[end - 3]))
        end -= 6;
    return end;
}

void output_lost(run *r, stream_status status, const stream_item *item, uint64_t now_ns) {
    size_t head = head_cut(item->ptr, item->len);
    field f[4];
    session_count_lost(&r->session, status, item);
    if (item->flags & STREAM_UNTERMINATED) r->session.unterminated = true;
    if (!wants_events(r)) return;
    memset(f, 0, sizeof f);
    f[0] = number_field("offset", item->offset, F_NUMBER);
    if (status == STREAM_NOISE) {
        f[1] = text_field("source", "output", 6);
        f[2] = text_field("text", item->ptr, item->len);
        put_event(r, "text", now_ns, f);
        return;
    }
    f[1] = number_field("bytes", item->size, F_NUMBER);
    f[2] = text_field("head", item->ptr, head);
    put_event(r,
              status == STREAM_E_TOO_LONG    ? "oversize"
              : status == STREAM_E_TRUNCATED ? "truncated"
                                             : "invalid",
              now_ns, f);
}

void output_end(run *r, uint64_t now_ns) {
    const char *missing = session_missing(&r->session);
    field f[5];
    if (r->opt.output == OUTPUT_TEXT && r->text_line_open && text_room(&r->made, 1))
        r->made.ptr[r->made.len++] = '\n';
    if (!wants_events(r)) return;
    memset(f, 0, sizeof f);
    f[0] = number_field("records", r->session.records, F_NUMBER);
    f[1] = number_field("bytes", r->bytes, F_NUMBER);
    f[2] = number_field("unterminated", r->session.unterminated, F_BOOL);
    f[3] = text_field("missing", missing, missing ? strlen(missing) : 0);
    put_event(r, "end", now_ns, f);
}

void output_stalled(run *r, uint64_t now_ns) {
    const watch *w = &r->watch;
    const session *s = &r->session;
    const char *tool = s->tools > 0 ? s->tool[0].name : NULL;
    field f[7];
    if (!wants_events(r) || r->ended) return;
    memset(f, 0, sizeof f);
    f[0] = text_field("timer", watch_name(w->last), strlen(watch_name(w->last)));
    f[1] = number_field("quiet_ms", since_ns(now_ns, w->since_ns) / 1000000, F_NUMBER);
    f[2] = w->busy == WATCH_UNKNOWN ? text_field("cpu", NULL, 0)
                                    : number_field("cpu", w->busy == WATCH_BUSY, F_BOOL);
    f[3] = number_field("stdin_open", pipes_child_reads(r), F_BOOL);
    f[4] = text_field("tool", tool, tool ? strlen(tool) : 0);
    f[5] = w->stops ? text_field("action", "stop", 4) : text_field("action", "report", 6);
    put_event(r, "stalled", now_ns, f);
}

void output_resumed(run *r, uint64_t now_ns) {
    field none;
    if (!wants_events(r) || r->ended) return;
    memset(&none, 0, sizeof none);
    put_event(r, "resumed", now_ns, &none);
}

void output_restart(run *r, int code, uint64_t wait_ns, uint64_t now_ns) {
    const char *id = r->session.session_id;
    field f[4];
    if (!wants_events(r)) return;
    memset(f, 0, sizeof f);
    f[0] = number_field("code", (uint64_t)code, F_NUMBER);
    f[1] = number_field("wait_ms", wait_ns / 1000000, F_NUMBER);
    f[2] = text_field("session", id, strlen(id));
    put_event(r, "restart", now_ns, f);
}
