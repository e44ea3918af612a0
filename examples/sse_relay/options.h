/* SPDX-License-Identifier: MIT-0
   What sse_relay can be told: on the command line, in the environment, in a file, in that order of weight.
 */
#ifndef RELAY_OPTIONS_H
#define RELAY_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_TEXTS = 16 };

/* An option that may be given several times. */
typedef struct texts {
    const char *text[MAX_TEXTS];
    unsigned count;
} texts;

enum { ON_DISCONNECT_CANCEL = 0, ON_DISCONNECT_DRAIN };
enum { ENCODED_REFUSE = 0, ENCODED_PASS };
enum { POLICY_DISCONNECT = 0, POLICY_DROP_OLDEST, POLICY_CONFLATE };

typedef struct options {
    texts listen;
    const char *admin, *admin_prefix, *upstream, *config;
    bool fanout, preserve_host, half_close;
    const char *exec;
    bool standard_input; /* the operand - */
    int on_disconnect, encoded, policy;
    /* times */
    uint64_t ping_ns, connect_ns, header_ns, first_ns, idle_ns, total_ns;
    uint64_t client_head_ns, client_body_ns, client_idle_ns, send_ns;
    uint64_t upstream_idle_ns, drain_ns, linger_ns;
    const char *ping_event;
    /* bounds */
    size_t max_connections, max_body, chunk, request_chunk, max_event, ring_events, ring_bytes,
        client_bytes;
    /* intercept */
    texts set, drop, only, terminal;
    const char *diff;
    /* the rest */
    texts cors_origin;
    const char *access_log, *token, *conflate_key;
    int metrics; /* 0 none, 1 json, 2 prometheus: written to standard error at the end */
} options;

/* Exit codes of our own. */
enum { EXIT_USAGE = 2, EXIT_LISTEN = 3, EXIT_SOURCE = 4 };

/* False: *exit_code says how to end; what was wrong is on standard error already. Texts from a file are
   kept for as long as the program runs. */
bool options_parse(options *o, int argc, char **argv, int *exit_code);
/* Again from the same sources, after the file has changed; false: *o is as it was. */
bool options_reload(options *o, int argc, char **argv);

#endif
