/* SPDX-License-Identifier: MIT-0
   The rings, queues and channels of stream.h beside their rivals, in one process. bench/rings.sh builds and
   runs it, and says what each side is compiled with.

   What makes it fair:

     - Everyone gets the same loop (bench/rings_loops.h), the same capacity (1024 items; 256 KiB), the same
       way of waiting where it does not wait by itself, and threads bound to processors in the same way.
     - Within a row the contenders take turns, A B C A B C, each for some ten milliseconds. A figure is the
       median of ROUNDS, a ratio the median of the ratios within each round: what else the machine does
       meets neighbours alike.
     - What was sent is summed up and must be what arrives. Order and identity are the tests' business.
     - ns is time by the clock; cpu is what all threads together spent, and shows who waits by spinning.
       Rows with one thread are judged by cpu, which the rest of the machine disturbs least.

   Environment: ROUNDS (15), TIME (10: milliseconds a turn), ROWS (names with a blank between: only those);
   ONLY=row,n runs the n-th line of a row, from 0, for LOOP (10) seconds: something for a profiler. */
#ifdef BENCH_OURS
/* The header as a user compiles it: a C file of its own. The system calls of the channel are counted. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>
uint64_t bench_calls;
#define STREAM_SYS_FUTEX(word, op, value, deadline)                                                        \
    (__atomic_add_fetch(&bench_calls, 1, __ATOMIC_RELAXED),                                                \
     syscall(SYS_futex, word, op, value, deadline, NULL, FUTEX_BITSET_MATCH_ANY))
#define STREAM_IMPLEMENTATION
#include "../stream.h"
#else
#include "../stream.h"

#include <algorithm>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <mutex>
#include <poll.h>
#include <pthread.h>
#include <string>
#include <thread>
#include <time.h>
#include <unistd.h>
#include <vector>

#define BENCH_NAME "rings"
#include "bench.hpp"
#include "rings_loops.h"
#include "samples.h"

#ifdef HAVE_BOOST
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#endif
#ifdef HAVE_READERWRITERQUEUE
#include <readerwriterqueue/readerwritercircularbuffer.h>
#include <readerwriterqueue/readerwriterqueue.h>
#endif
#ifdef HAVE_CONCURRENTQUEUE
#include <concurrentqueue/blockingconcurrentqueue.h>
#include <concurrentqueue/concurrentqueue.h>
#endif

extern "C" uint64_t bench_calls;

static uint64_t now_ns() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return uint64_t(t.tv_sec) * 1000000000u + uint64_t(t.tv_nsec);
}

static uint64_t thread_cpu_ns() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return uint64_t(t.tv_sec) * 1000000000u + uint64_t(t.tv_nsec);
}

static double median(std::vector<double> v) {
    std::nth_element(v.begin(), v.begin() + ptrdiff_t(v.size() / 2), v.end());
    return v[v.size() / 2];
}

static void bind_to(unsigned cpu) {
    unsigned cpus = std::thread::hardware_concurrency();
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpus ? cpu % cpus : 0, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set,
                           &set); /* where it is refused, the scheduler decides */
}

/* --- contenders, rows, turns ------------------------------------------------------------------------- */

struct shape { /* of a row */
    size_t producers = 1, consumers = 1;
    bool alone = false;    /* one thread is both */
    bool everyone = false; /* each consumer gets every item */
    size_t chunk = 0;      /* bytes in one call */
};

struct contender {
    std::string name;
    bool ours;    /* the first of ours is what ratios are about */
    double asked; /* of a rival: we take at most 1/asked of its time; 0: not asked */
    std::function<void *()> make;
    std::function<void(void *)> free;
    bench_loop produce, consume; /* alone: produce only */
    void *queue;
    uint64_t items, calls; /* in one turn; system calls of ours in all turns */
    std::vector<double> ns, cpu;
};

struct turn {
    double ns, cpu; /* an item */
};

static turn take_turn(const contender &c, const shape &s, uint64_t items) {
    size_t producers = s.alone ? 1 : s.producers, consumers = s.alone ? 0 : s.consumers;
    size_t n = producers + consumers;
    std::vector<bench_part> part(n);
    std::vector<uint64_t> cpu(n), ended(n);
    std::vector<std::vector<char>> buffer(n);
    std::vector<std::thread> threads;
    size_t ready = 0;
    bool go = false;
    uint64_t sum = 0, want = 0;
    items -= items % (producers * std::max<size_t>(consumers, 1) * BENCH_ALONE);
    for (size_t i = 0; i < n; i++) {
        part[i] = {};
        part[i].chunk = s.chunk;
        part[i].id = i < producers ? i : i - producers;
        part[i].count = i < producers ? items / producers : s.everyone ? items : items / consumers;
        part[i].first = 1 + (i < producers ? i * part[i].count : 0);
        buffer[i].resize(s.chunk);
        part[i].buffer = buffer[i].data();
    }
    for (size_t i = 0; i < n; i++) {
        threads.emplace_back([&, i] {
            /* The first producer and the first consumer on two processors, and so on the other way round.
             */
            bind_to(i < producers ? unsigned(i) : unsigned(i - producers + 1));
            __atomic_add_fetch(&ready, 1, __ATOMIC_ACQ_REL);
            while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE)) sched_yield();
            cpu[i] = thread_cpu_ns();
            (i < producers ? c.produce : c.consume)(c.queue, &part[i]);
            cpu[i] = thread_cpu_ns() - cpu[i];
            ended[i] = now_ns();
        });
    }
    while (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) != n) sched_yield();
    uint64_t start = now_ns();
    __atomic_store_n(&go, true, __ATOMIC_RELEASE);
    for (std::thread &t : threads) t.join();
    for (size_t i = s.alone ? 0 : producers; i < n; i++) sum += part[i].sum;
    want = items % 2 ? items * ((items + 1) / 2) : items / 2 * (items + 1);
    if (s.everyone) want *= consumers;
    if (sum != want) die("%s: what came out is not what went in", c.name.c_str());
    turn t;
    t.ns = double(*std::max_element(ended.begin(), ended.end()) - start) / double(items);
    t.cpu = 0;
    for (uint64_t each : cpu) t.cpu += double(each) / double(items);
    return t;
}

static size_t rounds, turn_ms;
static unsigned asked_all, met_all;

static bool listed(const char *list_name, const std::string &name) {
    const char *list = std::getenv(list_name);
    if (!list || !*list) return true;
    return (" " + std::string(list) + " ").find(" " + name + " ") != std::string::npos;
}

struct row {
    std::string name, what;
    shape s;
    std::vector<contender> all;

    void add(contender c) { all.push_back(std::move(c)); }

    bool wanted() const {
        if (const char *only = std::getenv("ONLY"))
            return std::string(only).compare(0, name.size() + 1, name + ",") == 0;
        return listed("ROWS", name);
    }

    void loop(contender &c) {
        uint64_t end = now_ns() + uint64_t(env_size("LOOP", 10)) * 1000000000u;
        std::printf("%s, %s\n", name.c_str(), c.name.c_str());
        std::fflush(stdout);
        while (now_ns() < end) take_turn(c, s, c.items);
        std::exit(0);
    }

    void measure() {
        if (!wanted()) return;
        for (contender &c : all) {
            c.queue = c.make();
            /* How many items fill a turn; what is measured here is not used. */
            for (c.items = 2048; c.items < (1u << 28);) {
                double took = take_turn(c, s, c.items).ns * double(c.items);
                if (took > double(turn_ms) * 0.5e6) {
                    c.items =
                        std::max<uint64_t>(2048, uint64_t(double(c.items) * double(turn_ms) * 1e6 / took));
                    break;
                }
                c.items *= 2;
            }
        }
        if (const char *only = std::getenv("ONLY")) {
            size_t n = size_t(std::atoi(only + name.size() + 1));
            if (n >= all.size()) die("row %s has no line %zu", name.c_str(), n);
            loop(all[n]);
        }
        for (size_t r = 0; r < rounds; r++) {
            for (contender &c : all) {
                uint64_t calls = __atomic_load_n(&bench_calls, __ATOMIC_RELAXED);
                turn t = take_turn(c, s, c.items);
                c.ns.push_back(t.ns);
                c.cpu.push_back(t.cpu);
                c.calls += __atomic_load_n(&bench_calls, __ATOMIC_RELAXED) - calls;
            }
        }
        print();
        for (contender &c : all) c.free(c.queue);
    }

    void print() {
        std::printf("\n%s: %s\n\n| who %-58s | %9s | %9s | %9s | ratio | asked | met |\n"
                    "|---|--:|--:|--:|--:|--:|---|\n",
                    name.c_str(), what.c_str(), "", s.chunk ? "GB/s" : "ns", "cpu ns", "best ns");
        for (const contender &c : all) {
            const std::vector<double> &judged = s.alone ? c.cpu : c.ns,
                                      &first = s.alone ? all[0].cpu : all[0].ns;
            std::vector<double> ratios;
            std::string asked, met;
            for (size_t r = 0; r < rounds; r++) {
                ratios.push_back(judged[r] / first[r]);
                bench_sample("rings", name.c_str(), c.name.c_str(), &c == &all[0] ? "ours" : "rival", "ns",
                             c.asked > 0 ? text(">= %.1f x", c.asked).c_str() : "", judged[r]);
            }
            double ratio = median(ratios), ns = median(c.ns);
            if (c.asked > 0) {
                asked_all++;
                met_all += ratio >= c.asked;
                asked = text("%.1f", c.asked);
                met = ratio >= c.asked ? "yes" : "NO";
            }
            std::printf("| %-62s | %9.2f | %9.1f | %9.1f | %5.2f | %5s | %-3s |\n", c.name.c_str(),
                        s.chunk ? double(s.chunk) / ns : ns, median(c.cpu),
                        *std::min_element(judged.begin(), judged.end()), ratio, asked.c_str(), met.c_str());
        }
        for (const contender &c : all)
            if (c.calls)
                std::printf("\n%s: %.1f futex calls for 1000 items.\n", c.name.c_str(),
                            double(c.calls) * 1000 / (double(c.items) * double(rounds)));
        std::fflush(stdout);
    }
};

template <class T> static void destroy(void *queue) { delete static_cast<T *>(queue); }

static contender ours(std::string name, std::function<void *()> make, std::function<void(void *)> free,
                      bench_loop produce, bench_loop consume) {
    return {std::move(name),
            true,
            0,
            std::move(make),
            std::move(free),
            produce,
            consume,
            nullptr,
            0,
            0,
            {},
            {}};
}
static contender rival(double asked, std::string name, std::function<void *()> make,
                       std::function<void(void *)> free, bench_loop produce, bench_loop consume) {
    return {std::move(name),
            false,
            asked,
            std::move(make),
            std::move(free),
            produce,
            consume,
            nullptr,
            0,
            0,
            {},
            {}};
}

/* --- those without a library ------------------------------------------------------------------------- */

/* The textbook's queue: one lock, two conditions, a ring of pointers. */
struct locked {
    std::mutex lock;
    std::condition_variable filled, freed;
    void *slot[BENCH_CAPACITY];
    size_t head = 0, depth = 0;

    bool push(void *item) {
        std::unique_lock<std::mutex> hold(lock);
        freed.wait(hold, [&] { return depth < BENCH_CAPACITY; });
        slot[(head + depth++) % BENCH_CAPACITY] = item;
        hold.unlock();
        filled.notify_one();
        return true;
    }
    bool pop(void **item) {
        std::unique_lock<std::mutex> hold(lock);
        filled.wait(hold, [&] { return depth > 0; });
        *item = slot[head++ % BENCH_CAPACITY];
        depth--;
        hold.unlock();
        freed.notify_one();
        return true;
    }
};
static void *locked_make() { return new locked; }
BENCH_LOOPS(locked, locked, (void)0, q->push(item), (void)0, q->pop(&item))

/* pipe(2): pointers go through in one piece, and read and write wait. */
struct pipe_case {
    int fd[2];
};
static void *pipe_make(int bytes) {
    pipe_case *p = new pipe_case;
    if (pipe(p->fd) != 0) die("no pipe");
    fcntl(p->fd[1], F_SETPIPE_SZ, bytes);
    return p;
}
static void pipe_free(void *queue) {
    pipe_case *p = static_cast<pipe_case *>(queue);
    close(p->fd[0]);
    close(p->fd[1]);
    delete p;
}
BENCH_LOOPS(pipe, pipe_case, (void)0, write(q->fd[1], &item, sizeof item) == sizeof item, (void)0,
            read(q->fd[0], &item, sizeof item) == sizeof item)

/* --- pointers, one producer and one consumer --------------------------------------------------------- */

static void *spsc_make() {
    stream_spsc *q = new stream_spsc;
    stream_spsc_desc desc = {};
    desc.capacity = BENCH_CAPACITY;
    if (stream_spsc_init(q, &desc) != STREAM_OK) die("stream_spsc_init");
    return q;
}
static void spsc_free(void *queue) {
    stream_spsc_free(static_cast<stream_spsc *>(queue));
    delete static_cast<stream_spsc *>(queue);
}
BENCH_LOOPS(spsc, stream_spsc, (void)0, stream_spsc_push(q, item) == STREAM_OK, (void)0,
            stream_spsc_pop(q, &item) == STREAM_OK)
BENCH_BATCH_LOOPS(spsc_n, stream_spsc, (void)0, stream_spsc_push_n(q, items, want), (void)0,
                  stream_spsc_pop_n(q, items, want))

#ifdef HAVE_CK
extern "C" {
void *ck_case_make(void);
void ck_case_free(void *queue);
void *ck_list_make(void);
void ck_list_free(void *queue);
#define CK_LOOPS(name)                                                                                     \
    void ck_##name##_produce(void *q, bench_part *part);                                                   \
    void ck_##name##_consume(void *q, bench_part *part);                                                   \
    void ck_##name##_alone(void *q, bench_part *part);
CK_LOOPS(spsc)
CK_LOOPS(mpmc)
CK_LOOPS(list)
}
#endif

#ifdef HAVE_BOOST
using boost_spsc = boost::lockfree::spsc_queue<void *>;
using boost_spsc_fixed = boost::lockfree::spsc_queue<void *, boost::lockfree::capacity<BENCH_CAPACITY>>;
BENCH_LOOPS(boost_spsc, boost_spsc, (void)0, q->push(item), (void)0, q->pop(item))
BENCH_LOOPS(boost_spsc_fixed, boost_spsc_fixed, (void)0, q->push(item), (void)0, q->pop(item))
BENCH_BATCH_LOOPS(boost_spsc_n, boost_spsc, (void)0, q->push(items, want), (void)0, q->pop(items, want))
BENCH_BATCH_LOOPS(boost_spsc_fixed_n, boost_spsc_fixed, (void)0, q->push(items, want), (void)0,
                  q->pop(items, want))
#endif

#ifdef HAVE_READERWRITERQUEUE
using moodycamel_spsc = moodycamel::ReaderWriterQueue<void *>;
using moodycamel_circular = moodycamel::BlockingReaderWriterCircularBuffer<void *>;
BENCH_LOOPS(moodycamel_spsc, moodycamel_spsc, (void)0, q->try_enqueue(item), (void)0, q->try_dequeue(item))
BENCH_LOOPS(moodycamel_circular, moodycamel_circular, (void)0, q->try_enqueue(item), (void)0,
            q->try_dequeue(item))
BENCH_LOOPS(moodycamel_circular_wait, moodycamel_circular, (void)0, (q->wait_enqueue(item), true), (void)0,
            (q->wait_dequeue(item), true))
#endif

static void rows_spsc() {
    for (int alone = 0; alone < 2; alone++) {
        row r;
        r.s.alone = alone;
        r.name = alone ? "spsc-alone" : "spsc";
        r.what = alone ? "pointers, one thread, 64 in, 64 out (judged by cpu)"
                       : "pointers one at a time, from one thread to one other";
        double asked = alone ? 0 : 1.2;
#define PICK(name) alone ? name##_alone : name##_produce, name##_consume
        r.add(ours("stream_spsc push, pop", spsc_make, spsc_free, PICK(spsc)));
#ifdef HAVE_CK
        r.add(
            rival(asked, "ck_ring_enqueue_spsc, dequeue_spsc", ck_case_make, ck_case_free, PICK(ck_spsc)));
        r.add(rival(0, "ck_fifo_spsc", ck_list_make, ck_list_free, PICK(ck_list)));
#endif
#ifdef HAVE_READERWRITERQUEUE
        r.add(rival(
            asked, "moodycamel::ReaderWriterQueue try_enqueue",
            [] { return new moodycamel_spsc(BENCH_CAPACITY); }, destroy<moodycamel_spsc>,
            PICK(moodycamel_spsc)));
        r.add(rival(
            0, "moodycamel::BlockingReaderWriterCircularBuffer try_enqueue",
            [] { return new moodycamel_circular(BENCH_CAPACITY); }, destroy<moodycamel_circular>,
            PICK(moodycamel_circular)));
#endif
#ifdef HAVE_BOOST
        r.add(rival(
            asked, "boost spsc_queue", [] { return new boost_spsc(BENCH_CAPACITY); }, destroy<boost_spsc>,
            PICK(boost_spsc)));
        r.add(rival(
            asked, "boost spsc_queue, capacity<1024>", [] { return new boost_spsc_fixed; },
            destroy<boost_spsc_fixed>, PICK(boost_spsc_fixed)));
#endif
        if (!alone) {
            r.add(
                rival(0, "mutex and two condition variables", locked_make, destroy<locked>, PICK(locked)));
            r.add(rival(
                0, "pipe(2)", [] { return pipe_make(65536); }, pipe_free, PICK(pipe)));
        }
        r.measure();
    }
    row r;
    r.name = "spsc-32";
    r.what = "pointers in batches of 32, from one thread to one other";
    r.add(ours("stream_spsc push_n, pop_n", spsc_make, spsc_free, spsc_n_produce, spsc_n_consume));
#ifdef HAVE_BOOST
    r.add(rival(
        0, "boost spsc_queue push(p, n), pop(p, n)", [] { return new boost_spsc(BENCH_CAPACITY); },
        destroy<boost_spsc>, boost_spsc_n_produce, boost_spsc_n_consume));
    r.add(rival(
        0, "boost spsc_queue, capacity<1024>, push(p, n), pop(p, n)", [] { return new boost_spsc_fixed; },
        destroy<boost_spsc_fixed>, boost_spsc_fixed_n_produce, boost_spsc_fixed_n_consume));
#endif
    r.measure();
}

/* --- bytes, one producer and one consumer ------------------------------------------------------------ */

static constexpr size_t RING_BYTES = 256 * 1024;

static void *ring_make() {
    stream_ring *q = new stream_ring;
    stream_ring_desc desc = {};
    desc.capacity = RING_BYTES;
    if (stream_ring_init(q, &desc) != STREAM_OK) die("stream_ring_init");
    return q;
}
static void ring_free(void *queue) {
    stream_ring_free(static_cast<stream_ring *>(queue));
    delete static_cast<stream_ring *>(queue);
}

/* A chunk begins with its number; the rest stays what it was. PUT and GET move at most `left` bytes from or
   to `at` and say how many. */
#define BYTE_LOOPS(NAME, TYPE, PUT, GET)                                                                   \
    static void NAME##_produce(void *queue, bench_part *part) {                                            \
        TYPE *q = static_cast<TYPE *>(queue);                                                              \
        for (uint64_t n = part->first, i = 0; i < part->count; i++, n++) {                                 \
            const char *at = part->buffer;                                                                 \
            std::memcpy(part->buffer, &n, sizeof n);                                                       \
            for (size_t left = part->chunk, put; left; left -= put, at += put) {                           \
                unsigned tries = 0;                                                                        \
                while ((put = (PUT)) == 0) bench_idle(&tries);                                             \
            }                                                                                              \
        }                                                                                                  \
    }                                                                                                      \
    static void NAME##_consume(void *queue, bench_part *part) {                                            \
        TYPE *q = static_cast<TYPE *>(queue);                                                              \
        for (uint64_t n, i = 0; i < part->count; i++) {                                                    \
            char *at = part->buffer;                                                                       \
            for (size_t left = part->chunk, got; left; left -= got, at += got) {                           \
                unsigned tries = 0;                                                                        \
                while ((got = (GET)) == 0) bench_idle(&tries);                                             \
            }                                                                                              \
            std::memcpy(&n, part->buffer, sizeof n);                                                       \
            part->sum += n;                                                                                \
        }                                                                                                  \
    }

static size_t ring_put(stream_ring *q, const char *at, size_t left) {
    size_t put;
    return stream_ring_write(q, at, left, &put) == STREAM_OK ? put : 0;
}
static size_t ring_get(stream_ring *q, char *at, size_t left) {
    size_t got;
    return stream_ring_read(q, at, left, &got) == STREAM_OK ? got : 0;
}
BYTE_LOOPS(ring, stream_ring, ring_put(q, at, left), ring_get(q, at, left))

/* The same bytes copied in once, and read where they are: a span of the ring instead of a buffer of one's
   own. So that the reader touches every byte, as one who copies does, it looks for one that is not there.
 */
static void ring_place_produce(void *queue, bench_part *part) {
    stream_ring *q = static_cast<stream_ring *>(queue);
    for (uint64_t n = part->first, i = 0; i < part->count; i++, n++) {
        unsigned tries = 0;
        void *span;
        while (stream_ring_reserve(q, part->chunk, &span) != STREAM_OK) bench_idle(&tries);
        std::memcpy(part->buffer, &n, sizeof n);
        std::memcpy(span, part->buffer, part->chunk);
        stream_ring_commit(q, part->chunk);
    }
}
static void ring_place_consume(void *queue, bench_part *part) {
    stream_ring *q = static_cast<stream_ring *>(queue);
    for (uint64_t n, i = 0; i < part->count;) {
        stream_slice span[2];
        unsigned tries = 0;
        while (stream_ring_peek(q, span) != STREAM_OK) bench_idle(&tries);
        for (int half = 0; half < 2; half++) { /* records: whole in their span */
            for (size_t at = 0; at < span[half].len && i < part->count; at += part->chunk, i++) {
                std::memcpy(&n, span[half].ptr + at, sizeof n);
                if (std::memchr(span[half].ptr + at + sizeof n, '\n', part->chunk - sizeof n))
                    die("a byte too many");
                part->sum += n;
            }
        }
        stream_ring_consume(q, span[0].len + span[1].len);
    }
}

#ifdef HAVE_BOOST
using boost_bytes = boost::lockfree::spsc_queue<char>;
using boost_bytes_fixed = boost::lockfree::spsc_queue<char, boost::lockfree::capacity<RING_BYTES>>;
BYTE_LOOPS(boost_bytes, boost_bytes, q->push(at, left), q->pop(at, left))
BYTE_LOOPS(boost_bytes_fixed, boost_bytes_fixed, q->push(at, left), q->pop(at, left))
#endif
BYTE_LOOPS(pipe_bytes, pipe_case, size_t(std::max<ssize_t>(0, write(q->fd[1], at, left))),
           size_t(std::max<ssize_t>(0, read(q->fd[0], at, left))))

/* What the way from one processor to the other costs in any case: a slot for each chunk, each with a flag,
   a copy in and a copy out. Whole chunks of one size, no counters, nobody's ring. */
struct slots {
    struct alignas(64) flag {
        uint32_t full = 0;
    };
    std::vector<flag> flags;
    std::vector<char> bytes = std::vector<char>(RING_BYTES);
    explicit slots(size_t chunk) : flags(RING_BYTES / chunk) {}
};
static void slots_produce(void *queue, bench_part *part) {
    slots *q = static_cast<slots *>(queue);
    for (uint64_t n = part->first, i = 0; i < part->count; i++, n++) {
        size_t at = size_t(i % q->flags.size());
        unsigned tries = 0;
        while (__atomic_load_n(&q->flags[at].full, __ATOMIC_ACQUIRE)) bench_idle(&tries);
        std::memcpy(part->buffer, &n, sizeof n);
        std::memcpy(q->bytes.data() + at * part->chunk, part->buffer, part->chunk);
        __atomic_store_n(&q->flags[at].full, 1, __ATOMIC_RELEASE);
    }
}
static void slots_consume(void *queue, bench_part *part) {
    slots *q = static_cast<slots *>(queue);
    for (uint64_t n, i = 0; i < part->count; i++) {
        size_t at = size_t(i % q->flags.size());
        unsigned tries = 0;
        while (!__atomic_load_n(&q->flags[at].full, __ATOMIC_ACQUIRE)) bench_idle(&tries);
        std::memcpy(part->buffer, q->bytes.data() + at * part->chunk, part->chunk);
        __atomic_store_n(&q->flags[at].full, 0, __ATOMIC_RELEASE);
        std::memcpy(&n, part->buffer, sizeof n);
        part->sum += n;
    }
}

/* What two copies of a chunk cost in any case: from our buffer to a buffer of both, and from there to
   theirs. No ring, no other thread; each thread of a real ring does one of the two. */
static void copies_alone(void *queue, bench_part *part) {
    char *ring = static_cast<char *>(queue);
    std::vector<char> to(part->chunk);
    size_t at = 0;
    for (uint64_t n = part->first, i = 0, got; i < part->count; i++, n++) {
        std::memcpy(part->buffer, &n, sizeof n);
        std::memcpy(ring + at, part->buffer, part->chunk);
        std::memcpy(to.data(), ring + at, part->chunk);
        at = (at + part->chunk) % RING_BYTES;
        std::memcpy(&got, to.data(), sizeof got);
        part->sum += got;
    }
}

/* One thread: a chunk in, a chunk out. */
template <bench_loop produce, bench_loop consume> static void both(void *queue, bench_part *part) {
    bench_part one = *part;
    for (uint64_t i = 0; i < part->count; i++) {
        one.first = part->first + i;
        one.count = 1;
        one.sum = 0;
        produce(queue, &one);
        consume(queue, &one);
        part->sum += one.sum;
    }
}

static void rows_bytes() {
    for (size_t chunk : {64, 256, 4096, 32768}) {
        for (int alone = 0; alone < 2; alone++) {
            row r;
            r.s.chunk = chunk;
            r.s.alone = alone;
            r.name = text(alone ? "bytes-%zu-alone" : "bytes-%zu", chunk);
            r.what = text("chunks of %zu bytes, %s; cpu and best are ns for each chunk", chunk,
                          alone ? "one thread, a chunk in, a chunk out (judged by cpu)"
                                : "from one thread to one other");
            double asked = alone ? 0 : 1.3;
#define PICK_BYTES(name) alone ? both<name##_produce, name##_consume> : name##_produce, name##_consume
            r.add(ours("stream_ring write, read", ring_make, ring_free, PICK_BYTES(ring)));
            r.add(ours("stream_ring reserve, commit; peek, consume", ring_make, ring_free,
                       PICK_BYTES(ring_place)));
#ifdef HAVE_BOOST
            r.add(rival(
                asked, "boost spsc_queue<char> push(p, n), pop(p, n)",
                [] { return new boost_bytes(RING_BYTES); }, destroy<boost_bytes>, PICK_BYTES(boost_bytes)));
            r.add(rival(
                asked, "boost spsc_queue<char, capacity> push(p, n), pop(p, n)",
                [] { return new boost_bytes_fixed; }, destroy<boost_bytes_fixed>,
                PICK_BYTES(boost_bytes_fixed)));
#endif
            if (alone)
                r.add(rival(
                    0, "two memcpy and nothing else", [] { return new char[RING_BYTES]; },
                    [](void *q) { delete[] static_cast<char *>(q); }, copies_alone, nullptr));
            if (!alone) {
                r.add(rival(
                    asked, "pipe(2), write, read", [] { return pipe_make(int(RING_BYTES)); }, pipe_free,
                    PICK_BYTES(pipe_bytes)));
                r.add(rival(
                    0, "a slot and a flag for each chunk: two memcpy and the way",
                    [chunk] { return new slots(chunk); }, destroy<slots>, slots_produce, slots_consume));
            }
            r.measure();
        }
    }
}

/* --- pointers, any number of threads ----------------------------------------------------------------- */

static void *queue_make() {
    stream_queue *q = new stream_queue;
    stream_queue_desc desc = {};
    desc.capacity = BENCH_CAPACITY;
    if (stream_queue_init(q, &desc) != STREAM_OK) die("stream_queue_init");
    return q;
}
static void queue_free(void *queue) {
    stream_queue_free(static_cast<stream_queue *>(queue));
    delete static_cast<stream_queue *>(queue);
}
BENCH_LOOPS(queue, stream_queue, (void)0, stream_queue_push(q, item, nullptr) == STREAM_OK, (void)0,
            stream_queue_pop(q, &item) == STREAM_OK)
BENCH_BATCH_LOOPS(queue_n, stream_queue, (void)0, stream_queue_push_n(q, items, want), (void)0,
                  stream_queue_pop_n(q, items, want))

#ifdef HAVE_BOOST
using boost_queue = boost::lockfree::queue<void *, boost::lockfree::capacity<BENCH_CAPACITY>>;
BENCH_LOOPS(boost_queue, boost_queue, (void)0, q->push(item), (void)0, q->pop(item))
#endif

#ifdef HAVE_CONCURRENTQUEUE
/* Its blocks hold 32; room for four producers of ours with and without tokens, so that try_enqueue need not
   allocate. */
using moodycamel_queue = moodycamel::ConcurrentQueue<void *>;
using moodycamel_waiting = moodycamel::BlockingConcurrentQueue<void *>;
static void *moodycamel_make() { return new moodycamel_queue(BENCH_CAPACITY, 4, 4); }
static void *moodycamel_waiting_make() { return new moodycamel_waiting(BENCH_CAPACITY, 4, 4); }
BENCH_LOOPS(moodycamel_try, moodycamel_queue, (void)0, q->try_enqueue(item), (void)0, q->try_dequeue(item))
BENCH_LOOPS(moodycamel_try_tokens, moodycamel_queue, moodycamel::ProducerToken in(*q),
            q->try_enqueue(in, item), moodycamel::ConsumerToken out(*q), q->try_dequeue(out, item))
BENCH_LOOPS(moodycamel_grow, moodycamel_queue, (void)0, q->enqueue(item), (void)0, q->try_dequeue(item))
BENCH_LOOPS(moodycamel_grow_tokens, moodycamel_queue, moodycamel::ProducerToken in(*q),
            q->enqueue(in, item), moodycamel::ConsumerToken out(*q), q->try_dequeue(out, item))
BENCH_BATCH_LOOPS(moodycamel_n, moodycamel_queue, moodycamel::ProducerToken in(*q),
                  q->try_enqueue_bulk(in, items, want) ? want : 0, moodycamel::ConsumerToken out(*q),
                  q->try_dequeue_bulk(out, items, want))
BENCH_LOOPS(moodycamel_waiting, moodycamel_waiting, (void)0, q->enqueue(item), (void)0,
            (q->wait_dequeue(item), true))
#endif

static void rows_mpmc() {
    static const struct {
        const char *name;
        size_t producers, consumers;
    } shapes[] = {{"mpmc-1p1c", 1, 1}, {"mpmc-2p2c", 2, 2}, {"mpmc-alone", 1, 1}};
    for (const auto &each : shapes) {
        row r;
        bool alone = r.s.alone = std::string(each.name) == "mpmc-alone";
        r.s.producers = each.producers;
        r.s.consumers = each.consumers;
        r.name = each.name;
        r.what = alone ? "pointers, a queue for many threads used by one, 64 in, 64 out (judged by cpu)"
                       : text("pointers one at a time, %zu producers, %zu consumers", each.producers,
                              each.consumers);
        double asked = alone ? 0 : 1.0;
        r.add(ours("stream_queue push, pop", queue_make, queue_free, PICK(queue)));
#ifdef HAVE_CONCURRENTQUEUE
        r.add(rival(asked, "moodycamel::ConcurrentQueue try_enqueue", moodycamel_make,
                    destroy<moodycamel_queue>, PICK(moodycamel_try)));
        r.add(rival(asked, "moodycamel::ConcurrentQueue try_enqueue, tokens", moodycamel_make,
                    destroy<moodycamel_queue>, PICK(moodycamel_try_tokens)));
        r.add(rival(0, "moodycamel::ConcurrentQueue enqueue (no bound)", moodycamel_make,
                    destroy<moodycamel_queue>, PICK(moodycamel_grow)));
        r.add(rival(0, "moodycamel::ConcurrentQueue enqueue, tokens (no bound)", moodycamel_make,
                    destroy<moodycamel_queue>, PICK(moodycamel_grow_tokens)));
#endif
#ifdef HAVE_CK
        r.add(rival(0, "ck_ring_enqueue_mpmc, dequeue_mpmc", ck_case_make, ck_case_free, PICK(ck_mpmc)));
#endif
#ifdef HAVE_BOOST
        r.add(rival(
            0, "boost queue, capacity<1024>", [] { return new boost_queue; }, destroy<boost_queue>,
            PICK(boost_queue)));
#endif
        if (!alone)
            r.add(
                rival(0, "mutex and two condition variables", locked_make, destroy<locked>, PICK(locked)));
        r.measure();
    }
    row r;
    r.name = "mpmc-32";
    r.what = "pointers in batches of 32, 2 producers, 2 consumers";
    r.s.producers = r.s.consumers = 2;
    r.add(ours("stream_queue push_n, pop_n", queue_make, queue_free, queue_n_produce, queue_n_consume));
#ifdef HAVE_CONCURRENTQUEUE
    r.add(rival(0, "moodycamel::ConcurrentQueue try_enqueue_bulk, tokens", moodycamel_make,
                destroy<moodycamel_queue>, moodycamel_n_produce, moodycamel_n_consume));
#endif
    r.measure();
}

/* --- those that wait --------------------------------------------------------------------------------- */

static void *channel_make() {
    stream_channel *q = new stream_channel;
    stream_channel_desc desc = {};
    desc.queue.capacity = BENCH_CAPACITY;
    desc.wake_fd = true;
    if (stream_channel_init(q, &desc) != STREAM_OK) die("stream_channel_init");
    return q;
}
static void channel_free(void *queue) {
    stream_channel_free(static_cast<stream_channel *>(queue));
    delete static_cast<stream_channel *>(queue);
}
static size_t channel_send_n(stream_channel *q, void **items, size_t want) {
    size_t sent;
    stream_channel_send_n(q, items, want, STREAM_FOREVER, &sent);
    return sent;
}
static size_t channel_recv_n(stream_channel *q, void **items, size_t want) {
    size_t got;
    stream_channel_recv_n(q, items, want, STREAM_FOREVER, &got);
    return got;
}
BENCH_LOOPS(channel, stream_channel, (void)0, stream_channel_send(q, item, STREAM_FOREVER) == STREAM_OK,
            (void)0, stream_channel_recv(q, &item, STREAM_FOREVER) == STREAM_OK)
BENCH_BATCH_LOOPS(channel_n, stream_channel, (void)0, channel_send_n(q, items, want), (void)0,
                  channel_recv_n(q, items, want))

static void rows_channel() {
    for (size_t n = 1; n <= 2; n++) {
        row r;
        r.s.producers = r.s.consumers = n;
        r.name = text("channel-%zup%zuc", n, n);
        r.what = text(
            "pointers one at a time, %zu producers, %zu consumers, who sleep when there is nothing to do",
            n, n);
        r.add(ours("stream_channel send, recv", channel_make, channel_free, channel_produce,
                   channel_consume));
        r.add(ours("stream_channel send_n, recv_n, 32 at a time", channel_make, channel_free,
                   channel_n_produce, channel_n_consume));
#ifdef HAVE_READERWRITERQUEUE
        if (n == 1)
            r.add(rival(
                0, "moodycamel::BlockingReaderWriterCircularBuffer",
                [] { return new moodycamel_circular(BENCH_CAPACITY); }, destroy<moodycamel_circular>,
                moodycamel_circular_wait_produce, moodycamel_circular_wait_consume));
#endif
#ifdef HAVE_CONCURRENTQUEUE
        r.add(rival(0, "moodycamel::BlockingConcurrentQueue (no bound)", moodycamel_waiting_make,
                    destroy<moodycamel_waiting>, moodycamel_waiting_produce, moodycamel_waiting_consume));
#endif
        r.add(rival(0, "mutex and two condition variables", locked_make, destroy<locked>, locked_produce,
                    locked_consume));
        r.add(rival(
            0, "pipe(2)", [] { return pipe_make(65536); }, pipe_free, pipe_produce, pipe_consume));
        r.measure();
    }
}

/* --- there and back: latency ------------------------------------------------------------------------- */

struct ping {
    std::string name;
    bool ours;
    double asked;
    std::function<void *()> make;
    std::function<void(void *)> free;
    std::function<void(void *, void *)> send;
    std::function<void *(void *)> recv;
    void *there, *back;
    std::vector<uint64_t> took;
    std::vector<double> medians;
    uint64_t cpu, calls;
};

static void ping_turn(ping &p, size_t count) {
    uint64_t cpu[2], calls = __atomic_load_n(&bench_calls, __ATOMIC_RELAXED);
    std::vector<uint64_t> took(count);
    std::thread other([&] {
        bind_to(1);
        uint64_t begun = thread_cpu_ns();
        for (size_t i = 0; i < count; i++) p.send(p.back, p.recv(p.there));
        cpu[1] = thread_cpu_ns() - begun;
    });
    std::thread one([&] {
        bind_to(0);
        uint64_t begun = thread_cpu_ns();
        for (size_t i = 0; i < count; i++) {
            uint64_t start = now_ns();
            void *item = reinterpret_cast<void *>(uintptr_t(i + 1));
            p.send(p.there, item);
            if (p.recv(p.back) != item) die("%s: what came back is not what was sent", p.name.c_str());
            took[i] = now_ns() - start;
        }
        cpu[0] = thread_cpu_ns() - begun;
    });
    one.join();
    other.join();
    p.cpu += cpu[0] + cpu[1];
    p.calls += __atomic_load_n(&bench_calls, __ATOMIC_RELAXED) - calls;
    p.took.insert(p.took.end(), took.begin(), took.end());
    std::nth_element(took.begin(), took.begin() + ptrdiff_t(count / 2), took.end());
    p.medians.push_back(double(took[count / 2]));
}

static void ping_row(const char *name, const char *what, std::vector<ping> all) {
    if (std::getenv("ONLY") || !listed("ROWS", name)) return;
    for (ping &p : all) {
        p.there = p.make();
        p.back = p.make();
        ping_turn(p, 200);
        p.took.clear();
        p.medians.clear();
        p.cpu = p.calls = 0;
    }
    for (size_t r = 0; r < rounds; r++)
        for (ping &p : all) ping_turn(p, 100 * turn_ms);
    std::printf(
        "\n%s: %s\n\n| who %-58s | p50 us | p99 us | p99.9 us | cpu us | calls | ratio | asked | met |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|---|\n",
        name, what, "");
    for (ping &p : all) {
        std::vector<double> ratios;
        std::string asked, met;
        double count = double(p.took.size());
        std::sort(p.took.begin(), p.took.end());
        auto at = [&](double part) {
            return double(p.took[size_t(double(p.took.size() - 1) * part)]) / 1000;
        };
        for (size_t r = 0; r < rounds; r++) ratios.push_back(p.medians[r] / all[0].medians[r]);
        double ratio = median(ratios);
        if (p.asked > 0) {
            asked_all++;
            met_all += ratio >= p.asked;
            asked = text("%.1f", p.asked);
            met = ratio >= p.asked ? "yes" : "NO";
        }
        std::printf("| %-62s | %6.2f | %6.2f | %8.2f | %6.2f | %5s | %5.2f | %5s | %-3s |\n",
                    p.name.c_str(), at(0.5), at(0.99), at(0.999), double(p.cpu) / count / 1000,
                    p.ours ? text("%.2f", double(p.calls) / count).c_str() : "", ratio, asked.c_str(),
                    met.c_str());
        p.free(p.there);
        p.free(p.back);
    }
    std::fflush(stdout);
}

static void wait_readable(int fd) {
    pollfd p = {fd, POLLIN, 0};
    while (poll(&p, 1, -1) != 1) {
    }
}
static void pipe_send(void *q, void *item) {
    if (write(static_cast<pipe_case *>(q)->fd[1], &item, sizeof item) != sizeof item) die("write");
}
static void *pipe_recv(void *q) {
    void *item;
    if (read(static_cast<pipe_case *>(q)->fd[0], &item, sizeof item) != sizeof item) die("read");
    return item;
}
static void channel_ping(void *q, void *item) {
    stream_channel_send(static_cast<stream_channel *>(q), item, STREAM_FOREVER);
}

static void rows_ping() {
    std::vector<ping> all;
    auto add = [&](bool is_ours, double asked, const char *name, std::function<void *()> make,
                   std::function<void(void *)> free, std::function<void(void *, void *)> send,
                   std::function<void *(void *)> recv) {
        all.push_back({name, is_ours, asked, make, free, send, recv, nullptr, nullptr, {}, {}, 0, 0});
    };
    auto new_pipe = [] { return pipe_make(65536); };
    auto pipe_poll = [](void *q) {
        wait_readable(static_cast<pipe_case *>(q)->fd[0]);
        return pipe_recv(q);
    };
    add(true, 0, "stream_channel send, recv", channel_make, channel_free, channel_ping, [](void *q) {
        void *item = nullptr;
        stream_channel_recv(static_cast<stream_channel *>(q), &item, STREAM_FOREVER);
        return item;
    });
    add(false, 1.0, "pipe(2), write, poll, read", new_pipe, pipe_free, pipe_send, pipe_poll);
    add(false, 0, "pipe(2), write, read", new_pipe, pipe_free, pipe_send, pipe_recv);
    add(
        false, 0, "mutex and condition variables", locked_make, destroy<locked>,
        [](void *q, void *item) { static_cast<locked *>(q)->push(item); },
        [](void *q) {
            void *item = nullptr;
            static_cast<locked *>(q)->pop(&item);
            return item;
        });
#ifdef HAVE_READERWRITERQUEUE
    add(
        false, 0, "moodycamel::BlockingReaderWriterCircularBuffer (spins)",
        [] { return new moodycamel_circular(BENCH_CAPACITY); }, destroy<moodycamel_circular>,
        [](void *q, void *item) { static_cast<moodycamel_circular *>(q)->wait_enqueue(item); },
        [](void *q) {
            void *item = nullptr;
            static_cast<moodycamel_circular *>(q)->wait_dequeue(item);
            return item;
        });
#endif
    ping_row("wake", "there and back, each side asleep until the other wakes it; cpu is of both", all);

    all.clear();
    add(true, 0, "stream_channel send, arm and poll, try_recv", channel_make, channel_free, channel_ping,
        [](void *q) {
            stream_channel *ch = static_cast<stream_channel *>(q);
            void *item = nullptr;
            while (stream_channel_try_recv(ch, &item) != STREAM_OK)
                if (stream_channel_arm(ch) == STREAM_EMPTY) wait_readable(stream_channel_fd(ch));
            return item;
        });
    add(false, 1.0, "pipe(2), write, poll, read", new_pipe, pipe_free, pipe_send, pipe_poll);
    ping_row("wake-loop", "there and back between two event loops", all);

    all.clear();
    add(
        true, 0, "stream_spsc push, pop", spsc_make, spsc_free,
        [](void *q, void *item) { stream_spsc_push(static_cast<stream_spsc *>(q), item); },
        [](void *q) {
            void *item = nullptr;
            for (unsigned tries = 0; stream_spsc_pop(static_cast<stream_spsc *>(q), &item) != STREAM_OK;)
                bench_idle(&tries);
            return item;
        });
    add(
        true, 0, "stream_queue push, pop", queue_make, queue_free,
        [](void *q, void *item) { stream_queue_push(static_cast<stream_queue *>(q), item, nullptr); },
        [](void *q) {
            void *item = nullptr;
            for (unsigned tries = 0; stream_queue_pop(static_cast<stream_queue *>(q), &item) != STREAM_OK;)
                bench_idle(&tries);
            return item;
        });
#ifdef HAVE_READERWRITERQUEUE
    add(
        false, 0, "moodycamel::ReaderWriterQueue", [] { return new moodycamel_spsc(BENCH_CAPACITY); },
        destroy<moodycamel_spsc>,
        [](void *q, void *item) { static_cast<moodycamel_spsc *>(q)->try_enqueue(item); },
        [](void *q) {
            void *item = nullptr;
            for (unsigned tries = 0; !static_cast<moodycamel_spsc *>(q)->try_dequeue(item);)
                bench_idle(&tries);
            return item;
        });
#endif
#ifdef HAVE_BOOST
    add(
        false, 0, "boost spsc_queue", [] { return new boost_spsc(BENCH_CAPACITY); }, destroy<boost_spsc>,
        [](void *q, void *item) { static_cast<boost_spsc *>(q)->push(item); },
        [](void *q) {
            void *item = nullptr;
            for (unsigned tries = 0; !static_cast<boost_spsc *>(q)->pop(item);) bench_idle(&tries);
            return item;
        });
#endif
    ping_row("spin", "there and back, each side looking all the time", all);
}

/* --- one to many ------------------------------------------------------------------------------------- */

static constexpr size_t MOST_READERS = 3;

/* Every reader is held on to: nobody loses anything, as with the rivals. */
struct cast_case {
    stream_broadcast cast = {};
    stream_broadcast_reader reader[MOST_READERS] = {};
    explicit cast_case(size_t readers) {
        stream_broadcast_desc desc = {};
        desc.max_items = BENCH_CAPACITY;
        desc.max_bytes = RING_BYTES;
        desc.max_held = readers;
        if (stream_broadcast_init(&cast, &desc) != STREAM_OK) die("stream_broadcast_init");
        for (size_t i = 0; i < readers; i++) {
            stream_broadcast_join(&cast, &reader[i], STREAM_OVERRUN_OLDEST);
            if (stream_broadcast_hold(&reader[i]) != STREAM_OK) die("stream_broadcast_hold");
        }
    }
    ~cast_case() { stream_broadcast_free(&cast); }
    bool put(const char *data, size_t len) { return stream_broadcast_write(&cast, data, len) == STREAM_OK; }
    bool get(size_t id, char *data, size_t len) {
        return stream_broadcast_read(&reader[id], data, len, &len) == STREAM_OK;
    }
};

/* A ring for each reader, and the writer copies into each of them; Ring says put(data, len) and get(data,
   len), whole chunks. */
template <class Ring> struct fan_case {
    std::vector<std::unique_ptr<Ring>> ring;
    size_t next = 0;
    explicit fan_case(size_t readers) {
        for (size_t i = 0; i < readers; i++) ring.emplace_back(new Ring);
    }
    bool put(const char *data, size_t len) {
        for (; next < ring.size(); next++)
            if (!ring[next]->put(data, len)) return false;
        next = 0;
        return true;
    }
    bool get(size_t id, char *data, size_t len) { return ring[id]->get(data, len); }
};
struct fan_stream {
    stream_ring *q = static_cast<stream_ring *>(ring_make());
    ~fan_stream() { ring_free(q); }
    bool put(const char *data, size_t len) {
        void *span;
        if (stream_ring_reserve(q, len, &span) != STREAM_OK) return false;
        std::memcpy(span, data, len);
        return stream_ring_commit(q, len) == STREAM_OK;
    }
    bool get(char *data, size_t len) { return ring_get(q, data, len) == len; }
};
struct fan_pipe {
    pipe_case *q = static_cast<pipe_case *>(pipe_make(int(RING_BYTES)));
    ~fan_pipe() { pipe_free(q); }
    bool put(const char *data, size_t len) { return write(q->fd[1], data, len) == ssize_t(len); }
    bool get(char *data, size_t len) { return read(q->fd[0], data, len) == ssize_t(len); }
};
#ifdef HAVE_BOOST
struct fan_boost {
    boost_bytes_fixed q;
    bool put(const char *data, size_t len) {
        return q.write_available() >= len && q.push(data, len) == len;
    }
    bool get(char *data, size_t len) { return q.read_available() >= len && q.pop(data, len) == len; }
};
#endif

template <class T> static void fan_produce(void *queue, bench_part *part) {
    T *q = static_cast<T *>(queue);
    for (uint64_t n = part->first, i = 0; i < part->count; i++, n++) {
        unsigned tries = 0;
        std::memcpy(part->buffer, &n, sizeof n);
        while (!q->put(part->buffer, part->chunk)) bench_idle(&tries);
    }
}
template <class T> static void fan_consume(void *queue, bench_part *part) {
    T *q = static_cast<T *>(queue);
    for (uint64_t n, i = 0; i < part->count; i++) {
        unsigned tries = 0;
        while (!q->get(part->id, part->buffer, part->chunk)) bench_idle(&tries);
        std::memcpy(&n, part->buffer, sizeof n);
        part->sum += n;
    }
}

static void rows_broadcast() {
    for (size_t chunk : {64, 1024}) {
        for (size_t readers = 1; readers <= MOST_READERS; readers += 2) {
            row r;
            r.s.consumers = readers;
            r.s.everyone = true;
            r.s.chunk = chunk;
            r.name = text("broadcast-%zu-%zur", chunk, readers);
            r.what = text(
                "items of %zu bytes, one writer, %zu reader%s, every one gets all; cpu and best are ns for "
                "each item",
                chunk, readers, readers == 1 ? "" : "s");
#define FAN(T) [readers] { return new T(readers); }, destroy<T>, fan_produce<T>, fan_consume<T>
            r.add(ours("stream_broadcast write, read, all held on to", FAN(cast_case)));
            r.add(ours("a stream_ring for each reader", FAN(fan_case<fan_stream>)));
#ifdef HAVE_BOOST
            r.add(rival(0, "a boost spsc_queue<char, capacity> for each reader", FAN(fan_case<fan_boost>)));
#endif
            r.add(rival(0, "a pipe(2) for each reader", FAN(fan_case<fan_pipe>)));
            r.measure();
        }
    }
}

int main() {
    rounds = env_size("ROUNDS", 15);
    turn_ms = env_size("TIME", 10);
    std::printf(
        "%u processors; median of %zu rounds of %zu ms. A ratio says how many times as long as the row's\n"
        "first line a line takes.\n",
        std::thread::hardware_concurrency(), rounds, turn_ms);
    rows_spsc();
    rows_bytes();
    rows_mpmc();
    rows_channel();
    rows_ping();
    rows_broadcast();
    if (std::getenv("ONLY")) die("there is no such row");
    std::printf("\n%u of %u figures asked for are reached.\n", met_all, asked_all);
    return 0;
}
#endif
