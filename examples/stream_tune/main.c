/* SPDX-License-Identifier: MIT-0
   Which read size, and with a pool or without: measured with your own data. Replays a recording, or what a
   command says once, through a pipe and the pipeline with every setting in turn, and says which is the smallest
   that costs no more than a twentieth above the cheapest.
   Try:   build/stream_tune --env tune.env -- claude -p "hello" --output-format stream-json --verbose */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#define STREAM_POOL_IMPLEMENTATION
#include "stream_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIZES = 6, SETTINGS = 2 * SIZES, MOST_ROUNDS = 51 };

typedef struct measured {
    size_t size;
    bool pooled;
    double cpu[MOST_ROUNDS], wall[MOST_ROUNDS]; /* seconds a GB of data */
    double reads;                               /* a MB of data */
    stream_histogram latency;                   /* from a read to the end of the records in it */
    uint64_t records, lost;
} measured;

static struct {
    const char *json, *env;
    int rounds;
    size_t most; /* bytes of a command's output that are kept */
} opt = {NULL, NULL, 7, (size_t)64 << 20};

static void die(const char *what) {
    fprintf(stderr, "stream_tune: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void usage(int status) {
    fputs("usage: stream_tune [options] FILE | -- command [args]\n"
          "  FILE            a recording of what is to be read; - is standard input\n"
          "  -- command      run once; what it writes to its standard output is what is replayed\n"
          "  --rounds N      how often each setting is measured, 1 to 51 (7)\n"
          "  --max BYTES     how much of the data is kept for it (67108864)\n"
          "  --json FILE     every figure, as JSON\n"
          "  --env FILE      the recommendation as STREAM_* settings, one a line\n"
          "  --help\n",
          status ? stderr : stdout);
    exit(status);
}

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the data ----------------------------------------------------------------------------------------- */

static char *data;
static size_t data_len;

static void take_data(int fd) {
    ssize_t n = 1;
    data = (char *)malloc(opt.most);
    if (!data) die("memory for the data");
    while (data_len < opt.most && n > 0) {
        n = read(fd, data + data_len, opt.most - data_len);
        if (n < 0 && errno == EINTR) n = 1;
        else if (n < 0) die("reading the data");
        else data_len += (size_t)n;
    }
}

static void run_command(char **argv) {
    int ends[2], status;
    pid_t child;
    if (pipe(ends) != 0) die("pipe");
    if ((child = fork()) < 0) die("fork");
    if (child == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execvp(argv[0], argv);
        fprintf(stderr, "stream_tune: %s: %s\n", argv[0], strerror(errno));
        _exit(errno == ENOENT ? 127 : 126);
    }
    close(ends[1]);
    take_data(ends[0]);
    close(ends[0]); /* what is above --max is not waited for */
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (data_len == 0 && WIFEXITED(status) && WEXITSTATUS(status)) exit(WEXITSTATUS(status));
}

/* ---- one setting -------------------------------------------------------------------------------------- */

static void replay(measured *m, int round) {
    stream_pool pool;
    stream_json json;
    stream_pipeline pipeline;
    stream_pipeline_desc desc;
    stream_item item;
    stream_status st;
    uint64_t cpu, wall, read_ns = 0, reads = 0;
    int ends[2];
    pid_t writer;
    if (pipe(ends) != 0) die("pipe");
#if defined(F_SETPIPE_SZ)
    (void)fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
#endif
    if ((writer = fork()) < 0) die("fork");
    if (writer == 0) {
        size_t at = 0;
        close(ends[0]);
        while (at < data_len) {
            ssize_t n = write(ends[1], data + at, data_len - at);
            if (n > 0) at += (size_t)n;
            else if (errno != EINTR) _exit(1);
        }
        _exit(0);
    }
    close(ends[1]);
    memset(&desc, 0, sizeof desc);
    if (stream_json_init(&json, NULL) != STREAM_OK || stream_pool_init(&pool, NULL) != STREAM_OK) exit(1);
    desc.source = stream_source_fd(ends[0]);
    desc.decoder = stream_json_decoder(&json);
    desc.buffer_len = m->size;
    if (m->pooled) desc.buffers = stream_pool_buffers(&pool);
    if (stream_pipeline_init(&pipeline, &desc) != STREAM_OK) exit(1);
    cpu = cpu_ns();
    wall = stream_now_ns();
    while ((st = stream_pipeline_next(&pipeline, &item)) != STREAM_END) {
        const uint64_t now = stream_now_ns();
        if (pipeline.reads != reads) read_ns = now; /* the first record of a read */
        else stream_histogram_add(&m->latency, now - read_ns);
        reads = pipeline.reads;
        m->records += st == STREAM_OK;
        m->lost += st < 0;
    }
    m->cpu[round] = (double)(cpu_ns() - cpu) / (double)data_len;
    m->wall[round] = (double)(stream_now_ns() - wall) / (double)data_len;
    m->reads = (double)pipeline.reads * 1e6 / (double)data_len;
    stream_pipeline_free(&pipeline);
    stream_json_free(&json);
    stream_pool_free(&pool);
    close(ends[0]);
    while (waitpid(writer, NULL, 0) < 0 && errno == EINTR) continue;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *values) {
    qsort(values, (size_t)opt.rounds, sizeof *values, by_value);
    return values[opt.rounds / 2];
}

/* ---- what comes of it --------------------------------------------------------------------------------- */

static void write_json(const measured *all, const measured *best) {
    FILE *f = fopen(opt.json, "w");
    size_t i;
    if (!f) die(opt.json);
    fprintf(f, "{\"bytes\":%zu,\"rounds\":%d,\"read_size\":%zu,\"pool\":%s,\"settings\":[", data_len,
            opt.rounds, best->size, best->pooled ? "true" : "false");
    for (i = 0; i < SETTINGS; i++)
        fprintf(f, "%s{\"read_size\":%zu,\"pool\":%s,\"cpu_s_per_gb\":%.6f,\"wall_s_per_gb\":%.6f,"
                   "\"reads_per_mb\":%.2f,\"p99_ns\":%llu}",
                i ? "," : "", all[i].size, all[i].pooled ? "true" : "false", all[i].cpu[opt.rounds / 2],
                all[i].wall[opt.rounds / 2], all[i].reads,
                (unsigned long long)stream_histogram_quantile_ns(&all[i].latency, 990));
    fputs("]}\n", f);
    if (fclose(f) != 0) die(opt.json);
}

static void write_env(const measured *best) {
    FILE *f = fopen(opt.env, "w");
    if (!f) die(opt.env);
    fprintf(f, "STREAM_RESPONSE_CHUNK_SIZE=%zu\nSTREAM_BUFFER_POOL_ENABLED=%d\n", best->size, best->pooled);
    if (fclose(f) != 0) die(opt.env);
}

static size_t number(const char *option, const char *text, size_t least, size_t most) {
    char *end = NULL;
    unsigned long long n = text ? strtoull(text, &end, 10) : 0;
    if (!text || *text < '0' || *text > '9' || *end || n < least || n > most) {
        fprintf(stderr, "stream_tune: %s takes a number from %zu to %zu\n", option, least, most);
        exit(2);
    }
    return (size_t)n;
}

int main(int argc, char **argv) {
    static measured all[SETTINGS];
    const measured *best = NULL;
    double cheapest = 0;
    size_t s;
    int i, round;
    for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1] == '-' && argv[i][2]; i++) {
        const char *option = argv[i];
        if (strcmp(option, "--help") == 0) usage(0);
        else if (strcmp(option, "--rounds") == 0) opt.rounds = (int)number(option, argv[++i], 1, MOST_ROUNDS);
        else if (strcmp(option, "--max") == 0) opt.most = number(option, argv[++i], 1, SIZE_MAX / 2);
        else if (strcmp(option, "--json") == 0 && argv[i + 1]) opt.json = argv[++i];
        else if (strcmp(option, "--env") == 0 && argv[i + 1]) opt.env = argv[++i];
        else {
            fprintf(stderr, "stream_tune: %s: no such option, or nothing behind it\n", option);
            return 2;
        }
    }
    if (i >= argc) usage(2);
    if (strcmp(argv[i], "--") == 0) {
        if (!argv[i + 1]) usage(2);
        run_command(argv + i + 1);
    } else {
        int fd = strcmp(argv[i], "-") == 0 ? 0 : open(argv[i], O_RDONLY);
        if (fd < 0) die(argv[i]);
        take_data(fd);
    }
    if (data_len == 0) {
        fputs("stream_tune: no data, nothing to measure\n", stderr);
        return 1;
    }
    for (s = 0; s < SETTINGS; s++) {
        all[s].size = (size_t)4096 << s / 2;
        all[s].pooled = s % 2;
    }
    for (round = 0; round < opt.rounds; round++) /* in turn, so that all see the same machine */
        for (s = 0; s < SETTINGS; s++) replay(&all[s], round);

    printf("%zu bytes, %llu records, medians of %d rounds\n\n"
           "| read size | pool | cpu s/GB |  MB/s | reads/MB | p99 in a read, us |\n|--:|---|--:|--:|--:|--:|\n",
           data_len, (unsigned long long)(all[0].records / (uint64_t)opt.rounds), opt.rounds);
    for (s = 0; s < SETTINGS; s++) {
        const double cpu = median(all[s].cpu), wall = median(all[s].wall);
        printf("| %9zu | %-4s | %8.3f | %5.0f | %8.1f | %17.1f |\n", all[s].size, all[s].pooled ? "on" : "off",
               cpu, wall > 0 ? 1000 / wall : 0, all[s].reads,
               (double)stream_histogram_quantile_ns(&all[s].latency, 990) / 1000);
        if (s == 0 || cpu < cheapest) cheapest = cpu;
    }
    for (s = 0; s < SETTINGS && !best; s++)
        if (all[s].cpu[opt.rounds / 2] <= cheapest * 1.05) best = &all[s];
    if (!best) return 1;
    printf("\nRead %zu bytes at a time, pool %s: %.3f s of processor a GB, at most 5 %% above the cheapest (%.3f),"
           " with the smallest buffer that is.\n",
           best->size, best->pooled ? "on" : "off", best->cpu[opt.rounds / 2], cheapest);
    if (all[0].lost) printf("%llu records were cut or too large for the defaults.\n",
                            (unsigned long long)(all[0].lost / (uint64_t)opt.rounds));
    if (opt.json) write_json(all, best);
    if (opt.env) write_env(best);
    free(data);
    return 0;
}
