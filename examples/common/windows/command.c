/* SPDX-License-Identifier: MIT-0
   Two kinds of programs read two kinds of lines.

   An .exe splits its line itself, by the rules of CommandLineToArgvW and of the C library ("Parsing C
   command-line arguments" in Microsoft's documentation): quotes keep blanks together, a backslash means
   itself except in a row before a quote, where two stand for one and an odd one makes the quote a letter.

   A .bat or .cmd, as npm puts in place of each of its programs, is read by cmd.exe, which knows nothing of
   backslashes and acts upon what it believes to stand outside of quotes: & | < > ^ would run other
   commands. So every quote goes in as a pair, inside of quotes, which a program at the end of the line
   reads as one letter while cmd.exe's count of quotes stays even; and a percent sign is followed by an
   expansion that is always empty, so that it cannot begin one of its own (both as published for
   CVE-2024-24576). A line feed would end the line whatever stands around it: it is refused. */
#include "command.h"

#include <stdlib.h>
#include <string.h>

#include "wide.h"

#define LONGEST_LINE  32766 /* units; what CreateProcess takes */
#define LONGEST_BATCH 8190  /* what cmd.exe takes */

static void add_text(wide_text *t, const wchar_t *text) {
    while (*text) wide_add(t, *text++);
}

static void add_backslashes(wide_text *t, size_t count) {
    while (count-- > 0) wide_add(t, L'\\');
}

static bool has_any(const wchar_t *text, const wchar_t *units) { return text[wcscspn(text, units)] != 0; }

/* One argument for a program that splits its line itself. */
static void add_argument(wide_text *t, const wchar_t *arg) {
    size_t slashes = 0;
    if (*arg && !has_any(arg, L" \t\n\v\"")) {
        add_text(t, arg);
        return;
    }
    wide_add(t, L'"');
    for (; *arg; arg++) {
        if (*arg == L'"') add_backslashes(t, slashes + 1);
        slashes = *arg == L'\\' ? slashes + 1 : 0;
        wide_add(t, *arg);
    }
    add_backslashes(t, slashes);
    wide_add(t, L'"');
}

/* One argument for a batch file. */
static void add_batch_argument(wide_text *t, const wchar_t *arg) {
    size_t slashes = 0;
    wide_add(t, L'"');
    for (; *arg; arg++) {
        if (*arg == L'"') {
            add_backslashes(t, slashes);
            wide_add(t, L'"');
        }
        slashes = *arg == L'\\' ? slashes + 1 : 0;
        if (*arg == L'%') add_text(t, L"%%cd:~,");
        wide_add(t, *arg);
    }
    add_backslashes(t, slashes);
    wide_add(t, L'"');
}

static bool is_file(const wchar_t *path) {
    DWORD kind = GetFileAttributesW(path);
    return kind != INVALID_FILE_ATTRIBUTES && !(kind & FILE_ATTRIBUTE_DIRECTORY);
}

/* dir\name as it is if it has an ending, or with each of those that a program has; or else without any. */
static bool try_place(wide_text *path, const wchar_t *dir, size_t dir_len, const wchar_t *name) {
    static const wchar_t *const ending[] = {L"", L".exe", L".com", L".cmd", L".bat", L""};
    const wchar_t *base = name + wcslen(name);
    size_t i = 0, stem;
    while (base > name && !wcschr(L"\\/:", base[-1])) base--;
    path->len = 0;
    for (; i < dir_len; i++) wide_add(path, dir[i]);
    if (dir_len > 0 && !wcschr(L"\\/", dir[dir_len - 1])) wide_add(path, L'\\');
    add_text(path, name);
    stem = path->len;
    for (i = wcschr(base, L'.') ? 0 : 1; i < sizeof ending / sizeof *ending && !path->bad; i++) {
        path->len = stem;
        path->units[stem] = 0;
        add_text(path, ending[i]);
        if (!path->bad && is_file(path->units)) return true;
    }
    return false;
}

/* Along PATH and nowhere else: a name alone never means whatever lies in the current directory. */
static bool find(wide_text *path, const wchar_t *name) {
    DWORD len = GetEnvironmentVariableW(L"PATH", NULL, 0);
    wchar_t *all, *dir;
    bool found = false;
    if (*name == 0 || has_any(name, L"\"*?<>|")) return false;
    if (has_any(name, L"\\/:")) return try_place(path, L"", 0, name);
    all = len > 0 ? (wchar_t *)malloc(len * sizeof *all) : NULL;
    if (all && GetEnvironmentVariableW(L"PATH", all, len) == len - 1) {
        for (dir = all; *dir && !found;) {
            size_t n = wcscspn(dir, L";"), quoted = n > 1 && *dir == L'"' && dir[n - 1] == L'"';
            if (n > 2 * quoted) found = try_place(path, dir + quoted, n - 2 * quoted, name);
            dir += dir[n] ? n + 1 : n;
        }
    }
    free(all);
    return found;
}

static bool is_batch(const wide_text *path) {
    const wchar_t *end = path->units + path->len - 4;
    return path->len > 4 && (_wcsicmp(end, L".bat") == 0 || _wcsicmp(end, L".cmd") == 0);
}

/* The command interpreter of the system, wherever PATH and COMSPEC point. */
static void find_cmd(wide_text *path) {
    wchar_t dir[MAX_PATH + 1];
    UINT n = GetSystemDirectoryW(dir, MAX_PATH);
    path->len = 0;
    if (n > 0 && n < MAX_PATH) add_text(path, dir);
    add_text(path, L"\\cmd.exe");
}

DWORD command_make(command *c, char *const argv[]) {
    wide_text path, line;
    wchar_t *arg = NULL;
    bool batch = false;
    DWORD error = NO_ERROR;
    int i;
    memset(c, 0, sizeof *c);
    memset(&path, 0, sizeof path);
    memset(&line, 0, sizeof line);
    for (i = 0; argv[i] && !error; i++) {
        free(arg);
        arg = wide_from_utf8(argv[i]);
        if (!arg) {
            error = GetLastError();
        } else if (i == 0) {
            if (!find(&path, arg)) {
                error = path.bad ? ERROR_NOT_ENOUGH_MEMORY : ERROR_FILE_NOT_FOUND;
            } else if ((batch = is_batch(&path)) == true) {
                /* No AutoRun, extensions on, no ! expansion; /s: only the outer quotes are taken off. */
                add_text(&line, L"cmd.exe /d /e:on /v:off /s /c \"");
                add_batch_argument(&line, path.units);
                find_cmd(&path);
            } else { /* the name of the program knows no backslash as an escape, and holds no quote */
                wide_add(&line, L'"');
                add_text(&line, arg);
                wide_add(&line, L'"');
            }
        } else {
            wide_add(&line, L' ');
            if (!batch)
                add_argument(&line, arg);
            else if (has_any(arg, L"\r\n"))
                error = ERROR_BAD_ARGUMENTS;
            else
                add_batch_argument(&line, arg);
        }
    }
    if (batch) wide_add(&line, L'"');
    if (!error && (line.bad || path.bad)) error = ERROR_NOT_ENOUGH_MEMORY;
    if (!error && line.len > (batch ? LONGEST_BATCH : LONGEST_LINE)) error = ERROR_FILENAME_EXCED_RANGE;
    free(arg);
    c->program = path.units;
    c->line = line.units;
    if (error) command_free(c);
    return error;
}

void command_free(command *c) {
    free(c->program);
    free(c->line);
    memset(c, 0, sizeof *c);
}

/* Whether two NAME=VALUE name the same: Windows does not tell capitals there. The first unit belongs to the
   name in any case: the current directories of drives stand there as =C:. */
static bool same_name(const wchar_t *a, const wchar_t *b) {
    size_t n = wcscspn(a + 1, L"=") + 1;
    return n == wcscspn(b + 1, L"=") + 1 && _wcsnicmp(a, b, n) == 0;
}

wchar_t *command_environment(const char *const *changes, size_t count) {
    wchar_t *ours = GetEnvironmentStringsW(), *entry, **change;
    wide_text block;
    size_t i;
    memset(&block, 0, sizeof block);
    change = (wchar_t **)calloc(count + 1, sizeof *change);
    if (!ours || !change) block.bad = true;
    for (i = 0; i < count && !block.bad; i++) {
        change[i] = wide_from_utf8(changes[i]);
        if (!change[i] || !*change[i]) block.bad = true;
    }
    for (entry = ours; !block.bad && *entry; entry += wcslen(entry) + 1) {
        for (i = 0; i < count && !same_name(entry, change[i]); i++) {
        }
        if (i < count) continue;
        add_text(&block, entry);
        wide_add(&block, 0);
    }
    for (i = 0; i < count && !block.bad; i++) {
        size_t later = i + 1; /* the last one counts */
        while (later < count && !same_name(change[i], change[later])) later++;
        if (later < count || !wcschr(change[i] + 1, L'=')) continue;
        add_text(&block, change[i]);
        wide_add(&block, 0);
    }
    wide_add(&block, 0);
    wide_add(&block, 0); /* an empty one has two */
    for (i = 0; change && i < count; i++) free(change[i]);
    free(change);
    if (ours) FreeEnvironmentStringsW(ours);
    if (!block.bad) return block.units;
    free(block.units);
    SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    return NULL;
}
