/* SPDX-License-Identifier: MIT-0
   Fuzz target: the input is a list of calls on a broadcast and three of its readers, by one thread, beside
   a plain list of all items there ever were. The first four bytes choose the limits, how many readers can
   be held on to, what a reader does that fell behind, and the number of the first item, which may be
   shortly before the last number there is. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "fuzz_split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { MOST = 1 << 10, READERS = 3, LONGEST = 255 };

typedef struct reader {
    int64_t next; /* numbers here begin at 0 */
    uint64_t offset, gap_items, gap_bytes, lost_items, lost_bytes;
    bool known, held;
    stream_overrun overrun;
} reader;

/* All items: the lengths, and how many bytes come before each. */
typedef struct model {
    size_t len[MOST];
    uint64_t before[MOST + 1];
    int64_t oldest, next;
    size_t max_items, max_words, max_held;
    bool closed;
    reader r[READERS];
} model;

static unsigned char byte_of(int64_t number, size_t i) {
    return (unsigned char)(number * 37 + (int64_t)i * 11);
}

/* Room for one more by letting the oldest go, as write does: OK, FULL when somebody holds on, E_TOO_LONG. */
static stream_status make_room(model *m, size_t words) {
    const int64_t was = m->oldest;
    size_t kept = 0, i;
    int64_t n;
    if (words > m->max_words) return STREAM_E_TOO_LONG;
    for (n = m->oldest; n < m->next; n++) kept += (m->len[n] + 7) / 8;
    while ((size_t)(m->next - m->oldest) >= m->max_items || kept + words > m->max_words) {
        for (i = 0; i < READERS; i++) {
            if (!m->r[i].held || m->r[i].next != m->oldest) continue;
            m->oldest = was; /* nothing has happened */
            return STREAM_FULL;
        }
        kept -= (m->len[m->oldest++] + 7) / 8;
    }
    return STREAM_OK;
}

static void go_on(model *m, reader *r, int64_t number) {
    r->gap_items = (uint64_t)(number - r->next);
    r->gap_bytes = r->known ? m->before[number] - r->offset : 0;
    r->lost_items += r->gap_items;
    r->lost_bytes += r->gap_bytes;
    r->next = number;
    r->offset = m->before[number];
    r->known = true;
}

static void same_reader(const model *m, const reader *r, const stream_broadcast_reader *is, uint64_t start) {
    uint64_t items, bytes;
    FUZZ_CHECK(is->next == start + (uint64_t)r->next);
    FUZZ_CHECK(is->gap_items == r->gap_items && is->gap_bytes == r->gap_bytes);
    FUZZ_CHECK(is->lost_items == r->lost_items && is->lost_bytes == r->lost_bytes);
    stream_broadcast_lag(is, &items, &bytes);
    FUZZ_CHECK(items == (uint64_t)(m->next - r->next));
    FUZZ_CHECK(bytes == (r->known ? m->before[m->next] - r->offset : 0));
}

static void read_one(model *m, reader *r, stream_broadcast_reader *is, size_t cap) {
    static char text[LONGEST];
    char *to = lend(text, cap); /* not a byte behind it is written */
    size_t len = 1, i;
    const stream_status status = stream_broadcast_read(is, to, cap, &len);
    if (r->next == m->next) {
        FUZZ_CHECK(status == (m->closed ? STREAM_END : STREAM_EMPTY) && len == 0);
    } else if (r->next < m->oldest) {
        FUZZ_CHECK(status == STREAM_LOST && len == 0);
        go_on(m, r, r->overrun == STREAM_OVERRUN_NEWEST && m->next > m->oldest ? m->next - 1 : m->oldest);
    } else {
        FUZZ_CHECK(len == m->len[r->next] && status == (len <= cap ? STREAM_OK : STREAM_FULL));
        if (status == STREAM_OK) {
            for (i = 0; i < len; i++) FUZZ_CHECK((unsigned char)to[i] == byte_of(r->next, i));
            r->next++;
            r->offset = m->before[r->next];
            r->known = true;
        }
    }
    take_back(to, cap);
}

static void seek(model *m, reader *r, stream_broadcast_reader *is, int64_t number, uint64_t start) {
    const stream_status status = stream_broadcast_seek(is, start + (uint64_t)number);
    if (number > m->next) {
        FUZZ_CHECK(status == STREAM_E_RANGE);
    } else if (r->held && number < r->next) {
        FUZZ_CHECK(status == STREAM_E_STATE);
    } else {
        FUZZ_CHECK(status == (number >= m->oldest ? STREAM_OK : STREAM_LOST));
        r->next = number;
        r->known = status == STREAM_OK;
        r->offset = r->known ? m->before[number] : 0;
    }
}

static void hold(model *m, reader *r, stream_broadcast_reader *is) {
    size_t others = 0, i;
    for (i = 0; i < READERS; i++) others += m->r[i].held;
    if (!r->held && others == m->max_held) {
        FUZZ_CHECK(stream_broadcast_hold(is) == STREAM_FULL);
        return;
    }
    FUZZ_CHECK(stream_broadcast_hold(is) == STREAM_OK);
    if (r->next < m->oldest) go_on(m, r, m->oldest);
    r->held = true;
}

static void run(const uint8_t *p, const uint8_t *e, const stream_broadcast_desc *desc, uint8_t overrun) {
    static model m;
    stream_broadcast cast;
    stream_broadcast_reader is[READERS];
    const uint64_t start = desc->start;
    uint64_t oldest, next;
    char text[LONGEST];
    size_t i;
    memset(&m, 0, sizeof m);
    m.max_items = desc->max_items;
    m.max_words = (desc->max_bytes + 7) / 8;
    m.max_held = desc->max_held;
    FUZZ_CHECK(stream_broadcast_init(&cast, desc) == STREAM_OK);
    for (i = 0; i < READERS; i++) {
        m.r[i].known = true;
        m.r[i].overrun = (stream_overrun)(overrun >> i & 1);
        stream_broadcast_join(&cast, &is[i], m.r[i].overrun);
    }
    for (; e - p >= 2 && m.next < MOST - 1; p += 2) {
        const size_t n = p[1];
        const unsigned who = p[0] / 16 % READERS;
        reader *r = &m.r[who];
        stream_status status;
        switch (p[0] % 16) {
        case 0:
        case 1:
        case 2:
        case 3:
            for (i = 0; i < n; i++) text[i] = (char)byte_of(m.next, i);
            status = m.closed ? STREAM_E_STATE : make_room(&m, (n + 7) / 8);
            FUZZ_CHECK(stream_broadcast_write(&cast, text, n) == status);
            if (status != STREAM_OK) break;
            m.len[m.next] = n;
            m.before[m.next + 1] = m.before[m.next] + n;
            m.next++;
            break;
        case 4:
        case 5:
        case 6:
        case 7:
        case 8:
            read_one(&m, r, &is[who], n);
            break;
        case 9:
            seek(&m, r, &is[who], m.next + 4 - (int64_t)(n % 32), start);
            break;
        case 10:
            hold(&m, r, &is[who]);
            break;
        case 11:
            stream_broadcast_let_go(&is[who]);
            r->held = false;
            break;
        case 12: /* a reader joins in another's place */
            stream_broadcast_let_go(&is[who]);
            memset(r, 0, sizeof *r);
            r->next = m.next;
            r->offset = m.before[m.next];
            r->known = true;
            r->overrun = (stream_overrun)(n % 2);
            stream_broadcast_join(&cast, &is[who], r->overrun);
            break;
        case 13:
            if (n < 240) break; /* not too soon */
            stream_broadcast_close(&cast);
            m.closed = true;
            break;
        default:
            stream_broadcast_range(&cast, &oldest, &next);
            FUZZ_CHECK(oldest == start + (uint64_t)m.oldest && next == start + (uint64_t)m.next);
        }
        for (i = 0; i < READERS; i++) {
            same_reader(&m, &m.r[i], &is[i], start);
            if (m.r[i].held) FUZZ_CHECK(m.r[i].next >= m.oldest);
        }
    }
    stream_broadcast_free(&cast);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    stream_broadcast_desc desc;
    heap h;
    size_t need;
    void *memory;
    if (len < 4) return 0;
    memset(&desc, 0, sizeof desc);
    desc.max_items = 1 + data[0] % 20;
    desc.max_bytes = 1 + data[1];
    desc.max_held = data[2] % 4;
    desc.start = data[2] & 4 ? 0 - (uint64_t)data[3] : data[2] & 8 ? (UINT64_C(1) << 63) - data[3] : data[3];
    desc.allocator = fuzz_memory(&h, 0);
    need = stream_broadcast_memory(&desc);
    run(data + 4, data + len, &desc, data[2] >> 4);
    fuzz_memory_done(&h, need);
    memory = malloc(need);
    if (!memory) exit(1);
    desc.memory = memory;
    run(data + 4, data + len, &desc, data[2] >> 4);
    fuzz_memory_done(&h, need);
    free(memory);
    return 0;
}
