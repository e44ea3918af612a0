/* SPDX-License-Identifier: MIT-0
   Tests of the numbers of stream_json.h: reading doubles against the C library's strtod, printing them
   against its printf (what is printed reads back, nothing shorter does, nothing as short is nearer), both
   over random bit patterns and the cases that are known to be hard.

   Every text is read from where an unreadable page follows its last byte. And every text is read twice: by
   the way a caller goes, and by the big integers alone, which must come to the same double from the doubles
   on both sides of it. What the ways met is counted, and the last case fails when one was never gone.

   Environment: TEST_SEED (another random run), TEST_SCALE (percent of the random numbers; 100 are ten
   million doubles, under sanitizers 5). `test_numbers dump N` prints N doubles, bits and text, for another
   judge: tests/numbers.mjs. */
#if defined(__linux__)
#define _GNU_SOURCE 1
#include <sys/mman.h>
#include <unistd.h>
#endif
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#define TEST_SANITIZED_PERCENT 5
#include "test.h"

static double double_of(uint64_t bits) {
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static uint64_t bits_of(double d) {
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return bits;
}

static const uint64_t sign_bit = UINT64_C(1) << 63, infinity = UINT64_C(0x7FF) << 52,
                      largest = (UINT64_C(0x7FF) << 52) - 1;

/* The bytes at the end of a page that no readable one follows; valid until the next call. */
static const char *placed(const char *text, size_t len) {
    static char *block, *end;
    static size_t room;
    if (len > room || !block) {
#if defined(__linux__)
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        if (block) munmap(block, room + page);
        room = (len + page) / page * page;
        block = (char *)mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == (char *)MAP_FAILED || mprotect(block + room, page, PROT_NONE)) exit(1);
#else
        free(block);
        room = len + 1;
        block = (char *)malloc(room);
        if (!block) exit(1);
#endif
        end = block + room;
    }
    memcpy(end - len, text, len);
    return end - len;
}

/* --- which ways were gone ------------------------------------------------------------------------- */

enum {
    EXACT,       /* decided by a product that lost nothing */
    INTERVAL,    /* decided by an interval, all digits in it */
    CUT,         /* decided by an interval, with more than 19 digits */
    OPEN,        /* left open, all digits in it */
    OPEN_CUT,    /* left open, with more than 19 digits */
    OPEN_STICKY, /* ... with more than 768, of which a later one is not 0 */
    TIE,         /* left open and half way (counted where that is known) */
    TIE_CUT,
    DOWN, /* left open, and the lower it was */
    UP,
    TINY,     /* 0 without looking */
    HUGE_ONE, /* infinite without looking */
    SUBNORMAL,
    EDGE,     /* around half of the least double */
    LOPSIDED, /* printing: a power of 2 whose nearest short decimal does not read back */
    WAYS
};
static const char *const way_names[WAYS] = {
    "exact", "interval", "cut", "open", "open, cut", "open, beyond 768 digits", "tie", "tie, cut",
    "open, down", "open, up", "tiny", "huge", "subnormal", "edge of 0", "lopsided"};
static unsigned long ways[WAYS];

static void note_ways(const stream_json__decimal *d) {
    uint64_t bits;
    bool exact = d->q >= 0 && d->q < 28 && !d->more;
    if (d->w == 0) return;
    if (d->q > 308) {
        ways[HUGE_ONE]++;
        return;
    }
    if (d->q < -342) {
        ways[TINY]++;
        return;
    }
    if (stream_json__estimate(d, &bits)) {
        ways[exact ? EXACT : d->more ? CUT : INTERVAL]++;
        if (bits && bits >> 52 == 0) ways[SUBNORMAL]++;
        return;
    }
    ways[d->more ? OPEN_CUT : OPEN]++;
    if (bits == 0) ways[EDGE]++;
    ways[stream_json__settle(d, bits) == bits ? DOWN : UP]++;
    if (d->more && d->end - d->digits > 800) {
        const char *p = d->digits + 800;
        while (p < d->end && *p == '0') p++;
        if (p < d->end) ways[OPEN_STICKY]++;
    }
}

/* --- reading -------------------------------------------------------------------------------------- */

static void wrong(const char *what, const char *text, size_t len, uint64_t got, uint64_t want) {
    test.failures++;
    if (TEST_QUIET) return;
    printf("  %s: %.*s%s: %016llx, not %016llx\n", what, len < 200 ? (int)len : 200, text,
           len < 200 ? "" : "...", (unsigned long long)got, (unsigned long long)want);
}

/* Reads it every way; want is the double's bits, infinite when it must be out of range. */
static void reads_as(const char *text, size_t len, uint64_t want) {
    const char *p = placed(text, len);
    double d = 1;
    stream_status status = stream_json__parse_double(p, p + len, &d);
    stream_json__decimal parts;
    test.checks++;
    if (bits_of(d) != want) wrong("read", text, len, bits_of(d), want);
    if (status != ((want & ~sign_bit) == infinity ? STREAM_E_RANGE : STREAM_OK))
        wrong("status", text, len, (uint64_t)status, want);
    if (!stream_json__take_number(p, p + len, &parts)) {
        wrong("grammar", text, len, 0, want);
        return;
    }
    note_ways(&parts);
    if (parts.w == 0 || parts.q > 308 || parts.q < -342) return;
    want &= ~sign_bit;
    if (want != infinity && stream_json__settle(&parts, want) != want)
        wrong("from below", text, len, stream_json__settle(&parts, want), want);
    if (want && stream_json__settle(&parts, want - 1) != want)
        wrong("from above", text, len, stream_json__settle(&parts, want - 1), want);
}

/* ... as the C library does. */
static void reads(const char *text, size_t len) {
    uint64_t want = bits_of(strtod(text, NULL));
    reads_as(text, len, want);
}

static void reads_text(const char *text) { reads(text, strlen(text)); }

static double any_double(uint64_t *random) {
    uint64_t bits;
    do bits = test_random(random);
    while ((bits & infinity) == infinity);
    return double_of(bits);
}

static void reads_random_doubles(void) {
    uint64_t random = seed_of(1);
    size_t i, n = scaled(10000000);
    char text[400];
    for (i = 0; i < n; i++) {
        double v = any_double(&random);
        int digits = i % 4 ? 17 : 1 + (int)below(&random, 40);
        reads(text, (size_t)snprintf(text, sizeof text, i % 3 ? "%.*e" : "%.*g", digits - (i % 3 != 0), v));
    }
}

/* Digits that no double had a part in, with the point and the exponent anywhere. */
static size_t random_decimal(uint64_t *random, char *text, size_t max_digits) {
    size_t digits = 1 + below(random, max_digits), point = below(random, digits + 5), n = 0, i;
    if (below(random, 2)) text[n++] = '-';
    if (below(random, 8) == 0) {
        n += (size_t)sprintf(text + n, "0.");
        for (i = below(random, 30); i; i--) text[n++] = '0';
        point = digits;
    }
    for (i = 0; i < digits; i++) {
        char c = (char)('0' + below(random, 10));
        if (i == 0 && n < 2 && c == '0') c = '1';
        if (i && i == point) text[n++] = '.';
        text[n++] = c;
    }
    if (below(random, 6)) {
        int exponent = (int)below(random, below(random, 2) ? 720 : 60);
        n += (size_t)sprintf(text + n, "%c%s%d", below(random, 2) ? 'e' : 'E',
                             below(random, 2)   ? "-"
                             : below(random, 2) ? "+"
                                                : "",
                             exponent / 2);
    }
    text[n] = '\0';
    return n;
}

static void reads_random_decimals(void) {
    uint64_t random = seed_of(2);
    size_t i, n = scaled(2000000);
    char text[2200];
    for (i = 0; i < n; i++)
        reads(text, random_decimal(&random, text, i % 100 == 0 ? 2000 : i % 5 == 0 ? 60 : 21));
}

static void reads_powers_of_ten(void) {
    static const char *const digits[] = {"1", "2", "9", "5", "123456789", "9999999999999999999",
                                         "1000000000000000000", "18446744073709551615",
                                         "18446744073709551616", "9007199254740993"};
    char text[1600];
    int q, i;
    for (q = -400; q <= 400; q++) {
        for (i = 0; i < 10; i++) {
            int n = snprintf(text, sizeof text, "%se%d", digits[i], q), zeros;
            reads(text, (size_t)n);
            /* the same written out: 0.000...1, or 1000...0 */
            if (q <= 0) {
                n = snprintf(text, sizeof text, "-0.%0*d%s", -q, 0, digits[i]);
            } else {
                n = snprintf(text, sizeof text, "%s", digits[i]);
                for (zeros = q; zeros; zeros--) text[n++] = '0';
                text[n] = '\0';
            }
            reads(text, (size_t)n);
        }
    }
}

static void reads_hard_numbers(void) {
    static const char *const texts[] = {
        "0", "-0", "0.0", "-0.0e-5", "0e999999999999", "-0e-999999999999", "0.000e99999999999999999999999",
        "1e309", "-1e309", "1e308", "1e99999999999999999999999999", "1e-99999999999999999999999999",
        "1e-400", "1e9223372036854775807", "1e9223372036854775808", "1e-9223372036854775809",
        "1e18446744073709551616", "0.1e9223372036854775808", "1e4294967297", "1e-4294967295",
        "1e2147483648", "1e0", "1E+0", "1e-0", "1e0000000005",
        /* around the largest, the least normal and the least double, and half of that */
        "1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308",
        "179769313486231580793e289",
        "17976931348623157081452742373170435679807056752584499659891747680315726078002853876058955863276687"
        "81715404589535143824642343213268894641827684675467035375169860499105765512820762454900903893289440"
        "75868508455133942304583236903222948165808559332123347747e62",
        "17976931348623158079372897140530341507993413271003782693617377898044496829276475094664901797758720"
        "70963302864166928879109465555478519404026306574886715058206819089020007083836762738548458177115317"
        "6447573027006985557136695962284291481986083493647529271907416844436551070434271155969950809304288"
        "0",
        "1.797693134862315807e308", "1.797693134862315808e308", "2.2250738585072011e-308",
        "2.2250738585072012e-308", "2.2250738585072013e-308", "2.2250738585072014e-308",
        "2.225073858507201136057409796709131975934819546351645648e-308", "5e-324",
        "4.9406564584124654e-324", "4.9e-324", "3e-324", "2.5e-324", "2.4703282292062327e-324",
        "2.4703282292062328e-324", "2.4703282292062327208e-324", "2.4703282292062327209e-324",
        "2.47032822920623272e-324", "24703282292062327208e-343", "24703282292062327209e-343", "2.4e-324",
        "1e-323", "7.4109846876186982e-324", "7.4109846876186981e-324", "1e-343",
        "18446744073709551615e-343", "18446744073709551615e-342", "9e-343",
        /* half way, or nearly so */
        "9007199254740991", "9007199254740992", "9007199254740993", "9007199254740994", "9007199254740995",
        "9007199254740993.0", "9007199254740993.00000000000000000000001",
        "9007199254740992.99999999999999999999999", "900719925474099300e-2", "9007199254740995.0",
        "90071992547409950000000000000e-13", "9007199254740997.0", "4503599627370496.5",
        "4503599627370497.5", "4503599627370497.50000000000000000000", "36028797018963972e-2",
        "0.500000000000000166533453693773481063544750213623046875",
        "1.00000000000000011102230246251565404236316680908203125",
        "1.00000000000000011102230246251565404236316680908203124",
        "1.00000000000000011102230246251565404236316680908203126",
        "1.00000000000000033306690738754696212708950042724609375", "72057594037927928.5",
        "7.2057594037927933e16", "1448997445238699", "6.9294956446009195e15", "3.7455744005952583e15",
        "2.98023223876953125e-8", "1090544144181609348835077142190", "1125899906842624.125",
        "1125899906842901.875", "2251799813685803.75", "5708990770823839207320493820740630171355185152e-3",
        "37206106201090390870e3", "6.631236846766476e-316",
        "3.2378839133029012895883524125015321748630094239e-319", "8.98846567431158e307",
        "0.000000000000000000000000000000000000000", "1.3e-2", "12.5", "3", "0.1", "0.3", "100", "1e22",
        "1e23", "123456.789e3", "4.35", "2.5e-1", "18446744073709551615", "18446744073709551616",
        "18446744073709551617", "99999999999999999999",
        /* V. Paxson, A program for testing IEEE decimal-binary conversion, 1991: closest to half way
           between two doubles, then to a double, for each number of digits */
        "5e125", "69e267", "999e-26", "7861e-34", "75569e-254", "928609e-261", "9210917e80", "84863171e114",
        "653777767e273", "5232604057e-298", "27235667517e-109", "653532977297e-123", "3142213164987e-294",
        "46202199371337e-72", "231010996856685e-73", "9324754620109615e212", "78459735791271921e49",
        "272104041512242479e200", "6802601037806061975e198", "20505426358836677347e-221",
        "836168422905420598437e-234", "4891559871276714924261e222", "9e-265", "85e-37", "623e100",
        "3571e263", "81661e153", "920657e-23", "4603285e-24", "87575437e-309", "245540327e122",
        "6138508175e120", "83356057653e193", "619534293513e124", "2335141086879e218", "36167929443327e-159",
        "609610927149051e-255", "3743626360493413e-165", "94080055902682397e-242", "899810892172646163e283",
        "7120190517612959703e120", "25188282901709339043e-252", "308984926168550152811e-52",
        "6372891218502368041059e64"};
    size_t i;
    for (i = 0; i < sizeof texts / sizeof *texts; i++) reads_text(texts[i]);
}

/* --- half way ------------------------------------------------------------------------------------- */

#if LDBL_MANT_DIG >= 64 && defined(__GLIBC__)
#define EXACT_PRINTF 1
#else
#define EXACT_PRINTF 0
#endif

/* Half way between the doubles `low` and low + 1, to so many significant digits: exact when they suffice.
 */
static size_t middle_text(uint64_t low, int digits, char *text, size_t room) {
    int exponent = (int)(low >> 52);
    uint64_t fraction = low & ((UINT64_C(1) << 52) - 1);
    long double x = 1;
    if (exponent) fraction |= UINT64_C(1) << 52;
    else exponent = 1;
    for (exponent -= 1076; exponent > 0; exponent--) x *= 2;
    for (; exponent < 0; exponent++) x /= 2;
    return (size_t)snprintf(text, room, "%.*Le", digits - 1, x * (long double)(2 * fraction + 1));
}

static void note_tie(const char *text, size_t len) {
    stream_json__decimal d;
    uint64_t bits;
    if (stream_json__take_number(text, text + len, &d) && d.q <= 308 && d.q >= -342 &&
        !stream_json__estimate(&d, &bits))
        ways[d.more ? TIE_CUT : TIE]++;
}

/* The middle as it is, and one unit of its 800th digit, or of one far beyond, to either side. */
static void around_middle(uint64_t low) {
    static char text[9000], other[9000];
    size_t n = middle_text(low, 800, text, sizeof text), mantissa = (size_t)(strchr(text, 'e') - text),
           last, m;
    uint64_t even = low + (low & 1);
    reads_as(text, n, even);
    note_tie(text, n);
    reads(text, n);
    memcpy(other, text, n); /* the middle has 768 digits at most: the 800th is 0 */
    other[mantissa - 1] = '1';
    reads_as(other, n, low + 1);
    for (last = mantissa - 1; text[last] == '0' || text[last] == '.'; last--) {
    }
    memcpy(other, text, n); /* ...5000 to ...4999 */
    other[last]--;
    for (m = last + 1; m < mantissa; m++)
        if (other[m] != '.') other[m] = '9';
    if (other[0] != '0') reads_as(other, n, low);
    for (m = last + 1; m < last + 6000; m++) other[m] = '9';
    memcpy(other + m, text + mantissa, n - mantissa);
    if (other[0] != '0') reads_as(other, m + n - mantissa, low);
    memcpy(other, text, mantissa); /* ...50000...0001 */
    memset(other + mantissa, '0', 6000);
    other[mantissa + 6000] = '1';
    memcpy(other + mantissa + 6001, text + mantissa, n - mantissa);
    reads_as(other, n + 6001, low + 1);
    other[mantissa + 6000] = '0';
    reads_as(other, n + 6001, even);
    m = 0; /* the point behind 800 digits, then nothing or something */
    other[m++] = text[0];
    memcpy(other + m, text + 2, mantissa - 2);
    m += mantissa - 2;
    m += (size_t)sprintf(other + m, ".0e%d", atoi(text + mantissa + 1) - 799);
    if (other[0] != '0') reads_as(other, m, even);
    m = mantissa - 1;
    m += (size_t)sprintf(other + m, ".01e%d", atoi(text + mantissa + 1) - 799);
    if (other[0] != '0') reads_as(other, m, low + 1);
    if (last < 2) last = 2; /* no zeros behind: few digits when the middle has few */
    memcpy(other, text, last + 1);
    memcpy(other + last + 1, text + mantissa, n - mantissa);
    reads_as(other, last + 1 + n - mantissa, even);
    note_tie(other, last + 1 + n - mantissa);
}

static void reads_half_way(void) {
    uint64_t random = seed_of(3), i, n = scaled(20000);
    static const uint64_t lows[] = {
        0, 1, 2, 3, 0xFFFFFFFFFFFFE, 0xFFFFFFFFFFFFF, 0x10000000000000, 0x10000000000001,
        0x1FFFFFFFFFFFFF, 0x20000000000000, 0x3FF0000000000000, 0x3FEFFFFFFFFFFFFF, 0x4340000000000000,
        0x4340000000000001, 0x433FFFFFFFFFFFFF, 0x7FEFFFFFFFFFFFFE, 0x7FEFFFFFFFFFFFFF};
    for (i = 0; i < sizeof lows / sizeof *lows; i++) around_middle(lows[i]);
    for (i = 0; i < 52; i++) around_middle(UINT64_C(1) << i);
    for (i = 0; i < 2046; i++) around_middle(i << 52 | (test_random(&random) >> 12));
    for (i = 0; i < n; i++) {
        uint64_t bits = bits_of(any_double(&random)) & ~sign_bit;
        /* cut off, or rounded, after some digits: near half way as far as these go */
        char text[900];
        int digits = 1 + (int)below(&random, i % 2 ? 24 : 800);
        reads(text, middle_text(bits, digits, text, sizeof text));
    }
    for (i = 0; i < n / 10; i++)
        around_middle(i % 4 ? bits_of(any_double(&random)) & ~sign_bit : below(&random, 1 << 20));
}

/* From 2^53 on, short numbers half way: what an interval cannot decide, with few digits and with zeros. */
static void reads_short_ties(void) {
    uint64_t random = seed_of(4), i, n = scaled(200000);
    char text[64];
    for (i = 0; i < n; i++) {
        uint64_t odd = (UINT64_C(1) << 53 | test_random(&random) >> 11) | 1;
        int zeros = (int)below(&random, 12), len;
        len = snprintf(text, sizeof text, zeros ? "%llu.%0*d" : "%llu", (unsigned long long)odd, zeros, 0);
        reads(text, (size_t)len);
        note_tie(text, (size_t)len);
    }
}

/* --- long texts ----------------------------------------------------------------------------------- */

static void reads_a_million_digits(void) {
    enum { MANY = 1000000 };
    char *text = (char *)malloc(2 * MANY + 100);
    size_t n;
    if (!text) exit(1);
    text[0] = '1';
    memset(text + 1, '0', MANY);
    n = 1 + MANY;
    reads_as(text, n + (size_t)sprintf(text + n, "e-1000000"), bits_of(1));
    reads_as(text, n, infinity);
    reads_as(text, n + (size_t)sprintf(text + n, "e-1000400"), 0);
    reads_as(text, n + (size_t)sprintf(text + n, "e-1000308"), bits_of(1e-308));
    reads_as(text, n + (size_t)sprintf(text + n, "e-999999"), bits_of(10));
    memcpy(text, "0.", 2); /* and the other way: 0.000...1 */
    memset(text + 2, '0', MANY);
    text[MANY + 1] = '1';
    n = MANY + 2;
    reads_as(text, n, 0);
    reads_as(text, n + (size_t)sprintf(text + n, "e1000000"), bits_of(1));
    reads_as(text, n + (size_t)sprintf(text + n, "e1000308"), bits_of(1e308));
    reads_as(text, n + (size_t)sprintf(text + n, "e1000309"), infinity);
    n = (size_t)sprintf(text, "-9007199254740993."); /* half way, but for its last digit */
    memset(text + n, '0', MANY);
    reads_as(text, n + MANY, bits_of(-9007199254740992.0));
    text[n + MANY] = '1';
    reads_as(text, n + MANY + 1, bits_of(-9007199254740994.0));
    memset(text, '9', MANY);
    n = MANY;
    reads_as(text, n + (size_t)sprintf(text + n, "e-1000000"), bits_of(1));
    n = (size_t)sprintf(text, "1e");
    memset(text + n, '0', MANY);
    text[n + MANY] = '5';
    reads_as(text, n + MANY + 1, bits_of(1e5));
    memset(text + n, '9', MANY);
    reads_as(text, n + MANY, infinity);
    text[0] = '0';
    reads_as(text, n + MANY, 0);
    free(text);
}

/* --- grammar -------------------------------------------------------------------------------------- */

static size_t digits_at(const char *p) { return strspn(p, "0123456789"); }

/* RFC 8259, section 6, the plain way; text ends with a NUL. */
static bool is_number(const char *p) {
    size_t n;
    if (*p == '-') p++;
    n = digits_at(p);
    if (n == 0 || (*p == '0' && n > 1)) return false;
    p += n;
    if (*p == '.') {
        n = digits_at(++p);
        if (n == 0) return false;
        p += n;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '+' || *p == '-') p++;
        n = digits_at(p);
        if (n == 0) return false;
        p += n;
    }
    return *p == '\0';
}

static void judges(const char *text, size_t len) {
    const char *p;
    double d = 7;
    test.checks++;
    if (is_number(text)) {
        reads(text, len);
        return;
    }
    p = placed(text, len);
    if (stream_json__parse_double(p, p + len, &d) != STREAM_E_INVALID || bits_of(d) != 0)
        wrong("accepted", text, len, bits_of(d), 0);
}

static void accepts_the_grammar(void) {
    static const char letters[] = "019-+.eE x";
    static const char *const texts[] = {"",
                                        "-",
                                        "+1",
                                        "01",
                                        "-01",
                                        "00",
                                        "1.",
                                        ".5",
                                        "-.5",
                                        "1e",
                                        "1e+",
                                        "1E-",
                                        "1.e5",
                                        "0x10",
                                        "1_0",
                                        "1 ",
                                        " 1",
                                        "NaN",
                                        "nan",
                                        "Infinity",
                                        "-Infinity",
                                        "inf",
                                        "1e5.5",
                                        "1..2",
                                        "1.2.3",
                                        "1e5e5",
                                        "--1",
                                        "-+1",
                                        "1-",
                                        "1+1",
                                        "12345678a",
                                        "0.12345678a",
                                        "0.1234567812345678/",
                                        "0.1234567812345678:",
                                        "1,",
                                        "1\n",
                                        "0.12345678\xB1",
                                        "0.1234567\xFA",
                                        "1d5",
                                        "1f",
                                        "0.1234567?",
                                        "0.;;;;;;;;",
                                        "0.////////",
                                        "0.12345678e",
                                        "123456789012345678901234567890.",
                                        "1e5 "};
    char text[8];
    unsigned at[7];
    size_t len, i;
    for (i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK(!is_number(texts[i]));
        judges(texts[i], strlen(texts[i]));
    }
    for (len = 1; len <= (TEST_SANITIZED ? 5 : 6); len++) {
        memset(at, 0, sizeof at);
        for (;;) {
            for (i = 0; i < len; i++) text[i] = letters[at[i]];
            text[len] = '\0';
            judges(text, len);
            for (i = 0; i < len && ++at[i] == sizeof letters - 1; i++) at[i] = 0;
            if (i == len) break;
        }
    }
    /* one wrong byte in a good number, wherever it stands */
    for (i = 0; i < 40; i++) {
        char good[] = "-123.4567890123456789012345678901234567e+12";
        unsigned byte;
        for (byte = 1; byte < 256; byte++) {
            good[i] = (char)byte;
            judges(good, sizeof good - 1);
        }
    }
    {
        double d;
        CHECK_EQ(stream_json__parse_double(NULL, NULL, &d), STREAM_E_INVALID);
    }
}

/* --- printing ------------------------------------------------------------------------------------- */

/* The significant digits of a decimal, without zeros at either end; the exponent of the first. */
static int significant(const char *text, size_t len, char digits[40], int *exponent) {
    const char *p = text, *e = text + len, *mark = (const char *)memchr(text, 'e', len);
    int n = 0, point = 0, seen = 0;
    for (p += *p == '-'; p < (mark ? mark : e); p++) {
        if (*p == '.') {
            seen = 1;
            continue;
        }
        if (!seen) point++;
        if (*p == '0' && n == 0) point--;
        else digits[n++] = *p;
    }
    while (n && digits[n - 1] == '0') n--;
    digits[n] = '\0';
    *exponent = point - 1 + (mark ? atoi(mark + 1) : 0);
    return n;
}

/* What ECMAScript makes of the digits d * 10^exponent (Number::toString, steps 6 to 10), the plain way. */
static size_t ecmascript(const char *d, int k, int exponent, bool negative, char *out) {
    int n = exponent + 1, i;
    char *p = out;
    if (negative) *p++ = '-';
    if (k <= n && n <= 21) {
        p += sprintf(p, "%s", d);
        for (i = k; i < n; i++) *p++ = '0';
    } else if (0 < n && n <= 21) {
        p += sprintf(p, "%.*s.%s", n, d, d + n);
    } else if (-6 < n && n <= 0) {
        p += sprintf(p, "0.");
        for (i = n; i < 0; i++) *p++ = '0';
        p += sprintf(p, "%s", d);
    } else if (k == 1) {
        p += sprintf(p, "%se%c%d", d, n > 0 ? '+' : '-', n > 0 ? n - 1 : 1 - n);
    } else {
        p += sprintf(p, "%.1s.%se%c%d", d, d + 1, n > 0 ? '+' : '-', n > 0 ? n - 1 : 1 - n);
    }
    return (size_t)(p - out);
}

/* d.ddde+x, one unit of its last digit further from 0. */
static const char *next_decimal(const char *text) {
    static char next[80];
    char digits[40];
    int exponent, k = (int)(strchr(text, 'e') - text) - (strchr(text, '.') != NULL) - (*text == '-'), n;
    unsigned long long whole;
    n = significant(text, strlen(text), digits, &exponent);
    for (whole = strtoull(digits, NULL, 10); n < k; n++) whole *= 10;
    sprintf(next, "%s%llue%d", *text == '-' ? "-" : "", whole + 1, exponent - k + 1);
    return next;
}

static void prints(double v) {
    char text[41], expected[64], digits[40], other[40], c[64];
    size_t len;
    int k, n, exponent, other_exponent;
    double back;
    uint64_t bits = bits_of(v);
    bool power_of_2 = (bits & ((UINT64_C(1) << 52) - 1)) == 0;
    memset(text, '?', sizeof text);
    len = stream_json__print_double(v, text);
    test.checks++;
    if (len > 25 || text[40] != '?') {
        wrong("length", text, len < 40 ? len : 40, len, 25);
        return;
    }
    text[len] = '\0';
    back = strtod(text, NULL);
    if (bits_of(back) != bits) wrong("printed", text, len, bits_of(back), bits);
    if (stream_json__parse_double(text, text + len, &back) != STREAM_OK || bits_of(back) != bits)
        wrong("printed and read", text, len, bits_of(back), bits);
    if ((bits & ~sign_bit) == 0) { /* not v == 0: fast math holds the subnormal ones for 0 */
        CHECK_TEXT(text, len, bits ? "-0" : "0");
        return;
    }
    k = significant(text, len, digits, &exponent);
    if (ecmascript(digits, k, exponent, bits >> 63, expected) != len || memcmp(text, expected, len))
        wrong("notation", text, len, 0, 0);
    /* Nothing shorter reads back: the nearest of the shorter ones does not. Of a power of 2, whose interval
       is narrower towards 0, the nearest may be on that side and the next one, away from 0, may read back.
     */
    if (k > 1) {
        snprintf(c, sizeof c, "%.*e", k - 2, v);
        if (bits_of(strtod(c, NULL)) == bits) wrong("not the shortest", text, len, (uint64_t)k, 0);
        if (power_of_2 && bits_of(strtod(next_decimal(c), NULL)) == bits)
            wrong("not the shortest", text, len, (uint64_t)k, 0);
    }
    /* Nothing as short is nearer: the C library's nearest of that length is this one, if it reads back.
       Half way between two decimals it takes the even one, as we do. */
    n = snprintf(c, sizeof c, "%.*e", k - 1, v);
    if (bits_of(strtod(c, NULL)) == bits) {
        if (significant(c, (size_t)n, other, &other_exponent) != k || strcmp(digits, other) ||
            exponent != other_exponent)
            wrong("not the nearest", text, len, 0, 0);
    } else if (!power_of_2) {
        wrong("longer than needed", text, len, 0, 0);
    } else {
        const char *next = next_decimal(c);
        ways[LOPSIDED]++;
        if (significant(next, strlen(next), other, &other_exponent) != k || strcmp(digits, other) ||
            exponent != other_exponent)
            wrong("not the nearest on the wide side", text, len, 0, 0);
    }
}

static void prints_random_doubles(void) {
    uint64_t random = seed_of(5);
    size_t i, n = scaled(10000000);
    for (i = 0; i < n; i++) prints(any_double(&random));
}

/* Every length asked for, one after the other. */
static void prints_the_shortest(void) {
    uint64_t random = seed_of(6);
    size_t i, n = scaled(200000);
    char text[40], digits[40], c[64];
    for (i = 0; i < n; i++) {
        double v = any_double(&random);
        int k, exponent, least = 1;
        if (i % 4 == 0) v = double_of(test_random(&random) >> (12 + below(&random, 52)));
        if ((bits_of(v) & ((UINT64_C(1) << 52) - 1)) == 0) continue;
        k = significant(text, stream_json__print_double(v, text), digits, &exponent);
        while (snprintf(c, sizeof c, "%.*g", least, v), bits_of(strtod(c, NULL)) != bits_of(v)) least++;
        CHECK_EQ(k, least);
    }
}

static void prints_the_edges(void) {
    const uint64_t many = scaled(1200000) - 1; /* 300000 of each where the scale is the usual one, 25 */
    uint64_t i, e;
    char text[40];
    for (e = 0; e < 2047; e++) /* every exponent: powers of 2 and their neighbours */
        for (i = 0; i < 8; i++) {
            uint64_t bits = (e << 52) + i;
            prints(double_of(bits));
            prints(double_of(bits ^ sign_bit));
            if (e) prints(double_of((e << 52) - 1 - i));
        }
    for (i = 0; i < many / 3; i++) prints(double_of(i)); /* the least */
    for (i = 0; i < many / 30; i++) prints(double_of(largest - i));
    for (i = 0; i < many; i++) { /* what people write */
        prints((double)i);
        prints((double)i / 100);
        prints((double)i / 1000 - 7);
        prints((double)i * 1e17);
    }
    for (i = 0; i < 2000; i++) {
        prints(9007199254740992.0 - 1000 + (double)i);
        prints(1e21 - 131072 * 1000 + 131072 * (double)i);
        prints(18446744073709551616.0 - 2048 * 1000 + 2048 * (double)i);
    }
    for (i = 0; i <= 631; i++) { /* powers of 10 and their neighbours */
        uint64_t bits, k;
        snprintf(text, sizeof text, "1e%d", (int)i - 323);
        bits = bits_of(strtod(text, NULL));
        for (k = 0; k < 16; k++) {
            if (bits > k) prints(double_of(bits - k));
            if (bits + k <= largest) prints(double_of(bits + k));
        }
    }
}

static void prints_known_ones(void) {
    /* RFC 8785, appendix B, but for -0, which keeps its sign here; then the ends of the notations. */
    static const struct {
        uint64_t bits;
        const char *text;
    } known[] = {{0, "0"},
                 {0x8000000000000000, "-0"},
                 {0x0000000000000001, "5e-324"},
                 {0x8000000000000001, "-5e-324"},
                 {0x7fefffffffffffff, "1.7976931348623157e+308"},
                 {0xffefffffffffffff, "-1.7976931348623157e+308"},
                 {0x4340000000000000, "9007199254740992"},
                 {0xc340000000000000, "-9007199254740992"},
                 {0x4430000000000000, "295147905179352830000"},
                 {0x44b52d02c7e14af5, "9.999999999999997e+22"},
                 {0x44b52d02c7e14af6, "1e+23"},
                 {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
                 {0x444b1ae4d6e2ef4e, "999999999999999700000"},
                 {0x444b1ae4d6e2ef4f, "999999999999999900000"},
                 {0x444b1ae4d6e2ef50, "1e+21"},
                 {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
                 {0x3eb0c6f7a0b5ed8d, "0.000001"},
                 {0x41b3de4355555553, "333333333.3333332"},
                 {0x41b3de4355555554, "333333333.33333325"},
                 {0x41b3de4355555555, "333333333.3333333"},
                 {0x41b3de4355555556, "333333333.3333334"},
                 {0x41b3de4355555557, "333333333.33333343"},
                 {0xbecbf647612f3696, "-0.0000033333333333333333"},
                 {0x43143ff3c1cb0959, "1424953923781206.2"},
                 {0x0000000000000002, "1e-323"},
                 {0x0000000000000003, "1.5e-323"},
                 {0x0010000000000000, "2.2250738585072014e-308"},
                 {0x3ff0000000000000, "1"},
                 {0xc059000000000000, "-100"},
                 {0x3fb999999999999a, "0.1"},
                 {0x4415af1d78b58c40, "100000000000000000000"},
                 {0x3e7ad7f29abcaf48, "1e-7"},
                 {0x3ff8000000000000, "1.5"},
                 {0x3d00000000000000, "7.105427357601002e-15"},
                 {0x4380000000000000, "144115188075855870"},
                 {0x43e0000000000000, "9223372036854776000"},
                 {0x7fe0000000000000, "8.98846567431158e+307"}};
    char text[40];
    size_t i;
    for (i = 0; i < sizeof known / sizeof *known; i++) {
        size_t len = stream_json__print_double(double_of(known[i].bits), text);
        CHECK_TEXT(text, len, known[i].text);
    }
}

/* V. Paxson's numbers, 1991: those whose decimals of 1 to 22 digits are nearest to half way between two. */
static void prints_hard_numbers(void) {
    static const struct {
        uint64_t fraction;
        int exponent;
    } hard[] = {
        {8511030020275656, -342}, {5201988407066741, -824}, {6406892948269899, 237},
        {8431154198732492, 72}, {6475049196144587, 99}, {8274307542972842, 726}, {5381065484265332, -456},
        {6761728585499734, -1057}, {7976538478610756, 376}, {5982403858958067, 377},
        {5536995190630837, 93}, {7225450889282194, 710}, {7225450889282194, 709}, {8703372741147379, 117},
        {8944262675275217, -1001}, {7459803696087692, -707}, {6080469016670379, -381},
        {8385515147034757, 721}, {7514216811389786, -258}, {8397297803260511, -811},
        {6733459239310543, 202}, {8091450587292794, -473}};
    size_t i;
    int step;
    for (i = 0; i < sizeof hard / sizeof *hard; i++)
        for (step = -3; step <= 3; step++) {
            uint64_t bits = hard[i].fraction;
            int exponent = hard[i].exponent + 1075;
            if (exponent > 0) bits = (bits & ((UINT64_C(1) << 52) - 1)) | (uint64_t)exponent << 52;
            else bits >>= 1 - exponent;
            prints(double_of(bits + (uint64_t)(int64_t)step));
        }
}

/* --- integers ------------------------------------------------------------------------------------- */

static void reads_integers(void) {
    static const struct {
        const char *text;
        stream_status signed_status;
        int64_t signed_value;
        stream_status unsigned_status;
        uint64_t unsigned_value;
    } cases[] = {{"0", STREAM_OK, 0, STREAM_OK, 0},
                 {"-0", STREAM_OK, 0, STREAM_OK, 0},
                 {"7", STREAM_OK, 7, STREAM_OK, 7},
                 {"-1", STREAM_OK, -1, STREAM_E_RANGE, 0},
                 {"9223372036854775807", STREAM_OK, INT64_MAX, STREAM_OK, INT64_MAX},
                 {"9223372036854775808", STREAM_E_RANGE, 0, STREAM_OK, UINT64_C(9223372036854775808)},
                 {"-9223372036854775808", STREAM_OK, INT64_MIN, STREAM_E_RANGE, 0},
                 {"-9223372036854775809", STREAM_E_RANGE, 0, STREAM_E_RANGE, 0},
                 {"18446744073709551615", STREAM_E_RANGE, 0, STREAM_OK, UINT64_MAX},
                 {"18446744073709551616", STREAM_E_RANGE, 0, STREAM_E_RANGE, 0},
                 {"18446744073709551625", STREAM_E_RANGE, 0, STREAM_E_RANGE, 0},
                 {"-18446744073709551616", STREAM_E_RANGE, 0, STREAM_E_RANGE, 0},
                 {"184467440737095516150", STREAM_E_RANGE, 0, STREAM_E_RANGE, 0},
                 {"36893488147419103232", STREAM_E_RANGE, 0, STREAM_E_RANGE, 0},
                 {"100000000000000000000000000000000000000000", STREAM_E_RANGE, 0, STREAM_E_RANGE, 0},
                 {"1.0", STREAM_E_TYPE, 0, STREAM_E_TYPE, 0},
                 {"1e2", STREAM_E_TYPE, 0, STREAM_E_TYPE, 0},
                 {"-1E2", STREAM_E_TYPE, 0, STREAM_E_TYPE, 0},
                 {"99999999999999999999.5", STREAM_E_TYPE, 0, STREAM_E_TYPE, 0},
                 {"0.5", STREAM_E_TYPE, 0, STREAM_E_TYPE, 0},
                 {"0e1", STREAM_E_TYPE, 0, STREAM_E_TYPE, 0},
                 {"0x1", STREAM_E_INVALID, 0, STREAM_E_INVALID, 0},
                 {"0/", STREAM_E_INVALID, 0, STREAM_E_INVALID, 0},
                 {"00", STREAM_E_INVALID, 0, STREAM_E_INVALID, 0},
                 {"09", STREAM_E_INVALID, 0, STREAM_E_INVALID, 0},
                 {"01", STREAM_E_INVALID, 0, STREAM_E_INVALID, 0},
                 {"-", STREAM_E_INVALID, 0, STREAM_E_INVALID, 0},
                 {"-x", STREAM_E_INVALID, 0, STREAM_E_INVALID, 0},
                 {"1x", STREAM_E_INVALID, 0, STREAM_E_INVALID, 0},
                 {"", STREAM_E_INVALID, 0, STREAM_E_INVALID, 0}};
    uint64_t random = seed_of(7), u;
    size_t n;
    stream_json_value value;
    int64_t s;
    size_t i;
    value.type = STREAM_JSON_NUMBER;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        value.len = strlen(cases[i].text);
        value.ptr = placed(cases[i].text, value.len);
        s = 1;
        u = 1;
        CHECK_EQ(stream_json_int64(value, &s), cases[i].signed_status);
        CHECK_EQ(stream_json_uint64(value, &u), cases[i].unsigned_status);
        CHECK_EQ(s, cases[i].signed_value);
        CHECK_EQ(u, cases[i].unsigned_value);
    }
    for (n = scaled(1000000); n; n--) {
        char text[40];
        uint64_t x = test_random(&random) >> below(&random, 64);
        value.ptr = text;
        value.len = (size_t)sprintf(text, "%llu", (unsigned long long)x);
        CHECK_EQ(stream_json_uint64(value, &u), STREAM_OK);
        CHECK_EQ(u, x);
        value.len = (size_t)sprintf(text, "%lld", (long long)x);
        CHECK_EQ(stream_json_int64(value, &s), STREAM_OK);
        CHECK_EQ(s, (int64_t)x);
    }
    value.type = STREAM_JSON_STRING;
    s = 1;
    u = 1;
    CHECK_EQ(stream_json_int64(value, &s), STREAM_E_TYPE);
    CHECK_EQ(stream_json_uint64(value, &u), STREAM_E_TYPE);
    CHECK_EQ(s, 0);
    CHECK_EQ(u, 0);
}

/* --- what it is made of, and where it runs -------------------------------------------------------- */

static void multiplies(void) {
    uint64_t random = seed_of(8), n;
    for (n = 0; n < 100000; n++) {
        uint64_t a = test_random(&random) >> below(&random, 64),
                 b = test_random(&random) >> below(&random, 64), low, high;
        uint64_t part[8] = {0}, carry = 0;
        unsigned i, j;
        if (n % 16 == 0) a = ~UINT64_C(0) << below(&random, 64);
        if (n % 32 < 8) b = ~UINT64_C(0) >> below(&random, 64);
        for (i = 0; i < 4; i++) /* 16 bits at a time, on paper */
            for (j = 0; j < 4; j++) part[i + j] += (a >> (16 * i) & 0xFFFF) * (b >> (16 * j) & 0xFFFF);
        for (i = 0; i < 8; i++) {
            carry += part[i];
            part[i] = carry & 0xFFFF;
            carry >>= 16;
        }
        high = stream_json__multiply(a, b, &low);
        CHECK(low == (part[0] | part[1] << 16 | part[2] << 32 | part[3] << 48));
        CHECK(high == (part[4] | part[5] << 16 | part[6] << 32 | part[7] << 48));
    }
    for (n = 0; n < 64; n++)
        CHECK_EQ(stream_json__leading((UINT64_C(1) << n) | (UINT64_C(1) << n) / 3), 63 - n);
}

#if defined(__SSE2__)
/* Another rounding direction, and subnormals flushed to 0: no arithmetic here hears of it. */
static void ignores_the_rounding_mode(void) {
    static const unsigned modes[] = {0x2000, 0x4000, 0x6000, 0x8040}; /* down, up, to 0, subnormals are 0 */
    uint64_t random = seed_of(9);
    size_t n = scaled(200000), i;
    char text[64], other[64];
    for (i = 0; i < n; i++) {
        uint64_t bits = bits_of(any_double(&random)) >> (i % 8 == 0 ? 11 : 0), got;
        double v = double_of(bits);
        int len = snprintf(text, sizeof text, "%.*e", i % 3 ? 16 : 5, v);
        uint64_t want = bits_of(strtod(text, NULL));
        size_t k = stream_json__print_double(v, other), k2;
        unsigned old = _mm_getcsr();
        char again[64];
        _mm_setcsr(old | modes[i % 4]);
        stream_json__parse_double(text, text + len, &v);
        memcpy(&got, &v, sizeof got);
        memcpy(&v, &bits, sizeof v);
        k2 = stream_json__print_double(v, again);
        _mm_setcsr(old);
        CHECK(got == want);
        CHECK_BYTES(again, k2, other, k);
    }
}
#endif

static void went_every_way(void) {
    int i;
    for (i = 0; i < WAYS; i++) {
        if (getenv("TEST_WAYS")) printf("  %-26s %12lu\n", way_names[i], ways[i]);
        test.checks++;
        if (ways[i] == 0 && (EXACT_PRINTF || (i != TIE_CUT && i != OPEN_STICKY))) {
            test.failures++;
            printf("  never went: %s\n", way_names[i]);
        }
    }
}

static int dump(unsigned long n) {
    uint64_t random = seed_of(10);
    char text[40];
    while (n--) {
        uint64_t bits = bits_of(any_double(&random));
        if (n % 8 == 0) bits &= ~((UINT64_C(1) << 52) - 1);
        printf("%016llx %.*s\n", (unsigned long long)bits,
               (int)stream_json__print_double(double_of(bits), text), text);
    }
    return 0;
}

int main(int argc, char **argv) {
    TEST_PROGRAM("numbers");
    if (argc > 2 && strcmp(argv[1], "dump") == 0) return dump(strtoul(argv[2], NULL, 0));
    RUN(multiplies);
    RUN(accepts_the_grammar);
    RUN(reads_hard_numbers);
    RUN(reads_powers_of_ten);
    if (EXACT_PRINTF) RUN(reads_half_way); /* else nobody here can write such numbers down */
    RUN(reads_short_ties);
    RUN(reads_a_million_digits);
    RUN(reads_random_doubles);
    RUN(reads_random_decimals);
    RUN(prints_known_ones);
    RUN(prints_hard_numbers);
    RUN(prints_the_edges);
    RUN(prints_the_shortest);
    RUN(prints_random_doubles);
    RUN(reads_integers);
#if defined(__SSE2__)
    RUN(ignores_the_rounding_mode);
#endif
    RUN(went_every_way);
    return test_end();
}
