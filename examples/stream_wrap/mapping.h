/* SPDX-License-Identifier: MIT-0
   How the records of one LLM CLI are to be understood, as a JSON text:

     {"name": "...",             shown nowhere, but good to have
      "type": "/type",           what records are counted by
      "first": {"/type": "x"},   --map auto takes this mapping when the first record is such
      "rules": [{...}, ...]}     the first rule whose "when" holds says what a record is

   A rule's values are JSON pointers into the record, but for:

     "when"    an object of pointers, each with the text, or the list of texts, it must be
     "is"      start, text (a whole block), delta (a piece of one), thinking, tool_start, tool_end, usage,
               result, other
     "failed"  as "when": then a tool or the result is an error
     "include" "cache": the number of input tokens includes those read from the cache

   and for each meaning: start "session", "model"; text, delta, thinking "text"; tool_start "id", "name",
   "arguments"; tool_end "id"; usage and result "input", "output", "cache_read", "cache_write" (tokens,
   added up), "cost" (US dollars). Any rule may have "session" and "model". */
#ifndef WRAP_MAPPING_H
#define WRAP_MAPPING_H

#include "stream_json.h"

#define MAPPING_POINTERS 64
#define MAPPING_RULES    48
#define MAPPING_TESTS    160

typedef enum mapping_meaning {
    MEANS_OTHER = 0,
    MEANS_START,
    MEANS_TEXT,
    MEANS_DELTA,
    MEANS_THINKING,
    MEANS_TOOL_START,
    MEANS_TOOL_END,
    MEANS_USAGE,
    MEANS_RESULT,
    MEANINGS
} mapping_meaning;

/* The pointers a rule may have; in mapping_rule.field, as an index in mapping.pointer, or -1. */
enum {
    FIELD_SESSION = 0,
    FIELD_MODEL,
    FIELD_TEXT,
    FIELD_ID,
    FIELD_NAME,
    FIELD_ARGUMENTS,
    FIELD_INPUT,
    FIELD_OUTPUT,
    FIELD_CACHE_READ,
    FIELD_CACHE_WRITE,
    FIELD_COST,
    MAPPING_FIELDS
};

/* One text a pointer may lead to; tests of one pointer of one rule stand together, and any will do. */
typedef struct mapping_test {
    int pointer;
    const char *text; /* JSON, with its quotes */
    size_t len;
} mapping_test;

typedef struct mapping_rule {
    mapping_meaning means;
    int field[MAPPING_FIELDS];
    size_t when, when_end, failed, failed_end; /* in mapping.test */
    bool input_includes_cache;
} mapping_rule;

typedef struct mapping {
    const char *pointer[MAPPING_POINTERS];
    size_t pointers;
    mapping_test test[MAPPING_TESTS];
    size_t tests;
    mapping_rule rule[MAPPING_RULES];
    size_t rules;
    int type; /* pointer */
    size_t first, first_end;
    char names[4096]; /* the pointers' texts */
    size_t names_len;
} mapping;

/* Reads a mapping from a JSON text that must stay. NULL, or what is wrong with it, constant text, and in
   *at where, its offset. */
const char *mapping_read(mapping *m, const char *json, size_t len, size_t *at);

/* The text of a mapping that comes with the tool: "codex", "gemini"; NULL: there is none of that name. */
const char *mapping_built_in(const char *name);
/* The names, in order; NULL after the last. */
const char *mapping_name(size_t n);

/* Looks all its pointers up; v has room for MAPPING_POINTERS. Returns the rule that applies, or NULL. */
const mapping_rule *mapping_apply(const mapping *m, const char *json, size_t len, stream_json_value *v);
bool mapping_failed(const mapping *m, const mapping_rule *rule, const stream_json_value *v);
/* Whether a stream that begins with this record is what the mapping is for. */
bool mapping_begins(const mapping *m, const char *json, size_t len);

#endif
