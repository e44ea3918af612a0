/* SPDX-License-Identifier: MIT-0
   A list of arguments as the one string that Windows hands to a program. */
#ifndef COMMON_COMMAND_H
#define COMMON_COMMAND_H

#include <windows.h>

typedef struct command {
    wchar_t *program; /* the file to run, found along PATH */
    wchar_t *line;    /* what it reads its arguments from */
} command;

/* NO_ERROR, or what is wrong: ERROR_FILE_NOT_FOUND no such command; ERROR_NO_UNICODE_TRANSLATION an
   argument is no UTF-8; ERROR_BAD_ARGUMENTS an argument that cannot be handed to a batch file (see
   command.c); ERROR_FILENAME_EXCED_RANGE more than Windows passes on; ERROR_NOT_ENOUGH_MEMORY. */
DWORD command_make(command *c, char *const argv[]);
void command_free(command *c);

/* Our own environment with some changes, for CreateProcess, to be freed: NAME=VALUE is set, NAME alone
   removed. NULL with GetLastError. */
wchar_t *command_environment(const char *const *changes, size_t count);

#endif
