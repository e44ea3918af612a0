/* SPDX-License-Identifier: MIT-0
   A terminal's screen as state, not as a stream: what `tmux capture-pane -p -e` says, row by row, in one
   canonical form; which rows differ between two screens; and both as messages for those who watch. No I/O.

   A row is text without control characters that mean anything to a terminal. It is valid UTF-8 without LF, so
   that rows can be joined with LF and compared with stream_diff, and it stands for cells: every character is
   one cell of one column, but for what these bytes say (digits are 6 bits each, as 0x40 + value, high ones
   first):

       0x01 a b c      attributes, 18 bits, see SCREEN_BOLD and so on
       0x02 colour     of the text:      'd' default, 'i' a b palette index, 'r' a b c d 0xRRGGBB
       0x03 colour     of the background
       0x04 colour     of the underline
       0x05            plain again: no attributes, default colours
       0x0E, 0x0F      cells from here on take two columns; one
       0x10 a b        the cell before once more, so many times
       0x11 a          so many characters from here are one cell (combining marks, joined emoji)

   A row begins plain and narrow; behind its end there is nothing but plain blanks. Nothing else below 0x20,
   no DEL and no C1 control is ever in it, whatever the capture had: a page that shows rows as text is safe.

   The wire, version 2. Messages are stream_frames: [type][u32 length][payload], integers big endian. One
   WebSocket message (binary) holds whole frames only; a frame may be at most 64 KiB. What is between an S or
   D and its C is shown at once or not at all, and so is a U. Frames of a type that one does not know are
   stepped over.

       to the page
       H hello   u8 version, u8 rights, u32 run, session name. Rights: 1 may write now; 2 may set the size;
                 4 may write when the one who does leaves
       W write   u8 rights, when they have changed
       S screen  u64 number, u16 columns, u16 rows; blank but for the rows that follow
       D delta   u8 the lowest 8 bits of its number, which is that of the screen before and 1
       M move    u16 to, u16 from, u16 count: rows of the screen before
       R rows    u16 first row; of each from there on: u8 with the number of bytes like those of the row
                 above, of the first row like those that stood there (high 4 bits), and of the other bytes
                 (low 4 bits), where 15 says that the number follows as u16, that of the former first; the
                 other bytes
       T title   text
       C commit  u16 column, u16 row of the cursor, u32 modes; cut behind what has changed: 8, 4 or no bytes
                 (8 with an S)
       U update  D, R and a C without bytes in one: u8 as in D, then as in R
       L line    u32 id, u32 line, text: scrollback; line 0 is the oldest
       E end     u32 id, u32 lines there are in all: no more L for that id
       V views   u16 viewers, u16 of them may write
       X over    u8 reason (1: session ended, 2: refused, 3: stopping), text

       from the page
       h hello   u8 version, u32 run and u64 number of the screen it has (0: none)
       a ack     u64 number of the screen it has painted
       t text    bytes to type, UTF-8
       k key     name: Up, F5, C-c, M-x, S-Tab ...
       p paste   u8 flags (1: first, 2: last), bytes
       b back    u32 id, u32 line, u32 lines: so many before that one
       z size    u16 columns, u16 rows: for those who may set it

   Version 1 had the whole number in D and all of C always, longer rows, and no W and U.

   One thread at a time for each object. */
#ifndef TMUX_BRIDGE_SCREEN_H
#define TMUX_BRIDGE_SCREEN_H

#include "stream.h"
#include "text.h"

enum { WIRE_VERSION = 2, WIRE_MAX_FRAME = 65536 };

enum { /* attributes of a cell */
    SCREEN_BOLD = 1,
    SCREEN_DIM = 2,
    SCREEN_ITALIC = 4,
    SCREEN_UNDERLINE = 8, /* times 1 to 5: single, double, curly, dotted, dashed */
    SCREEN_UNDERLINE_MASK = 56,
    SCREEN_BLINK = 64,
    SCREEN_REVERSE = 128,
    SCREEN_HIDDEN = 256,
    SCREEN_STRIKE = 512,
    SCREEN_OVERLINE = 1024
};

enum { /* modes, as C carries them */
    SCREEN_CURSOR = 1,     /* visible */
    SCREEN_ALTERNATE = 2,  /* the other screen: no scrollback of its own */
    SCREEN_KEYS = 4,       /* cursor keys in application mode */
    SCREEN_KEYPAD = 8,
    SCREEN_MOUSE = 16,     /* the program wants clicks, and with the next two motion */
    SCREEN_MOUSE_DRAG = 32,
    SCREEN_MOUSE_ALL = 64,
    SCREEN_MOUSE_SGR = 128, /* in the SGR encoding */
    SCREEN_INSERT = 256,
    SCREEN_DEAD = 512      /* the pane's program has ended */
};

/* A colour: 0 default; SCREEN_INDEXED | 0..255; SCREEN_RGB | 0xRRGGBB. */
enum { SCREEN_INDEXED = 1 << 24, SCREEN_RGB = 2 << 24 };

typedef struct screen_style {
    uint32_t attributes, fg, bg, underline;
} screen_style;

enum { SCREEN_MAX_SIDE = 1000, SCREEN_MAX_ROW = 60000, SCREEN_MAX_TITLE = 512 };

typedef struct screen {
    uint16_t cols, rows;       /* read only, as everything here */
    uint16_t cursor_x, cursor_y;
    uint32_t modes;
    uint32_t history;          /* lines of scrollback there are */
    text_buffer text;          /* all rows in canonical form, LF after each */
    text_buffer title;         /* safe to show */
    uint64_t clipped;          /* rows that were longer than SCREEN_MAX_ROW, ever */
    text_buffer row;           /* private: the row in the making */
} screen;

/* Zeroed is empty. */
void screen_free(screen *s);

/* Takes what capture-pane said, rows lines of it (fewer: the rest is blank), instead of what was there. OK;
   E_ARGUMENT when a side is 0 or above SCREEN_MAX_SIDE; E_NOMEM: the screen is as it was. */
stream_status screen_capture(screen *s, const void *capture, size_t len, size_t cols, size_t rows);

/* What display-message -p is asked, and takes what it answers: size, cursor, modes, title. OK, or E_INVALID:
   nothing was taken. The size goes to *cols and *rows, for screen_capture. */
extern const char screen_format[];
stream_status screen_state(screen *s, stream_slice answer, size_t *cols, size_t *rows);

/* Appends messages; whole frames, or nothing and E_NOMEM. */
stream_status screen_write_snapshot(const screen *s, uint64_t number, text_buffer *out);
/* What makes `was` into `now`: OK; EMPTY: they are equal; E_STATE: they differ in size, send a snapshot. */
stream_status screen_write_delta(const screen *was, const screen *now, uint64_t number, text_buffer *out);
/* One frame. */
stream_status screen_write_frame(uint8_t type, const void *head, size_t head_len, const void *data,
                                 size_t len, text_buffer *out);

/* One line of a capture in canonical form, appended to *out without LF: for scrollback. *style goes on from
   line to line; zero it for the first. */
stream_status screen_line(screen_style *style, const void *line, size_t len, size_t cols, text_buffer *out);

/* What a canonical row says, cell by cell: zero the reader but for rest; false at the end. */
typedef struct screen_reader {
    stream_slice rest;  /* the row; then what is left of it */
    screen_style style; /* of the cell */
    stream_slice cell;  /* its characters */
    unsigned width;     /* columns: 1 or 2 */
    unsigned again;     /* private */
} screen_reader;

bool screen_next(screen_reader *r);

/* The row for a terminal, with SGR sequences, from plain to plain. Appended to *out. OK or E_NOMEM. */
stream_status screen_ansi(stream_slice row, text_buffer *out);

/* Columns that tmux gives a character: 0, 1 or 2. */
unsigned screen_width(uint32_t character);

/* Big endian integers. */
void wire_put16(char *p, uint32_t value);
void wire_put32(char *p, uint32_t value);
void wire_put64(char *p, uint64_t value);
uint32_t wire_get16(const char *p);
uint32_t wire_get32(const char *p);
uint64_t wire_get64(const char *p);

#endif
