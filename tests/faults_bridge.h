/* SPDX-License-Identifier: MIT-0
   Scenarios of tests/faults.c: tmux_bridge and its viewers. */

#define TOKEN "0123456789abcdef"

#define WRITE_TOKEN "fedcba9876543210"

/* It has no memory for anything, and has said so. */
static bool no_memory(void) { return state->from && state->fired && has(&now.err, "emory"); }

static void write_token(const char *name, const char *token) {
    FILE *f = fopen(path_of(name), "w");
    if (!f || fprintf(f, "%s\n", token) < 0 || fclose(f) != 0) fatal("a token");
}

/* A frame of the wire in a binary message, masked with zeros. */
static void say_frame(unsigned i, char type, const char *payload, size_t len) {
    char message[6 + 5 + 100] = {'\x82', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    if (ended(client[i])) return;
    message[1] = (char)(0x80 | (5 + len));
    message[6] = type;
    message[10] = (char)len;
    memcpy(message + 11, payload, len);
    (void)send(client[i], message, 11 + len, MSG_NOSIGNAL);
}

/* A viewer that has said hello, and has seen what the session began with. */
static unsigned view(const char *query, const char *token) {
    static const char hello[13] = {2}; /* the version; no screen was seen before */
    char request[400];
    unsigned i;
    snprintf(request, sizeof request,
             "GET /ws%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
             "Authorization: Bearer %s\r\n\r\n",
             query, tool_port, token);
    i = dial(NULL, tool_port, request);
    AWAIT(ended(client[i]) || has(&heard[i], "\r\n\r\n"));
    if (has(&heard[i], "HTTP/1.1 101")) {
        say_frame(i, 'h', hello, sizeof hello);
        AWAIT(ended(client[i]) || has(&heard[i], "howdy") || no_memory());
    } else if (!ended(client[i])) { /* there is no such session, or not yet */
        hang_up(i);
    }
    return i;
}

static bool seen(unsigned i) {
    if (!ended(client[i])) hang_up(i);
    return has(&heard[i], "howdy");
}

static bool ask_screen(void) { return seen(view("", TOKEN)); }

static void bridge_exec(void) {
    write_token("token", TOKEN);
    tool("tmux_bridge", "--exec", "echo howdy; exec sleep 1000", "--listen", "127.0.0.1:0", "--token",
         path_of("token"), "--record", path_of("cast"), NULL);
    start();
    if (serves("watch: http://127.0.0.1:")) {
        next_client(ask_screen);
        if (!now.wrong) next_client(ask_screen);
    }
    stop_server();
}

static const char *judge_bridge(void) {
    static text cast;
    bool seen = false;
    unsigned i;
    get_file("cast", &cast);
    for (i = 0; i < clients; i++) seen = seen || has(&heard[i], "howdy");
    if (went_well() && seen && !has(&cast, "howdy") && !has(&now.err, "--record"))
        return "the record is lost in silence";
    return NULL;
}

/* ---- sessions of another server ---- */

/* Runs tmux with that, on a server of our own, and waits. */
static void tmux(const char *command, const char *name, const char *shell) {
    const char *argv[] = {"tmux", "-u", "-L", "faults", "-f", "/dev/null", command, "-d",
                          "-s",   name, "-x", "80",     "-y", "24",        shell,   NULL};
    pid_t pid;
    int status;
    if (!name) argv[7] = NULL;
    fflush(stdout);
    pid = fork();
    if (pid < 0) fatal("fork");
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (name && status != 0) fatal("tmux");
}

static void stop_bridge(void) {
    if (!now.over) kill(now.pid, SIGTERM);
    AWAIT(false);
    tmux("kill-server", NULL, NULL);
    finish();
}

/* What has reached a session's program. */
static text typed;

static bool has_bytes(const text *t, const char *bytes, size_t len) {
    return memmem(t->ptr, t->len, bytes, len) != NULL;
}

/* The connection is over, or its session: it knows. */
static bool told_over(unsigned i) {
    return ended(client[i]) || has_bytes(&heard[i], "X\0\0\0", 4) || no_memory();
}

static bool ask_other(void) { return seen(view("?session=b", TOKEN)); }

/* Two sessions: one is typed into, of the other lines are asked for that have left its screen. */
static void bridge_input(void) {
    static const char back[12] = {0, 0, 0, 7, 0, 0, 0x7f, 0, 0, 0, 0, 40}; /* 40 lines before the screen */
    static const char end_of_7[9] = {'E', 0, 0, 0, 8, 0, 0, 0, 7}, size[4] = {0, 100, 0, 30};
    char shell[200];
    unsigned a, b;
    int fifo;
    if (mkfifo(path_of("fifo"), 0600) != 0 || (fifo = open(path_of("fifo"), O_RDWR | O_CLOEXEC)) < 0)
        fatal("a FIFO");
    clear(&typed);
    watch(fifo, &typed);
    snprintf(shell, sizeof shell, "echo howdy; exec cat >%s", path_of("fifo"));
    tmux("new-session", "a", shell);
    tmux("new-session", "b", "seq 1001 1100; echo howdy; exec sleep 1000");
    write_token("token", TOKEN);
    write_token("token2", WRITE_TOKEN);
    tool("tmux_bridge", "-L", "faults", "--session", "a", "--session", "b", "--listen", "127.0.0.1:0",
         "--token", path_of("token"), "--write-token", path_of("token2"), "--resize", NULL);
    start();
    if (serves("watch: http://127.0.0.1:")) {
        a = view("?session=a", WRITE_TOKEN);
        say_frame(a, 't', "typed", 5);
        say_frame(a, 'k', "Enter", 5);
        say_frame(a, 'p', "\1first, ", 8);
        say_frame(a, 'p', "\2pasted\n", 8);
        AWAIT(told_over(a) || (has(&typed, "typed\n") && has(&typed, "first, pasted\n")));
        AWAIT(told_over(a) || has(&heard[a], "pasted")); /* it is echoed */
        say_frame(a, 'z', size, sizeof size);
        b = view("?session=b", TOKEN);
        say_frame(b, 'b', back, sizeof back);
        AWAIT(told_over(b) || has_bytes(&heard[b], end_of_7, sizeof end_of_7));
        next_client(ask_other);
        if (!ended(client[a])) hang_up(a); /* who stays is given half a second to leave */
        if (!ended(client[b])) hang_up(b);
    }
    stop_bridge();
}

/* The lines that were asked for came, or the viewer was sent away. */
static const char *judge_input(void) {
    static const char none[13] = {'E', 0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 0};
    const text *t = &heard[1];
    if (has(&typed, "pasted") && !has(&typed, "first, pasted")) return "a paste has lost its beginning";
    if (clients < 2) return NULL;
    if (has_bytes(t, none, sizeof none)) return "lines are said not to be there";
    if (has_bytes(t, none, 9) && (!has(t, "1040") || !has(t, "1075"))) return "lines are lost in silence";
    return NULL;
}

static const char *const bridge_paths[] = {"/healthz", "/sessions", "/metrics", "/", "/page.js", "/page.css",
                                           "/nothing"};
enum { BRIDGE_PATHS = sizeof bridge_paths / sizeof *bridge_paths };

static bool ask_pages(void) {
    char request[300];
    unsigned k, i = clients;
    for (k = 0; k < BRIDGE_PATHS; k++) {
        snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer " TOKEN "\r\n%s\r\n",
                 bridge_paths[k], tool_port, k + 1 == BRIDGE_PATHS ? "Connection: close\r\n" : "");
        if (k == 0)
            (void)dial(NULL, tool_port, request);
        else
            say(client[i], request);
        AWAIT(ended(client[i]) || count_of(&heard[i], "HTTP/1.1 ") > k);
    }
    AWAIT(ended(client[i]));
    return count_of(&heard[i], "HTTP/1.1 200 OK") == BRIDGE_PATHS - 1 && has(&heard[i], "HTTP/1.1 404");
}

/* All sessions there are, what is said of them, and the page. */
static void bridge_pages(void) {
    tmux("new-session", "a", "echo howdy; exec sleep 1000");
    tmux("new-session", "b", "echo howdy; exec sleep 1000");
    write_token("token", TOKEN);
    tool("tmux_bridge", "-L", "faults", "--listen", "127.0.0.1:0", "--token", path_of("token"), NULL);
    start();
    if (serves("watch: http://127.0.0.1:")) next_client(ask_pages);
    stop_bridge();
}

static const char *judge_pages(void) { return NULL; }
