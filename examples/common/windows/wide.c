/* SPDX-License-Identifier: MIT-0 */
#include "wide.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool room(wide_text *t, size_t more) {
    size_t cap = t->cap ? t->cap : 256;
    wchar_t *grown;
    if (t->bad) return false;
    if (more < t->cap - t->len) return true;
    while (cap - t->len <= more) {
        if (cap > SIZE_MAX / 4) break;
        cap *= 2;
    }
    grown = cap - t->len > more ? (wchar_t *)realloc(t->units, cap * sizeof *grown) : NULL;
    if (!grown) {
        t->bad = true;
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return false;
    }
    t->units = grown;
    t->cap = cap;
    return true;
}

void wide_add(wide_text *t, wchar_t unit) {
    if (!room(t, 1)) return;
    t->units[t->len++] = unit;
    t->units[t->len] = 0;
}

void wide_add_utf8(wide_text *t, const char *text) {
    size_t len = strlen(text);
    int n;
    if (len > INT_MAX / 2) {
        t->bad = true;
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return;
    }
    if (!room(t, len)) return; /* no character takes more units than bytes */
    n = len ? MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, (int)len, t->units + t->len,
                                  (int)len)
            : 0;
    if (len && n == 0) {
        t->bad = true;
        SetLastError(ERROR_NO_UNICODE_TRANSLATION);
        return;
    }
    t->len += (size_t)n;
    t->units[t->len] = 0;
}

wchar_t *wide_from_utf8(const char *text) {
    wide_text t;
    memset(&t, 0, sizeof t);
    wide_add_utf8(&t, text);
    if (!t.bad) return t.units;
    free(t.units);
    return NULL;
}

char *wide_to_utf8(const wchar_t *text) {
    int n = WideCharToMultiByte(CP_UTF8, 0, text, -1, NULL, 0, NULL, NULL);
    char *out = n > 0 ? (char *)malloc((size_t)n) : NULL;
    if (!out || WideCharToMultiByte(CP_UTF8, 0, text, -1, out, n, NULL, NULL) != n) {
        free(out);
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return NULL;
    }
    return out;
}

/* The next argument, as the C library has read it since 2008 (CommandLineToArgvW is older): two quotes
   inside of quotes are one, and do not end them. The first, the program's own name, knows no backslash as
   an escape. */
static const wchar_t *next_argument(const wchar_t *p, wide_text *out, bool first) {
    bool quoted = false;
    out->len = 0;
    while (*p && (quoted || (*p != L' ' && *p != L'\t'))) {
        size_t slashes = 0;
        while (!first && p[slashes] == L'\\') slashes++;
        if (slashes > 0) {
            size_t kept = p[slashes] == L'"' ? slashes / 2 : slashes, i;
            for (i = 0; i < kept; i++) wide_add(out, L'\\');
            p += slashes;
            if (*p == L'"' && slashes % 2 == 1) wide_add(out, *p++);
        } else if (*p != L'"') {
            wide_add(out, *p++);
        } else if (quoted && !first && p[1] == L'"') {
            wide_add(out, L'"');
            p += 2;
        } else {
            quoted = !quoted;
            p++;
        }
    }
    while (*p == L' ' || *p == L'\t') p++;
    if (!out->bad && out->len == 0) wide_add(out, 0), out->len = 0; /* terminated, though empty */
    return p;
}

char **wide_arguments(int *count) {
    const wchar_t *p = GetCommandLineW();
    char **out = NULL, **grown;
    wide_text arg;
    memset(&arg, 0, sizeof arg);
    for (*count = 0; *p || *count == 0; ++*count) {
        grown = (char **)realloc(out, ((size_t)*count + 2) * sizeof *out);
        if (!grown) return NULL;
        out = grown;
        p = next_argument(p, &arg, *count == 0);
        if (arg.bad || (out[*count] = wide_to_utf8(arg.units)) == NULL) return NULL;
        out[*count + 1] = NULL;
    }
    free(arg.units);
    return out;
}
