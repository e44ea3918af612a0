/* SPDX-License-Identifier: MIT-0
   The channels of order_stream.c once more, sleeping on condition variables. */
#define STREAM_WAIT_PTHREAD
#include "order_stream.c"
