/* SPDX-License-Identifier: MIT-0
   Scenarios of tests/faults.c: sse_relay, its clients and its upstream. */

#define GET_EVENTS "GET /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

/* With an address of its own; true when it serves. */
static bool relay(const char *first, const char *second) {
    tool("sse_relay", "--listen", "127.0.0.1:0", "--drain", "50ms", "--metrics", "json", first, second,
         NULL);
    return true;
}

static const char *const words[] = {"data: one\n", "data: two\n", "data: three\n", NULL};

/* An answer that looks whole has every event, or says what it lost. */
static const char *judge_stream(const text *t, const char *const *expected) {
    const char *at = t->ptr;
    if (!has(t, "HTTP/1.1 200") || !whole(t) || has(t, "event: error") || has(t, "event: gap")) return NULL;
    for (; *expected; expected++) {
        at = strstr(at, *expected);
        if (!at) return "an event is lost in silence";
    }
    return NULL;
}

static const char *judge_answer(const text *t) { return judge_stream(t, words); }

static const char *judge_answers(void) {
    unsigned i;
    const char *wrong = NULL;
    for (i = 0; i < clients && !wrong; i++) wrong = judge_answer(&heard[i]);
    return wrong;
}

static bool ask_proxy(void) {
    unsigned i = dial(NULL, tool_port, "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    AWAIT(ended(client[i]));
    return whole(&heard[i]) && has(&heard[i], "data: three");
}

static void relay_proxy(void) {
    static char address[64];
    unsigned port;
    relay("--access-log", path_of("log"));
    listener = listen_to(&port);
    snprintf(address, sizeof address, "http://127.0.0.1:%u", port);
    arg("--upstream"), arg(address), arg("--connect-timeout"), arg("1s"), arg("--header-timeout"),
        arg("1s");
    arg("--first-event-timeout"), arg("1s"), arg("--idle-timeout"), arg("1s");
    start();
    if (serves("sse_relay: listening at 127.0.0.1:0, port ")) {
        next_client(ask_proxy);
        if (!now.wrong) next_client(ask_proxy);
    }
    stop_server();
    close(listener);
    listener = -1;
}

/* It has said so; who listens is told when there is memory for it. */
static bool event_lost(void) { return has(&now.err, "an event is lost"); }

static void feed(int fd, const char *events) { (void)!write(fd, events, strlen(events)); }

/* Somebody who comes now gets what comes now. */
static bool ask_new(void) {
    unsigned i = dial(NULL, tool_port, GET_EVENTS);
    AWAIT(ended(client[i]) || has(&heard[i], "\r\n\r\n"));
    if (!ended(client[i])) feed(source_fd, "data: four\n\n");
    AWAIT(ended(client[i]) || has(&heard[i], "data: four") || event_lost());
    return has(&heard[i], "data: four");
}

/* Somebody who had the first event comes back for the others. */
static void resume(const text *before) {
    char request[200];
    const char *id = strstr(before->ptr, "id: ");
    unsigned i;
    resumed = id != NULL;
    if (!resumed) return;
    snprintf(request, sizeof request,
             "GET /events?lastEventId=%.*s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
             (int)strcspn(id + 4, "\r\n"), id + 4);
    i = dial(NULL, tool_port, request);
    AWAIT(ended(client[i]) || has(&heard[i], words[2]) || event_lost());
}

/* Two subscribers, of whom one leaves and one comes later with the number of its last event. */
static void relay_fanout(void) {
    unsigned a, b;
    relay("--fanout", "-");
    start();
    if (serves("sse_relay: listening at 127.0.0.1:0, port ")) {
        a = dial(NULL, tool_port, GET_EVENTS);
        b = dial(NULL, tool_port, GET_EVENTS);
        AWAIT(ended(client[a]) || has(&heard[a], "\r\n\r\n"));
        AWAIT(ended(client[b]) || has(&heard[b], "\r\n\r\n"));
        source_fd = now.in;
        feed(now.in, "data: one\n\n");
        AWAIT(event_lost() || ((ended(client[a]) || has(&heard[a], words[0])) &&
                               (ended(client[b]) || has(&heard[b], words[0]))));
        hang_up(a);
        feed(now.in, "data: two\n\ndata: three\n\n");
        AWAIT(ended(client[b]) || has(&heard[b], words[2]) || event_lost());
        resume(&heard[b]);
        next_client(ask_new);
        end_input();
        AWAIT(ended(client[b]));
    }
    stop_server();
}

static const char *judge_fanout(void) {
    const char *wrong = clients > 1 ? judge_answer(&heard[1]) : NULL;
    if (!wrong && resumed && whole(&heard[2]) && !has(&heard[2], words[2]))
        wrong = "who comes back has lost an event";
    return wrong;
}

static const char *judge_exec(void) { return clients ? judge_answer(&heard[0]) : NULL; }

static void relay_exec(void) {
    static char script[200];
    unsigned a;
    int fifo;
    relay("--fanout", "--exec");
    snprintf(script, sizeof script, "echo ready >&9; exec 9>&-; cat %s; exec sleep 1000", path_of("fifo"));
    arg(script);
    if (mkfifo(path_of("fifo"), 0600) != 0 || (fifo = open(path_of("fifo"), O_RDWR | O_CLOEXEC)) < 0)
        fatal("a FIFO");
    start();
    if (serves("sse_relay: listening at 127.0.0.1:0, port ")) {
        AWAIT(has(&now.ready, "ready"));
        a = dial(NULL, tool_port, GET_EVENTS);
        AWAIT(ended(client[a]) || has(&heard[a], "\r\n\r\n"));
        feed(fifo, "data: one\n\ndata: two\n\ndata: three\n\n");
        AWAIT(ended(client[a]) || has(&heard[a], words[2]) || event_lost());
        source_fd = fifo;
        next_client(ask_new);
    }
    close(fifo);
    stop_server();
}

/* ---- rules ---- */

static void with_upstream(void) {
    static char address[64];
    static char time[16];
    static const char *const clocks[] = {"--connect-timeout", "--header-timeout", "--first-event-timeout",
                                         "--idle-timeout"};
    unsigned port;
    size_t i;
    listener = listen_to(&port);
    snprintf(address, sizeof address, "http://127.0.0.1:%u/x", port);
    snprintf(time, sizeof time, "%us", patience);
    arg("--upstream"), arg(address);
    for (i = 0; i < 4; i++) arg(clocks[i]), arg(time);
}

static void without_upstream(void) {
    stop_server();
    close(listener);
    listener = -1;
}

#define LONG "\"text\":\"of which nothing changes, so that a patch is shorter\""
static const char *const ruled[] = {"\"n\":1", "\"n\":2", "data: last\n", NULL};

static bool ask_rules(void) {
    unsigned i = dial(NULL, tool_port, "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    AWAIT(ended(client[i]));
    return whole(&heard[i]) && has(&heard[i], "data: last");
}

/* Of what the upstream says one event is left out, two are rewritten, and one of these becomes a patch. */
static void relay_rules(void) {
    relay("--access-log", path_of("log"));
    plan.first = "event: state\ndata: {\"id\":7," LONG ",\"n\":1}\n\n";
    plan.seen = "\"n\":1";
    plan.rest = "event: noise\ndata: {}\n\nevent: state\ndata: {\"id\":7," LONG ",\"n\":2}\n\n"
                "event: state\ndata: {\"id\":8,\ndata: \"n\":3}\n\ndata: last\n\nevent: done\ndata: {}\n\n";
    with_upstream();
    arg("--drop"), arg("noise"), arg("--set"), arg("/seen=true"), arg("--diff"), arg("id");
    arg("--terminal"), arg("done");
    start();
    if (serves("sse_relay: listening at 127.0.0.1:0, port ")) {
        next_client(ask_rules);
        if (!now.wrong) next_client(ask_rules);
    }
    without_upstream();
}

static const char *judge_rules(void) {
    unsigned i;
    const char *wrong = NULL;
    for (i = 0; i < clients && !wrong; i++) {
        wrong = judge_stream(&heard[i], ruled);
        if (has(&heard[i], "event: noise")) wrong = "an event came that was to be left out";
        if (has(&heard[i], "\"n\":1") && !has(&heard[i], "\"seen\":true"))
            wrong = "an event was not rewritten";
        if (!state->kind && !has(&heard[i], "event: state.patch")) wrong = "there is no patch";
    }
    return wrong;
}

/* ---- publishing ---- */

static bool post(const char *event, const char *json) {
    char request[400];
    unsigned i;
    snprintf(request, sizeof request,
             "POST /publish?topic=t&event=%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
             "Authorization: Bearer secret\r\nContent-Length: %zu\r\n\r\n%s",
             event, strlen(json), json);
    i = dial(NULL, tool_port, request);
    AWAIT(ended(client[i]));
    return has(&heard[i], "HTTP/1.1 200");
}

static bool told(unsigned i) {
    return ended(client[i]) || has(&heard[i], "event: gap") || has(&heard[i], "event: error");
}

static bool ask_published(void) {
    unsigned i = dial(NULL, tool_port, GET_EVENTS);
    AWAIT(ended(client[i]) || has(&heard[i], "\r\n\r\n"));
    if (!post("state", "{\"id\":9,\"n\":9}")) return false;
    AWAIT(told(i) || has(&heard[i], "\"n\":9"));
    return has(&heard[i], "\"n\":9");
}

static bool published[3];

/* Two subscribers, of whom one wants a topic, and three who publish; one of the events is left out. */
static void relay_publish(void) {
    static const char *const json[] = {"{\"id\":7," LONG ",\"n\":1}", "{\"id\":7," LONG ",\"n\":2}",
                                       "{\"id\":8,\"n\":3}"};
    static const char *const numbers[] = {"\"n\":1", "\"n\":2", "\"n\":3"};
    unsigned a, b, i;
    relay("--fanout", "-");
    arg("--token"), arg("secret"), arg("--only"), arg("state"), arg("--set"), arg("/seen=true");
    arg("--diff"), arg("id"), arg("--conflate-key"), arg("/id");
    memset(published, 0, sizeof published);
    start();
    if (serves("sse_relay: listening at 127.0.0.1:0, port ")) {
        a = dial(NULL, tool_port, GET_EVENTS);
        b = dial(NULL, tool_port,
                 "GET /events?topic=t&client=b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        AWAIT(ended(client[a]) || has(&heard[a], "\r\n\r\n"));
        AWAIT(ended(client[b]) || has(&heard[b], "\r\n\r\n"));
        (void)post("noise", "{}");
        for (i = 0; i < 3; i++) {
            published[i] = post("state", json[i]);
            if (!published[i]) continue;
            AWAIT(told(a) || has(&heard[a], numbers[i]));
            AWAIT(told(b) || has(&heard[b], numbers[i]));
        }
        next_client(ask_published);
        end_input();
        AWAIT(ended(client[a]));
        AWAIT(ended(client[b]));
    }
    stop_server();
}

static const char *judge_published(void) {
    const char *expected[4] = {NULL};
    unsigned i, n = 0;
    const char *wrong = NULL;
    static const char *const numbers[] = {"\"n\":1", "\"n\":2", "\"n\":3"};
    for (i = 0; i < 3; i++)
        if (published[i]) expected[n++] = numbers[i];
    for (i = 0; i < 2 && i < clients && !wrong; i++) {
        wrong = judge_stream(&heard[i], expected);
        if (has(&heard[i], "event: noise")) wrong = "an event came that was to be left out";
    }
    if (!state->kind && n < 3) wrong = "it does not publish";
    for (i = 0; i < clients; i++)
        if (has(&heard[i], "HTTP/1.1 400")) wrong = "the request is said to be wrong";
    if (!state->kind && !has(&heard[0], "event: state.patch")) wrong = "there is no patch";
    return wrong;
}

/* ---- what the admin sees ---- */

static const char *const admin_paths[] = {"/metrics",   "/buffer-pool-metrics", "/healthz", "/streams", "/",
                                          "/?page.css", "/?page.js",            "/nothing"};
enum { ADMIN_PATHS = sizeof admin_paths / sizeof *admin_paths };

/* Each over a connection that is kept for the next. */
static bool ask_admin(void) {
    char request[200];
    unsigned k, i = clients;
    for (k = 0; k < ADMIN_PATHS; k++) {
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", admin_paths[k],
                 k + 1 == ADMIN_PATHS ? "Connection: close\r\n" : "");
        if (k == 0)
            (void)dial(path_of("sock"), 0, request);
        else
            say(client[i], request);
        AWAIT(ended(client[i]) || count_of(&heard[i], "HTTP/1.1 ") > k);
    }
    AWAIT(ended(client[i]));
    return count_of(&heard[i], "HTTP/1.1 200 OK") == ADMIN_PATHS - 1 && has(&heard[i], "HTTP/1.1 404");
}

static void relay_admin(void) {
    static char address[160];
    unsigned a;
    relay("--fanout", "-");
    snprintf(address, sizeof address, "unix:%s", path_of("sock"));
    arg("--admin"), arg(address), arg("--access-log"), arg("-");
    start();
    if (serves("sse_relay: listening at 127.0.0.1:0, port ")) {
        AWAIT(has(&now.err, "sse_relay: listening at unix:"));
        a = dial(NULL, tool_port, GET_EVENTS);
        AWAIT(ended(client[a]) || has(&heard[a], "\r\n\r\n"));
        next_client(ask_admin);
        end_input();
        AWAIT(ended(client[a]));
    }
    stop_server();
}

/* Every answer that has come to its end is one. */
static const char *judge_admin(void) {
    static const char *const in_them[] = {"_subscribers 1\n", "\"totalBuffers\":", "{\"status\":\"ok\"}\n",
                                          "\"kind\":\"subscriber\"", "page.js\"></script>"};
    unsigned i, k, n;
    for (i = 1; i < clients; i++) {
        n = count_of(&heard[i], "HTTP/1.1 200 OK");
        for (k = 0; k < 5 && k + 1 < n; k++) {
            bool of_subscribers = k == 0 || k == 3; /* who may have fallen to the fault */
            if (!has(&heard[i], in_them[k]) && !(of_subscribers && state->kind))
                return "an answer is not whole";
        }
    }
    return NULL;
}

/* ---- another configuration ---- */

static void configure(const char *lines) {
    FILE *f = fopen(path_of("config"), "w");
    if (!f || fputs(lines, f) < 0 || fclose(f) != 0) fatal("a configuration");
}

/* Nothing can be said of it: standard error cannot be looked at, or written to. */
static bool speechless(void) { return state->fired && (state->call == CALL_poll || mute()); }

static void relay_reload(void) {
    unsigned a;
    char lines[300];
    snprintf(lines, sizeof lines, "# nothing yet\naccess-log = %s\n", path_of("log"));
    configure(lines);
    relay("--fanout", "-");
    arg("--config"), arg(path_of("config"));
    start();
    if (serves("sse_relay: listening at 127.0.0.1:0, port ")) {
        a = dial(NULL, tool_port, GET_EVENTS);
        AWAIT(ended(client[a]) || has(&heard[a], "\r\n\r\n"));
        feed(now.in, "data: one\n\n");
        AWAIT(told(a) || has(&heard[a], words[0]) || event_lost());
        snprintf(lines, sizeof lines, "access-log = %s\ndrop = noise\nset = /seen=true\n", path_of("log2"));
        configure(lines);
        if (!now.over) kill(now.pid, SIGHUP);
        AWAIT(has(&now.err, "sse_relay: reload: ") || speechless());
        feed(now.in, "event: noise\ndata: {}\n\ndata: two\n\n");
        AWAIT(told(a) || has(&heard[a], words[1]) || event_lost());
        configure("nonsense\n");
        if (!now.over) kill(now.pid, SIGHUP);
        AWAIT(has(&now.err, "the old configuration stays") || speechless());
        feed(now.in, "data: three\n\n");
        AWAIT(told(a) || has(&heard[a], words[2]) || event_lost());
        source_fd = now.in;
        next_client(ask_new);
        end_input();
        AWAIT(ended(client[a]));
    }
    stop_server();
}

static const char *judge_reload(void) {
    bool done = has(&now.err, "sse_relay: reload: done");
    if (clients && done && has(&heard[0], "event: noise")) return "what was read again does not count";
    if (clients && has(&heard[0], words[1]) && !has(&heard[0], "event: noise") && !done && !speechless() &&
        !told(0))
        return "what was read again counts, and that is not said";
    return clients ? judge_answer(&heard[0]) : NULL;
}

/* ---- fan-out of an upstream ---- */

/* It has no memory to ask for anything, and has said that its source is lost. */
static bool out_of_memory(void) {
    return state->from && state->fired && has(&now.err, "sse_relay: source: ");
}

/* It gets what comes on the connection there is, or all of it on a new one. */
static bool ask_upstream(void) {
    bool served;
    unsigned i = dial(NULL, tool_port, GET_EVENTS);
    AWAIT(ended(client[i]) || has(&heard[i], "\r\n\r\n"));
    if (upstreams > 1 && !half_way[upstreams - 1]) say_chunk(upstream[upstreams - 1], "data: four\n\n");
    AWAIT(ended(client[i]) || has(&heard[i], words[2]) || has(&heard[i], "data: four") || out_of_memory());
    served = has(&heard[i], words[2]) || has(&heard[i], "data: four");
    if (!ended(client[i])) hang_up(i);
    return served;
}

/* It is connected to when somebody comes, again when it has ended, and left when nobody is there. */
static void relay_upstream(void) {
    relay("--fanout", "--linger");
    arg("1ms");
    plan.keeps_open = true;
    plan.first = "retry: 1\nid: 1\ndata: one\n\n";
    with_upstream();
    start();
    if (serves("sse_relay: listening at 127.0.0.1:0, port ")) {
        unsigned a = dial(NULL, tool_port, GET_EVENTS);
        AWAIT(ended(client[a]) || (has(&heard[a], words[2]) && upstreams > 1) || out_of_memory());
        next_client(ask_upstream);
        if (!ended(client[a])) hang_up(a);
        if (!now.wrong) next_client(ask_upstream);
    }
    without_upstream();
}

static const char *judge_upstream(void) {
    unsigned i;
    if (!state->kind && !has(&asked[1], "Last-Event-ID: 1")) return "it does not say where it was";
    for (i = 0; i < clients; i++)
        if (has(&heard[i], words[2]) && !has(&heard[i], "event: error") && !has(&heard[i], "event: gap") &&
            has(&heard[i], words[0]) && !has(&heard[i], words[1]))
            return "an event is lost in silence";
    return NULL;
}

/* ---- a request with a body, and a client that leaves ---- */

enum { BODY = 5000 };

static const char *body(void) {
    static char bytes[BODY + 1];
    size_t i;
    for (i = 0; i < BODY; i++) bytes[i] = (char)('a' + (i * i / 7) % 23);
    memcpy(bytes + BODY - 8, "THE END\n", 8);
    return bytes;
}

static bool ask_upload(void) {
    static char request[BODY + 200];
    unsigned i;
    i = dial(NULL, tool_port,
             "POST /up HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n"
             "Content-Length: 5000\r\n\r\n");
    AWAIT(ended(client[i]) || has(&heard[i], "\r\n\r\n"));
    snprintf(request, sizeof request, "%s", body());
    if (!ended(client[i])) say(client[i], request);
    AWAIT(ended(client[i]));
    return whole(&heard[i]) && has(&heard[i], "data: three");
}

static void relay_upload(void) {
    relay("--on-disconnect", "drain");
    plan.request_end = "THE END\n";
    plan.for_nobody = true;
    with_upstream();
    arg("--access-log"), arg(path_of("log"));
    start();
    if (serves("sse_relay: listening at 127.0.0.1:0, port ")) {
        unsigned a = dial(NULL, tool_port,
                          "POST /up HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                          "Content-Length: 8\r\n\r\nTHE END\n");
        AWAIT(ended(client[a]) || has(&heard[a], words[0]));
        if (!ended(client[a])) hang_up(a);
        next_client(ask_upload);
        if (!now.wrong) next_client(ask_upload);
    }
    without_upstream();
}

/* Who has an answer has been heard, to the end of what it said. */
static const char *judge_upload(void) {
    unsigned i, heard_whole = 0, answers = 0;
    const char *p;
    for (i = 0; i < upstreams; i++)
        for (p = asked[i].ptr; (p = strstr(p, body())) != NULL; p++) heard_whole++;
    for (i = 1; i < clients; i++) answers += has(&heard[i], words[0]);
    if (answers > heard_whole) return "a body is passed on with a hole in it";
    return judge_answers();
}
