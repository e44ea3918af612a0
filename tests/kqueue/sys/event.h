/* SPDX-License-Identifier: MIT-0
   kqueue(2) as far as stream_io uses it, on Linux, for tests: EVFILT_READ, _WRITE and _USER, edge-triggered
   (EV_CLEAR), over epoll. Include it in one file only; one queue at a time may use EVFILT_USER. A filter is
   registered under a duplicate of its descriptor, so that both filters of one descriptor are independent as they
   are on a BSD; unlike there, close() does not remove them: delete them first.

   It behaves as the manual page says: a change that fails is reported by the call when no room for events is
   given; adding again replaces, and reports the present state; deleting what is not there is ENOENT; EV_EOF
   comes with what is left to read, and on the writing side once nobody reads. */
#ifndef TESTS_KQUEUE_SYS_EVENT_H
#define TESTS_KQUEUE_SYS_EVENT_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

struct kevent {
    uintptr_t ident;
    short filter;
    unsigned short flags;
    unsigned fflags;
    intptr_t data;
    void *udata;
};

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_USER (-10)
#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_CLEAR 0x0020
#define EV_EOF 0x8000
#define EV_ERROR 0x4000
#define NOTE_TRIGGER 0x01000000
#define EV_SET(event, id, filt, fl, ffl, dat, ud) \
    ((event)->ident = (id), (event)->filter = (filt), (event)->flags = (fl), (event)->fflags = (ffl), \
     (event)->data = (dat), (event)->udata = (ud))

enum { KQ_FDS = 8192, KQ_USER = 0 }; /* ident 0 of EVFILT_USER shares no table with descriptors */

static struct kq_note {
    int queue, fd; /* the duplicate; 0: no such note */
    void *udata;
} kq_note[2][KQ_FDS];
static int kq_user = -1; /* one for all queues, since nobody tells us of a queue that is closed */

static int kqueue(void) { return epoll_create1(0); }

static int kq_change(int queue, const struct kevent *change) {
    int writes = change->filter == EVFILT_WRITE;
    struct kq_note *note;
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    if (change->filter == EVFILT_USER) {
        uint64_t one = 1;
        if (change->fflags & NOTE_TRIGGER) return write(kq_user, &one, sizeof one) < 0 ? errno : 0;
        if (kq_user < 0) kq_user = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        event.events = EPOLLIN | (uint32_t)EPOLLET;
        event.data.u64 = UINT64_MAX;
        return epoll_ctl(queue, EPOLL_CTL_ADD, kq_user, &event) != 0 ? errno : 0;
    }
    if (change->ident >= KQ_FDS) return EBADF;
    note = &kq_note[writes][change->ident];
    if (change->flags & EV_DELETE) {
        if (note->fd == 0 || note->queue != queue) return ENOENT;
        epoll_ctl(queue, EPOLL_CTL_DEL, note->fd, &event);
        close(note->fd);
        note->fd = 0;
        return 0;
    }
    event.events = (writes ? (uint32_t)EPOLLOUT : (uint32_t)(EPOLLIN | EPOLLRDHUP)) | (uint32_t)EPOLLET;
    event.data.u64 = (uint64_t)change->ident * 2 + (uint64_t)writes;
    if (note->fd == 0 || note->queue != queue) {
        int fd = fcntl((int)change->ident, F_DUPFD_CLOEXEC, 3);
        if (fd < 0) return errno;
        if (epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event) != 0) {
            int error = errno;
            close(fd);
            return error;
        }
        note->queue = queue;
        note->fd = fd;
    } else if (epoll_ctl(queue, EPOLL_CTL_MOD, note->fd, &event) != 0) {
        return errno;
    }
    note->udata = change->udata;
    return 0;
}

static int kevent(int queue, const struct kevent *changes, int changed, struct kevent *events, int count,
                  const struct timespec *timeout) {
    struct epoll_event got[64];
    int i, n, ms = -1;
    for (i = 0; i < changed; i++) {
        int error = kq_change(queue, &changes[i]);
        if (error) {
            errno = error;
            return -1;
        }
    }
    if (count == 0) return 0;
    if (timeout) ms = (int)(timeout->tv_sec * 1000 + (timeout->tv_nsec + 999999) / 1000000);
    n = epoll_wait(queue, got, count < 64 ? count : 64, ms);
    for (i = 0; i < n; i++) {
        struct kevent *e = &events[i];
        int writes = (int)(got[i].data.u64 & 1), unread = 0;
        memset(e, 0, sizeof *e);
        e->flags = EV_CLEAR;
        if (got[i].data.u64 == UINT64_MAX) {
            uint64_t times;
            e->filter = EVFILT_USER;
            if (read(kq_user, &times, sizeof times) < 0) times = 0;
            continue;
        }
        e->ident = (uintptr_t)(got[i].data.u64 / 2);
        e->filter = (short)(writes ? EVFILT_WRITE : EVFILT_READ);
        e->udata = kq_note[writes][e->ident].udata;
        if (got[i].events & (EPOLLHUP | EPOLLERR | (writes ? 0 : EPOLLRDHUP))) e->flags |= EV_EOF;
        if (!writes && ioctl((int)e->ident, FIONREAD, &unread) == 0) e->data = unread;
    }
    return n;
}

#endif
