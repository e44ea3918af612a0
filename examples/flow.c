/* SPDX-License-Identifier: MIT-0
   Backpressure as advice. Work comes in bursts, the consumer is slower than the producer, and a fake clock
   ticks in milliseconds. A producer that pauses as stream_flow advises keeps the queue short and is done no
   later: the consumer sets the pace either way, only the waiting moves to where it costs nothing.
   Build: cc -I. examples/flow.c -o build/flow */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include <stdio.h>

static void simulate(const char *title, bool heed) {
    stream_flow flow;
    unsigned long ms, resume = 0, backlog = 0, bursts = 10;
    if (stream_flow_init(&flow, NULL) != STREAM_OK) return; /* a queue of 100 messages, marks at 50 and 200 */
    for (ms = 0; bursts || backlog || stream_flow_lag(&flow); ms++) {
        uint64_t waiting;
        if (bursts && ms % 500 == 0) { /* two thousand messages want to be sent, all at once */
            backlog += 2000;
            bursts--;
        }
        if (backlog && ms >= resume) { /* twenty to a millisecond the producer can do */
            stream_flow_sent(&flow, 20);
            backlog -= 20;
            if (heed) resume = ms + (unsigned long)(stream_flow_delay_ns(&flow) / 1000000);
        }
        waiting = stream_flow_lag(&flow); /* five the consumer can */
        stream_flow_consumed(&flow, waiting < 5 ? waiting : 5);
    }
    printf("%s: largest lag %5llu messages, done after %lu ms\n", title,
           (unsigned long long)stream_flow_max_lag(&flow), ms);
}

int main(void) {
    simulate("advice ignored", false);
    simulate("advice heeded ", true);
    return 0;
}
