#!/usr/bin/env python3
# SPDX-License-Identifier: MIT-0
"""Makes and proves the powers of ten that stream_json.h reads and prints doubles with.

    powers.py           prints the two tables, line for line as they stand in the header
    powers.py FILE      checks that FILE holds those lines, then proves by exact arithmetic what the header's
                        comments claim of them; says nothing when all holds, exit status 1 when not

The claims, for g(q), the 128 bits that stream_json__power makes out of the tables:

    1. 10^q = (g + d) * 2^(log2(q) - 127) with 0 <= d < 3 for every q in use, and g has no more
       than 64 bits and d = 0 for 0 <= q <= 27. Adding 3 to g does not carry out of its lower 64 bits.
    2. log2(q) and log10(e), the multiplications in the header, are the floors they stand for.
    3. Printing never meets a case its products cannot decide: for every binary exponent e, its k, and every
       product M * 2^e / 10^k that is asked for (M even below 2^55; for powers of 2 three others), that is an
       integer or at least 2^-67 away from one. By the theory of continued fractions the multiple of a number
       that comes nearest to an integer is reached at the denominator of a convergent, so the last
       convergent not above the bound answers for all M. The products are too large by less than 2^-67:
       3 * M * 2^shift < 2^61, in units of 2^-128.
    4. What stream_json__settle builds fits its fixed memory."""
import sys
from fractions import Fraction

STEP, FIRST, LAST = 16, -352, 320  # the exponents of the long table: FIRST, FIRST + STEP, ... LAST
PARSED = range(-342, 309)          # the powers that reading asks for
PRINTED = range(-292, 325)         # ... and printing


def power(q):
    return Fraction(10) ** q


def normal(x, bits):
    """The floor of x * 2^s, and s, with exactly so many bits."""
    s = bits - x.numerator.bit_length() + x.denominator.bit_length()
    while True:
        n = x.numerator << s if s >= 0 else x.numerator
        d = x.denominator << -s if s < 0 else x.denominator
        m = n // d
        if m.bit_length() == bits:
            return m, s
        s += 1 if m.bit_length() < bits else -1


SHORT = [normal(Fraction(5) ** i, 64)[0] for i in range(STEP)]
LONG = [normal(power(q), 128)[0] for q in range(FIRST, LAST + 1, STEP)]


def lines():
    yield "/* 5^i, shifted until its top bit is bit 63. */"
    yield "static const uint64_t stream_json__fives[%d] = {" % STEP
    for i in range(0, STEP, 4):
        yield "    " + ", ".join("0x%016x" % x for x in SHORT[i:i + 4]) + ","
    yield "};"
    yield "/* 10^(16 i - 352), its top 128 bits. */"
    yield "static const uint64_t stream_json__tens[%d][2] = {" % len(LONG)
    pairs = ["{0x%016x, 0x%016x}" % (x >> 64, x & (1 << 64) - 1) for x in LONG]
    for i in range(0, len(pairs), 2):
        yield "    " + ", ".join(pairs[i:i + 2]) + ","
    yield "};"


def log2(q):
    return (q * 217706 + (2048 << 16) >> 16) - 2048


def log10(e, irregular):
    return (e * 315653 - (131237 if irregular else 0) + (1024 << 20) >> 20) - 1024


def made(q):
    """What stream_json__power computes."""
    p = SHORT[(q - FIRST) % STEP] * LONG[(q - FIRST) // STEP]
    return p >> (64 if p >> 191 else 63)


def to_integer(x):
    """The distance of x from an integer; of an integer, 1."""
    r = x.numerator % x.denominator
    return Fraction(min(r, x.denominator - r), x.denominator) if r else Fraction(1)


def nearest_multiple(x, bound):
    """The least distance from an integer of m * x that is not 0, over 1 <= m <= bound, or less than that."""
    if x.denominator <= bound:
        return Fraction(1, x.denominator)
    n, d, before, last = x.numerator, x.denominator, 1, 0
    while n // d * last + before <= bound:
        before, last = last, n // d * last + before
        n, d = d, n % d
    return to_integer(last * x)


def main(path):
    wrong = []

    def claim(holds, text):
        if not holds:
            wrong.append(text)

    text = open(path).read()
    claim("\n".join(lines()) + "\n" in text, "%s: the tables differ from what this script prints" % path)
    for formula in ("(q * INT32_C(217706) + (INT32_C(2048) << 16)) >> 16) - 2048",
                    "(q * INT32_C(315653) - (lopsided ? INT32_C(131237) : 0) + (INT32_C(1024) << 20))"):
        claim(formula in text, "%s: no %s in it" % (path, formula))
    for q in sorted(set(PARSED) | set(PRINTED)):
        exact = power(q) / Fraction(2) ** (log2(q) - 127)
        claim(2 ** 127 <= exact < 2 ** 128, "log2(%d)" % q)
        claim(0 <= exact - made(q) < 3, "10^%d is off by %g" % (q, exact - made(q)))
        claim(q not in PRINTED or made(q) % 2 ** 64 + 3 < 2 ** 64, "10^%d + 3 carries" % q)
        claim(not 0 <= q < 28 or (exact == made(q) and made(q) % 2 ** 64 == 0), "10^%d is not exact" % q)
    for e in range(-1074, 972):
        for irregular in (False, True):
            x = Fraction(2) ** e
            width = x * Fraction(3, 4) if irregular else x
            k = log10(e, irregular)
            claim(power(k) <= width < power(k + 1), "log10(%d, %s)" % (e, irregular))
            claim(-k in PRINTED, "printing asks for 10^%d" % -k)
            shift = log2(-k) + e + 1
            claim(0 <= shift and 3 * (2 ** 55 << shift) < 2 ** 61, "the shift for 2^%d is %d" % (e, shift))
            x /= power(k)
            if irregular:
                near = min(to_integer(m * x) for m in (2 ** 54 - 1, 2 ** 54, 2 ** 54 + 2))
            else:
                near = nearest_multiple(2 * x, 2 ** 54 - 1)
            claim(near >= Fraction(1, 2 ** 67), "2^%d comes within %g of an integer" % (e, near))
    claim((2 ** 54 * 5 ** 1075) < 10 ** 768, "a midpoint can have more than 768 digits")
    claim(10 ** 769 * 2 < 2 ** (32 * 83), "the digits can outgrow a big")
    claim(2 ** 54 * 5 ** (342 - 19 + 769) * 2 ** 4 < 2 ** (32 * 83), "the midpoint can outgrow a big")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if len(sys.argv) > 1:
    sys.exit(main(sys.argv[1]))
print("\n".join(lines()))
