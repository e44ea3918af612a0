/* SPDX-License-Identifier: MIT-0
   A child process on Windows: in a job object, so that what it starts can be ended with it; on named pipes,
   because those can be read through a completion port and made as large as we like. */
#include "../child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "wide.h"

#define PIPE_LEN 65536 /* bytes, unless asked for otherwise */

/* Two ends of one pipe of so many bytes: ours overlapped, the other for a program that expects to wait.
   Nobody inherits them by accident. */
static bool make_pipe(HANDLE *ours, HANDLE *theirs, bool we_read, DWORD size) {
    static volatile LONG count;
    wchar_t name[96];
    LARGE_INTEGER now;
    DWORD error;
    int tries;
    for (tries = 0; tries < 100; tries++) {
        QueryPerformanceCounter(&now);
        /* A name that is taken, or whose other end somebody opened before us, is given up. */
        swprintf(name, sizeof name / sizeof *name, L"\\\\.\\pipe\\stream_child.%lu.%ld.%lld",
                 (unsigned long)GetCurrentProcessId(), (long)InterlockedIncrement(&count),
                 (long long)now.QuadPart);
        *ours = CreateNamedPipeW(name,
                                 (we_read ? PIPE_ACCESS_INBOUND : PIPE_ACCESS_OUTBOUND) |
                                     FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
                                 PIPE_TYPE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS, 1,
                                 we_read ? 0 : size, we_read ? size : 0, 0, NULL);
        if (*ours == INVALID_HANDLE_VALUE) {
            if (GetLastError() != ERROR_ACCESS_DENIED && GetLastError() != ERROR_PIPE_BUSY) return false;
            continue;
        }
        *theirs = CreateFileW(
            name, we_read ? GENERIC_WRITE | FILE_READ_ATTRIBUTES : GENERIC_READ | FILE_WRITE_ATTRIBUTES, 0,
            NULL, OPEN_EXISTING, SECURITY_SQOS_PRESENT | SECURITY_ANONYMOUS, NULL);
        if (*theirs != INVALID_HANDLE_VALUE) return true;
        error = GetLastError();
        CloseHandle(*ours);
        *ours = INVALID_HANDLE_VALUE;
        SetLastError(error);
        if (error != ERROR_PIPE_BUSY) return false;
    }
    return false;
}

static void close_handle(HANDLE h) {
    if (h != NULL && h != INVALID_HANDLE_VALUE) CloseHandle(h);
}

/* What child.os points to. */
typedef struct keep {
    HANDLE process, job, wait;
    HANDLE port, thread; /* that hears when the job is empty */
    void (*wake)(void *ctx);
    void *ctx;
} keep;

static keep *kept(const child *c) { return (keep *)c->os[0]; }

static void no_child(child *c) {
    memset(c, 0, sizeof *c);
    c->in = c->out = c->err = -1;
}

/* What the child reads, inheritable: a handle of its own in any case. */
static HANDLE input_for(const child_desc *desc) {
    bool given = desc->input == CHILD_STDIN_FILE;
    HANDLE from = given ? (HANDLE)desc->file : GetStdHandle(STD_INPUT_HANDLE), out;
    if (desc->input != CHILD_STDIN_NULL && from != NULL && from != INVALID_HANDLE_VALUE &&
        DuplicateHandle(GetCurrentProcess(), from, GetCurrentProcess(), &out, 0, FALSE,
                        DUPLICATE_SAME_ACCESS))
        return out;
    if (given) return INVALID_HANDLE_VALUE;
    return CreateFileW(L"NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0,
                       NULL);
}

/* Starts it with these three handles and no other, whatever else may be inheritable while we do so: what
   other threads start at the same time never holds our pipes, nor this child theirs. */
static bool spawn(PROCESS_INFORMATION *p, const command *c, HANDLE std[3], wchar_t *env,
                  const wchar_t *cwd) {
    STARTUPINFOEXW start;
    SIZE_T size = 0;
    bool good = false;
    int i;
    memset(&start, 0, sizeof start);
    start.StartupInfo.cb = sizeof start;
    start.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    start.StartupInfo.hStdInput = std[0];
    start.StartupInfo.hStdOutput = std[1];
    start.StartupInfo.hStdError = std[2];
    for (i = 0; i < 3; i++)
        if (!SetHandleInformation(std[i], HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT)) return false;
    InitializeProcThreadAttributeList(NULL, 1, 0, &size);
    start.lpAttributeList = (LPPROC_THREAD_ATTRIBUTE_LIST)malloc(size);
    if (!start.lpAttributeList) {
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return false;
    }
    if (InitializeProcThreadAttributeList(start.lpAttributeList, 1, 0, &size)) {
        /* Suspended: it must be in the job before it can start anything. */
        good = UpdateProcThreadAttribute(start.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, std,
                                         3 * sizeof *std, NULL, NULL) &&
               CreateProcessW(c->program, c->line, NULL, NULL, TRUE,
                              CREATE_SUSPENDED | CREATE_NEW_PROCESS_GROUP | EXTENDED_STARTUPINFO_PRESENT |
                                  CREATE_UNICODE_ENVIRONMENT,
                              env, cwd, &start.StartupInfo, p);
        DeleteProcThreadAttributeList(start.lpAttributeList);
    }
    free(start.lpAttributeList);
    return good;
}

/* In a thread of the system's, once. */
static void CALLBACK ended(void *arg, BOOLEAN timed_out) {
    keep *k = (keep *)arg;
    (void)timed_out;
    k->wake(k->ctx);
}

/* Nobody waits for a job to be empty but who is told so through a port. */
static DWORD WINAPI hear(void *arg) {
    keep *k = (keep *)arg;
    OVERLAPPED *what;
    ULONG_PTR key;
    DWORD message;
    while (GetQueuedCompletionStatus(k->port, &message, &key, &what, INFINITE) && key != 0)
        if (message == JOB_OBJECT_MSG_ACTIVE_PROCESS_ZERO) k->wake(k->ctx);
    return 0;
}

/* While the limit is set, the members of the job end with its last handle, which is ours: also when we are
   killed ourselves. */
static bool bind_to_us(const keep *k, bool bound) {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits;
    memset(&limits, 0, sizeof limits);
    limits.BasicLimitInformation.LimitFlags = bound ? JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE : 0;
    return SetInformationJobObject(k->job, JobObjectExtendedLimitInformation, &limits, sizeof limits) != 0;
}

static bool make_job(keep *k, bool guarded) {
    JOBOBJECT_ASSOCIATE_COMPLETION_PORT port;
    k->job = CreateJobObjectW(NULL, NULL);
    if (!k->job || !bind_to_us(k, guarded)) return false;
    if (!k->wake) return true;
    k->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    if (!k->port) return false;
    memset(&port, 0, sizeof port);
    port.CompletionKey = k;
    port.CompletionPort = k->port;
    if (!SetInformationJobObject(k->job, JobObjectAssociateCompletionPortInformation, &port, sizeof port))
        return false;
    k->thread = CreateThread(NULL, 65536, hear, k, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    return k->thread != NULL;
}

static void let_go(keep *k) {
    if (!k) return;
    if (k->wait) UnregisterWaitEx(k->wait, INVALID_HANDLE_VALUE); /* if wake runs now, it is waited for */
    if (k->thread) {
        PostQueuedCompletionStatus(k->port, 0, 0, NULL);
        WaitForSingleObject(k->thread, INFINITE);
    }
    close_handle(k->thread);
    close_handle(k->process);
    close_handle(k->job);
    close_handle(k->port);
    free(k);
}

/* A file without a name to anybody else, written at its end by the child, read from its beginning by us. */
static bool make_file(HANDLE *ours, HANDLE *theirs) {
    const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    wchar_t dir[MAX_PATH + 1], path[MAX_PATH + 1];
    if (GetTempPathW(MAX_PATH, dir) == 0 || GetTempFileNameW(dir, L"swr", 0, path) == 0) return false;
    *theirs = CreateFileW(path, GENERIC_WRITE, share, NULL, CREATE_ALWAYS, FILE_ATTRIBUTE_TEMPORARY, NULL);
    *ours = CreateFileW(path, GENERIC_READ | DELETE, share, NULL, OPEN_EXISTING, FILE_FLAG_DELETE_ON_CLOSE,
                        NULL);
    if (*theirs != INVALID_HANDLE_VALUE && *ours != INVALID_HANDLE_VALUE) return true;
    DeleteFileW(path);
    return false;
}

bool child_offers(child_stdout output) {
    return output == CHILD_STDOUT_PIPE || output == CHILD_STDOUT_FILE;
}

/* The directory it is to start in; false with GetLastError when there is none such. */
static bool enter(const child_desc *desc, wchar_t **cwd) {
    DWORD kind;
    if (!desc->cwd) return true;
    *cwd = wide_from_utf8(desc->cwd);
    kind = *cwd ? GetFileAttributesW(*cwd) : INVALID_FILE_ATTRIBUTES;
    if (kind == INVALID_FILE_ATTRIBUTES) return false;
    SetLastError(ERROR_DIRECTORY);
    return (kind & FILE_ATTRIBUTE_DIRECTORY) != 0;
}

child_result child_start(child *c, const child_desc *desc, int *os_error) {
    HANDLE std[3] = {NULL, NULL, NULL}, in = NULL, out = NULL, err = NULL;
    keep *k = NULL;
    PROCESS_INFORMATION p;
    command cmd;
    wchar_t *env = NULL, *cwd = NULL;
    child_result result = CHILD_FAILED;
    DWORD error = command_make(&cmd, desc->argv), out_len = PIPE_LEN;
    no_child(c);
    memset(&p, 0, sizeof p);
    if (error) {
        *os_error = (int)error;
        return error == ERROR_FILE_NOT_FOUND ? CHILD_NOT_FOUND : CHILD_CANNOT_RUN;
    }
    if (desc->pipe_len)
        out_len = desc->pipe_len < (size_t)INT32_MAX ? (DWORD)desc->pipe_len : (DWORD)INT32_MAX;
    if (!child_offers(desc->output)) {
        SetLastError(ERROR_NOT_SUPPORTED);
        goto fail;
    }
    if (!(desc->output == CHILD_STDOUT_FILE ? make_file(&out, &std[1])
                                            : make_pipe(&out, &std[1], true, out_len)) ||
        !make_pipe(&err, &std[2], true, PIPE_LEN))
        goto fail;
    if (desc->input == CHILD_STDIN_PIPE) {
        if (!make_pipe(&in, &std[0], false, PIPE_LEN)) goto fail;
    } else {
        std[0] = input_for(desc);
        if (std[0] == INVALID_HANDLE_VALUE) goto fail;
    }
    k = (keep *)calloc(1, sizeof *k);
    if (!k) SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    if (!k) goto fail;
    k->wake = desc->wake;
    k->ctx = desc->ctx;
    if (!make_job(k, desc->guarded)) goto fail;
    if (!enter(desc, &cwd)) {
        result = CHILD_NO_CWD;
        goto fail;
    }
    if (desc->env_count > 0 && (env = command_environment(desc->env, desc->env_count)) == NULL) goto fail;
    result = CHILD_CANNOT_RUN;
    if (!spawn(&p, &cmd, std, env, cwd)) goto fail;
    k->process = p.hProcess;
    if (!AssignProcessToJobObject(k->job, k->process) ||
        (k->wake &&
         !RegisterWaitForSingleObject(&k->wait, k->process, ended, k, INFINITE, WT_EXECUTEONLYONCE)))
        goto fail;
    ResumeThread(p.hThread);
    CloseHandle(p.hThread);
    close_handle(std[0]);
    close_handle(std[1]);
    close_handle(std[2]);
    command_free(&cmd);
    free(env);
    free(cwd);
    c->os[0] = (intptr_t)k;
    c->pid = (int64_t)p.dwProcessId;
    if (in) c->in = (stream_fd)in;
    c->out = (stream_fd)out;
    c->err = (stream_fd)err;
    return CHILD_STARTED;

fail:
    *os_error = (int)GetLastError();
    if (p.hProcess) TerminateProcess(p.hProcess, 1); /* it never ran */
    close_handle(p.hThread);
    let_go(k);
    close_handle(std[0]);
    close_handle(std[1]);
    close_handle(std[2]);
    close_handle(in);
    close_handle(out);
    close_handle(err);
    command_free(&cmd);
    free(env);
    free(cwd);
    no_child(c);
    return result;
}

void child_signal(const child *c, int signal_number) {
    keep *k = kept(c);
    if (!k) return;
    /* It is asked by CTRL+BREAK, the one event that can be sent to a group; where there is no console to
       send it through, it cannot be asked. */
    if (signal_number != CHILD_KILL && GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, (DWORD)c->pid)) return;
    TerminateJobObject(k->job, 128 + CHILD_KILL);
}

static bool look_at_job(const keep *k, JOBOBJECT_BASIC_ACCOUNTING_INFORMATION *job) {
    memset(job, 0, sizeof *job);
    return QueryInformationJobObject(k->job, JobObjectBasicAccountingInformation, job, sizeof *job, NULL) !=
           0;
}

bool child_reap(child *c) {
    keep *k = kept(c);
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION job;
    DWORD code = 125;
    if (!k || WaitForSingleObject(k->process, 0) != WAIT_OBJECT_0) return c->exited;
    if (!c->exited) {
        c->exited = true;
        GetExitCodeProcess(k->process, &code);
        /* What CTRL+C or CTRL+BREAK ended has a number of the system's for that. */
        c->code = code == (DWORD)STATUS_CONTROL_C_EXIT ? 128 + CHILD_TERMINATE : (int)code;
    }
    c->tree_gone = look_at_job(k, &job) && job.ActiveProcesses == 0;
    return true;
}

void child_resize(const child *c, unsigned columns, unsigned rows) { (void)c, (void)columns, (void)rows; }

static uint64_t in_ns(uint64_t ticks) { return ticks * 100; }

bool child_cpu_ns(const child *c, uint64_t *ns) {
    keep *k = kept(c);
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION job;
    FILETIME begun, ended_at, kernel, user;
    if (!k) return false;
    if (look_at_job(k, &job) && (job.TotalUserTime.QuadPart || job.TotalKernelTime.QuadPart)) {
        *ns = in_ns((uint64_t)job.TotalUserTime.QuadPart + (uint64_t)job.TotalKernelTime.QuadPart);
        return true;
    }
    /* Wine counts no time for a job: the child's own. */
    if (!GetProcessTimes(k->process, &begun, &ended_at, &kernel, &user)) return false;
    *ns = in_ns(((uint64_t)kernel.dwHighDateTime << 32 | kernel.dwLowDateTime) +
                ((uint64_t)user.dwHighDateTime << 32 | user.dwLowDateTime));
    return true;
}

void child_free(child *c, bool leave) {
    keep *k = kept(c);
    if (k && leave)
        bind_to_us(k, false);
    else if (k)
        TerminateJobObject(k->job, 128 + CHILD_KILL);
    let_go(k);
    no_child(c);
}
