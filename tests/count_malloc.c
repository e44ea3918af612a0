/* SPDX-License-Identifier: MIT-0
   A library for LD_PRELOAD that counts a program's allocations, and writes the count to the file named by
   COUNT_MALLOC_FILE when it ends. */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static unsigned long count;

void *malloc(size_t n) {
    count++;
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
    count++;
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
    count++;
    return __libc_realloc(p, n);
}

__attribute__((destructor)) static void report(void) {
    const char *file = getenv("COUNT_MALLOC_FILE");
    int fd = file ? open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
    if (fd >= 0) {
        dprintf(fd, "%lu\n", count);
        close(fd);
    }
}
