/* SPDX-License-Identifier: MIT-0
   tmux_bridge: shows tmux sessions to browsers. Options, tokens, the beginning and the end. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bridge.h"

extern char **environ;

static bridge the_bridge;

static void usage(void) {
    fputs("usage: tmux_bridge [options]\n\n"
          "Shows tmux sessions in browsers: one connection to tmux for each session, however many watch.\n\n"
          "  --session NAME      show this session, by its exact name or its $id; may be given again\n"
          "                      (default: all there are)\n"
          "  --exec COMMAND      run COMMAND in a private tmux of its own, which ends with tmux_bridge; and\n"
          "                      tmux_bridge ends with it\n"
          "  -L NAME, -S PATH    the tmux server's socket, as tmux has it\n"
          "  --tmux PATH         the tmux to run (tmux)\n"
          "  --listen HOST:PORT  where browsers come (127.0.0.1:7681); port 0 takes any\n"
          "  --host NAME[:PORT]  another name that browsers may use (behind a proxy); may be given again\n",
          stdout);
    puts("  --token FILE        the token to watch; \"auto\" (the default) makes one\n"
         "  --write-token FILE  the token to watch and type; \"auto\" makes one (default: nobody may type)\n"
         "  --share MODE        who of those with the write token may type: all (the default), one (whoever\n"
         "                      came first, until it leaves), watch (nobody for now)\n"
         "  --resize            who may type may also set the session's size\n"
         "  --input-rate SIZE   bytes a second that one viewer may send; what is more has to wait (1M)\n"
         "  --viewer-cap SIZE   bytes of changes a viewer may be behind until it gets a whole screen (256K)\n"
         "  --max-viewers N     at a time (1000)\n"
         "  --interval TIME     between captures, while something changes (33ms)\n"
         "  --ping TIME         between pings; a viewer that is silent for 2 1/4 of it is cut off (20s)\n"
         "  --record FILE       write the session (one --session, or --exec) to a new file, an asciicast\n"
         "  --help, --version\n\n"
         "SIZE takes K, M, G; TIME takes ms, s, m, h. /metrics needs a token, /healthz does not.\n\n"
         "Exit code: 0 when asked to end, or the command of --exec has ended; 1 when it cannot go on; 2\n"
         "when called wrongly.");
}

void bridge_log(const char *format, ...) {
    text_buffer safe = {NULL, 0, 0};
    char line[512];
    va_list arguments;
    int n;
    va_start(arguments, format);
    n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (n <= 0) return;
    if (text_add_safe(&safe, line, strlen(line), true)) {
        fprintf(stderr, "tmux_bridge: %.*s\n", (int)safe.len, safe.ptr);
    } else { /* no memory to say it as it is */
        for (n = 0; line[n]; n++)
            if (line[n] < ' ' || line[n] > '~') line[n] = '?';
        fprintf(stderr, "tmux_bridge: %s\n", line);
    }
    text_free(&safe);
}

static void on_signal(int number) {
    the_bridge.stop = number;
    if (the_bridge.server.pool) stream_io_wake(&the_bridge.server.io); /* it is there */
}

static bool random_bytes(void *to, size_t n) {
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, to, n);
    if (fd >= 0) close(fd);
    return got == (ssize_t)n;
}

/* 128 bits in hexadecimal, or the first line of a file. */
static bool get_token(const char *source, char token[MAX_TOKEN + 1]) {
    unsigned char bytes[16];
    FILE *f;
    size_t i, n;
    if (strcmp(source, "auto") == 0) {
        if (!random_bytes(bytes, sizeof bytes)) return false;
        for (i = 0; i < sizeof bytes; i++) snprintf(token + 2 * i, 3, "%02x", bytes[i]);
        return true;
    }
    f = fopen(source, "rb");
    n = f ? fread(token, 1, MAX_TOKEN, f) : 0;
    if (f) fclose(f);
    for (i = 0; i < n; i++) {
        if (token[i] == '\n' || token[i] == '\r') break;
        /* It stands in an address and in a cookie as it is. */
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", token[i]))
            return false;
    }
    token[i < n ? i : n] = '\0';
    return strlen(token) >= 16;
}

static int fail(const char *what, const char *why) {
    bridge_log("%s: %s", what, why);
    return 1;
}

static bool share_option(options *o, const char *value) {
    if (strcmp(value, "all") == 0) o->share = SHARE_ALL;
    else if (strcmp(value, "one") == 0) o->share = SHARE_ONE;
    else if (strcmp(value, "watch") == 0) o->share = SHARE_WATCH;
    else return false;
    return true;
}

static bool count_option(const char *value, size_t most, size_t *to) {
    return parse_size(value, to) && *to > 0 && *to <= most;
}

/* One option with its value; false when there is none of that name, or not with that value. */
static bool option(options *o, const char *name, const char *value) {
    const struct {
        const char *name;
        const char **to;
    } texts[] = {{"--exec", &o->exec},       {"--listen", &o->listen}, {"--token", &o->token},
                 {"--tmux", &o->tmux},       {"-L", &o->socket_name},  {"-S", &o->socket_path},
                 {"--record", &o->record},   {"--write-token", &o->write_token}};
    size_t i, n;
    for (i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].to = value;
            return *value != '\0';
        }
    if (strcmp(name, "--session") == 0) {
        if (o->sessions == MAX_SESSIONS || strlen(value) >= MAX_NAME || !*value) return false;
        o->session[o->sessions++] = value;
        return true;
    }
    if (strcmp(name, "--host") == 0) {
        if (o->hosts == MAX_HOSTS) return false;
        o->host[o->hosts++] = value;
        return true;
    }
    if (strcmp(name, "--share") == 0) return share_option(o, value);
    if (strcmp(name, "--interval") == 0)
        return parse_duration(value, &o->interval_ns) && o->interval_ns >= 1000000;
    if (strcmp(name, "--ping") == 0) return parse_duration(value, &o->ping_ns) && o->ping_ns >= 1000000;
    if (strcmp(name, "--viewer-cap") == 0) return count_option(value, (size_t)1 << 30, &o->viewer_cap);
    if (strcmp(name, "--input-rate") == 0) return count_option(value, (size_t)1 << 30, &o->input_rate);
    if (strcmp(name, "--max-viewers") != 0 || !count_option(value, 100000, &n)) return false;
    o->max_viewers = (unsigned)n;
    return true;
}

/* -1: go on; else the exit code. */
static int parse(options *o, int argc, char **argv) {
    int i;
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            usage();
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            puts("tmux_bridge " STREAM_VERSION);
            return 0;
        }
        if (strcmp(argv[i], "--resize") == 0) {
            o->resize = true;
            continue;
        }
        if (i + 1 == argc || !option(o, argv[i], argv[i + 1])) {
            bridge_log("%s: no such option, or not with that value; see --help", argv[i]);
            return 2;
        }
        i++;
    }
    if (o->socket_name && o->socket_path) {
        bridge_log("-L and -S: one of them");
        return 2;
    }
    if (o->exec && (o->sessions || o->socket_name || o->socket_path)) {
        bridge_log("--exec: has a session and a server of its own, so no --session, -L, -S");
        return 2;
    }
    if (o->record && !o->exec && o->sessions != 1) {
        bridge_log("--record: needs one --session, or --exec");
        return 2;
    }
    if ((o->resize || o->share != SHARE_ALL) && !o->write_token) {
        bridge_log("--share, --resize: need a --write-token");
        return 2;
    }
    return -1;
}

/* Runs tmux with those arguments on the private socket, and waits: only at the beginning and the end. */
static int run_private(const options *o, const char *const *more) {
    char *argv[32] = {NULL};
    const char *head[] = {o->tmux, "-u", "-L", o->socket_name, "-f", "/dev/null"};
    size_t n = sizeof head / sizeof *head, i;
    child c;
    child_desc desc;
    siginfo_t ended;
    char text[256];
    ssize_t got;
    int error;
    memcpy(argv, head, sizeof head);
    for (i = 0; more[i]; i++) memcpy(&argv[n++], &more[i], sizeof *more);
    memset(&desc, 0, sizeof desc);
    desc.argv = argv;
    if (child_start(&c, &desc, &error) != CHILD_STARTED) return fail(o->tmux, strerror(error));
    while (waitid(P_PID, (id_t)c.pid, &ended, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
    child_reap(&c);
    got = read(c.err, text, sizeof text - 1);
    if (got > 0 && !the_bridge.stop) bridge_log("tmux: %.*s", (int)got, text);
    close(c.out);
    close(c.err);
    child_free(&c, true); /* the server it may have started stays */
    return c.code;
}

/* Where to go. The token stands in the address once; then it is a cookie. */
static void show_addresses(const bridge *b) {
    const options *o = &b->options;
    char host[300];
    if (o->hosts) snprintf(host, sizeof host, "%s", o->host[0]);
    else snprintf(host, sizeof host, "127.0.0.1:%u", b->port);
    printf("watch: http://%s/?token=%s\n", host, b->token);
    if (b->write_token[0]) printf("watch and type: http://%s/?token=%s\n", host, b->write_token);
    if (fflush(stdout) != 0 || ferror(stdout)) bridge_log("standard output: the addresses could not be written");
}

/* Says good-bye to viewers, and lets tmux see that we leave, for half a second. */
static void stop(bridge *b) {
    uint64_t until = stream_now_ns() + UINT64_C(500000000);
    size_t i;
    for (i = 0; i < b->count; i++) viewers_over(&b->terminals[i], OVER_STOPPING, "");
    server_drain(&b->server);
    for (i = 0; i < b->count; i++) stream_io_close(&b->server.io, &b->terminals[i].in_file);
    while (stream_now_ns() < until) {
        size_t left = b->server.active;
        for (i = 0; i < b->count; i++)
            left += b->terminals[i].tmux.pid != 0 && !child_reap(&b->terminals[i].tmux);
        if (left == 0) break;
        server_run(&b->server, UINT64_C(10000000));
    }
    terminals_close(b);
    server_free(&b->server);
    for (i = 0; i < b->count; i++)
        if (b->terminals[i].tmux.pid && !child_reap(&b->terminals[i].tmux)) {
            child_signal(&b->terminals[i].tmux, SIGKILL);
            waitpid((pid_t)b->terminals[i].tmux.pid, NULL, 0);
        }
    terminals_free(b);
    record_close(&b->record);
}

static bool is_loopback(const char *listen) {
    static const char *const begins[] = {"127.", "localhost:", "[::1]:", ":", "unix:"};
    size_t i;
    for (i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strncmp(listen, begins[i], strlen(begins[i])) == 0) return true;
    return false;
}

static int run(bridge *b) {
    options *o = &b->options;
    server_desc desc;
    const char *error;
    memset(&desc, 0, sizeof desc);
    desc.handler = web_handler;
    desc.handler.ctx = b;
    desc.unsent = 16384; /* what the system holds back for a slow viewer is old when it comes */
    desc.max_connections = o->max_viewers + 64;
    if (server_init(&b->server, &desc) != STREAM_OK) return fail("starting", "no memory, or no descriptors");
    error = server_listen(&b->server, o->listen);
    if (error) {
        server_free(&b->server);
        return fail(o->listen, error);
    }
    b->port = server_port(&b->server, 0);
    if (!o->hosts && !is_loopback(o->listen))
        bridge_log("--listen %s: browsers elsewhere are let in by a name given with --host only", o->listen);
    terminals_find(b);
    if (!b->stop) show_addresses(b);
    while (!b->stop && server_run(&b->server, STREAM_FOREVER) >= 0) {
    }
    stop(b);
    return b->stop > 0 ? 0 : 1;
}

/* The tokens, and what else must be there before anything is started. 0, or an exit code. */
static int prepare(bridge *b) {
    options *o = &b->options;
    if (!get_token(o->token, b->token)) {
        bridge_log("--token: not a file with 16 to 128 letters, digits, - and _");
        return 2;
    }
    if (o->write_token && !get_token(o->write_token, b->write_token)) {
        bridge_log("--write-token: not a file with 16 to 128 letters, digits, - and _");
        return 2;
    }
    if (strcmp(b->token, b->write_token) == 0) {
        bridge_log("--token, --write-token: must differ");
        return 2;
    }
    if (!random_bytes(&b->run, sizeof b->run)) return fail("/dev/urandom", strerror(errno));
    if (o->record && !record_open(&b->record, o->record)) return fail(o->record, strerror(errno));
    return 0;
}

/* The private server of --exec, with a session called main. */
static int start_private(options *o) {
    static char name[64];
    const char *const make[] = {"set-option", "-g", "default-terminal", "screen-256color", ";",
                                "set-option", "-g", "history-limit", "10000", ";",
                                "new-session", "-d", "-e", "COLORTERM=truecolor", "-s", "main",
                                "-x", "120", "-y", "36", o->exec, NULL};
    snprintf(name, sizeof name, "tmux_bridge_%ld", (long)getpid());
    o->socket_name = name;
    o->session[0] = "main";
    o->sessions = 1;
    unsetenv("TMUX");
    return run_private(o, make) == 0 ? 0 : 1;
}

/* A tmux client sends its whole environment to the server: ours need what leads to it, and the locale. */
static void trim_environment(void) {
    static const char *const need[] = {
        "TMUX_TMPDIR=", "PATH=", "HOME=", "TERM=", "LANG=", "LC_ALL=", "LC_CTYPE="};
    static char *kept[sizeof need / sizeof *need + 1];
    size_t i, n = 0;
    char **e;
    for (e = environ; *e; e++)
        for (i = 0; i < sizeof need / sizeof *need && n + 1 < sizeof kept / sizeof *kept; i++)
            if (strncmp(*e, need[i], strlen(need[i])) == 0) kept[n++] = *e;
    environ = kept;
}

int main(int argc, char **argv) {
    static const char *const end[] = {"kill-server", NULL};
    bridge *b = &the_bridge;
    options *o = &b->options;
    char *inside = getenv("TMUX");
    struct sigaction act;
    int code;
    b->record.fd = -1;
    o->listen = "127.0.0.1:7681";
    o->tmux = "tmux";
    o->token = "auto";
    o->interval_ns = UINT64_C(33000000);
    o->ping_ns = UINT64_C(20000000000);
    o->viewer_cap = (size_t)256 << 10;
    o->input_rate = (size_t)1 << 20;
    o->max_viewers = 1000;
    code = parse(o, argc, argv);
    if (code < 0) code = prepare(b);
    else return code;
    if (code != 0) return code;
    if (inside && !o->socket_name && !o->socket_path && !o->exec) { /* inside of tmux: that one */
        inside[strcspn(inside, ",")] = '\0';
        o->socket_path = inside;
    }
    memset(&act, 0, sizeof act);
    act.sa_handler = on_signal;
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGHUP, &act, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (o->exec && start_private(o) != 0) return 1;
    trim_environment();
    code = run(b);
    if (o->exec) run_private(o, end);
    return code;
}
