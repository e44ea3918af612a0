/* SPDX-License-Identifier: MIT-0
   examples/tmux_bridge/control: streams as tmux 3.3a wrote them, and made ones, under every cut of the input;
   commands and their quoting.

   TEST_SCALE=percent scales the random parts.

   Build: cc -std=c11 -I. -Iexamples/common tests/test_bridge_control.c */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "test.h"
#include "cuts.h"
#include "../examples/common/text.c"
#include "../examples/tmux_bridge/control.c"

static void say_control(notes *t, void *self, stream_status status, const stream_item *item) {
    static const char *const name[] = {"?",      "reply",   "output",   "pause", "continue", "layout",
                                       "window", "session", "sessions", "mode",  "exit",     "other"};
    const control *c = (const control *)self;
    if (status == STREAM_E_TRUNCATED) {
        notes_add(t, "truncated\n");
        return;
    }
    notes_add(t, "%s", name[item->kind < COUNT(name) ? item->kind : 0]);
    if (status != STREAM_OK) notes_add(t, " %s %u", stream_status_text(status), (unsigned)item->size);
    if (item->kind == CONTROL_REPLY)
        notes_add(t, " %u%s", (unsigned)c->reply_to, c->reply_error ? " error" : "");
    else if (item->kind != CONTROL_EXIT && item->kind != CONTROL_OTHER && item->kind != CONTROL_SESSIONS)
        notes_add(t, " %c%u", c->target_kind, (unsigned)c->target);
    notes_add(t, " at %u ", (unsigned)item->offset);
    notes_quote(t, item->len ? item->ptr : "", item->len);
    notes_add(t, "\n");
}

static control_desc limits;
static size_t commands;

static void restart(void *self) {
    control *c = (control *)self;
    text_buffer out = {NULL, 0, 0};
    size_t i;
    control_free(c);
    if (control_init(c, &limits) != STREAM_OK) abort();
    for (i = 0; i < commands; i++) CHECK(control_command(c, &out, 100 + i, "list-keys") == STREAM_OK);
    text_free(&out);
}

static void check_stream(const char *in, size_t n, size_t sent, const char *want) {
    control c;
    subject s;
    notes wanted = {NULL, 0, 0};
    memset(&c, 0, sizeof c);
    memset(&s, 0, sizeof s);
    commands = sent;
    restart(&c);
    s.decoder = control_decoder(&c);
    s.reset = restart;
    s.say = say_control;
    s.scanned = offsetof(control, scanned) + 1;
    notes_bytes(&wanted, want, strlen(want));
    CUTS_CHECK(&s, in, n, &wanted);
    notes_free(&wanted);
    notes_free(&s.got);
    control_free(&c);
}

static void streams_are_read(void) {
    static const struct {
        const char *in;
        size_t sent;
        const char *want;
    } known[] = {
        {"", 0, ""},
        /* as recorded: the attach, replies, errors, output, the end */
        {"%begin 1795279073 264 0\n%end 1795279073 264 0\n%session-changed $0 0\n"
         "%begin 1795279073 269 1\n%end 1795279073 269 1\n%begin 1795279075 275 1\n"
         "parse error: unknown command: bogus\n%error 1795279075 275 1\n%exit\n",
         2,
         "session $0 at 46 [0]\nreply 100 at 92 []\nreply 101 error at 174 "
         "[parse error: unknown command: bogus\\0a]\nexit at 198 []\n"},
        {"%output %12 a\\015\\012b\\134\\033[1m\\\n", 0, "output %12 at 0 [a\\0d\\0ab\\5c\\1b[1m\\5c]\n"},
        {"%output %1 \\303\\251\303\251\377\\4001\\08\n", 0,
         "output %1 at 0 [\\c3\\a9\\c3\\a9\\ff\\5c4001\\5c08]\n"},
        {"%extended-output %0 1 : \\033[?25l : x\n%extended-output %0 0 : \n", 0,
         "output %0 at 0 [\\1b[?25l : x]\noutput %0 at 38 []\n"},
        {"%output %0 \n%output 0 x\n%output %x y\n%output %99999999999 z\n", 0,
         "output %0 at 0 []\nother at 12 [%output 0 x]\nother at 24 [%output %x y]\n"
         "other at 37 [%output %99999999999 z]\n"},
        {"%pause %3\n%continue %3\n%layout-change @1 b25d,80x24,0,0,0 b25d,80x24,0,0,0 *\n"
         "%window-pane-changed @1 %4\n%session-window-changed $2 @1\n%sessions-changed\n"
         "%session-renamed $2 a b\n%pane-mode-changed %3\n%window-add @9\n%exit server exited\n%output %1 "
         "x\n",
         0,
         "pause %3 at 0 []\ncontinue %3 at 10 []\nlayout @1 at 23 [b25d,80x24,0,0,0 b25d,80x24,0,0,0 *]\n"
         "window @1 at 77 [%4]\nwindow $2 at 104 [@1]\nsessions at 134 []\nsessions at 152 [$2 a b]\n"
         "mode %3 at 176 []\nother at 198 [%window-add @9]\nexit at 213 [server exited]\n"},
        /* what is in a block is what a command printed, whatever it looks like; 3.3a says %pause there, too
           */
        {"%begin 1 2 1\n%end 1 2 3\n%output %0 x\n%begin 3 4 1\n%exit\n%end 1 21\n%pause %0\n%end 1 2 1\n"
         "%begin 1 3 1\n\n\n%error 1 3 1\n",
         2,
         "reply 100 at 76 [%end 1 2 3\\0a%output %0 x\\0a%begin 3 4 1\\0a%exit\\0a%end 1 21\\0a%pause "
         "%0\\0a]\n"
         "reply 101 error at 102 [\\0a\\0a]\n"},
        {"%begin 1 2 1\nx\n%end 1 2 1\nstray\n%sessions-changed\n", 0, "sessions at 32 []\n"},
        {"%begin 1 2 1\nx\n", 1, "truncated\n"},
        {"%sessions-cha", 1, "truncated\n"},
    };
    size_t i;
    memset(&limits, 0, sizeof limits);
    for (i = 0; i < COUNT(known); i++)
        check_stream(known[i].in, strlen(known[i].in), known[i].sent, known[i].want);
    check_stream("%output %0 a\0b\n", 15, 0, "output %0 at 0 [a\\00b]\n");
}

static void reply_offsets_are_those_of_the_end(void) {
    memset(&limits, 0, sizeof limits);
    check_stream("%begin 1 2 1\nabc\n%end 1 2 1\n", 28, 1, "reply 100 at 17 [abc\\0a]\n");
}

/* Every byte that a pane can write comes back, as tmux writes it: control characters and the backslash in
   octal. */
static void all_bytes_come_through(void) {
    char in[1400], want[1400];
    notes t = {NULL, 0, 0};
    size_t n = (size_t)sprintf(in, "%%output %%5 "), k;
    char all[256];
    for (k = 0; k < 256; k++) {
        all[k] = (char)(unsigned char)k;
        if (k < 32 || k == '\\') n += (size_t)sprintf(in + n, "\\%03o", (unsigned)k);
        else in[n++] = (char)(unsigned char)k;
    }
    in[n++] = '\n';
    notes_add(&t, "output %%5 at 0 ");
    notes_quote(&t, all, 256);
    notes_add(&t, "\n");
    memcpy(want, t.ptr, t.len);
    want[t.len] = 0;
    memset(&limits, 0, sizeof limits);
    check_stream(in, n, 0, want);
    notes_free(&t);
}

static void long_lines_are_bounded(void) {
    char in[2000];
    size_t n;
    limits.max_line = 128;
    limits.max_reply = 300;
    /* output comes in pieces, and no escape is torn */
    n = (size_t)sprintf(in, "%%output %%1 ");
    memset(in + n, 'a', 115);
    n += 115;
    n += (size_t)sprintf(in + n, "\\015\\012");
    memset(in + n, 'b', 119);
    n += 119;
    n += (size_t)sprintf(in + n, "\\134\n%%sessions-changed\n");
    {
        char want[1000];
        int w = sprintf(want, "output %%1 at 0 [%.*s]\n", 115, in + 11);
        w += sprintf(want + w, "output %%1 at 0 [\\0d\\0a%.*s]\n", 119, in + 134);
        sprintf(want + w, "output %%1 at 0 [\\5c]\nsessions at 258 []\n");
        check_stream(in, n, 0, want);
    }
    /* anything else is given up, once, and the next line is whole */
    n = (size_t)sprintf(in, "%%message ");
    memset(in + n, 'm', 500);
    n += 500;
    n += (size_t)sprintf(in + n, "\n%%sessions-changed\n");
    {
        char want[1000];
        sprintf(want, "other %s 128 at 0 [%.*s]\nsessions at 510 []\n", stream_status_text(STREAM_E_TOO_LONG),
                128, in);
        check_stream(in, n, 0, want);
    }
    /* lines in a block may be longer, and a block over its cap is told with its head */
    n = (size_t)sprintf(in, "%%begin 1 2 1\n");
    memset(in + n, 'r', 250);
    n += 250;
    n += (size_t)sprintf(in + n, "\n%%end 1 2 1\n%%begin 1 3 1\n");
    memset(in + n, 's', 150);
    n += 150;
    in[n++] = '\n';
    memset(in + n, 't', 450);
    n += 450;
    n += (size_t)sprintf(in + n, "\n%%end 1 3 1\n%%begin 1 4 1\nz\n%%end 1 4 1\n");
    {
        char want[2000];
        int w = sprintf(want, "reply 100 at 264 [%.*s\\0a]\n", 250, in + 13);
        w += sprintf(want + w, "reply %s 602 101 at 890 [%.*s\\0a%.*s]\n",
                     stream_status_text(STREAM_E_TOO_LONG), 150, in + 288, 149, in + 439);
        sprintf(want + w, "reply 102 at 916 [z\\0a]\n");
        check_stream(in, n, 3, want);
    }
    memset(&limits, 0, sizeof limits);
}

static void commands_are_single_lines(void) {
    control c;
    text_buffer out = {NULL, 0, 0};
    control_desc d;
    memset(&d, 0, sizeof d);
    d.max_queue = 3;
    CHECK_EQ(control_init(&c, &d), STREAM_OK);
    CHECK_EQ(control_command(&c, &out, 1, "capture-pane -p -e -t %%%u", 7u), STREAM_OK);
    CHECK_EQ(control_command(&c, &out, 2, "x%sy", "\n"), STREAM_E_ARGUMENT);
    CHECK_EQ(control_command(&c, &out, 2, "list-sessions"), STREAM_OK);
    CHECK_EQ(control_command(&c, &out, 3, "list-keys"), STREAM_OK);
    CHECK_EQ(control_command(&c, &out, 4, "list-keys"), STREAM_FULL);
    CHECK_TEXT(out.ptr, out.len, "capture-pane -p -e -t %7\nlist-sessions\nlist-keys\n");
    CHECK_EQ(c.queued, 3);
    control_free(&c);
    d.max_line = 127;
    CHECK_EQ(control_init(&c, &d), STREAM_E_ARGUMENT);
    out.len = 0;
    CHECK(control_quote(&out, "a b;'\"$(x)`#{y}~%\n\0z\303\251\\", 22));
    CHECK_TEXT(out.ptr, out.len,
               "\"a b\\073\\047\\042\\044\\050x\\051\\140\\043\\173y\\175\\176\\045\\012z\\303\\251\"");
    text_free(&out);
}

static void the_queue_goes_round(void) {
    control c;
    control_desc d;
    text_buffer out = {NULL, 0, 0};
    unsigned i, answered = 0;
    memset(&d, 0, sizeof d);
    d.max_queue = 4;
    CHECK_EQ(control_init(&c, &d), STREAM_OK);
    for (i = 0; i < 100; i++) {
        char text[64];
        stream_item item;
        stream_status status;
        CHECK_EQ(control_command(&c, &out, i, "x"), STREAM_OK);
        if (i % 3 == 0) continue;
        do {
            int n = sprintf(text, "%%begin 1 %u 1\n%%end 1 %u 1\n", answered, answered);
            CHECK_EQ(control_feed(&c, text, (size_t)n), STREAM_OK);
            while ((status = control_next(&c, &item)) != STREAM_MORE) {
                CHECK_EQ(status, STREAM_OK);
                CHECK_EQ(item.kind, CONTROL_REPLY);
                CHECK_EQ(c.reply_to, answered);
            }
            answered++;
        } while (c.queued);
    }
    CHECK(answered >= 98);
    control_free(&c);
    text_free(&out);
}

int main(void) {
    TEST_PROGRAM("bridge_control");
    RUN(streams_are_read);
    RUN(reply_offsets_are_those_of_the_end);
    RUN(all_bytes_come_through);
    RUN(long_lines_are_bounded);
    RUN(commands_are_single_lines);
    RUN(the_queue_goes_round);
    return test_end();
}
