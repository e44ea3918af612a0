/* SPDX-License-Identifier: MIT-0
   What tests/faults.c, which runs a tool, and tests/faults_inject.c, which is loaded into it, share: the
   names of the calls that can be made to fail, and memory that says which one, and what came of it. */
#ifndef FAULTS_H
#define FAULTS_H

/* Every call of the tools that can fail, but for those that write a message on standard error (stdio's, which
   cannot be reached so). memory: malloc, calloc, realloc. */
#define FAULT_CALLS(X) \
    X(memory) X(read) X(write) X(writev) X(recv) X(send) X(sendmsg) X(splice) X(tee) X(open) \
    X(close) X(pipe2) X(socketpair) X(socket) X(bind) X(listen) X(accept4) X(connect) X(shutdown) \
    X(setsockopt) X(getsockopt) X(getsockname) X(getpeername) X(getaddrinfo) X(getnameinfo) X(fcntl) \
    X(ioctl) X(dup2) X(fstat) X(lstat) X(lseek) X(ftruncate) X(mkostemp) X(rename) X(unlink) \
    X(opendir) X(readdir) X(fopen) X(fread) X(fflush) X(chdir) X(epoll_create1) X(epoll_ctl) \
    X(epoll_wait) X(eventfd) X(poll) X(pselect) X(mmap) X(syscall) X(fork) X(execvp) X(waitpid) \
    X(waitid) X(kill) X(setsid) X(setpgid) X(prctl) X(posix_openpt) X(grantpt) X(unlockpt) \
    X(ptsname) X(tcgetattr) X(tcsetattr)

#define FAULT_ENUM(name) CALL_##name,
enum { FAULT_CALLS(FAULT_ENUM) CALLS };

/* Instead of an errno: at most one byte is moved. */
#define KIND_SHORT (-1)

/* Whose calls: the tool itself, what it forks, and what that forks, each up to its exec. */
enum { ROLES = 3 };

/* What a descriptor is: one of these, */
enum { IS_OTHER = 0, IS_FILE, IS_PIPE, IS_SOCKET, IS_DEVICE, IS_DIRECTORY, IS_EVENT };
/* and what else counts; epoll_ctl that adds has CLASS_ADDS instead. */
enum { CLASS_NONBLOCKING = 8, CLASS_STDOUT = 16, CLASS_STDERR = 32, CLASS_ADDS = 16, CLASSES = 64 };

typedef struct fault_state {
    /* set by the runner; kind 0: nothing is to fail */
    int role, call, fault_class, kind;
    unsigned nth;
    int from; /* and all after it */
    /* by the tool */
    unsigned count[ROLES][CALLS][CLASSES];
    unsigned fired;
    unsigned bad_closes; /* of descriptors that are not open */
    int ended;           /* by exit, with so much left: */
    int open_at_end;
    long live_at_end;
} fault_state;

#endif
