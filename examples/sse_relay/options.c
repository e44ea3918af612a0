/* SPDX-License-Identifier: MIT-0 */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/text.h"
#include "stream.h"

typedef enum { FLAG, CHOICE, SIZE, DURATION, TEXT, TEXTS, HELP, VERSION } option_kind;

typedef struct option_row {
    const char *name;
    option_kind kind;
    size_t field;      /* offset in options */
    const char *value; /* CHOICE: the words, separated by |, numbered from 0; else a name for --help */
    const char *help;
    const char *env; /* NULL: SSE_RELAY_ and the name in capitals */
} option_row;

#define FIELD(name) offsetof(options, name)
#define MS          UINT64_C(1000000)
#define S           UINT64_C(1000000000)

static const option_row rows[] = {
    {"listen", TEXTS, FIELD(listen), "ADDRESS",
     "host:port, [IPv6]:port, :port (loopback), unix:/path; may be repeated\n(127.0.0.1:8080)", NULL},
    {"upstream", TEXT, FIELD(upstream), "URL",
     "http://host[:port][/prefix] or unix:/path: requests go there and answers come back", NULL},
    {"fanout", FLAG, FIELD(fanout), NULL,
     "one source, many subscribers: --upstream URL, --exec or - for standard input", NULL},
    {"exec", TEXT, FIELD(exec), "COMMAND", "a shell command whose standard output is the source (--fanout)",
     NULL},
    {"admin", TEXT, FIELD(admin), "ADDRESS|off",
     "serve /metrics, /buffer-pool-metrics, /healthz, /streams and the page at / there and nowhere else;\n"
     "without this they hide such paths of the upstream",
     NULL},
    {"admin-prefix", TEXT, FIELD(admin_prefix), "PATH", "put that before those paths: /-  makes /-/metrics",
     NULL},
    {"config", TEXT, FIELD(config), "FILE", "lines of `name = value`, read again on SIGHUP", NULL},
    {"ping", DURATION, FIELD(ping_ns), "TIME",
     "send a comment when a stream was silent so long (15s); 0: never", NULL},
    {"ping-event", TEXT, FIELD(ping_event), "NAME", "send an event of that name instead of a comment",
     NULL},
    {"connect-timeout", DURATION, FIELD(connect_ns), "TIME", "for a connection to the upstream (5s)", NULL},
    {"header-timeout", DURATION, FIELD(header_ns), "TIME", "until the upstream's answer begins (5m)", NULL},
    {"first-event-timeout", DURATION, FIELD(first_ns), "TIME",
     "from there to the first byte of a body (5m)", NULL},
    {"idle-timeout", DURATION, FIELD(idle_ns), "TIME", "without a byte from the upstream (5m)", NULL},
    {"total-timeout", DURATION, FIELD(total_ns), "TIME", "for a whole answer (0: none)", NULL},
    {"client-head-timeout", DURATION, FIELD(client_head_ns), "TIME", "for a request's head to come (10s)",
     NULL},
    {"client-body-timeout", DURATION, FIELD(client_body_ns), "TIME",
     "between two pieces of a request (30s)", NULL},
    {"keep-alive", DURATION, FIELD(client_idle_ns), "TIME", "until a client's next request (60s)", NULL},
    {"send-timeout", DURATION, FIELD(send_ns), "TIME", "without a byte taken by the client (30s)", NULL},
    {"upstream-keep-alive", DURATION, FIELD(upstream_idle_ns), "TIME",
     "keep a connection to the upstream for the next request (4s); 0: never", NULL},
    {"on-disconnect", CHOICE, FIELD(on_disconnect), "cancel|drain",
     "when a client leaves: cancel its request upstream, or read the answer to its end", NULL},
    {"encoded", CHOICE, FIELD(encoded), "refuse|pass",
     "an event stream that comes compressed although identity was asked for", NULL},
    {"preserve-host", FLAG, FIELD(preserve_host), NULL, "send the client's Host upstream", NULL},
    {"half-close", FLAG, FIELD(half_close), NULL,
     "a client that has ended its side after the request (nc) still gets the answer; without this it\n"
     "counts as gone, and its request is ended upstream at once",
     NULL},
    {"max-connections", SIZE, FIELD(max_connections), "N",
     "clients at a time (10240); more are answered 503", NULL},
    {"max-body", SIZE, FIELD(max_body), "SIZE", "longest request body (no limit)", NULL},
    {"chunk", SIZE, FIELD(chunk), "SIZE", "bytes read from the upstream at a time (32K)",
     "STREAM_RESPONSE_CHUNK_SIZE"},
    {"request-chunk", SIZE, FIELD(request_chunk), "SIZE", "bytes of a request's body read at a time (32K)",
     "STREAM_REQUEST_CHUNK_SIZE"},
    {"cors-origin", TEXTS, FIELD(cors_origin), "ORIGIN",
     "let pages of that origin read the answers; may be repeated; * is any, without credentials", NULL},
    {"access-log", TEXT, FIELD(access_log), "FILE|-|off", "one line a request (-, which is standard error)",
     NULL},
    {"ring-events", SIZE, FIELD(ring_events), "N",
     "fan-out: events kept for those who are behind or come back (1024)", NULL},
    {"ring-bytes", SIZE, FIELD(ring_bytes), "SIZE", "... and bytes (4M)", NULL},
    {"client-bytes", SIZE, FIELD(client_bytes), "SIZE",
     "... a subscriber may be behind; then --policy (1M)", NULL},
    {"policy", CHOICE, FIELD(policy), "disconnect|drop-oldest|conflate",
     "a subscriber that is too far behind: ends; loses the oldest and is told how many; is spared\n"
     "events of whose key there is a newer one",
     NULL},
    {"max-event", SIZE, FIELD(max_event), "SIZE", "fan-out: longest data of an event (1M)", NULL},
    {"linger", DURATION, FIELD(linger_ns), "TIME",
     "fan-out: leave the upstream when nobody listened so long (30s)", NULL},
    {"conflate-key", TEXT, FIELD(conflate_key), "POINTER",
     "fan-out: JSON pointer to the key in an event's data; else its name is the key", NULL},
    {"token", TEXT, FIELD(token), "TOKEN", "fan-out: lets POST /publish in, as Authorization: Bearer TOKEN",
     NULL},
    {"set", TEXTS, FIELD(set), "/POINTER=JSON",
     "put that value there in the JSON of each event; may be repeated, as the next two", NULL},
    {"drop", TEXTS, FIELD(drop), "NAME", "leave out events of that name (message: those without one)",
     NULL},
    {"only", TEXTS, FIELD(only), "NAME", "leave out all others", NULL},
    {"diff", TEXT, FIELD(diff), "KEY",
     "of events with the same name and the same value of that member, send only what has changed: an\n"
     "RFC 7386 merge patch with the key in it, named NAME.patch; the first comes whole, and in a fan-out\n"
     "every one whose predecessor a subscriber has not got",
     NULL},
    {"terminal", TEXTS, FIELD(terminal), "TEXT",
     "an event of that name or with that data completes a stream ([DONE], message_stop); one that\n"
     "ends without is told to be cut; may be repeated",
     NULL},
    {"drain", DURATION, FIELD(drain_ns), "TIME", "on SIGTERM, end the streams one by one within (10s)",
     NULL},
    {"metrics", CHOICE, FIELD(metrics), "none|json|prometheus",
     "at the end, write metrics to standard error", NULL},
    {"help", HELP, 0, NULL, "this text", NULL},
    {"version", VERSION, 0, NULL, "the version", NULL},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static void print_help(void) {
    size_t i;
    puts("usage: sse_relay [options] --upstream URL\n"
         "       sse_relay [options] --fanout --upstream URL | --exec COMMAND | -\n\n"
         "Passes HTTP requests on and the answers back, server-sent events one by one and without delay, "
         "in\n"
         "bounded memory whatever either side does. TLS is left to what stands in front of it.\n");
    for (i = 0; i < ROWS; i++) {
        const char *line = rows[i].help, *end;
        printf("  --%s%s%s\n", rows[i].name, rows[i].value ? " " : "", rows[i].value ? rows[i].value : "");
        for (; line; line = end ? end + 1 : NULL) {
            end = strchr(line, '\n');
            printf("        %.*s\n", end ? (int)(end - line) : (int)strlen(line), line);
        }
    }
    puts("\nSIZE takes K, M, G; TIME takes ms, s, m, h (plain: seconds). Of several words the first is "
         "what holds\n"
         "when none is given. Each option can be given in the environment (--ring-bytes as\n"
         "SSE_RELAY_RING_BYTES) and in the file; the command line counts most.\n"
         "STREAM_RESPONSE_CHUNK_SIZE, STREAM_REQUEST_CHUNK_SIZE and STREAM_BUFFER_POOL_ENABLED (0: off)\n"
         "count, too, and STREAM_IO_BACKEND (epoll; io_uring,epoll: the first that is to be had).\n\n"
         "SIGHUP reads the file again and keeps every stream; SIGTERM and SIGINT end them one by one, a\n"
         "second one at once.\n\n"
         "Exit code: 0 after a signal; 2 called wrongly; 3 cannot listen; 4 the upstream or the source "
         "cannot be");
}

static const option_row *find(const char *name, size_t len) {
    size_t i;
    for (i = 0; i < ROWS; i++)
        if (strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0) return &rows[i];
    return NULL;
}

static bool set(options *o, const option_row *row, const char *value, const char *where) {
    char *field = (char *)o + row->field;
    bool good = true;
    switch (row->kind) {
    case FLAG: {
        bool on = !value || strcmp(value, "1") == 0 || strcmp(value, "yes") == 0;
        good = on || strcmp(value, "0") == 0 || strcmp(value, "no") == 0;
        *(bool *)(void *)field = on;
        break;
    }
    case CHOICE: {
        int n = parse_choice(row->value, value);
        *(int *)(void *)field = n;
        good = n >= 0;
        break;
    }
    case SIZE: good = parse_size(value, (size_t *)(void *)field) && *(size_t *)(void *)field > 0; break;
    case DURATION: good = parse_duration(value, (uint64_t *)(void *)field); break;
    case TEXTS: {
        texts *t = (texts *)(void *)field;
        good = t->count < MAX_TEXTS;
        if (good) t->text[t->count++] = value;
        break;
    }
    default: *(const char **)(void *)field = value; break;
    }
    if (!good && row->kind == TEXTS)
        fprintf(stderr, "sse_relay: %s%s: more than %d of them\n", where, row->name, MAX_TEXTS);
    else if (!good)
        fprintf(stderr, "sse_relay: %s%s: '%s' is not %s\n", where, row->name, value ? value : "",
                row->value ? row->value : "yes or no");
    return good;
}

static char *trim(char *s) {
    size_t n;
    while (*s == ' ' || *s == '\t') s++;
    n = strlen(s);
    while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t' || s[n - 1] == '\r' || s[n - 1] == '\n'))
        s[--n] = '\0';
    return s;
}

/* Texts from files stay until the end: streams that began under an older one may still use them. */
typedef struct kept_text {
    struct kept_text *next;
    char text[];
} kept_text;

static kept_text *kept;

static const char *keep(const char *text) {
    size_t len = strlen(text) + 1;
    kept_text *k = (kept_text *)malloc(sizeof *k + len);
    if (!k) return NULL;
    memcpy(k->text, text, len);
    k->next = kept;
    kept = k;
    return k->text;
}

static bool from_file(options *o, const char *path, const bool *given) {
    char line[4096];
    unsigned number = 0;
    FILE *file = fopen(path, "r");
    bool good = file != NULL;
    if (!file) fprintf(stderr, "sse_relay: --config: cannot read %s\n", path);
    while (good && fgets(line, sizeof line, file)) {
        bool whole = strchr(line, '\n') != NULL || feof(file);
        char *name = trim(line), *value = strchr(name, '=');
        const option_row *row;
        char where[64];
        number++;
        if (!whole) {
            fprintf(stderr, "sse_relay: config line %u: longer than %d bytes, or with a NUL in it\n",
                    number, (int)sizeof line - 2);
            good = false;
            break;
        }
        if (*name == '\0' || *name == '#') continue;
        if (value) *value++ = '\0', value = trim(value);
        name = trim(name);
        row = find(name, strlen(name));
        snprintf(where, sizeof where, "config line %u: ", number);
        if (!row || row->kind >= HELP || row->field == FIELD(config) || (!value && row->kind != FLAG)) {
            fprintf(stderr, "sse_relay: %s%s: %s\n", where, name,
                    row && !value ? "needs a value" : "no such option");
            good = false;
        } else if (!given[row - rows]) {
            const char *own = value ? keep(value) : NULL;
            if (value && !own) fprintf(stderr, "sse_relay: %sno memory\n", where);
            good = (own || !value) && set(o, row, own, where);
        }
    }
    if (file && ferror(file)) {
        fprintf(stderr, "sse_relay: --config: cannot read %s\n", path);
        good = false;
    }
    if (file) fclose(file);
    return good;
}

static void defaults(options *o) {
    memset(o, 0, sizeof *o);
    o->ping_ns = 15 * S;
    o->connect_ns = 5 * S;
    o->header_ns = o->first_ns = o->idle_ns = 300 * S;
    o->upstream_idle_ns = 4 * S;
    o->client_head_ns = 10 * S;
    o->client_body_ns = 30 * S;
    o->client_idle_ns = 60 * S;
    o->send_ns = 30 * S; /* with a ping after 15, one that has vanished is left within 45 */
    o->drain_ns = 10 * S;
    o->linger_ns = 30 * S;
    o->max_connections = 10240;
    o->chunk = o->request_chunk = 32768;
    o->max_event = (size_t)1 << 20;
    o->ring_events = 1024;
    o->ring_bytes = (size_t)4 << 20;
    o->client_bytes = (size_t)1 << 20;
    o->access_log = "-";
}

/* What a value must be besides being one of its kind. */
static bool check(const options *o) {
    static const char *const what[] = {
        "--ping-event: a name of 1 to 128 characters, none of them a control character",
        "--token: is empty",
        "--conflate-key: a JSON pointer, which begins with a slash",
        "--max-connections: at most 1000000",
        "--ring-events: at most 10000000",
        "--client-head-timeout, --client-body-timeout, --keep-alive, --send-timeout: not without end"};
    const char *p = o->ping_event;
    bool good[sizeof what / sizeof what[0]] = {false};
    size_t i;
    while (p && (unsigned char)*p >= 0x20) p++;
    good[0] = !p || (!*p && p > o->ping_event && p - o->ping_event <= 128);
    good[1] = !o->token || *o->token;
    good[2] = !o->conflate_key || *o->conflate_key == '/';
    good[3] = o->max_connections <= 1000000;
    good[4] = o->ring_events <= 10000000;
    good[5] = o->client_head_ns && o->client_body_ns && o->client_idle_ns && o->send_ns;
    for (i = 0; i < sizeof what / sizeof what[0]; i++)
        if (!good[i]) fprintf(stderr, "sse_relay: %s\n", what[i]);
    for (i = 0; i < sizeof what / sizeof what[0]; i++)
        if (!good[i]) return false;
    return true;
}

static bool parse(options *o, int argc, char **argv, int *exit_code) {
    bool given[ROWS] = {false};
    size_t r;
    int i;
    *exit_code = EXIT_USAGE;
    defaults(o);
    for (i = 1; i < argc; i++) {
        const char *name = argv[i] + 2, *equals, *value;
        const option_row *row;
        if (strcmp(argv[i], "-") == 0) {
            o->standard_input = true;
            continue;
        }
        if (argv[i][0] != '-' || argv[i][1] != '-') {
            fprintf(stderr, "sse_relay: %s: not understood; see --help\n", argv[i]);
            return false;
        }
        equals = strchr(name, '=');
        row = find(name, equals ? (size_t)(equals - name) : strlen(name));
        value = equals ? equals + 1 : NULL;
        if (row && row->kind == HELP) {
            print_help();
            *exit_code = 0;
            return false;
        }
        if (row && row->kind == VERSION) {
            puts("sse_relay " STREAM_VERSION);
            *exit_code = 0;
            return false;
        }
        if (row && row->kind != FLAG && !value && i + 1 < argc) value = argv[++i];
        if (!row || (row->kind != FLAG && !value)) {
            fprintf(stderr, "sse_relay: %s: %s; see --help\n", argv[i],
                    row ? "needs a value" : "no such option");
            return false;
        }
        if (!set(o, row, value, "--")) return false;
        given[row - rows] = true;
    }
    for (r = 0; r < ROWS; r++) {
        char name[64] = "SSE_RELAY_";
        const char *value;
        size_t n = strlen(name), k;
        if (rows[r].kind >= HELP || given[r]) continue;
        for (k = 0; rows[r].name[k] && n + 1 < sizeof name; k++) {
            char ch = rows[r].name[k];
            name[n++] = ch == '-' ? '_' : ch >= 'a' && ch <= 'z' ? (char)(ch - 'a' + 'A') : ch;
        }
        name[n] = '\0';
        value = getenv(rows[r].env ? rows[r].env : name);
        if (!value || !*value) continue;
        if (!set(o, &rows[r], value, "environment: ")) return false;
        given[r] = true;
    }
    if (o->config && !from_file(o, o->config, given)) return false;
    if (!check(o)) return false;
    if (o->listen.count == 0) o->listen.text[o->listen.count++] = "127.0.0.1:8080";
    if (o->fanout) {
        if ((o->upstream != NULL) + (o->exec != NULL) + o->standard_input != 1) {
            fprintf(stderr, "sse_relay: --fanout: needs one source: --upstream URL, --exec COMMAND or -\n");
            return false;
        }
    } else if (!o->upstream || o->exec || o->standard_input) {
        fprintf(stderr, "sse_relay: %s\n",
                o->upstream ? "--exec and - are for --fanout"
                            : "--upstream: where should requests go? see --help");
        return false;
    }
    if (o->admin_prefix &&
        (o->admin_prefix[0] != '/' || o->admin_prefix[strlen(o->admin_prefix) - 1] == '/')) {
        fprintf(stderr, "sse_relay: --admin-prefix: begins with a slash and ends without one\n");
        return false;
    }
    if (o->chunk < 1024 || o->chunk > ((size_t)1 << 20) || o->request_chunk < 1024 ||
        o->request_chunk > ((size_t)1 << 20)) {
        fprintf(stderr, "sse_relay: --chunk, --request-chunk: from 1K to 1M\n");
        return false;
    }
    return true;
}

bool options_parse(options *o, int argc, char **argv, int *exit_code) {
    return parse(o, argc, argv, exit_code);
}

bool options_reload(options *o, int argc, char **argv) {
    options fresh;
    int unused;
    if (!parse(&fresh, argc, argv, &unused)) return false;
    *o = fresh;
    return true;
}
