/* SPDX-License-Identifier: MIT-0 */
#include "screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the widths of characters --------------------------------------------------------------------------
   tmux asks wcwidth() of its C library. These are the same answers (glibc 2.36, Unicode 14 and 15, C.UTF-8),
   with ranges joined over what is not assigned, so that they do not depend on the locale we are started in.
   */

static const uint32_t zero_columns[][2] = {
    {0x300, 0x36F}, {0x483, 0x489}, {0x591, 0x5BD}, {0x5BF, 0x5BF}, {0x5C1, 0x5C2}, {0x5C4, 0x5C5},
    {0x5C7, 0x5C7}, {0x610, 0x61A}, {0x61C, 0x61C}, {0x64B, 0x65F}, {0x670, 0x670}, {0x6D6, 0x6DC},
    {0x6DF, 0x6E4}, {0x6E7, 0x6E8}, {0x6EA, 0x6ED}, {0x711, 0x711}, {0x730, 0x74A}, {0x7A6, 0x7B0},
    {0x7EB, 0x7F3}, {0x7FD, 0x7FD}, {0x816, 0x819}, {0x81B, 0x823}, {0x825, 0x827}, {0x829, 0x82D},
    {0x859, 0x85B}, {0x898, 0x89F}, {0x8CA, 0x8E1}, {0x8E3, 0x902}, {0x93A, 0x93A}, {0x93C, 0x93C},
    {0x941, 0x948}, {0x94D, 0x94D}, {0x951, 0x957}, {0x962, 0x963}, {0x981, 0x981}, {0x9BC, 0x9BC},
    {0x9C1, 0x9C4}, {0x9CD, 0x9CD}, {0x9E2, 0x9E3}, {0x9FE, 0xA02}, {0xA3C, 0xA3C}, {0xA41, 0xA51},
    {0xA70, 0xA71}, {0xA75, 0xA75}, {0xA81, 0xA82}, {0xABC, 0xABC}, {0xAC1, 0xAC8}, {0xACD, 0xACD},
    {0xAE2, 0xAE3}, {0xAFA, 0xB01}, {0xB3C, 0xB3C}, {0xB3F, 0xB3F}, {0xB41, 0xB44}, {0xB4D, 0xB56},
    {0xB62, 0xB63}, {0xB82, 0xB82}, {0xBC0, 0xBC0}, {0xBCD, 0xBCD}, {0xC00, 0xC00}, {0xC04, 0xC04},
    {0xC3C, 0xC3C}, {0xC3E, 0xC40}, {0xC46, 0xC56}, {0xC62, 0xC63}, {0xC81, 0xC81}, {0xCBC, 0xCBC},
    {0xCBF, 0xCBF}, {0xCC6, 0xCC6}, {0xCCC, 0xCCD}, {0xCE2, 0xCE3}, {0xD00, 0xD01}, {0xD3B, 0xD3C},
    {0xD41, 0xD44}, {0xD4D, 0xD4D}, {0xD62, 0xD63}, {0xD81, 0xD81}, {0xDCA, 0xDCA}, {0xDD2, 0xDD6},
    {0xE31, 0xE31}, {0xE34, 0xE3A}, {0xE47, 0xE4E}, {0xEB1, 0xEB1}, {0xEB4, 0xEBC}, {0xEC8, 0xECD},
    {0xF18, 0xF19}, {0xF35, 0xF35}, {0xF37, 0xF37}, {0xF39, 0xF39}, {0xF71, 0xF7E}, {0xF80, 0xF84},
    {0xF86, 0xF87}, {0xF8D, 0xFBC}, {0xFC6, 0xFC6}, {0x102D, 0x1030}, {0x1032, 0x1037}, {0x1039, 0x103A},
    {0x103D, 0x103E}, {0x1058, 0x1059}, {0x105E, 0x1060}, {0x1071, 0x1074}, {0x1082, 0x1082},
    {0x1085, 0x1086}, {0x108D, 0x108D}, {0x109D, 0x109D}, {0x1160, 0x11FF}, {0x135D, 0x135F},
    {0x1712, 0x1714}, {0x1732, 0x1733}, {0x1752, 0x1753}, {0x1772, 0x1773}, {0x17B4, 0x17B5},
    {0x17B7, 0x17BD}, {0x17C6, 0x17C6}, {0x17C9, 0x17D3}, {0x17DD, 0x17DD}, {0x180B, 0x180F},
    {0x1885, 0x1886}, {0x18A9, 0x18A9}, {0x1920, 0x1922}, {0x1927, 0x1928}, {0x1932, 0x1932},
    {0x1939, 0x193B}, {0x1A17, 0x1A18}, {0x1A1B, 0x1A1B}, {0x1A56, 0x1A56}, {0x1A58, 0x1A60},
    {0x1A62, 0x1A62}, {0x1A65, 0x1A6C}, {0x1A73, 0x1A7F}, {0x1AB0, 0x1B03}, {0x1B34, 0x1B34},
    {0x1B36, 0x1B3A}, {0x1B3C, 0x1B3C}, {0x1B42, 0x1B42}, {0x1B6B, 0x1B73}, {0x1B80, 0x1B81},
    {0x1BA2, 0x1BA5}, {0x1BA8, 0x1BA9}, {0x1BAB, 0x1BAD}, {0x1BE6, 0x1BE6}, {0x1BE8, 0x1BE9},
    {0x1BED, 0x1BED}, {0x1BEF, 0x1BF1}, {0x1C2C, 0x1C33}, {0x1C36, 0x1C37}, {0x1CD0, 0x1CD2},
    {0x1CD4, 0x1CE0}, {0x1CE2, 0x1CE8}, {0x1CED, 0x1CED}, {0x1CF4, 0x1CF4}, {0x1CF8, 0x1CF9},
    {0x1DC0, 0x1DFF}, {0x200B, 0x200F}, {0x202A, 0x202E}, {0x2060, 0x206F}, {0x20D0, 0x20F0},
    {0x2CEF, 0x2CF1}, {0x2D7F, 0x2D7F}, {0x2DE0, 0x2DFF}, {0x302A, 0x302D}, {0x3099, 0x309A},
    {0xA66F, 0xA672}, {0xA674, 0xA67D}, {0xA69E, 0xA69F}, {0xA6F0, 0xA6F1}, {0xA802, 0xA802},
    {0xA806, 0xA806}, {0xA80B, 0xA80B}, {0xA825, 0xA826}, {0xA82C, 0xA82C}, {0xA8C4, 0xA8C5},
    {0xA8E0, 0xA8F1}, {0xA8FF, 0xA8FF}, {0xA926, 0xA92D}, {0xA947, 0xA951}, {0xA980, 0xA982},
    {0xA9B3, 0xA9B3}, {0xA9B6, 0xA9B9}, {0xA9BC, 0xA9BD}, {0xA9E5, 0xA9E5}, {0xAA29, 0xAA2E},
    {0xAA31, 0xAA32}, {0xAA35, 0xAA36}, {0xAA43, 0xAA43}, {0xAA4C, 0xAA4C}, {0xAA7C, 0xAA7C},
    {0xAAB0, 0xAAB0}, {0xAAB2, 0xAAB4}, {0xAAB7, 0xAAB8}, {0xAABE, 0xAABF}, {0xAAC1, 0xAAC1},
    {0xAAEC, 0xAAED}, {0xAAF6, 0xAAF6}, {0xABE5, 0xABE5}, {0xABE8, 0xABE8}, {0xABED, 0xABED},
    {0xD7B0, 0xD7FB}, {0xFB1E, 0xFB1E}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF},
    {0xFFF9, 0xFFFB}, {0x101FD, 0x101FD}, {0x102E0, 0x102E0}, {0x10376, 0x1037A}, {0x10A01, 0x10A0F},
    {0x10A38, 0x10A3F}, {0x10AE5, 0x10AE6}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11001, 0x11001}, {0x11038, 0x11046}, {0x11070, 0x11070}, {0x11073, 0x11074},
    {0x1107F, 0x11081}, {0x110B3, 0x110B6}, {0x110B9, 0x110BA}, {0x110C2, 0x110C2}, {0x11100, 0x11102},
    {0x11127, 0x1112B}, {0x1112D, 0x11134}, {0x11173, 0x11173}, {0x11180, 0x11181}, {0x111B6, 0x111BE},
    {0x111C9, 0x111CC}, {0x111CF, 0x111CF}, {0x1122F, 0x11231}, {0x11234, 0x11234}, {0x11236, 0x11237},
    {0x1123E, 0x1123E}, {0x112DF, 0x112DF}, {0x112E3, 0x112EA}, {0x11300, 0x11301}, {0x1133B, 0x1133C},
    {0x11340, 0x11340}, {0x11366, 0x11374}, {0x11438, 0x1143F}, {0x11442, 0x11444}, {0x11446, 0x11446},
    {0x1145E, 0x1145E}, {0x114B3, 0x114B8}, {0x114BA, 0x114BA}, {0x114BF, 0x114C0}, {0x114C2, 0x114C3},
    {0x115B2, 0x115B5}, {0x115BC, 0x115BD}, {0x115BF, 0x115C0}, {0x115DC, 0x115DD}, {0x11633, 0x1163A},
    {0x1163D, 0x1163D}, {0x1163F, 0x11640}, {0x116AB, 0x116AB}, {0x116AD, 0x116AD}, {0x116B0, 0x116B5},
    {0x116B7, 0x116B7}, {0x1171D, 0x1171F}, {0x11722, 0x11725}, {0x11727, 0x1172B}, {0x1182F, 0x11837},
    {0x11839, 0x1183A}, {0x1193B, 0x1193C}, {0x1193E, 0x1193E}, {0x11943, 0x11943}, {0x119D4, 0x119DB},
    {0x119E0, 0x119E0}, {0x11A01, 0x11A0A}, {0x11A33, 0x11A38}, {0x11A3B, 0x11A3E}, {0x11A47, 0x11A47},
    {0x11A51, 0x11A56}, {0x11A59, 0x11A5B}, {0x11A8A, 0x11A96}, {0x11A98, 0x11A99}, {0x11C30, 0x11C3D},
    {0x11C3F, 0x11C3F}, {0x11C92, 0x11CA7}, {0x11CAA, 0x11CB0}, {0x11CB2, 0x11CB3}, {0x11CB5, 0x11CB6},
    {0x11D31, 0x11D45}, {0x11D47, 0x11D47}, {0x11D90, 0x11D91}, {0x11D95, 0x11D95}, {0x11D97, 0x11D97},
    {0x11EF3, 0x11EF4}, {0x13430, 0x13438}, {0x16AF0, 0x16AF4}, {0x16B30, 0x16B36}, {0x16F4F, 0x16F4F},
    {0x16F8F, 0x16F92}, {0x16FE4, 0x16FE4}, {0x1BC9D, 0x1BC9E}, {0x1BCA0, 0x1CF46}, {0x1D167, 0x1D169},
    {0x1D173, 0x1D182}, {0x1D185, 0x1D18B}, {0x1D1AA, 0x1D1AD}, {0x1D242, 0x1D244}, {0x1DA00, 0x1DA36},
    {0x1DA3B, 0x1DA6C}, {0x1DA75, 0x1DA75}, {0x1DA84, 0x1DA84}, {0x1DA9B, 0x1DAAF}, {0x1E000, 0x1E02A},
    {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E8D0, 0x1E8D6}, {0x1E944, 0x1E94A},
    {0xE0001, 0xE01EF}};
static const uint32_t two_columns[][2] = {
    {0x1100, 0x115F}, {0x231A, 0x231B}, {0x2329, 0x232A}, {0x23E9, 0x23EC}, {0x23F0, 0x23F0},
    {0x23F3, 0x23F3}, {0x25FD, 0x25FE}, {0x2614, 0x2615}, {0x2648, 0x2653}, {0x267F, 0x267F},
    {0x2693, 0x2693}, {0x26A1, 0x26A1}, {0x26AA, 0x26AB}, {0x26BD, 0x26BE}, {0x26C4, 0x26C5},
    {0x26CE, 0x26CE}, {0x26D4, 0x26D4}, {0x26EA, 0x26EA}, {0x26F2, 0x26F3}, {0x26F5, 0x26F5},
    {0x26FA, 0x26FA}, {0x26FD, 0x26FD}, {0x2705, 0x2705}, {0x270A, 0x270B}, {0x2728, 0x2728},
    {0x274C, 0x274C}, {0x274E, 0x274E}, {0x2753, 0x2755}, {0x2757, 0x2757}, {0x2795, 0x2797},
    {0x27B0, 0x27B0}, {0x27BF, 0x27BF}, {0x2B1B, 0x2B1C}, {0x2B50, 0x2B50}, {0x2B55, 0x2B55},
    {0x2E80, 0x3029}, {0x302E, 0x303E}, {0x3041, 0x3096}, {0x309B, 0xA4C6}, {0xA960, 0xA97C},
    {0xAC00, 0xD7A3}, {0xF900, 0xFAD9}, {0xFE10, 0xFE19}, {0xFE30, 0xFE6B}, {0xFF01, 0xFF60},
    {0xFFE0, 0xFFE6}, {0x16FE0, 0x16FE3}, {0x16FF0, 0x1B2FB}, {0x1F004, 0x1F004}, {0x1F0CF, 0x1F0CF},
    {0x1F18E, 0x1F18E}, {0x1F191, 0x1F19A}, {0x1F200, 0x1F320}, {0x1F32D, 0x1F335}, {0x1F337, 0x1F37C},
    {0x1F37E, 0x1F393}, {0x1F3A0, 0x1F3CA}, {0x1F3CF, 0x1F3D3}, {0x1F3E0, 0x1F3F0}, {0x1F3F4, 0x1F3F4},
    {0x1F3F8, 0x1F43E}, {0x1F440, 0x1F440}, {0x1F442, 0x1F4FC}, {0x1F4FF, 0x1F53D}, {0x1F54B, 0x1F54E},
    {0x1F550, 0x1F567}, {0x1F57A, 0x1F57A}, {0x1F595, 0x1F596}, {0x1F5A4, 0x1F5A4}, {0x1F5FB, 0x1F64F},
    {0x1F680, 0x1F6C5}, {0x1F6CC, 0x1F6CC}, {0x1F6D0, 0x1F6D2}, {0x1F6D5, 0x1F6DF}, {0x1F6EB, 0x1F6EC},
    {0x1F6F4, 0x1F6FC}, {0x1F7E0, 0x1F7F0}, {0x1F90C, 0x1F93A}, {0x1F93C, 0x1F945}, {0x1F947, 0x1F9FF},
    {0x1FA70, 0x1FAF6}, {0x20000, 0x3134A}};

static bool in_ranges(const uint32_t (*range)[2], size_t count, uint32_t c) {
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        if (c < range[middle][0]) count = middle;
        else if (c > range[middle][1]) low = middle + 1;
        else return true;
    }
    return false;
}

unsigned screen_width(uint32_t c) {
    if (c < 0x300) return 1;
    if (in_ranges(zero_columns, sizeof zero_columns / sizeof *zero_columns, c)) return 0;
    return in_ranges(two_columns, sizeof two_columns / sizeof *two_columns, c) ? 2 : 1;
}

/* ---- integers ------------------------------------------------------------------------------------------ */

void wire_put16(char *p, uint32_t value) {
    p[0] = (char)(unsigned char)(value >> 8 & 255);
    p[1] = (char)(unsigned char)(value & 255);
}
void wire_put32(char *p, uint32_t value) {
    wire_put16(p, value >> 16);
    wire_put16(p + 2, value & 0xFFFF);
}
void wire_put64(char *p, uint64_t value) {
    wire_put32(p, (uint32_t)(value >> 32));
    wire_put32(p + 4, (uint32_t)(value & 0xFFFFFFFF));
}
uint32_t wire_get16(const char *p) { return (uint32_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]); }
uint32_t wire_get32(const char *p) { return wire_get16(p) << 16 | wire_get16(p + 2); }
uint64_t wire_get64(const char *p) { return (uint64_t)wire_get32(p) << 32 | wire_get32(p + 4); }

/* ---- writing a row ------------------------------------------------------------------------------------- */

enum {
    ROW_ATTRIBUTES = 1,
    ROW_FG = 2,
    ROW_BG = 3,
    ROW_UNDERLINE = 4,
    ROW_PLAIN = 5,
    ROW_WIDE = 14,
    ROW_NARROW = 15,
    ROW_AGAIN = 16,
    ROW_CLUSTER = 17
};

enum { MAX_CLUSTER = 32, MAX_AGAIN = 4095 }; /* bytes of a cell; repetitions that 12 bits can say */

typedef struct row_writer {
    text_buffer *out;
    size_t start;       /* where the row begins in it */
    size_t cols, col;
    screen_style said;  /* what the reader knows */
    bool said_wide;
    /* the cell in the making: others may still join it */
    char cell[MAX_CLUSTER];
    size_t cell_len, characters;
    unsigned width;
    screen_style style;
    /* the cell written last, and how often more it stands there */
    char last[MAX_CLUSTER];
    size_t last_len;
    unsigned last_width;
    screen_style last_style;
    size_t again;
    bool last_said;     /* it is in the row already, once */
    size_t blanks;      /* 1 + where in the row the blanks begin that are its end so far; 0: there are none */
    bool failed;
} row_writer;

static bool same_style(const screen_style *a, const screen_style *b) {
    return a->attributes == b->attributes && a->fg == b->fg && a->bg == b->bg && a->underline == b->underline;
}

static void row_put(row_writer *w, const char *p, size_t n) {
    if (!text_room(w->out, n)) {
        w->failed = true;
        return;
    }
    memcpy(w->out->ptr + w->out->len, p, n);
    w->out->len += n;
}

static size_t digits(char *p, uint32_t value, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) p[i] = (char)(0x40 | (value >> 6 * (n - 1 - i) & 63));
    return n;
}

static void put_colour(row_writer *w, char code, uint32_t colour) {
    char text[6];
    size_t n = 2;
    text[0] = code;
    if (colour & SCREEN_RGB) {
        text[1] = 'r';
        n += digits(text + 2, colour & 0xFFFFFF, 4);
    } else if (colour & SCREEN_INDEXED) {
        text[1] = 'i';
        n += digits(text + 2, colour & 255, 2);
    } else {
        text[1] = 'd';
    }
    row_put(w, text, n);
}

static void put_style(row_writer *w, const screen_style *to) {
    static const screen_style plain = {0, 0, 0, 0};
    char text[4];
    if (same_style(&w->said, to)) return;
    if (same_style(to, &plain)) {
        text[0] = ROW_PLAIN;
        row_put(w, text, 1);
    } else {
        if (w->said.attributes != to->attributes) {
            text[0] = ROW_ATTRIBUTES;
            row_put(w, text, 1 + digits(text + 1, to->attributes, 3));
        }
        if (w->said.fg != to->fg) put_colour(w, ROW_FG, to->fg);
        if (w->said.bg != to->bg) put_colour(w, ROW_BG, to->bg);
        if (w->said.underline != to->underline) put_colour(w, ROW_UNDERLINE, to->underline);
    }
    w->said = *to;
}

static void put_again(row_writer *w, size_t times) {
    char text[3];
    size_t i;
    while (times) {
        size_t n = times < MAX_AGAIN ? times : MAX_AGAIN;
        if (n * w->last_len <= 3 && w->last_len == 1) { /* as short as saying so, and easier to read */
            for (i = 0; i < n; i++) row_put(w, w->last, 1);
        } else {
            text[0] = ROW_AGAIN;
            row_put(w, text, 1 + digits(text + 1, (uint32_t)n, 2));
        }
        times -= n;
    }
}

/* Shows nothing. */
static bool plain_blank(const char *cell, size_t len, const screen_style *style) {
    const uint32_t seen = SCREEN_UNDERLINE_MASK | SCREEN_REVERSE | SCREEN_STRIKE | SCREEN_OVERLINE;
    return len == 1 && *cell == ' ' && style->bg == 0 && (style->attributes & seen) == 0;
}

/* Says the cell written last as often as it stands there. */
static void put_last(row_writer *w) {
    char text[2];
    size_t characters = 0, i;
    if (w->last_len == 0) return;
    if (!w->last_said) {
        if (!plain_blank(w->last, w->last_len, &w->last_style)) w->blanks = 0;
        else if (!w->blanks) w->blanks = w->out->len - w->start + 1;
        put_style(w, &w->last_style);
        if (w->said_wide != (w->last_width == 2)) {
            w->said_wide = w->last_width == 2;
            text[0] = w->said_wide ? ROW_WIDE : ROW_NARROW;
            row_put(w, text, 1);
        }
        for (i = 0; i < w->last_len; i++) characters += ((unsigned char)w->last[i] & 0xC0) != 0x80;
        if (characters > 1) {
            text[0] = ROW_CLUSTER;
            digits(text + 1, (uint32_t)characters, 1);
            row_put(w, text, 2);
        }
        row_put(w, w->last, w->last_len);
        w->last_said = true;
    }
    put_again(w, w->again);
    w->again = 0;
}

/* The cell in the making is whole. */
static void end_cell(row_writer *w) {
    if (w->cell_len == 0) return;
    if (w->last_len == w->cell_len && w->last_width == w->width && same_style(&w->last_style, &w->style) &&
        memcmp(w->last, w->cell, w->cell_len) == 0) {
        w->again++;
    } else {
        put_last(w);
        memcpy(w->last, w->cell, w->cell_len);
        w->last_len = w->cell_len;
        w->last_width = w->width;
        w->last_style = w->style;
        w->last_said = false;
    }
    w->cell_len = w->characters = 0;
}

static bool is_modifier(uint32_t c) { return c >= 0x1F3FB && c <= 0x1F3FF; } /* skin tones */

/* Marks that only change the order in which text is shown: on a screen of cells they can do nothing but
   deceive. */
static bool is_bidi_control(uint32_t c) {
    return c == 0x61C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069);
}

/* Puts a character on the row as tmux does: what has no width, skin tones and what follows a joiner go into
   the cell before, and a variation selector or a skin tone makes that wide. */
static void add_character(row_writer *w, uint32_t c, const char *bytes, size_t n, const screen_style *style) {
    unsigned width = screen_width(c);
    bool joiner = c == 0x200D, selector = c == 0xFE0F, joins = width == 0 || joiner || selector;
    if (is_bidi_control(c)) return;
    if (!joins && w->cell_len > 1)
        joins = is_modifier(c) ||
                (w->cell_len >= 3 && memcmp(w->cell + w->cell_len - 3, "\xE2\x80\x8D", 3) == 0);
    if (joins) {
        if (w->cell_len == 0 || w->cell_len + n > MAX_CLUSTER) return;
        memcpy(w->cell + w->cell_len, bytes, n);
        w->cell_len += n;
        w->characters++;
        if ((selector || is_modifier(c)) && w->width == 1 && w->col < w->cols) {
            w->width = 2;
            w->col++;
        }
        return;
    }
    end_cell(w);
    if (w->col + width > w->cols) {
        w->col = w->cols;
        return;
    }
    memcpy(w->cell, bytes, n);
    w->cell_len = n;
    w->characters = 1;
    w->width = width;
    w->style = *style;
    w->col += width;
}

static void begin_row(row_writer *w, text_buffer *out, size_t cols) {
    memset(w, 0, sizeof *w);
    w->out = out;
    w->start = out->len;
    w->cols = cols;
}

/* Blanks at the end are not said. False: out of memory, and the row is as long as it was. */
static bool end_row(row_writer *w) {
    end_cell(w);
    put_last(w);
    if (w->blanks) w->out->len = w->start + w->blanks - 1;
    if (w->failed) w->out->len = w->start;
    return !w->failed;
}

/* ---- reading a capture --------------------------------------------------------------------------------- */

enum { MAX_PARAMETERS = 32 };

typedef struct sgr {
    unsigned value[MAX_PARAMETERS];
    bool colon[MAX_PARAMETERS]; /* it stands behind a colon: part of the one before */
    size_t count;
} sgr;

/* Parameters between ESC [ and m; false when there is anything else in them. */
static bool sgr_parse(const char *p, size_t n, sgr *s) {
    size_t i;
    bool colon = false;
    unsigned value = 0;
    s->count = 0;
    for (i = 0; i <= n; i++) {
        if (i < n && p[i] >= '0' && p[i] <= '9') {
            if (value < 100000) value = value * 10 + (unsigned)(p[i] - '0');
            continue;
        }
        if (i < n && p[i] != ';' && p[i] != ':') return false;
        if (s->count < MAX_PARAMETERS) {
            s->value[s->count] = value;
            s->colon[s->count++] = colon;
        }
        colon = i < n && p[i] == ':';
        value = 0;
    }
    return true;
}

/* A colour after 38, 48 or 58 at `at`: 5;n 2;r;g;b 5:n 2:r:g:b 2::r:g:b. Sets *at to its last parameter. */
static uint32_t sgr_colour(const sgr *s, size_t *at, uint32_t before) {
    size_t i = *at + 1, n = 0;
    bool colon = i < s->count && s->colon[i];
    while (i + n < s->count && (!colon || s->colon[i + n])) n++;
    if (n == 0) return before;
    if (s->value[i] == 5) {
        *at = colon ? i + n - 1 : n > 1 ? i + 1 : i;
        return n > 1 ? SCREEN_INDEXED | (s->value[i + 1] & 255) : before;
    }
    if (s->value[i] == 2) {
        size_t first = colon && n > 4 ? i + 2 : i + 1;
        *at = colon ? i + n - 1 : n > 3 ? i + 3 : i + n - 1;
        if (n < 4) return before;
        return SCREEN_RGB | (s->value[first] & 255) << 16 | (s->value[first + 1] & 255) << 8 |
               (s->value[first + 2] & 255);
    }
    *at = i;
    return before;
}

static void set_underline(screen_style *t, unsigned style) {
    t->attributes &= ~(uint32_t)SCREEN_UNDERLINE_MASK;
    if (style <= 5) t->attributes |= style * SCREEN_UNDERLINE;
}

static void sgr_apply(const sgr *s, screen_style *t) {
    static const uint32_t on[10] = {0, SCREEN_BOLD, SCREEN_DIM, SCREEN_ITALIC, 0, SCREEN_BLINK,
                                    SCREEN_BLINK, SCREEN_REVERSE, SCREEN_HIDDEN, SCREEN_STRIKE};
    size_t i;
    for (i = 0; i < s->count; i++) {
        unsigned v = s->value[i];
        bool sub = i + 1 < s->count && s->colon[i + 1];
        if (v == 0) memset(t, 0, sizeof *t);
        else if (v == 4) set_underline(t, sub ? s->value[++i] : 1);
        else if (v == 5 && sub && s->value[i + 1] == 3) { /* how tmux 3.3 writes 53 */
            t->attributes |= SCREEN_OVERLINE;
            i++;
        } else if (v < 10) t->attributes |= on[v];
        else if (v == 21) set_underline(t, 2);
        else if (v == 22) t->attributes &= ~(uint32_t)(SCREEN_BOLD | SCREEN_DIM);
        else if (v == 24) set_underline(t, 0);
        else if (v >= 23 && v <= 29 && v != 26) t->attributes &= ~on[v - 20];
        else if (v >= 30 && v <= 37) t->fg = SCREEN_INDEXED | (v - 30);
        else if (v == 38) t->fg = sgr_colour(s, &i, t->fg);
        else if (v == 39) t->fg = 0;
        else if (v >= 40 && v <= 47) t->bg = SCREEN_INDEXED | (v - 40);
        else if (v == 48) t->bg = sgr_colour(s, &i, t->bg);
        else if (v == 49) t->bg = 0;
        else if (v == 53) t->attributes |= SCREEN_OVERLINE;
        else if (v == 55) t->attributes &= ~(uint32_t)SCREEN_OVERLINE;
        else if (v == 58) t->underline = sgr_colour(s, &i, t->underline);
        else if (v == 59) t->underline = 0;
        else if (v >= 90 && v <= 97) t->fg = SCREEN_INDEXED | (v - 90 + 8);
        else if (v >= 100 && v <= 107) t->bg = SCREEN_INDEXED | (v - 100 + 8);
        while (i + 1 < s->count && s->colon[i + 1]) i++; /* what else belongs to it */
    }
}

/* Steps over one escape sequence at p[0] == ESC; takes notice of SGR. All others are for terminals, not for
   us: titles, clipboards, links, answers. One that does not end takes the rest of the line. */
static size_t escape(const char *p, size_t n, screen_style *style) {
    size_t i = 2;
    sgr s;
    if (n < 2) return n;
    if (p[1] == '[') {
        while (i < n && (unsigned char)p[i] >= 0x20 && (unsigned char)p[i] < 0x40) i++;
        if (i == n) return n;
        if (p[i] == 'm' && sgr_parse(p + 2, i - 2, &s)) sgr_apply(&s, style);
        return i + 1;
    }
    if (p[1] == ']' || p[1] == 'P' || p[1] == 'X' || p[1] == '^' || p[1] == '_') { /* until BEL or ESC \ */
        for (; i < n; i++) {
            if (p[i] == 7) return i + 1;
            if (p[i] == 27) return i + 1 < n && p[i + 1] == '\\' ? i + 2 : i;
        }
        return n;
    }
    i = 1;
    while (i < n && (unsigned char)p[i] >= 0x20 && (unsigned char)p[i] < 0x30) i++; /* ESC ( B and its like */
    return i < n ? i + 1 : n;
}

/* The DEC line drawing set, 0x60 to 0x7E, between SO and SI. */
static const uint16_t drawing[31] = {0x25C6, 0x2592, 0x2409, 0x240C, 0x240D, 0x240A, 0xB0,   0xB1,
                                     0x2424, 0x240B, 0x2518, 0x2510, 0x250C, 0x2514, 0x253C, 0x23BA,
                                     0x23BB, 0x2500, 0x23BC, 0x23BD, 0x251C, 0x2524, 0x2534, 0x252C,
                                     0x2502, 0x2264, 0x2265, 0x3C0,  0x2260, 0xA3,   0xB7};

static size_t utf8_put(uint32_t c, char *p) { /* below 0x10000 */
    if (c < 0x80) {
        p[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        p[0] = (char)(unsigned char)(0xC0 | c >> 6);
        p[1] = (char)(unsigned char)(0x80 | (c & 63));
        return 2;
    }
    p[0] = (char)(unsigned char)(0xE0 | c >> 12);
    p[1] = (char)(unsigned char)(0x80 | (c >> 6 & 63));
    p[2] = (char)(unsigned char)(0x80 | (c & 63));
    return 3;
}

/* The character at p; *used bytes. What is no UTF-8 is U+FFFD, byte by byte. */
static uint32_t utf8_get(const char *p, size_t n, size_t *used) {
    unsigned char c = (unsigned char)*p;
    size_t len = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4, i;
    uint32_t value;
    *used = 1;
    if (len == 1) return c;
    if (len > n || !stream_utf8_valid(p, len)) return 0xFFFD;
    value = c & (0x7Fu >> len);
    for (i = 1; i < len; i++) value = value << 6 | ((unsigned char)p[i] & 63);
    *used = len;
    return value;
}

static void read_line(row_writer *w, screen_style *style, const char *p, size_t n) {
    bool graphics = false;
    size_t i = 0, used;
    while (i < n && !w->failed) {
        unsigned char c = (unsigned char)p[i];
        char bytes[4];
        if (c >= 0x20 && c < 0x7F && !graphics) {
            add_character(w, c, p + i, 1, style);
            i++;
        } else if (c == 27) {
            i += escape(p + i, n - i, style);
        } else if (c == 14 || c == 15) {
            graphics = c == 14;
            i++;
        } else if (c == '\t') {
            do add_character(w, ' ', " ", 1, style);
            while (w->col % 8 && w->col < w->cols);
            i++;
        } else if (c < 0x20 || c == 0x7F) {
            i++;
        } else {
            uint32_t seen = utf8_get(p + i, n - i, &used), character = seen;
            const char *from = p + i;
            i += used;
            if (seen >= 0x80 && seen < 0xA0) continue; /* C1 */
            if (graphics && seen >= 0x60 && seen < 0x7F) character = drawing[seen - 0x60];
            if (character != seen || (seen == 0xFFFD && used == 1)) {
                used = utf8_put(character, bytes);
                from = bytes;
            }
            add_character(w, character, from, used, style);
        }
    }
}

stream_status screen_line(screen_style *style, const void *line, size_t len, size_t cols, text_buffer *out) {
    row_writer w;
    begin_row(&w, out, cols);
    read_line(&w, style, (const char *)line, len);
    return end_row(&w) ? STREAM_OK : STREAM_E_NOMEM;
}

stream_status screen_capture(screen *s, const void *capture, size_t len, size_t cols, size_t rows) {
    const char *p = (const char *)capture, *end = len ? p + len : p;
    screen_style style;
    text_buffer swap;
    size_t row, start, n;
    if (cols == 0 || rows == 0 || cols > SCREEN_MAX_SIDE || rows > SCREEN_MAX_SIDE) return STREAM_E_ARGUMENT;
    memset(&style, 0, sizeof style);
    s->row.len = 0;
    for (row = 0; row < rows; row++) {
        start = s->row.len;
        if (p < end) {
            n = stream_find_newline(p, (size_t)(end - p));
            if (screen_line(&style, p, n, cols, &s->row) != STREAM_OK) return STREAM_E_NOMEM;
            p += n;
            if (p < end) p++;
        }
        if (s->row.len - start > SCREEN_MAX_ROW) {
            s->row.len = start;
            s->clipped++;
        }
        if (!text_room(&s->row, 1)) return STREAM_E_NOMEM;
        s->row.ptr[s->row.len++] = '\n';
    }
    swap = s->text;
    s->text = s->row;
    s->row = swap;
    s->cols = (uint16_t)cols;
    s->rows = (uint16_t)rows;
    return STREAM_OK;
}

void screen_free(screen *s) {
    text_free(&s->text);
    text_free(&s->title);
    text_free(&s->row);
    memset(s, 0, sizeof *s);
}

/* ---- what the capture does not say --------------------------------------------------------------------- */

const char screen_format[] =
    "#{pane_width} #{pane_height} #{cursor_x} #{cursor_y} #{history_size} #{cursor_flag} #{alternate_on} "
    "#{keypad_cursor_flag} #{keypad_flag} #{mouse_standard_flag} #{mouse_button_flag} #{mouse_all_flag} "
    "#{mouse_sgr_flag} #{insert_flag} #{pane_dead} #{pane_title}";

/* The next number, and one space; an empty one is 0. */
static bool next_number(stream_slice *rest, uint32_t *value) {
    size_t i = 0;
    *value = 0;
    for (; i < rest->len && rest->ptr[i] >= '0' && rest->ptr[i] <= '9'; i++) {
        if (*value > 100000000) return false;
        *value = *value * 10 + (uint32_t)(rest->ptr[i] - '0');
    }
    if (i == rest->len || rest->ptr[i] != ' ') return false;
    *rest = stream_slice_of(rest->ptr + i + 1, rest->len - i - 1);
    return true;
}

stream_status screen_state(screen *s, stream_slice answer, size_t *cols, size_t *rows) {
    uint32_t number[5], flag, modes = 0;
    size_t i;
    for (i = 0; i < 5; i++)
        if (!next_number(&answer, &number[i])) return STREAM_E_INVALID;
    for (i = 0; i < 10; i++) {
        /* in the order of the modes' bits: cursor, alternate, keys, keypad, mouse (3), SGR, insert, dead */
        if (!next_number(&answer, &flag)) return STREAM_E_INVALID;
        if (flag) modes |= (uint32_t)1 << i;
    }
    if (number[0] == 0 || number[0] > SCREEN_MAX_SIDE || number[1] == 0 || number[1] > SCREEN_MAX_SIDE)
        return STREAM_E_INVALID;
    if (answer.len > SCREEN_MAX_TITLE) answer.len = stream_utf8_cut(answer.ptr, SCREEN_MAX_TITLE);
    s->title.len = 0;
    text_add_safe(&s->title, answer.ptr, answer.len, true);
    *cols = number[0];
    *rows = number[1];
    /* A wrap that is still to come. */
    s->cursor_x = (uint16_t)(number[2] < number[0] ? number[2] : number[0] - 1);
    s->cursor_y = (uint16_t)(number[3] < number[1] ? number[3] : number[1] - 1);
    s->history = number[4];
    s->modes = modes;
    return STREAM_OK;
}

/* ---- messages ------------------------------------------------------------------------------------------ */

stream_status screen_write_frame(uint8_t type, const void *head, size_t head_len, const void *data,
                                 size_t len, text_buffer *out) {
    if (!text_room(out, STREAM_FRAME_HEAD + head_len + len)) return STREAM_E_NOMEM;
    stream_frame_head(type, head_len + len, out->ptr + out->len);
    out->len += STREAM_FRAME_HEAD;
    if (head_len) memcpy(out->ptr + out->len, head, head_len);
    out->len += head_len;
    if (len) memcpy(out->ptr + out->len, data, len);
    out->len += len;
    return STREAM_OK;
}

/* R frames in the making: rows that stand together share one, and each says only what differs from the row
   above. */
typedef struct rows_writer {
    text_buffer *out;
    size_t frame;        /* where the open frame begins in out, plus 1; 0: none is open */
    size_t next;         /* the row that would go on in it */
    stream_slice before; /* the row written last */
} rows_writer;

static void end_rows(rows_writer *w) {
    if (w->frame) /* its length is known now */
        wire_put32(w->out->ptr + w->frame, (uint32_t)(w->out->len - (w->frame - 1) - STREAM_FRAME_HEAD));
    w->frame = 0;
}

/* A number that 4 bits do not hold. The room is there. */
static void put_long(text_buffer *out, size_t n) {
    if (n < 15) return;
    wire_put16(out->ptr + out->len, (uint32_t)n);
    out->len += 2;
}

static stream_status write_row(rows_writer *w, size_t row, stream_slice was, stream_slice text) {
    size_t same = 0, other;
    if (w->frame && (row != w->next || w->out->len - w->frame + text.len + 5 > SCREEN_MAX_ROW)) end_rows(w);
    if (!w->frame) {
        char head[2];
        w->frame = w->out->len + 1;
        wire_put16(head, (uint32_t)row);
        if (screen_write_frame('R', head, 2, NULL, 0, w->out) != STREAM_OK) return STREAM_E_NOMEM;
        w->before = was;
    }
    while (same < text.len && same < w->before.len && text.ptr[same] == w->before.ptr[same]) same++;
    other = text.len - same;
    if (!text_room(w->out, other + 5)) return STREAM_E_NOMEM;
    w->out->ptr[w->out->len++] =
        (char)(unsigned char)((same < 15 ? same : 15) << 4 | (other < 15 ? other : 15));
    put_long(w->out, same);
    put_long(w->out, other);
    if (other) memcpy(w->out->ptr + w->out->len, text.ptr + same, other);
    w->out->len += other;
    w->before = text;
    w->next = row + 1;
    return STREAM_OK;
}

/* T if it is another than before, and C with what has changed; was NULL: everything. */
static stream_status write_end(const screen *was, const screen *now, text_buffer *out) {
    char state[8];
    size_t len = 8;
    bool title = !was || was->title.len != now->title.len ||
                 (now->title.len && memcmp(was->title.ptr, now->title.ptr, now->title.len) != 0);
    if (title && screen_write_frame('T', NULL, 0, now->title.ptr, now->title.len, out) != STREAM_OK)
        return STREAM_E_NOMEM;
    wire_put16(state, now->cursor_x);
    wire_put16(state + 2, now->cursor_y);
    wire_put32(state + 4, now->modes);
    if (was && was->modes == now->modes)
        len = was->cursor_x == now->cursor_x && was->cursor_y == now->cursor_y ? 0 : 4;
    return screen_write_frame('C', state, len, NULL, 0, out);
}

stream_status screen_write_snapshot(const screen *s, uint64_t number, text_buffer *out) {
    size_t start = out->len;
    char head[12];
    stream_diff diff;
    stream_diff_row row;
    stream_status status;
    rows_writer w;
    wire_put64(head, number);
    wire_put16(head + 8, s->cols);
    wire_put16(head + 10, s->rows);
    status = screen_write_frame('S', head, sizeof head, NULL, 0, out);
    memset(&w, 0, sizeof w);
    w.out = out;
    stream_diff_init(&diff, NULL, 0, s->text.ptr, s->text.len);
    while (status == STREAM_OK && stream_diff_next(&diff, &row) == STREAM_OK)
        if (row.now.len) status = write_row(&w, row.row, stream_slice_of(NULL, 0), row.now);
    end_rows(&w);
    if (status == STREAM_OK) status = write_end(NULL, s, out);
    if (status != STREAM_OK) out->len = start;
    return status;
}

/* Rows of a screen, for the search below. */
static size_t split_rows(const screen *s, stream_slice *row) {
    const char *p = s->text.ptr, *end = p + s->text.len;
    size_t n = 0, len;
    while (p < end && n < SCREEN_MAX_SIDE) {
        len = stream_find_newline(p, (size_t)(end - p));
        row[n++] = stream_slice_of(p, len);
        p += len + 1;
    }
    return n;
}

static bool same_row(stream_slice a, stream_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

typedef struct moved {
    size_t to, from, count;
} moved;

/* The longest run of rows that came from elsewhere: what scrolling does. Rows that stayed where they were and
   empty ones do not make it worth while. For each distance rows are compared until the first byte that
   differs, so it takes rows * rows short looks. */
static moved find_move(const stream_slice *was, const stream_slice *now, size_t rows) {
    moved best = {0, 0, 0};
    size_t best_gain = 32, distance, direction; /* bytes that a move must save */
    for (distance = 1; distance < rows; distance++) {
        for (direction = 0; direction < 2; direction++) {
            size_t i, gain = 0, from = direction ? 0 : distance, to = direction ? distance : 0, run = 0;
            for (i = 0; i <= rows - distance; i++) {
                if (i < rows - distance && same_row(was[from + i], now[to + i])) {
                    if (!same_row(was[to + i], now[to + i])) gain += now[to + i].len + 7;
                    run++;
                    if (gain > best_gain) {
                        best_gain = gain;
                        best.to = to + i + 1 - run;
                        best.from = from + i + 1 - run;
                        best.count = run;
                    }
                } else {
                    run = gain = 0;
                }
            }
        }
    }
    return best;
}

static bool same_state(const screen *was, const screen *now) {
    return was->cursor_x == now->cursor_x && was->cursor_y == now->cursor_y && was->modes == now->modes &&
           was->title.len == now->title.len &&
           (now->title.len == 0 || memcmp(was->title.ptr, now->title.ptr, now->title.len) == 0);
}

/* Writes the move that saves most, if one does, and says which. Without memory for the search there is none.
   */
static stream_status write_move(const screen *was, const screen *now, moved *move, text_buffer *out) {
    stream_slice *lines = (stream_slice *)malloc(2 * SCREEN_MAX_SIDE * sizeof *lines);
    char head[6];
    memset(move, 0, sizeof *move);
    if (!lines) return STREAM_OK;
    if (split_rows(was, lines) == now->rows && split_rows(now, lines + SCREEN_MAX_SIDE) == now->rows)
        *move = find_move(lines, lines + SCREEN_MAX_SIDE, now->rows);
    free(lines);
    if (move->count == 0) return STREAM_OK;
    wire_put16(head, (uint32_t)move->to);
    wire_put16(head + 2, (uint32_t)move->from);
    wire_put16(head + 4, (uint32_t)move->count);
    return screen_write_frame('M', head, sizeof head, NULL, 0, out);
}

/* What most deltas of a flood are, in one frame instead of three. delta: behind the head of its D. */
static void shorten(char *delta, text_buffer *out) {
    enum { HEAD = STREAM_FRAME_HEAD };
    char *row = delta + 1, *end = out->ptr + out->len;
    size_t rows;
    if (end - row < 2 * HEAD || *row != 'R') return;
    rows = wire_get32(row + 1);
    if (HEAD + rows + HEAD != (size_t)(end - row)) return; /* something besides, or a C that says something */
    memmove(row, row + HEAD, rows);
    stream_frame_head('U', 1 + rows, delta - HEAD);
    out->len -= 2 * HEAD;
}

stream_status screen_write_delta(const screen *was, const screen *now, uint64_t number, text_buffer *out) {
    size_t start = out->len;
    stream_status status, more;
    stream_diff diff;
    stream_diff_row row;
    moved move = {0, 0, 0};
    rows_writer w;
    char low = (char)(unsigned char)(number & 255);
    if (was->cols != now->cols || was->rows != now->rows) return STREAM_E_STATE;
    stream_diff_init(&diff, was->text.ptr, was->text.len, now->text.ptr, now->text.len);
    more = stream_diff_next(&diff, &row);
    if (more == STREAM_END && same_state(was, now)) return STREAM_EMPTY;
    memset(&w, 0, sizeof w);
    w.out = out;
    status = screen_write_frame('D', &low, 1, NULL, 0, out);
    if (status == STREAM_OK && more == STREAM_OK) status = write_move(was, now, &move, out);
    for (; status == STREAM_OK && more == STREAM_OK; more = stream_diff_next(&diff, &row)) {
        if (row.row >= move.to && row.row - move.to < move.count) continue; /* the move made it right */
        status = write_row(&w, row.row, row.was, row.now);
    }
    end_rows(&w);
    if (status == STREAM_OK) status = write_end(was, now, out);
    if (status != STREAM_OK) out->len = start;
    else shorten(out->ptr + start + STREAM_FRAME_HEAD, out);
    return status;
}

/* ---- reading a row ------------------------------------------------------------------------------------- */

static uint32_t take_digits(stream_slice *rest, size_t n) {
    uint32_t value = 0;
    size_t i;
    for (i = 0; i < n && rest->len; i++) {
        value = value << 6 | ((unsigned char)*rest->ptr & 63u);
        rest->ptr++;
        rest->len--;
    }
    return value;
}

static uint32_t take_colour(stream_slice *rest) {
    char kind;
    if (rest->len == 0) return 0;
    kind = *rest->ptr;
    rest->ptr++;
    rest->len--;
    if (kind == 'i') return SCREEN_INDEXED | (take_digits(rest, 2) & 255);
    return kind == 'r' ? SCREEN_RGB | take_digits(rest, 4) : 0;
}

bool screen_next(screen_reader *r) {
    size_t characters = 1, used, n = 0;
    if (r->width == 0) r->width = 1;
    while (r->again == 0 && r->rest.len && (unsigned char)*r->rest.ptr < 0x20) {
        char code = *r->rest.ptr;
        r->rest.ptr++;
        r->rest.len--;
        switch (code) {
        case ROW_ATTRIBUTES: r->style.attributes = take_digits(&r->rest, 3); break;
        case ROW_FG: r->style.fg = take_colour(&r->rest); break;
        case ROW_BG: r->style.bg = take_colour(&r->rest); break;
        case ROW_UNDERLINE: r->style.underline = take_colour(&r->rest); break;
        case ROW_PLAIN: memset(&r->style, 0, sizeof r->style); break;
        case ROW_WIDE: r->width = 2; break;
        case ROW_NARROW: r->width = 1; break;
        case ROW_AGAIN: r->again = r->cell.len ? take_digits(&r->rest, 2) : 0; break;
        case ROW_CLUSTER: characters = take_digits(&r->rest, 1); break;
        default: break;
        }
    }
    if (r->again) {
        r->again--;
        return true;
    }
    while (characters-- && n < r->rest.len) {
        utf8_get(r->rest.ptr + n, r->rest.len - n, &used);
        n += used;
    }
    if (n == 0) return false;
    r->cell = stream_slice_of(r->rest.ptr, n);
    r->rest = stream_slice_of(r->rest.ptr + n, r->rest.len - n);
    return true;
}

/* ---- a row for a terminal ------------------------------------------------------------------------------ */

static size_t ansi_colour(char *p, size_t cap, unsigned base, uint32_t colour) {
    int n = 0;
    if (colour & SCREEN_RGB)
        n = snprintf(p, cap, ";%u;2;%u;%u;%u", base, (unsigned)(colour >> 16 & 255),
                     (unsigned)(colour >> 8 & 255), (unsigned)(colour & 255));
    else if ((colour & SCREEN_INDEXED) && base != 58 && (colour & 255) < 16) /* 30 and on, 90 and on */
        n = snprintf(p, cap, ";%u", base - 8 + (unsigned)(colour & 7) + (colour & 8 ? 60u : 0u));
    else if (colour & SCREEN_INDEXED)
        n = snprintf(p, cap, ";%u;5;%u", base, (unsigned)(colour & 255));
    return n > 0 ? (size_t)n : 0;
}

stream_status screen_ansi(stream_slice row, text_buffer *out) {
    static const struct {
        uint32_t bit;
        const char *code;
    } codes[] = {{SCREEN_BOLD, ";1"},   {SCREEN_DIM, ";2"},      {SCREEN_ITALIC, ";3"},
                 {SCREEN_BLINK, ";5"},  {SCREEN_REVERSE, ";7"},  {SCREEN_HIDDEN, ";8"},
                 {SCREEN_STRIKE, ";9"}, {SCREEN_OVERLINE, ";53"}};
    size_t start = out->len, i;
    screen_style now;
    screen_reader r;
    memset(&now, 0, sizeof now);
    memset(&r, 0, sizeof r);
    r.rest = row;
    while (screen_next(&r)) {
        char text[128];
        size_t n = 0;
        if (!same_style(&now, &r.style)) {
            uint32_t line = (r.style.attributes & SCREEN_UNDERLINE_MASK) / SCREEN_UNDERLINE;
            memcpy(text, "\033[0", 3);
            n = 3;
            for (i = 0; i < sizeof codes / sizeof *codes; i++)
                if (r.style.attributes & codes[i].bit)
                    n += (size_t)snprintf(text + n, 8, "%s", codes[i].code);
            if (line) n += (size_t)snprintf(text + n, 8, line > 1 ? ";4:%u" : ";4", (unsigned)line);
            n += ansi_colour(text + n, 24, 38, r.style.fg);
            n += ansi_colour(text + n, 24, 48, r.style.bg);
            n += ansi_colour(text + n, 24, 58, r.style.underline);
            text[n++] = 'm';
            now = r.style;
        }
        if (!text_room(out, n + r.cell.len)) {
            out->len = start;
            return STREAM_E_NOMEM;
        }
        if (n) memcpy(out->ptr + out->len, text, n);
        memcpy(out->ptr + out->len + n, r.cell.ptr, r.cell.len);
        out->len += n + r.cell.len;
    }
    if (now.attributes | now.fg | now.bg | now.underline) {
        if (!text_room(out, 4)) {
            out->len = start;
            return STREAM_E_NOMEM;
        }
        memcpy(out->ptr + out->len, "\033[0m", 4);
        out->len += 4;
    }
    return STREAM_OK;
}
