/* SPDX-License-Identifier: MIT-0
   Scenarios of tests/faults.c: tmux_bridge and its viewers. */

#define TOKEN "0123456789abcdef"

static bool ask_screen(void) {
    /* A masked binary message: version 2, and no screen seen before. */
    static const char hello[6 + 18] = {'\x82', '\x92', 0, 0, 0, 0, 'h', 0, 0, 0, 13, 2};
    char request[400];
    unsigned i;
    snprintf(request, sizeof request,
             "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
             "Authorization: Bearer " TOKEN "\r\n\r\n",
             tool_port);
    i = dial(NULL, tool_port, request);
    AWAIT(ended(client[i]) || has(&heard[i], "\r\n\r\n"));
    if (has(&heard[i], "HTTP/1.1 101")) {
        (void)send(client[i], hello, sizeof hello, MSG_NOSIGNAL);
        AWAIT(ended(client[i]) || has(&heard[i], "howdy") ||
              (state->from && has(&now.err, "emory")));
    }
    if (!ended(client[i])) hang_up(i);
    return has(&heard[i], "howdy");
}

static void bridge_exec(void) {
    FILE *token = fopen(path_of("token"), "w");
    if (!token || fputs(TOKEN "\n", token) < 0 || fclose(token) != 0) fatal("a token");
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
