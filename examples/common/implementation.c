/* SPDX-License-Identifier: MIT-0
   The one file of each tool that emits the headers' function bodies. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#define STREAM_POOL_IMPLEMENTATION
#include "stream_pool.h"
