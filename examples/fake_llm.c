/* fake_llm.c - imitates an LLM command line program, so that others can be shown and tested without one.
 *
 * It writes what `claude -p "..." --output-format stream-json --verbose --include-partial-messages` writes:
 * one JSON record a line, from system/init over thinking, text and tool calls in small deltas to the final
 * result with its totals. The same options give the same bytes on every machine: identifiers come from a
 * seeded generator and times from a simulated clock. On request it misbehaves the way such programs do:
 * floods stderr, cuts records, glues them together, hangs, crashes. Memory is constant whatever is asked,
 * because a text is never kept; it is generated again wherever a record repeats it.
 *
 *     cc -std=c99 -O2 -o fake_llm fake_llm.c
 *     ./fake_llm --rate 60                    a session at reading speed
 *     ./fake_llm --total 2G                   load for a benchmark
 *     ./fake_llm --fault truncate --chunk 7   a bad day
 *     ./fake_llm --help                       everything else
 *
 * SPDX-License-Identifier: MIT-0
 */

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION "1.0.0"
#define MODEL "fake-llm-1"

#define UNLIMITED UINT64_MAX
#define MIXED UINT64_MAX                    /* --result: each tool has its own usual size          */

enum {
    EXIT_USAGE = 125,
    EXIT_PIPE = 141,                        /* what a shell reports for a death by SIGPIPE         */
    BUFFER_SIZE = 65536,
    ID_SIZE = 40,
    UUID_SIZE = 36,                         /* without a final NUL                                 */
    THINKING_PIECES = 24,
    FULL_CONTEXT = 160000                   /* tokens; beyond, the context is compacted            */
};

#define LINGER_NS (600 * UINT64_C(1000000000))  /* how long close-stdout and orphan outstay            */

/* A made-up price list, in ten-millionths of a dollar per token: $4 per million tokens of input, $5 written
 * to the cache, $0.40 read from it, $20 of output. Integers keep the cost equal on every machine. */
enum { PRICE_INPUT = 40, PRICE_CACHE_WRITE = 50, PRICE_CACHE_READ = 4, PRICE_OUTPUT = 200 };

static void fail(int code, const char *shape, ...);

/* ---- operating system --------------------------------------------------------------------------------- */

#ifdef _WIN32

#include <fcntl.h>
#include <io.h>
#include <windows.h>

static void os_prepare(void)
{
    _setmode(0, _O_BINARY);
    _setmode(1, _O_BINARY);
    _setmode(2, _O_BINARY);
}

static bool os_write(int fd, const char *from, size_t size)
{
    while (size > 0) {
        int wrote = _write(fd, from, (unsigned)size);
        if (wrote < 0)
            return false;
        from += wrote;
        size -= (size_t)wrote;
    }
    return true;
}

static long os_read(int fd, char *into, size_t size) { return _read(fd, into, (unsigned)size); }
static bool os_is_terminal(int fd) { return _isatty(fd) != 0; }
static void os_close(int fd) { _close(fd); }
static uint64_t os_now_ns(void) { return GetTickCount64() * 1000000; }
static void os_sleep_ns(uint64_t ns) { Sleep((DWORD)((ns + 999999) / 1000000)); }
static void os_crash(void) { TerminateProcess(GetCurrentProcess(), 128 + 9); }

static void os_leave_orphan(void) { fail(EXIT_USAGE, "--fault orphan needs fork, not found on Windows"); }

#else

#include <poll.h>
#include <time.h>
#include <unistd.h>

/* SIGPIPE stays as it was inherited: a caller that restores its default sees a death by signal, as with
 * most programs; one that left it ignored sees exit code 141. */
static void os_prepare(void) {}

/* Writes it all: resumes after signals and short writes, waits where the pipe was made non-blocking. */
static bool os_write(int fd, const char *from, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(fd, from, size);
        if (wrote >= 0) {
            from += wrote;
            size -= (size_t)wrote;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd ready = {fd, POLLOUT, 0};
            poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

static long os_read(int fd, char *into, size_t size)
{
    ssize_t got;
    do
        got = read(fd, into, size);
    while (got < 0 && errno == EINTR);
    return (long)got;
}

static bool os_is_terminal(int fd) { return isatty(fd) == 1; }
static void os_close(int fd) { close(fd); }

static uint64_t os_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void os_sleep_ns(uint64_t ns)
{
    struct timespec left = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

static void os_crash(void) { raise(SIGKILL); }

/* The grandchild stays in the process group and keeps all three standard streams open. */
static void os_leave_orphan(void)
{
    pid_t pid = fork();
    if (pid < 0)
        fail(1, "fork: %s", strerror(errno));
    if (pid == 0) {
        os_sleep_ns(LINGER_NS);
        _exit(0);
    }
}

#endif

/* ---- options ------------------------------------------------------------------------------------------ */

enum fault {
    TRUNCATE, NO_NEWLINE, NO_RESULT, GARBAGE, HANG, STALL, CRASH, CLOSE_STDOUT, ORPHAN, NO_FAULT
};

static const struct {
    const char *name;
    bool at_end;                            /* default of --fault-at: the last record, or the middle */
    const char *help;
} faults[NO_FAULT] = {
    [TRUNCATE]     = {"truncate",     true,  "exit after half of record N"},
    [NO_NEWLINE]   = {"no-newline",   true,  "exit after record N, without its line end"},
    [NO_RESULT]    = {"no-result",    true,  "exit before record N"},
    [GARBAGE]      = {"garbage",      false, "invalid UTF-8 and a NUL inside a string of record N"},
    [HANG]         = {"hang",         true,  "sleep for ever after record N"},
    [STALL]        = {"stall",        false, "the same, halfway"},
    [CRASH]        = {"crash",        false, "die by SIGKILL after half of record N"},
    [CLOSE_STDOUT] = {"close-stdout", true,  "close stdout after record N, exit 600 s later"},
    [ORPHAN]       = {"orphan",       true,  "exit after record N; a grandchild holds stdout for 600 s"},
};

static struct {
    uint64_t turns, text, result, records, total, line, rate, no_partial, seed;
    uint64_t err, err_noise, noise, glue, crlf, dribble, chunk;
    uint64_t fault_at, ignore_term, need_stdin, echo_first, exit_code;
    enum fault fault;
} opt = {.turns = 3, .text = 400, .result = MIXED, .seed = 1, .fault = NO_FAULT};

static const struct option {
    const char *name, *unit;                /* without a unit the option is a switch                */
    uint64_t *value, most;
    const char *help;
} options[] = {
    {"turns", "N", &opt.turns, UNLIMITED, "turns with tool calls before the final one (default 3)"},
    {"records", "N", &opt.records, UNLIMITED, "instead: exactly N records, the result among them"},
    {"total", "BYTES", &opt.total, UNLIMITED, "instead: turns until about BYTES are written"},
    {"text", "BYTES", &opt.text, UNLIMITED, "about this much assistant text a turn (default 400)"},
    {"result", "BYTES", &opt.result, UNLIMITED, "about this much in each tool result (default: 600 to 40K)"},
    {"line", "BYTES", &opt.line, UNLIMITED, "one assistant record of exactly BYTES before its line end"},
    {"rate", "N", &opt.rate, 1000000000, "records per second (default 0: as fast as possible)"},
    {"no-partial", NULL, &opt.no_partial, 1, "no stream_event records"},
    {"seed", "N", &opt.seed, UNLIMITED, "another session (default 1)"},
    {"stderr", "BYTES", &opt.err, UNLIMITED, "log BYTES to stderr before the first byte of stdout"},
    {"stderr-noise", "N", &opt.err_noise, UNLIMITED, "log a line to stderr every N records"},
    {"noise", "N", &opt.noise, UNLIMITED, "a line that is no JSON on stdout every N records"},
    {"glue", "N", &opt.glue, UNLIMITED, "no line end after every Nth record (except the last)"},
    {"crlf", NULL, &opt.crlf, 1, "end lines with CR LF"},
    {"dribble", NULL, &opt.dribble, 1, "one byte per write, as --chunk 1"},
    {"chunk", "BYTES", &opt.chunk, BUFFER_SIZE, "writes of exactly BYTES (at most 64K)"},
    {"fault", "KIND", NULL, 0, "one of the faults below"},
    {"fault-at", "N", &opt.fault_at, UNLIMITED, "the record, from 1, at which the fault strikes"},
    {"ignore-term", NULL, &opt.ignore_term, 1, "ignore SIGTERM"},
    {"need-stdin", NULL, &opt.need_stdin, 1, "read stdin to its end first; init has its stdin_bytes"},
    {"echo-first", "BYTES", &opt.echo_first, UNLIMITED, "write BYTES of records, then do --need-stdin"},
    {"exit", "CODE", &opt.exit_code, 255, "exit code (default 0)"},
};

enum { OPTION_COUNT = sizeof options / sizeof options[0] };

static void fail(int code, const char *shape, ...)
{
    va_list args;
    va_start(args, shape);
    fputs("fake_llm: ", stderr);
    vfprintf(stderr, shape, args);
    fputc('\n', stderr);
    va_end(args);
    exit(code);
}

static void print_help(void)
{
    puts("usage: fake_llm [option]...\n"
         "Writes the output of a made-up LLM session, one JSON record a line, to stdout.\n"
         "\n"
         "options, as --name VALUE or --name=VALUE:");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char usage[32];
        const char *unit = options[i].unit;
        snprintf(usage, sizeof usage, "--%s%s%s", options[i].name, unit ? " " : "", unit ? unit : "");
        printf("  %-20s %s\n", usage, options[i].help);
    }
    puts("  --help, --version\n"
         "BYTES takes a suffix K, M or G (powers of 1024). Except for --turns, --text, --result,\n"
         "--seed and --exit, 0 switches an option off.\n"
         "\n"
         "faults, and the record N at which each strikes unless --fault-at says otherwise:");
    for (size_t i = 0; i < NO_FAULT; i++)
        printf("  %-13s %-7s %s\n", faults[i].name, faults[i].at_end ? "last" : "middle", faults[i].help);
    puts("A fault beyond the last record never strikes.\n"
         "\n"
         "Noise lines are not records and are not counted. Each record is written at once\n"
         "when --rate is given or stdout is a terminal, else when 64 KiB are ready; with\n"
         "--chunk, bytes wait until a whole chunk is there, or stdin is read, or the end.\n"
         "\n"
         "exit codes: that of --exit; 125 for a usage error; 141 without a message when\n"
         "nobody reads stdout and SIGPIPE is ignored; 1 when stdout or stdin fails.");
}

static uint64_t parse_number(const struct option *option, const char *text)
{
    static const char suffixes[] = "KMG";
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (value > (UNLIMITED - digit) / 10)
            fail(EXIT_USAGE, "--%s: %s is too large", option->name, text);
        value = value * 10 + digit;
    }
    bool is_size = strcmp(option->unit, "BYTES") == 0;
    const char *suffix = is_size && at > text && *at ? strchr(suffixes, *at) : NULL;
    if (suffix) {
        unsigned shift = 10 * (unsigned)(suffix - suffixes + 1);
        if (value > UNLIMITED >> shift)
            fail(EXIT_USAGE, "--%s: %s is too large", option->name, text);
        value <<= shift;
        at++;
    }
    if (at == text || *at)
        fail(EXIT_USAGE, "--%s: '%s' is not a number%s", option->name, text,
             is_size ? " with an optional K, M or G" : "");
    if (value > option->most)
        fail(EXIT_USAGE, "--%s: %s is more than %" PRIu64, option->name, text, option->most);
    return value;
}

static enum fault parse_fault(const char *text)
{
    for (size_t i = 0; i < NO_FAULT; i++)
        if (strcmp(text, faults[i].name) == 0)
            return (enum fault)i;
    fail(EXIT_USAGE, "--fault: there is no '%s'; see --help", text);
    return NO_FAULT;
}

static const struct option *find_option(const char *argument)
{
    if (strncmp(argument, "--", 2) == 0)
        for (size_t i = 0; i < OPTION_COUNT; i++)
            if (strlen(options[i].name) == strcspn(argument + 2, "=") &&
                strncmp(options[i].name, argument + 2, strlen(options[i].name)) == 0)
                return &options[i];
    fail(EXIT_USAGE, "unknown option '%s'; see --help", argument);
    return NULL;
}

static void parse_options(char **argument)
{
    while (*++argument) {
        if (strcmp(*argument, "--help") == 0) {
            print_help();
            exit(0);
        }
        if (strcmp(*argument, "--version") == 0) {
            puts("fake_llm " VERSION);
            exit(0);
        }
        const struct option *option = find_option(*argument);
        const char *value = strchr(*argument, '=');
        if (value && !option->unit)
            fail(EXIT_USAGE, "--%s takes no value", option->name);
        if (value)
            value++;
        else if (option->unit && !(value = *++argument))
            fail(EXIT_USAGE, "--%s needs a value (%s)", option->name, option->unit);
        if (!option->unit)
            *option->value = 1;
        else if (option->value)
            *option->value = parse_number(option, value);
        else
            opt.fault = parse_fault(value);
    }
    if (opt.records && (opt.total || opt.echo_first || opt.line))
        fail(EXIT_USAGE, "--records cannot be combined with --total, --echo-first or --line");
    if (opt.records == 1)
        fail(EXIT_USAGE, "--records must be at least 2: init and result");
    if (opt.dribble)
        opt.chunk = 1;
    if (opt.echo_first)
        opt.need_stdin = 1;
}

/* ---- what it says -------------------------------------------------------------------------------------- */

/* All texts are written as they stand inside a JSON string, escapes included. They hold whatever has broken
 * a reader before: braces and quotes in strings, backslashes, `$`, escapes, surrogate pairs, characters of
 * two to four bytes, combining and joined ones, a raw U+2028, a raw DEL. A delta ends after a space. */

struct phrases {
    const char *const *list;
    uint32_t count;
};

static const char *const thoughts[] = {
    "The log stops after the third retry, so the queue is the first suspect. ",
    "If `head == tail` means both \\\"full\\\" and \\\"empty\\\", a braces count like {{}[} will not help. ",
    "Let me compare the sizes: 4,096 against 2^12 \u2014 the same, fine. ",
    "また同じ結果だ。 落ち着いて 一行ずつ 確かめよう。 ",
    "The test passes alone and fails in a group; state must leak from one case to the next.\\n",
    "A path such as C:\\\\temp\\\\new would explain the stray newline and tab. ",
    "Worst case, $0 is spent and we know more. ",
    "Not the cache then \\ud83e\\udd14 because the second run is slow as well. ",
};

static const char *const sentences[] = {
    "The reader keeps its place between two calls, so a cut inside a number costs nothing. ",
    "I will begin with `src/queue.c`, since that is where the log falls silent.\\n\\n",
    "What looks broken is not: `{\\\"depth\\\":3,\\\"open\\\":\\\"}]\\\"}` is balanced, strings apart. ",
    "Na\\u00efve counting finds 12 caf\\u00e9s; the 13th is a cafe\u0301 with a combining accent. ",
    "測試全部通過， 緩衝區沒有再變大， 記憶體用量持平。 ",
    "The rocket is in escapes, \\ud83d\\ude80, the crew is not: 👩\u200d🚀 👨\u200d👩\u200d👧\u200d👦 👍🏽 🇫🇮. ",
    "This should stay under $5 (or 5 €), and neither ${HOME} nor $(date) is expanded here. ",
    "On Windows it lives in C:\\\\dev\\\\new\\\\table.txt, backslashes and all. ",
    "A line separator hides here:\u2028it ends a line for some editors, but never a record. ",
    "\\n| file | lines |\\n|---|---:|\\n| ring.c | 214 |\\n| größe.c | 87 |\\n\\n",
    "```c\\nif (n == 0) { return \\\"}\\\"; } /* closes nothing */\\n```\\n",
    "A tab\\there, a bell\\u0007 there, slashes as http:\\/\\/localhost:8080\\/ and a raw \x7f delete. ",
    "Good news: 99.5\u00a0% of the pieces arrive within 2 ms; the rest waits for the disk. ",
    "Ελληνικά, русский, עברית and हिन्दी keep their order across every cut. ",
};

static const struct phrases THOUGHTS = {thoughts, sizeof thoughts / sizeof thoughts[0]};
static const struct phrases SENTENCES = {sentences, sizeof sentences / sizeof sentences[0]};

static const char *const source_lines[] = {
    "#include \\\"ring.h\\\"\\n",
    "\\n",
    "/* größe: 環形緩衝區的大小, a power of two */\\n",
    "static size_t room(const struct ring *r)\\n",
    "{\\n",
    "\\treturn r->size - (r->head - r->tail); /* wraps \\u2014 on purpose */\\n",
    "}\\n",
    "static const char *const odd[] = {\\\"}\\\", \\\"\\\\\\\"\\\", \\\"\\\\\\\\\\\", \\\"$\\\"};\\n",
    NULL
};

static const char *const test_lines[] = {
    "splits a surrogate pair \\ud83d\\ude00\\n",
    "keeps \\u001b[32mgreen\\u001b[0m in one record\\n",
    "{\\\"name\\\":\\\"glued\\\",\\\"left\\\":\\\"}{\\\"}\\n",
    "日本語の行を最後まで読む # skip\\u2028no, run it\\n",
    "a line of one hundred percent plain words, as most lines of most logs are\\n",
    NULL
};

static const char *const match_lines[] = {
    "    if (!ring_push(r, &item)) /* full */\\n",
    "    while (ring_pop(r, &item)) { use(\\\"{\\\", item); }\\n",
    "// see \\\"C:\\\\\\\\dev\\\\\\\\ring\\\"\\n",
    NULL
};

static const char *const findings[] = {
    "The ring is full one slot too early: `size - 1` appears in room() and again in push().\\n",
    "No test covers the wrap; \\\"ring_wrap\\\" is commented out.\\n",
    "Nothing else touches head or tail ✅\\n",
    NULL
};

static const char *const patched[] = {"The file has been updated.\\n", NULL};

/* A result is a list of numbered lines: number_head, number, number_tail, text. Where details_tail is given,
 * the same lines stand once more between the two in tool_use_result, as the original has it. Inputs stay
 * below INPUT_MOST bytes, on which the plan of --records relies. */
enum { INPUT_MOST = 330 };

static const struct tool {
    const char *name, *input;
    const char *number_head, *number_tail;
    const char *const *lines;
    uint64_t usual_size;
    const char *details_head, *details_tail;
    bool is_subagent;
} GREP = {
    .name = "Grep",
    .input = "{\"pattern\":\"ring_(push|pop)\\\\(\",\"path\":\"/home/dev/project/src\","
             "\"output_mode\":\"content\"}",
    .number_head = "src/queue.c:", .number_tail = ":", .lines = match_lines, .usual_size = 1500,
    .details_head = "{'mode':'content','numFiles':1,'filenames':[],'content':'", .details_tail = "'}",
}, READ = {
    .name = "Read",
    .input = "{\"file_path\":\"/home/dev/project/src/gr\\u00f6\\u00dfe.c\",\"offset\":1,\"limit\":400}",
    .number_head = "", .number_tail = "\\t", .lines = source_lines, .usual_size = 12000,
    .details_head = "{'type':'text','file':{'filePath':'/home/dev/project/src/gr\\u00f6\\u00dfe.c',"
                    "'startLine':1,'content':'",
    .details_tail = "'}}",
}, TASK = {
    .name = "Task",
    .input = "{\"description\":\"Check the ring 🔍\",\"prompt\":\"Read the ring and say, in three lines,"
             " what is \\\"wrong\\\" with it:\\n- size\\n- wrap\\n- {head, tail}\","
             "\"subagent_type\":\"Explore\"}",
    .number_head = "", .number_tail = ". ", .lines = findings, .usual_size = 800, .is_subagent = true,
    .details_head = "{'status':'completed','content':[{'type':'text','text':'", .details_tail = "'}]}",
}, EDIT = {
    .name = "Edit",
    .input = "{\"file_path\":\"/home/dev/project/src/ring.c\","
             "\"old_string\":\"\\treturn r->size - 1; /* \\\"}\\\" */\\n\","
             "\"new_string\":\"\\treturn r->size; /* \\u00bd full: \\ud83c\\udf17, $1 \\\\ */\\n\"}",
    .number_head = "Change ", .number_tail = ": ", .lines = patched, .usual_size = 600,
    .details_head = "{'filePath':'/home/dev/project/src/ring.c','originalFile':null,'structuredPatch':[],"
                    "'userModified':false,'replaceAll':false}",
}, BASH = {
    .name = "Bash",
    .input = "{\"command\":\"make test 2>&1 | sed 's/^ok/\\u2713/'; printf '%s\\\\n' \\\"${A} {done}\\\"\","
             "\"description\":\"Run the tests \\u2014 測試 \\ud83e\\uddea\"}",
    .number_head = "ok ", .number_tail = " - ", .lines = test_lines, .usual_size = 40000,
    .details_head = "{'stdout':'",
    .details_tail = "','stderr':'','interrupted':false,'isImage':false,'noOutputExpected':false}",
};

/* Turn after turn goes through this list; a turn calls one tool or two at once. */
static const struct tool *const turn_tools[][2] = {{&GREP, &READ}, {&TASK, NULL}, {&EDIT, &BASH}};

/* Each is one line. None is JSON; several look like it, one is cut in the middle, one is empty. */
static const char *const noise_lines[] = {
    "[INFO] cache warmed in 12 ms {hits: 3, misses: [1, 2}",
    "2026-01-01 12:00:00 WARN  attempt 2/5: \"connection reset\" (code=ECONNRESET)",
    "\x1b[33mwarning\x1b[0m: \x1b[1m{streaming}\x1b[0m is experimental\x1b[K",
    "progress  10%\rprogress  55%\rprogress 100%",
    "}}]]\"\"{{[[",
    "{'type': 'result', 'subtype': 'success'}",
    "{\"type\":\"result\",\"subtype\":\"succ",
    "",
    "\\\" says the log, \\u12 and $$ and 💥",
    "NaN",
};

/* ---- the session --------------------------------------------------------------------------------------- */

struct usage {
    uint64_t input, cache_write, cache_read, output;
};

struct slice {
    const char *at;
    size_t size;
};

/* A text yet to be said. A copy of the struct says the same text again. */
struct text {
    struct phrases phrases;
    uint64_t random, bytes_left, pieces_left;
    uint32_t index;
    const char *at;
};

static struct {
    uint64_t random;
    uint64_t clock_us, api_us, first_token_us, message_start_us;
    uint64_t turns;                         /* messages of the main agent, subagents not counted    */
    uint64_t block;                         /* index of the content block in this message           */
    uint64_t said;                          /* bytes the model produced in this message             */
    uint64_t context, fresh;                /* tokens the model has seen, and is about to see       */
    struct usage usage, total;              /* of this message, of the session                      */
    struct text answer;                     /* of the last message; the result repeats it           */
    const char *parent;                     /* tool call on whose behalf a subagent speaks          */
    bool closing;                           /* the result record is being written                   */
    char id[ID_SIZE], message_id[ID_SIZE];
} session;

/* What had to be known beforehand, learnt in a rehearsal. */
static struct {
    bool rehearsing;
    uint64_t fault_size;                    /* length of the record at which the fault strikes      */
    uint64_t line_frame, line_text;         /* --line: bytes around the text, and of the text       */
} plan;

static uint64_t stdin_bytes;

/* splitmix64: any seed will do, and a stream of it is a single number to keep and copy. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint32_t random_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)((random_next(state) >> 32) * bound >> 32);
}

static struct text text_of(struct phrases phrases, uint64_t bytes, uint64_t pieces)
{
    struct text text = {phrases, random_next(&session.random), bytes, pieces, 0, ""};
    text.index = random_below(&text.random, phrases.count);
    return text;
}

/* The next few words. A text ends with the phrase in which it reached its size. */
static bool text_next(struct text *text, struct slice *piece)
{
    if (text->pieces_left == 0)
        return false;
    if (!*text->at) {
        if (text->bytes_left == 0)
            return false;
        text->index += 1 + random_below(&text->random, 3);      /* small steps: no phrase returns soon  */
        text->index %= text->phrases.count;
        text->at = text->phrases.list[text->index];
    }
    size_t wish = 1 + random_below(&text->random, 24);
    const char *end = text->at;
    do
        end += strcspn(end, " ");
    while (*end && (size_t)(++end - text->at) < wish);
    *piece = (struct slice){text->at, (size_t)(end - text->at)};
    text->at = end;
    text->bytes_left -= piece->size < text->bytes_left ? piece->size : text->bytes_left;
    text->pieces_left--;
    return true;
}

/* ---- the sink: one buffer in front of stdout ----------------------------------------------------------- */

static struct {
    size_t used, limit;                     /* used <= limit; at the limit there is something to do */
    size_t capacity;                        /* BUFFER_SIZE, or less to hold whole chunks            */
    uint64_t flushed;                       /* bytes that have left the buffer                      */
    uint64_t cut;                           /* stream position at which to strike, or UNLIMITED     */
    uint64_t records, record_start, record_size;
    uint64_t due_ns;                        /* real time of the next record with --rate             */
    bool prompt;                            /* flush after each record                              */
    char bytes[BUFFER_SIZE];
} sink;

static uint64_t position(void) { return sink.flushed + sink.used; }

static void sink_set_limit(void)
{
    uint64_t ahead = sink.cut - sink.flushed;
    sink.limit = ahead < sink.capacity ? (size_t)ahead : sink.capacity;
}

static void sink_begin(void)
{
    sink.used = 0;
    sink.flushed = sink.records = sink.record_start = 0;
    sink.cut = UNLIMITED;
    sink.capacity = opt.chunk ? BUFFER_SIZE - BUFFER_SIZE % (size_t)opt.chunk : BUFFER_SIZE;
    sink.prompt = opt.rate != 0 || os_is_terminal(1);
    sink.due_ns = os_now_ns();
    sink_set_limit();
}

static void write_stdout(const char *from, size_t size)
{
    if (plan.rehearsing || os_write(1, from, size))
        return;
    if (errno == EPIPE)
        exit(EXIT_PIPE);
    fail(1, "stdout: %s", strerror(errno));
}

/* Without `all`, an incomplete chunk stays behind. */
static void sink_flush(bool all)
{
    size_t piece = opt.chunk ? (size_t)opt.chunk : sink.used;
    size_t done = 0;
    while (done < sink.used && (all || sink.used - done >= piece)) {
        size_t size = sink.used - done < piece ? sink.used - done : piece;
        write_stdout(sink.bytes + done, size);
        done += size;
    }
    memmove(sink.bytes, sink.bytes + done, sink.used - done);
    sink.used -= done;
    sink.flushed += done;
    sink_set_limit();
}

static void quit(void)
{
    sink_flush(true);
    exit((int)opt.exit_code);
}

/* At the limit: the buffer is full, or half of the fatal record is written. */
static void sink_full(void)
{
    bool struck = position() == sink.cut;
    sink_flush(struck);
    if (struck && opt.fault == CRASH)
        os_crash();
    if (struck)
        quit();
}

static void put_bytes(const char *from, size_t size)
{
    while (size > sink.limit - sink.used) {
        size_t part = sink.limit - sink.used;
        memcpy(sink.bytes + sink.used, from, part);
        sink.used += part;
        from += part;
        size -= part;
        sink_full();
    }
    memcpy(sink.bytes + sink.used, from, size);
    sink.used += size;
}

static void put_string(const char *text) { put_bytes(text, strlen(text)); }

/* At least `width` digits. */
static void put_number(uint64_t value, size_t width)
{
    char digits[20];
    size_t at = sizeof digits;
    while (value > 0 || sizeof digits - at < width) {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    }
    put_bytes(digits + at, sizeof digits - at);
}

/* The text of a JSON value, inside a JSON string. The texts here have no control characters. */
static void put_escaped(const char *from, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (from[i] == '"' || from[i] == '\\')
            put_bytes("\\", 1);
        put_bytes(from + i, 1);
    }
}

static void put_text(struct text text)
{
    struct slice piece;
    while (text_next(&text, &piece))
        put_bytes(piece.at, piece.size);
}

/* Text of exactly so many bytes: whole pieces, and dots where the next one would be too long. */
static void put_text_exactly(struct text text, uint64_t bytes)
{
    struct slice piece;
    while (bytes > 0 && text_next(&text, &piece) && piece.size <= bytes) {
        put_bytes(piece.at, piece.size);
        bytes -= piece.size;
    }
    for (; bytes > 0; bytes--)
        put_bytes(".", 1);
}

/* ---- records: templates -------------------------------------------------------------------------------- */

static bool strikes(enum fault fault)
{
    return opt.fault == fault && sink.records == opt.fault_at && !plan.rehearsing;
}

static void new_uuid(char uuid[UUID_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    uint64_t bits = 0;
    for (size_t i = 0; i < UUID_SIZE; i++) {
        if (i % 16 == 0)
            bits = random_next(&session.random);
        uuid[i] = hex[bits & 15];
        bits >>= 4;
    }
    uuid[8] = uuid[13] = uuid[18] = uuid[23] = '-';
    uuid[14] = '4';
    uuid[19] = "89ab"[bits & 3];
}

static void put_uuid(void)
{
    static const char garbage[] = "\xff\xfe\xc3(\xed\xa0\x80\0\xf0\x9f";
    char uuid[UUID_SIZE];
    if (strikes(GARBAGE))                   /* here, because every record has exactly one           */
        put_bytes(garbage, sizeof garbage - 1);
    new_uuid(uuid);
    put_bytes(uuid, sizeof uuid);
}

/* The simulated day; a session of more than four weeks starts its month again. */
static void put_timestamp(void)
{
    char stamp[64];
    uint64_t ms = session.clock_us / 1000, minutes = ms / 60000 + 9 * 60;
    snprintf(stamp, sizeof stamp, "2026-01-%02uT%02u:%02u:%02u.%03uZ", (unsigned)(1 + minutes / 1440 % 28),
             (unsigned)(minutes / 60 % 24), (unsigned)(minutes % 60), (unsigned)(ms / 1000 % 60),
             (unsigned)(ms % 1000));
    put_string(stamp);
}

static void put_parent(void)
{
    const char *quote = session.parent ? "\"" : "";
    put_string(quote);
    put_string(session.parent ? session.parent : "null");
    put_string(quote);
}

static void put_cost(uint64_t ten_millionths)
{
    put_number(ten_millionths / 10000000, 1);
    put_string(".");
    put_number(ten_millionths % 10000000, 7);
}

/* Template text in which ' stands for ", so that JSON stays legible in C. */
static void put_plain(const char *from, size_t size)
{
    while (size > 0) {
        if (sink.used == sink.limit)
            sink_full();
        size_t part = sink.limit - sink.used < size ? sink.limit - sink.used : size;
        char *to = sink.bytes + sink.used;
        for (size_t i = 0; i < part; i++)
            to[i] = from[i] == '\'' ? '"' : from[i];
        sink.used += part;
        from += part;
        size -= part;
    }
}

/* Writes a template. It takes from the arguments
 *     %d uint64_t        %s string            %t pointer and size_t        %e the same, to be escaped
 * and from the session
 *     %S its id          %M message id        %P parent tool call          %U a new uuid
 *     %T timestamp       %C cost, of a uint64_t argument                                                 */
static void put_shape(const char *shape, va_list args)
{
    for (;;) {
        size_t plain = strcspn(shape, "%");
        put_plain(shape, plain);
        if (!shape[plain])
            return;
        const char *slice;
        switch (shape[plain + 1]) {
        case 'd': put_number(va_arg(args, uint64_t), 1); break;
        case 'C': put_cost(va_arg(args, uint64_t)); break;
        case 's': put_string(va_arg(args, const char *)); break;
        case 't': slice = va_arg(args, const char *); put_bytes(slice, va_arg(args, size_t)); break;
        case 'e': slice = va_arg(args, const char *); put_escaped(slice, va_arg(args, size_t)); break;
        case 'S': put_string(session.id); break;
        case 'M': put_string(session.message_id); break;
        case 'P': put_parent(); break;
        case 'U': put_uuid(); break;
        case 'T': put_timestamp(); break;
        }
        shape += plain + 2;
    }
}

static void put(const char *shape, ...)
{
    va_list args;
    va_start(args, shape);
    put_shape(shape, args);
    va_end(args);
}

/* ---- records: begin and end ---------------------------------------------------------------------------- */

static void end_line(void) { put_string(opt.crlf ? "\r\n" : "\n"); }
static bool due(uint64_t every) { return every && sink.records % every == 0; }

static void strike_after_record(void)
{
    if (plan.rehearsing || sink.records != opt.fault_at)
        return;
    switch (opt.fault) {
    case HANG:
    case STALL:
        sink_flush(true);
        for (;;)
            os_sleep_ns(LINGER_NS);
    case CLOSE_STDOUT:
        sink_flush(true);
        os_close(1);
        os_sleep_ns(LINGER_NS);
        quit();
        break;
    case ORPHAN:
        sink_flush(true);
        os_leave_orphan();
        quit();
        break;
    default:
        break;
    }
}

static void make_noise(void)
{
    if (due(opt.noise)) {
        put_string(noise_lines[sink.records / opt.noise % (sizeof noise_lines / sizeof noise_lines[0])]);
        end_line();
    }
    if (due(opt.err_noise) && !plan.rehearsing) {
        sink_flush(false);
        fprintf(stderr, "[debug] %" PRIu64 " records, %" PRIu64 " bytes {queue: \"ok\"}\n", sink.records,
                position());
    }
}

static void keep_pace(void)
{
    if (sink.prompt)
        sink_flush(false);
    if (opt.rate) {
        uint64_t now = os_now_ns();
        sink.due_ns += 1000000000 / opt.rate;
        if (sink.due_ns > now)
            os_sleep_ns(sink.due_ns - now);
    }
}

static void record_begin(void)
{
    sink.records++;
    sink.record_start = position();
    if (strikes(NO_RESULT))
        quit();
    if (strikes(TRUNCATE) || strikes(CRASH)) {
        sink.cut = sink.record_start + plan.fault_size / 2;
        sink_set_limit();
    }
}

static void record_end(void)
{
    sink.record_size = position() - sink.record_start;
    if (plan.rehearsing && sink.records == opt.fault_at)
        plan.fault_size = sink.record_size;
    if (strikes(NO_NEWLINE))
        quit();
    if (session.closing || !due(opt.glue) || due(opt.noise))
        end_line();
    strike_after_record();
    if (!session.closing)
        make_noise();
    session.clock_us += 2000 + random_below(&session.random, 30000);
    if (!plan.rehearsing)
        keep_pace();
}

static void record(const char *shape, ...)
{
    va_list args;
    record_begin();
    va_start(args, shape);
    put_shape(shape, args);
    va_end(args);
    record_end();
}

static void event(const char *shape, ...)
{
    va_list args;
    if (opt.no_partial)
        return;
    record_begin();
    put("{'type':'stream_event','event':");
    va_start(args, shape);
    put_shape(shape, args);
    va_end(args);
    put(",'session_id':'%S','parent_tool_use_id':%P,'uuid':'%U'}");
    record_end();
}

static void assistant_begin(void)
{
    record_begin();
    put("{'type':'assistant','message':{'id':'%M','type':'message','role':'assistant',"
        "'model':'" MODEL "','content':[");
}

static void put_message_usage(void)
{
    put("'usage':{'input_tokens':%d,'cache_creation_input_tokens':%d,'cache_read_input_tokens':%d,"
        "'output_tokens':1}", session.usage.input, session.usage.cache_write, session.usage.cache_read);
}

static void assistant_end(void)
{
    put("],'stop_reason':null,'stop_sequence':null,");
    put_message_usage();
    put(",'context_management':null},'parent_tool_use_id':%P,'session_id':'%S','uuid':'%U'}");
    record_end();
}

/* ---- messages ------------------------------------------------------------------------------------------ */

static void new_id(char *id, const char *prefix)
{
    static const char alphabet[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    size_t size = strlen(prefix);
    memcpy(id, prefix, size);
    for (size_t i = 0; i < 22; i++)
        id[size++] = alphabet[random_below(&session.random, sizeof alphabet - 1)];
    id[size] = '\0';
}

static void status(void)
{
    record("{'type':'system','subtype':'status','status':'requesting','uuid':'%U','session_id':'%S'}");
}

static void message_begin(void)
{
    uint64_t wait_us = 300000 + random_below(&session.random, 900000);
    status();
    if (session.context > FULL_CONTEXT)
        session.context = 24000;
    session.usage = (struct usage){3 + random_below(&session.random, 12), session.fresh, session.context, 0};
    session.context += session.fresh;
    session.fresh = 0;
    session.block = session.said = 0;
    session.message_start_us = session.clock_us;
    session.clock_us += wait_us;
    if (session.first_token_us == 0)
        session.first_token_us = session.clock_us;
    new_id(session.message_id, "msg_01");
    if (opt.no_partial)
        return;
    record_begin();
    put("{'type':'stream_event','event':{'type':'message_start','message':{'id':'%M','type':'message',"
        "'role':'assistant','model':'" MODEL "','content':[],'stop_reason':null,'stop_sequence':null,");
    put_message_usage();
    put("}},'session_id':'%S','parent_tool_use_id':%P,'uuid':'%U','ttft_ms':%d}", wait_us / 1000);
    record_end();
}

static void block_end(void)
{
    event("{'type':'content_block_stop','index':%d}", session.block);
    session.block++;
}

static void message_end(const char *stop_reason)
{
    uint64_t output = 1 + session.said / 4;
    session.usage.output = output;
    session.fresh += output;
    event("{'type':'message_delta','delta':{'stop_reason':'%s','stop_sequence':null},"
          "'usage':{'output_tokens':%d}}", stop_reason, output);
    event("{'type':'message_stop'}");
    session.total.input += session.usage.input;
    session.total.cache_write += session.usage.cache_write;
    session.total.cache_read += session.usage.cache_read;
    session.total.output += output;
    session.api_us += session.clock_us - session.message_start_us;
    session.turns += !session.parent;
}

static void think(void)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct text text = text_of(THOUGHTS, 200, THINKING_PIECES), saying = text;
    struct slice piece;
    uint64_t tokens = 0;
    char signature[88];
    for (size_t i = 0; i < sizeof signature; i++)
        signature[i] = base64[random_below(&session.random, 64)];

    event("{'type':'content_block_start','index':%d,'content_block':{'type':'thinking','thinking':'',"
          "'signature':''}}", session.block);
    while (text_next(&saying, &piece)) {
        uint64_t more = 1 + piece.size / 4;
        tokens += more;
        session.said += piece.size;
        record("{'type':'system','subtype':'thinking_tokens','estimated_tokens':%d,"
               "'estimated_tokens_delta':%d,'uuid':'%U','session_id':'%S'}", tokens, more);
        event("{'type':'content_block_delta','index':%d,'delta':{'type':'thinking_delta','thinking':'%t'}}",
              session.block, piece.at, piece.size);
    }
    event("{'type':'content_block_delta','index':%d,'delta':{'type':'signature_delta','signature':'%t'}}",
          session.block, signature, sizeof signature);
    assistant_begin();
    put("{'type':'thinking','thinking':'");
    put_text(text);
    put("','signature':'%t'}", signature, sizeof signature);
    assistant_end();
    block_end();
}

static void say(uint64_t bytes, uint64_t pieces)
{
    struct text text = text_of(SENTENCES, bytes, pieces), saying = text;
    struct slice piece;
    event("{'type':'content_block_start','index':%d,'content_block':{'type':'text','text':''}}",
          session.block);
    while (text_next(&saying, &piece)) {
        session.said += piece.size;
        event("{'type':'content_block_delta','index':%d,'delta':{'type':'text_delta','text':'%t'}}",
              session.block, piece.at, piece.size);
    }
    assistant_begin();
    put("{'type':'text','text':'");
    put_text(text);
    put("'}");
    assistant_end();
    block_end();
    session.answer = text;
}

/* The input is cut anywhere but inside a character: within keys, numbers and escapes. */
static void call_tool(const struct tool *tool, char *id)
{
    const char *at = tool->input;
    size_t size = 0;                        /* the first delta is empty, as in the original         */
    new_id(id, "toolu_01");
    event("{'type':'content_block_start','index':%d,'content_block':{'type':'tool_use','id':'%s',"
          "'name':'%s','input':{}}}", session.block, id, tool->name);
    for (;;) {
        event("{'type':'content_block_delta','index':%d,'delta':{'type':'input_json_delta',"
              "'partial_json':'%e'}}", session.block, at, size);
        session.said += size;
        at += size;
        if (!*at)
            break;
        size_t wish = 1 + random_below(&session.random, 12);
        for (size = 1; at[size] && (size < wish || ((unsigned char)at[size] & 0xc0) == 0x80);)
            size++;
    }
    assistant_begin();
    put("{'type':'tool_use','id':'%s','name':'%s','input':%s}", id, tool->name, tool->input);
    assistant_end();
    block_end();
}

static void put_result(const struct tool *tool, uint64_t bytes)
{
    uint64_t start = position(), number = 0;
    const char *const *line = tool->lines;
    while (position() - start < bytes) {
        put_string(tool->number_head);
        put_number(++number, 1);
        put_string(tool->number_tail);
        put_string(*line);
        if (!*++line)
            line = tool->lines;
    }
}

static void tool_result(const struct tool *tool, const char *id)
{
    uint64_t bytes = opt.result == MIXED ? tool->usual_size : opt.result;
    session.clock_us += 20000 + random_below(&session.random, 2000000);
    session.fresh += 8 + bytes / 4;
    record_begin();
    put("{'type':'user','message':{'role':'user','content':[{'tool_use_id':'%s','type':'tool_result',"
        "'content':'", id);
    put_result(tool, bytes);
    put("','is_error':false}]},'parent_tool_use_id':%P,'session_id':'%S','uuid':'%U','timestamp':'%T',"
        "'tool_use_result':");
    put(tool->details_head);
    if (tool->details_tail) {
        put_result(tool, bytes);
        put(tool->details_tail);
    }
    put("}");
    record_end();
}

/* ---- the course of a session --------------------------------------------------------------------------- */

/* With --records a turn is begun only if it is sure to fit. TURN_MOST bounds the records of the longest turn,
 * one with a subagent, each text counted as one piece: every input cut into single bytes, two thoughts of
 * THINKING_PIECES, and what frames them. Closing takes what the last message and the result need at least. */
static uint64_t turn_most(void) { return opt.no_partial ? 100 : 2 * INPUT_MOST + 4 * THINKING_PIECES + 100; }
static uint64_t closing_least(void) { return opt.no_partial ? 3 : 8; }
static uint64_t records_left(void) { return opt.records - sink.records; }

/* A text inside a turn leaves room for the rest of the turn. */
static void say_something(void)
{
    uint64_t reserve = turn_most() + closing_least(), pieces = UNLIMITED;
    if (opt.records && !opt.no_partial)
        pieces = records_left() > reserve ? records_left() - reserve : 1;
    say(opt.text, pieces);
}

static void turn(const struct tool *const tools[2]);

static void run_subagent(const char *id)
{
    static const struct tool *const tools[2] = {&READ, NULL};
    session.parent = id;
    turn(tools);
    message_begin();
    say_something();
    message_end("end_turn");
    session.parent = NULL;
}

/* Recursion ends after one step: a subagent has no subagents. */
static void turn(const struct tool *const tools[2])
{
    char id[2][ID_SIZE];
    size_t count = tools[1] ? 2 : 1;
    message_begin();
    think();
    say_something();
    for (size_t i = 0; i < count; i++)
        call_tool(tools[i], id[i]);
    message_end("tool_use");
    for (size_t i = 0; i < count; i++) {
        if (tools[i]->is_subagent)
            run_subagent(id[i]);
        tool_result(tools[i], id[i]);
    }
}

static bool another_turn(uint64_t done)
{
    if (opt.records)
        return records_left() >= turn_most() + closing_least();
    return opt.total ? position() < opt.total : done < opt.turns;
}

/* A message cut short by its length limit, as an unbroken record: no deltas announce it. */
static void long_line(void)
{
    message_begin();
    event("{'type':'content_block_start','index':%d,'content_block':{'type':'text','text':''}}",
          session.block);
    assistant_begin();
    put("{'type':'text','text':'");
    put_text_exactly(text_of(SENTENCES, UNLIMITED, UNLIMITED), plan.line_text);
    put("'}");
    assistant_end();
    plan.line_frame = sink.record_size - plan.line_text;
    session.said = plan.line_text;
    block_end();
    message_end("max_tokens");
}

static void hook_records(void)
{
    while (position() < opt.echo_first) {
        record_begin();
        put("{'type':'system','subtype':'hook_response','hook_name':'SessionStart:startup',"
            "'hook_event':'SessionStart','stdout':'");
        put_text(text_of(SENTENCES, 1000, UNLIMITED));
        put("','stderr':'','exit_code':0,'outcome':'success','uuid':'%U','session_id':'%S'}");
        record_end();
    }
}

static void read_stdin(void)
{
    char bytes[8192];
    long got;
    sink_flush(true);
    while ((got = os_read(0, bytes, sizeof bytes)) > 0)
        stdin_bytes += (uint64_t)got;
    if (got < 0)
        fail(1, "stdin: %s", strerror(errno));
    sink.due_ns = os_now_ns();
}

static void init_record(void)
{
    record_begin();
    put("{'type':'system','subtype':'init','cwd':'/home/dev/project','session_id':'%S','tools':['Task',"
        "'Bash','Edit','Glob','Grep','Read','WebFetch','Write'],'mcp_servers':[],'model':'" MODEL "',"
        "'permissionMode':'default','slash_commands':['clear','compact','context','cost','init','review'],"
        "'apiKeySource':'none','claude_code_version':'" VERSION "','output_style':'default',"
        "'agents':['Explore','Plan','general-purpose'],'skills':[],'plugins':[],'uuid':'%U',");
    if (opt.need_stdin)
        put("'stdin_bytes':%d,", stdin_bytes);
    put("'fast_mode_state':'off'}");
    record_end();
}

static void session_begin(void)
{
    memset(&session, 0, sizeof session);
    session.random = opt.seed;
    session.fresh = 14200;                  /* the system prompt and the user's first words         */
    session.answer = text_of(SENTENCES, 0, 0);
    new_uuid(session.id);
}

static void opening(void)
{
    sink_begin();
    session_begin();
    hook_records();
    if (opt.need_stdin && !plan.rehearsing)
        read_stdin();
    init_record();
    if (opt.line)
        long_line();
}

/* Fills up to the promised number of records: with pieces of text, or with requests where there are none. */
static void last_message(void)
{
    bool fits = !opt.records || records_left() >= closing_least();
    bool has_pieces = opt.records && fits && !opt.no_partial;
    while (opt.records && !has_pieces && records_left() > (fits ? closing_least() : 1))
        status();
    if (fits) {
        message_begin();
        say(has_pieces ? UNLIMITED : opt.text, has_pieces ? records_left() - 6 : UNLIMITED);
        message_end("end_turn");
    }
}

static uint64_t cost(void)
{
    return session.total.input * PRICE_INPUT + session.total.cache_write * PRICE_CACHE_WRITE +
           session.total.cache_read * PRICE_CACHE_READ + session.total.output * PRICE_OUTPUT;
}

static void result_record(void)
{
    const struct usage *sum = &session.total;
    session.closing = true;
    record_begin();
    put("{'type':'result','subtype':'success','is_error':false,'api_error_status':null,'duration_ms':%d,"
        "'duration_api_ms':%d,'ttft_ms':%d,'num_turns':%d,'result':'",
        session.clock_us / 1000, session.api_us / 1000, session.first_token_us / 1000, session.turns);
    put_text(session.answer);
    put("','stop_reason':'end_turn','session_id':'%S','total_cost_usd':%C,'usage':{'input_tokens':%d,"
        "'cache_creation_input_tokens':%d,'cache_read_input_tokens':%d,'output_tokens':%d,"
        "'server_tool_use':{'web_search_requests':0,'web_fetch_requests':0},'service_tier':'standard'},",
        cost(), sum->input, sum->cache_write, sum->cache_read, sum->output);
    put("'modelUsage':{'" MODEL "':{'inputTokens':%d,'outputTokens':%d,'cacheReadInputTokens':%d,"
        "'cacheCreationInputTokens':%d,'webSearchRequests':0,'costUSD':%C,'contextWindow':200000,"
        "'maxOutputTokens':64000}},'permission_denials':[],'terminal_reason':'completed',"
        "'fast_mode_state':'off','uuid':'%U'}",
        sum->input, sum->output, sum->cache_read, sum->cache_write, cost());
    record_end();
}

static void whole_session(void)
{
    opening();
    for (uint64_t done = 0; another_turn(done); done++)
        turn(turn_tools[done % (sizeof turn_tools / sizeof turn_tools[0])]);
    last_message();
    result_record();
}

/* ---- rehearsal and start ------------------------------------------------------------------------------- */

/* Everything is determined by the options, so a question about the future is answered by a look at it: the
 * same code runs with its output thrown away. */
static void rehearse(void (*part)(void))
{
    plan.rehearsing = true;
    part();
    plan.rehearsing = false;
}

static void make_plan(void)
{
    if (opt.line) {
        rehearse(opening);
        if (opt.line < plan.line_frame)
            fail(EXIT_USAGE, "--line: the record needs at least %" PRIu64 " bytes", plan.line_frame);
        plan.line_text = opt.line - plan.line_frame;
    }
    if (opt.fault == NO_FAULT)
        return;
    if (!opt.fault_at) {
        rehearse(whole_session);
        opt.fault_at = faults[opt.fault].at_end ? sink.records : (sink.records + 1) / 2;
    }
    if (opt.fault == TRUNCATE || opt.fault == CRASH)
        rehearse(whole_session);
}

static void flood_stderr(void)
{
    static const char line[] = "2026-01-01T09:00:00.000Z [debug] loading \"settings\": {\"path\": [\"~\"]}\n";
    uint64_t left = opt.err;
    while (left > 0) {
        size_t size = left < sizeof line - 1 ? (size_t)left : sizeof line - 1;
        os_write(2, line + sizeof line - 1 - size, size);   /* the last one loses its beginning          */
        left -= size;
    }
}

int main(int count, char **arguments)
{
    (void)count;
    os_prepare();
    parse_options(arguments);
    if (opt.ignore_term)
        signal(SIGTERM, SIG_IGN);
    make_plan();
    flood_stderr();
    whole_session();
    quit();
}
