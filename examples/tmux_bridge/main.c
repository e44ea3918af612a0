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

static bridge the_bridge;

static void usage(void) {
    puts("usage: tmux_bridge [options]\n\n"
         "Shows tmux sessions in browsers: one connection to tmux for each session, however many watch.\n\n"
         "  --session NAME      show this session, by its exact name or its $id; may be given again\n"
         "                      (default: all there are)\n"
         "  --exec COMMAND      run COMMAND in a private tmux of its own, which ends with tmux_bridge\n"
         "  --listen HOST:PORT  where browsers come (127.0.0.1:7681); port 0 takes any\n"
         "  --host NAME[:PORT]  another name that browsers may use for it (behind a proxy); may be given again\n"
         "  --token FILE        the token to watch; \"auto\" (the default) makes one\n"
         "  --write-token FILE  the token to watch and type; \"auto\" makes one (default: nobody may type)\n"
         "  --interval TIME     between captures, while something changes (33ms)\n"
         "  --viewer-cap SIZE   bytes of changes a viewer may be behind before it gets the whole screen (256K)\n"
         "  --max-viewers N     at a time (1000)\n"
         "  -L NAME, -S PATH    the tmux server's socket, as tmux has it\n"
         "  --tmux PATH         the tmux to run (tmux)\n"
         "  --help, --version\n\n"
         "SIZE takes K, M, G; TIME takes ms, s, m, h. Metrics are at /metrics, for those who have a token.\n\n"
         "Exit code: 0 when asked to end; 1 when it cannot go on; 2 when called wrongly.");
}

void bridge_log(const char *format, ...) {
    text_buffer safe = {NULL, 0, 0};
    char line[512];
    va_list arguments;
    int n;
    va_start(arguments, format);
    n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (n > 0 && text_add_safe(&safe, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1, true))
        fprintf(stderr, "tmux_bridge: %.*s\n", (int)safe.len, safe.ptr);
    text_free(&safe);
}

static void on_signal(int number) {
    the_bridge.stop = number;
    stream_io_wake(&the_bridge.server.io);
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
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", token[i])) return false;
    }
    token[i < n ? i : n] = '\0';
    return strlen(token) >= 16;
}

static int fail(const char *what, const char *why) {
    bridge_log("%s: %s", what, why);
    return 1;
}

static bool option(options *o, const char *name, const char *value) {
    size_t n;
    if (strcmp(name, "--session") == 0) {
        if (o->sessions == MAX_SESSIONS || strlen(value) >= MAX_NAME) return false;
        o->session[o->sessions++] = value;
    } else if (strcmp(name, "--host") == 0) {
        if (o->hosts == MAX_HOSTS) return false;
        o->host[o->hosts++] = value;
    } else if (strcmp(name, "--exec") == 0) o->exec = value;
    else if (strcmp(name, "--listen") == 0) o->listen = value;
    else if (strcmp(name, "--token") == 0) o->token = value;
    else if (strcmp(name, "--write-token") == 0) o->write_token = value;
    else if (strcmp(name, "--tmux") == 0) o->tmux = value;
    else if (strcmp(name, "-L") == 0) o->socket_name = value;
    else if (strcmp(name, "-S") == 0) o->socket_path = value;
    else if (strcmp(name, "--interval") == 0)
        return parse_duration(value, &o->interval_ns) && o->interval_ns >= 1000000;
    else if (strcmp(name, "--viewer-cap") == 0) return parse_size(value, &o->viewer_cap) && o->viewer_cap > 0;
    else if (strcmp(name, "--max-viewers") == 0) {
        if (!parse_size(value, &n) || n == 0 || n > 100000) return false;
        o->max_viewers = (unsigned)n;
    } else return false;
    return true;
}

/* Runs tmux with those arguments on the private socket, and waits: only at the beginning and the end. */
static int run_private(const options *o, const char *const *more) {
    char *argv[20] = {NULL};
    const char *head[] = {o->tmux, "-u", "-L", o->socket_name, "-f", "/dev/null"};
    size_t n = sizeof head / sizeof *head, i;
    child c;
    char text[256];
    ssize_t got;
    memcpy(argv, head, sizeof head);
    for (i = 0; more[i]; i++) memcpy(&argv[n++], &more[i], sizeof *more);
    if (child_start(&c, argv, CHILD_STDIN_NULL, -1) != 0) return fail(o->tmux, strerror(errno));
    while (waitpid(c.pid, &c.status, 0) < 0 && errno == EINTR) {
    }
    got = read(c.err, text, sizeof text - 1);
    if (got > 0) bridge_log("tmux: %.*s", (int)got, text);
    close(c.out);
    close(c.err);
    return child_exit_code(&c);
}

static int run(bridge *b) {
    options *o = &b->options;
    server_desc desc;
    const char *error;
    uint64_t until;
    size_t i;
    memset(&desc, 0, sizeof desc);
    desc.handler = web_handler;
    desc.handler.ctx = b;
    desc.unsent = 16384; /* what the system holds back for a slow viewer is old when it comes */
    desc.max_connections = o->max_viewers + 64;
    if (server_init(&b->server, &desc) != STREAM_OK) return fail("starting", "no memory, or no descriptors");
    error = server_listen(&b->server, o->listen);
    if (error) return fail(o->listen, error);
    b->port = server_port(&b->server, 0);
    terminals_find(b);
    printf("watch: http://127.0.0.1:%u/?token=%s\n", b->port, b->token);
    if (b->write_token[0]) printf("watch and type: http://127.0.0.1:%u/?token=%s\n", b->port, b->write_token);
    fflush(stdout);
    while (!b->stop && server_run(&b->server, STREAM_FOREVER) >= 0) {
    }
    for (i = 0; i < b->count; i++) viewers_over(&b->terminals[i], OVER_STOPPING, "");
    server_drain(&b->server);
    for (i = 0; i < b->count; i++) stream_io_close(&b->server.io, &b->terminals[i].in_file);
    until = stream_now_ns() + UINT64_C(500000000); /* so long to say good-bye, and for tmux to see that we left */
    while (stream_now_ns() < until) {
        size_t left = b->server.active;
        for (i = 0; i < b->count; i++) left += b->terminals[i].tmux.pid != 0 && !child_reap(&b->terminals[i].tmux);
        if (left == 0) break;
        server_run(&b->server, UINT64_C(10000000));
    }
    server_free(&b->server);
    for (i = 0; i < b->count; i++)
        if (b->terminals[i].tmux.pid && !child_reap(&b->terminals[i].tmux)) {
            child_signal(&b->terminals[i].tmux, SIGKILL);
            waitpid(b->terminals[i].tmux.pid, NULL, 0);
        }
    terminals_free(b);
    return b->stop ? 0 : 1;
}

int main(int argc, char **argv) {
    bridge *b = &the_bridge;
    options *o = &b->options;
    char private_name[64], *inside = getenv("TMUX");
    struct sigaction act;
    int i, code;
    o->listen = "127.0.0.1:7681";
    o->tmux = "tmux";
    o->token = "auto";
    o->interval_ns = UINT64_C(33000000);
    o->viewer_cap = (size_t)256 << 10;
    o->max_viewers = 1000;
    for (i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0) {
            usage();
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            puts("tmux_bridge " STREAM_VERSION);
            return 0;
        }
        if (i + 1 == argc || !option(o, argv[i], argv[i + 1])) {
            bridge_log("%s: no such option, or not with that value; see --help", argv[i]);
            return 2;
        }
    }
    if (!get_token(o->token, b->token)) {
        bridge_log("--token: not a file with 16 to 128 letters, digits, - and _");
        return 2;
    }
    if (o->write_token && !get_token(o->write_token, b->write_token)) {
        bridge_log("--write-token: not a file with 16 to 128 letters, digits, - and _");
        return 2;
    }
    if (!random_bytes(&b->run, sizeof b->run)) return fail("/dev/urandom", strerror(errno));
    if (inside && !o->socket_name && !o->socket_path && !o->exec) { /* inside of tmux: that one */
        inside[strcspn(inside, ",")] = '\0';
        o->socket_path = inside;
    }
    if (o->exec) {
        const char *const make[] = {"new-session", "-d", "-s", "main", "-x", "120", "-y", "36", o->exec, NULL};
        snprintf(private_name, sizeof private_name, "tmux_bridge_%ld", (long)getpid());
        o->socket_name = private_name;
        o->session[0] = "main";
        o->sessions = 1;
        unsetenv("TMUX");
        if (run_private(o, make) != 0) return 1;
    }
    memset(&act, 0, sizeof act);
    act.sa_handler = on_signal;
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGHUP, &act, NULL);
    signal(SIGPIPE, SIG_IGN);
    code = run(b);
    if (o->exec) {
        const char *const end[] = {"kill-server", NULL};
        run_private(o, end);
    }
    return code;
}
