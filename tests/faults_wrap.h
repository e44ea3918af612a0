/* SPDX-License-Identifier: MIT-0
   Scenarios of tests/faults.c: stream_wrap. */

/* What the tool has passed on is a beginning of what there was, and all of it when all is well. */
static const char *judge_output(void) {
    if (!begins(&good_out, &now.out)) return "standard output has other bytes";
    if (went_well() && !same(&good_out, &now.out)) return "standard output has lost bytes in silence";
    return NULL;
}

static const char *judge_tee(void) {
    static text tee;
    get_file("tee", &tee);
    if (!begins(&good_out, &tee)) return "the tee has other bytes";
    if (went_well() && !same(&good_out, &tee) && !has(&now.err, "tee missed") && !has(&now.err, "--tee"))
        return "the tee has lost bytes in silence";
    return NULL;
}

static const char *judge_status(void) {
    static const char *const known[] = {"tee",  "status", "sock",    "flag",
                                        "map",  "input",  "metrics", NULL};
    static text status;
    bool told = has(&now.err, "--status-file") || !went_well();
    const char *left = state->call == CALL_unlink && state->fired ? NULL : stray(known);
    if (left) return left;
    if (!get_file("status", &status)) return told ? NULL : "no status file, and not a word about it";
    if (status.len < 2 || status.ptr[0] != '{' || strcmp(status.ptr + status.len - 2, "}\n") != 0)
        return "half a status file";
    if (!told && !has(&status, "\"state\":\"exit\""))
        return "the last state is missing, and not a word about it";
    return NULL;
}

static const char *judge_child_stderr(void) {
    static const char end[] = "\"settings\": {\"path\": [\"~\"]}\n";
    size_t want = 0, got = 0;
    const char *p;
    for (p = good_err.ptr; (p = strstr(p, end)) != NULL; p++) want++;
    for (p = now.err.ptr; (p = strstr(p, end)) != NULL; p++) got++;
    if (went_well() && got < want && !mute() && has(&now.err, " 0 dropped"))
        return "the child's standard error is lost in silence";
    return NULL;
}

static const char *judge_wrap(void) {
    const char *wrong = judge_output();
    if (!wrong) wrong = judge_status();
    if (!wrong) wrong = judge_child_stderr();
    return wrong;
}

static const char *judge_wrap_tee(void) {
    const char *wrong = judge_wrap();
    return wrong ? wrong : judge_tee();
}

static void wrap(const char *first, const char *second) {
    tool("stream_wrap", "--status-file", path_of("status"), "--summary", "--grace", "50ms", first, second,
         NULL);
}

static void child(void) {
    static char fake[PATH_MAX + 16];
    snprintf(fake, sizeof fake, "%s/fake_llm", build);
    arg("--");
    arg(fake);
    arg("--turns"), arg("1"), arg("--text"), arg("60"), arg("--result"), arg("200"), arg("--stderr"),
        arg("70");
}

static void wrap_pipes(void) {
    wrap("--tee", path_of("tee"));
    arg("--metrics"), arg("json");
    child();
    start();
    finish();
}

static void wrap_pty(void) {
    wrap("--pty", NULL);
    child();
    start();
    finish();
}

static void wrap_file(void) {
    wrap("--child-stdout", "file");
    arg("--tee"), arg(path_of("tee")), arg("--tee-policy"), arg("stop");
    child();
    start();
    finish();
}

/* The first child breaks off, the second one does not. */
static void wrap_restart(void) {
    static char script[2 * PATH_MAX];
    wrap("--restart", "1");
    arg("--restart-delay"), arg("1ms"), arg("--child-stdout"), arg("socket");
    snprintf(script, sizeof script,
             "if test -e %s; then exec %.3000s/fake_llm --turns 1 --text 60 --result 200; fi; : >%s; "
             "exec %.3000s/fake_llm --turns 1 --text 60 --result 200 --fault truncate --exit 3",
             path_of("flag"), build, path_of("flag"), build);
    arg("--"), arg("sh"), arg("-c"), arg(script);
    start();
    finish();
}

/* Lines of `part` are lines of `all`, in the same order; but for the last event, which counts them. */
static bool lines_of(const text *all, const text *part) {
    const char *a = all->ptr, *p = part->ptr;
    while (*p) {
        size_t n = strcspn(p, "\n");
        if (p[n] != '\n') return true; /* cut off */
        if (strncmp(p, "{\"event\":\"end\"", 14) == 0) return p[n + 1] == '\0';
        while (*a && (strcspn(a, "\n") != n || memcmp(a, p, n) != 0))
            a += strcspn(a, "\n"), a += *a == '\n';
        if (!*a) return false;
        a += n + 1;
        p += n + 1;
    }
    return true;
}

/* Numbers of milliseconds differ from run to run. */
static void without_times(text *t) {
    char *from = t->ptr, *to = t->ptr;
    while (*from) {
        bool time_is_next = strncmp(from, "ms\":", 4) == 0;
        *to++ = *from++;
        if (!time_is_next) continue;
        memcpy(to, "s\":", 3);
        from += 3, to += 3;
        while (*from >= '0' && *from <= '9') from++;
    }
    *to = '\0';
    t->len = (size_t)(to - t->ptr);
}

static const char *judge_events(void) {
    without_times(&now.out);
    without_times(&good_out);
    if (!lines_of(&good_out, &now.out)) return "events are not what they were";
    if (went_well() && !same(&good_out, &now.out)) return "events are lost in silence";
    return judge_status();
}

static const char *judge_text(void) {
    if (went_well() && !same(&good_out, &now.out)) return "text is lost in silence";
    return judge_status();
}

static void wrap_events(void) {
    wrap("--output", "events");
    arg("--name"), arg("n");
    child();
    start();
    finish();
}

static void wrap_text(void) {
    wrap("--output", "text");
    arg("--stderr"), arg("tail");
    child();
    start();
    finish();
}

static bool ask_status(void) {
    unsigned i =
        dial(path_of("sock"), 0, "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    AWAIT(ended(client[i]));
    return has(&heard[i], "HTTP/1.1 200") && has(&heard[i], "\"exit_code\":null}");
}

/* The child waits for the end of our input. When that cannot be read, it begins at once, and we say so. */
static bool begins_too_soon(void) { return has(&now.err, "standard input: "); }

/* A subscriber, another client, and only then does the child get what it waits for: the end of its input. */
static void wrap_listen(void) {
    static char script[PATH_MAX + 200], address[160];
    unsigned i;
    wrap("--stdin", "-");
    snprintf(address, sizeof address, "unix:%s", path_of("sock"));
    arg("--listen"), arg(address);
    snprintf(
        script, sizeof script,
        "echo ready >&9; exec 9>&-; exec %.4000s/fake_llm --need-stdin --turns 1 --text 60 --result 200",
        build);
    arg("--"), arg("sh"), arg("-c"), arg(script);
    start();
    AWAIT(has(&now.ready, "ready"));
    if (!now.over) {
        i = dial(path_of("sock"), 0, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        AWAIT(ended(client[i]) || has(&heard[i], "event: status"));
        next_client(ask_status);
    }
    finish();
    if (begins_too_soon()) now.wrong = NULL; /* and may have ended before the next client came */
}

static const char *judge_listen(void) {
    static unsigned events;
    if (!state->kind) events = count_of(&heard[0], "event: ");
    if (!state->kind && events < 20) return "the subscriber got no events";
    if (now.code == good.ended - 1 && clients && whole(&heard[0]) &&
        count_of(&heard[0], "event: ") < events && !has(&heard[0], "event: gap") &&
        !has(&now.err, "subscribers missed") && !begins_too_soon())
        return "a subscriber has lost events in silence";
    return judge_wrap();
}

static void wrap_publish(void) {
    static char address[64];
    unsigned port;
    wrap("--name", "n");
    listener = listen_to(&port);
    plan.takes_posts = true;
    snprintf(address, sizeof address, "http://127.0.0.1:%u", port);
    arg("--publish"), arg(address);
    child();
    start();
    AWAIT(false);
    finish();
    close(listener);
    listener = -1;
}

static const char *judge_publish(void) {
    static unsigned events;
    unsigned i, posts = 0;
    for (i = 0; i < upstreams; i++) posts += count_of(&asked[i], "POST ");
    if (!state->kind) events = posts;
    if (events < 20) return "nothing is published";
    if (went_well() && posts < events && !has(&now.err, "were not published"))
        return "events are not published, in silence";
    return judge_wrap();
}

/* A child that does not listen, and one of its own that has left its group. */
static void wrap_stop(void) {
    wrap("--orphans", "stop");
    arg("--"), arg("sh"), arg("-c");
    arg("trap '' TERM; setsid sleep 1000 9>&- & echo '{}'; echo ready >&9; exec 9>&-; while :; do sleep "
        "1000; done");
    start();
    AWAIT(has(&now.ready, "ready"));
    if (!now.over) {
        kill(now.pid, SIGTERM);
        AWAIT(false);
    }
    finish();
}

/* What the records mean is in a file, the child's input as well, and the metrics go to one. */
static void wrap_map(void) {
    static const char map[] = "{\"name\":\"mine\",\"type\":\"/t\",\"rules\":["
                              "{\"when\":{\"/t\":\"say\"},\"is\":\"text\",\"text\":\"/s\"},"
                              "{\"when\":{\"/t\":\"end\"},\"is\":\"result\"}]}";
    static const char input[] =
        "{\"t\":\"say\",\"s\":\"one \"}\n{\"t\":\"say\",\"s\":\"two\"}\n{\"t\":\"end\"}\n";
    FILE *f = fopen(path_of("map"), "w");
    if (!f || fputs(map, f) < 0 || fclose(f) != 0) fatal("a mapping");
    f = fopen(path_of("input"), "w");
    if (!f || fputs(input, f) < 0 || fclose(f) != 0) fatal("an input");
    wrap("--map", path_of("map"));
    arg("--output"), arg("text"), arg("--stdin"), arg(path_of("input"));
    arg("--metrics"), arg("prometheus"), arg("--metrics-file"), arg(path_of("metrics"));
    arg("--env"), arg("WHERE=here"), arg("--cwd"), arg(dir), arg("--progress"), arg("plain");
    arg("--"), arg("cat");
    start();
    finish();
}

static const char *judge_map(void) {
    static text metrics;
    bool there = get_file("metrics", &metrics);
    if (!state->kind && !has(&now.out, "one \ntwo")) return "the mapping does not count";
    if (went_well() && !same(&good_out, &now.out)) return "text is lost in silence";
    if (went_well() && !(there && metrics.len > 200 && metrics.ptr[metrics.len - 1] == '\n') &&
        !has(&now.err, "stream_wrap: --metrics"))
        return "metrics are lost in silence";
    return judge_status();
}

/* Without a command it reads what comes on standard input. */
static void wrap_input(void) {
    static const char record[] = "{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"s\"}\n";
    unsigned i;
    wrap("--tee", path_of("tee"));
    start();
    for (i = 0; i < 40; i++) (void)!write(now.in, record, sizeof record - 1);
    end_input();
    finish();
}

/* A child that says one thing and then nothing is stopped by a clock. */
static void wrap_timeout(void) {
    wrap("--timeout", "idle=100ms:stop");
    arg("--"), arg("sh"), arg("-c"), arg("echo '{}'; exec sleep 1000");
    start();
    finish();
}
