/* SPDX-License-Identifier: MIT-0
   What a tool is started with and in, on Windows. Errors are GetLastError's. */
#include "../console.h"

#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wide.h"

static HANDLE standard[3];
static UINT page_before;
static DWORD mode_before;
static bool page_changed, mode_changed;

/* A terminal is left as it was found. */
static void restore(void) {
    if (page_changed) SetConsoleOutputCP(page_before);
    if (mode_changed) SetConsoleMode(standard[CONSOLE_ERR], mode_before);
}

void console_prepare(void) {
    static const DWORD which[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
    int i;
    for (i = 0; i < 3; i++) {
        standard[i] = GetStdHandle(which[i]);
        if (standard[i] == NULL || GetFileType(standard[i]) == FILE_TYPE_UNKNOWN) {
            standard[i] = CreateFileW(L"NUL", GENERIC_READ | GENERIC_WRITE,
                                      FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
            SetStdHandle(which[i], standard[i]);
        }
        _setmode(i, _O_BINARY); /* of the C library's; it has none where there was no handle */
    }
    page_before = GetConsoleOutputCP();
    page_changed = page_before != 0 && page_before != CP_UTF8 && SetConsoleOutputCP(CP_UTF8);
    atexit(restore);
}

char **console_arguments(int *count, char **given) {
    (void)given; /* in the code page of the day */
    return wide_arguments(count);
}

stream_fd console_fd(int stream) { return (stream_fd)standard[stream]; }

/* Events come in a thread of the system's. */
static volatile LONG interrupts, terminations, hangups;
static void (*wake_loop)(void *ctx);
static void *wake_ctx;

static BOOL WINAPI on_event(DWORD event) {
    bool last = event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT;
    InterlockedIncrement(event == CTRL_C_EVENT       ? &interrupts
                         : event == CTRL_CLOSE_EVENT ? &hangups
                                                     : &terminations);
    wake_loop(wake_ctx);
    /* When we return from these we are ended; the system gives us a few seconds if we do not. */
    if (last) Sleep(INFINITE);
    return TRUE;
}

bool console_catch(void (*wake)(void *ctx), void *ctx) {
    wake_loop = wake;
    wake_ctx = ctx;
    return SetConsoleCtrlHandler(on_event, TRUE) != 0;
}

static bool take(volatile LONG *count) {
    if (InterlockedCompareExchange(count, 0, 0) == 0) return false;
    InterlockedDecrement(count);
    return true;
}

int console_signal(bool *typed) {
    *typed = false; /* a child has a group of its own, which no event of ours reaches */
    if (take(&interrupts)) return 2;
    if (take(&terminations)) return 15;
    return take(&hangups) ? 1 : 0;
}

/* Nobody tells: it is looked at. */
bool console_resized(void) {
    static unsigned last_columns, last_rows;
    unsigned columns, rows;
    bool resized;
    console_size(CONSOLE_ERR, &columns, &rows);
    resized = last_columns != 0 && (columns != last_columns || rows != last_rows);
    last_columns = columns;
    last_rows = rows;
    return resized;
}

bool console_is_terminal(int stream) {
    DWORD mode;
    return GetConsoleMode(standard[stream], &mode) != 0;
}

bool console_is_one(void) { return console_is_terminal(CONSOLE_OUT) && console_is_terminal(CONSOLE_ERR); }

bool console_can_draw(void) {
    const DWORD sequences = ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING;
    DWORD mode;
    if (!GetConsoleMode(standard[CONSOLE_ERR], &mode)) return false;
    if ((mode & sequences) == sequences) return true;
    if (!SetConsoleMode(standard[CONSOLE_ERR], mode | sequences)) return false; /* before Windows 10 */
    if (!mode_changed) mode_before = mode;
    mode_changed = true;
    return true;
}

bool console_in_front(void) { return true; }

void console_size(int stream, unsigned *columns, unsigned *rows) {
    CONSOLE_SCREEN_BUFFER_INFO info;
    bool known = GetConsoleScreenBufferInfo(standard[stream], &info) != 0;
    *columns = known && info.srWindow.Right > info.srWindow.Left
                   ? (unsigned)(info.srWindow.Right - info.srWindow.Left + 1)
                   : 80;
    *rows = known && info.srWindow.Bottom > info.srWindow.Top
                ? (unsigned)(info.srWindow.Bottom - info.srWindow.Top + 1)
                : 24;
}

static bool write_handle(HANDLE handle, const char *data, size_t len) {
    while (len > 0) {
        DWORD n, part = len < 32768 ? (DWORD)len : 32768;
        if (!WriteFile(handle, data, part, &n, NULL)) return false;
        data += n;
        len -= n;
    }
    return true;
}

bool console_write(int stream, const char *data, size_t len) {
    return write_handle(standard[stream], data, len);
}

static HANDLE open_file(const wchar_t *path, DWORD access, DWORD how) {
    return CreateFileW(path, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, how,
                       FILE_ATTRIBUTE_NORMAL, NULL);
}

stream_fd console_open(const char *path) {
    wchar_t *wide = wide_from_utf8(path);
    HANDLE file = wide ? open_file(wide, GENERIC_READ, OPEN_EXISTING) : INVALID_HANDLE_VALUE;
    free(wide);
    return (stream_fd)file;
}

stream_fd console_create(const char *path) {
    wchar_t *wide = wide_from_utf8(path);
    HANDLE file = INVALID_HANDLE_VALUE;
    if (wide && _wcsnicmp(wide, L"\\\\.\\pipe\\", 9) == 0) /* somebody else's */
        file = CreateFileW(wide, GENERIC_WRITE, 0, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
    else if (wide)
        file = open_file(wide, GENERIC_WRITE, CREATE_ALWAYS);
    free(wide);
    return (stream_fd)file;
}

bool console_get_file(const char *path, size_t most, char **data, size_t *len) {
    HANDLE file = (HANDLE)console_open(path);
    char *got;
    DWORD n = 1, error = NO_ERROR;
    *len = 0;
    if (file == INVALID_HANDLE_VALUE) return false;
    got = (char *)malloc(most + 1);
    if (!got) error = ERROR_NOT_ENOUGH_MEMORY;
    while (!error && n > 0 && *len <= most) {
        size_t room = most + 1 - *len;
        if (!ReadFile(file, got + *len, room < 65536 ? (DWORD)room : 65536, &n, NULL))
            error = GetLastError();
        else
            *len += n;
    }
    if (!error && *len > most) error = ERROR_FILE_TOO_LARGE;
    CloseHandle(file);
    SetLastError(error);
    if (error)
        free(got);
    else
        *data = got;
    return error == NO_ERROR;
}

void console_close(stream_fd fd) {
    DWORD error = GetLastError();
    if (fd != -1) CloseHandle((HANDLE)fd);
    SetLastError(error);
}

ptrdiff_t console_lend(stream_fd from, stream_fd to, size_t len) {
    return (void)from, (void)to, (void)len, -1;
}

static DWORD write_file(const wchar_t *path, const char *data, size_t len) {
    HANDLE file = open_file(path, GENERIC_WRITE, CREATE_ALWAYS);
    DWORD error;
    if (file == INVALID_HANDLE_VALUE) return GetLastError();
    error = write_handle(file, data, len) ? NO_ERROR : GetLastError();
    CloseHandle(file);
    return error;
}

/* While somebody reads the old file it may not be possible to replace it: tried again for a moment, as such
   a reader is soon done. */
static DWORD move_over(const wchar_t *from, const wchar_t *to) {
    DWORD error = NO_ERROR;
    int tries;
    for (tries = 0; tries < 10; tries++) {
        if (MoveFileExW(from, to, MOVEFILE_REPLACE_EXISTING)) return NO_ERROR;
        error = GetLastError();
        if (!console_busy((int)error)) break;
        Sleep((DWORD)tries);
    }
    return error;
}

bool console_put_file(const char *path, const char *data, size_t len, bool replace) {
    char number[24];
    wchar_t *place = wide_from_utf8(path);
    wide_text beside;
    DWORD error;
    memset(&beside, 0, sizeof beside);
    if (!place) return false;
    snprintf(number, sizeof number, ".%lu", (unsigned long)GetCurrentProcessId());
    wide_add_utf8(&beside, path);
    wide_add_utf8(&beside, number);
    error =
        beside.bad ? (DWORD)ERROR_NOT_ENOUGH_MEMORY : write_file(replace ? beside.units : place, data, len);
    if (replace && !beside.bad) {
        if (!error) error = move_over(beside.units, place);
        if (error) DeleteFileW(beside.units);
    }
    free(place);
    free(beside.units);
    SetLastError(error);
    return error == NO_ERROR;
}

uint64_t console_process(void) { return GetCurrentProcessId(); }

int console_error(void) { return (int)GetLastError(); }

const char *console_error_text(int os_error) {
    static char text[256];
    wchar_t wide[256];
    char *utf8;
    DWORD n = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL,
                             (DWORD)os_error, 0, wide, 255, NULL);
    while (n > 0 && (wide[n - 1] <= L' ' || wide[n - 1] == L'.')) n--; /* a full stop and a line's end */
    wide[n] = 0;
    utf8 = n > 0 ? wide_to_utf8(wide) : NULL;
    if (utf8)
        snprintf(text, sizeof text, "%s", utf8);
    else
        snprintf(text, sizeof text, "error %d", os_error);
    free(utf8);
    return text;
}

bool console_busy(int os_error) {
    return os_error == ERROR_ACCESS_DENIED || os_error == ERROR_SHARING_VIOLATION;
}

bool console_gone(int os_error) {
    return os_error == ERROR_BROKEN_PIPE || os_error == ERROR_NO_DATA ||
           os_error == ERROR_PIPE_NOT_CONNECTED || os_error == WSAECONNRESET ||
           os_error == ERROR_NETNAME_DELETED;
}
