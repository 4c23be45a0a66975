#include "utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static bool utf8_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* The length of the sequence at p, which has left bytes; 0 if it is none. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    unsigned char c = *p;
    if (c < 0x80) {
        return c != 0;
    }
    if (c < 0xc2 || c > 0xf4) {
        return 0; /* a tail, an overlong form of ASCII, or beyond U+10FFFF */
    }
    if (c < 0xe0) {
        return left >= 2 && utf8_tail(p[1]) ? 2 : 0;
    }
    if (c < 0xf0) {
        if (left < 3 || !utf8_tail(p[1]) || !utf8_tail(p[2])) {
            return 0;
        }
        /* e0 80..9f is overlong, ed a0..bf a surrogate */
        return (c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) ? 0 : 3;
    }
    if (left < 4 || !utf8_tail(p[1]) || !utf8_tail(p[2]) || !utf8_tail(p[3])) {
        return 0;
    }
    /* f0 80..8f is overlong, f4 90.. beyond U+10FFFF */
    return (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f) ? 0 : 4;
}

size_t tug__pg_utf8_good(const char *text, size_t size)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    const unsigned char *p = (const unsigned char *)text;
    size_t i = 0;
    while (i < size) {
        uint64_t eight;
        /* Eight ASCII bytes at a time. The subtraction borrows from a zero byte only, or from its
         * neighbour above: then the slow path looks closer. */
        while (i + sizeof eight <= size) {
            memcpy(&eight, p + i, sizeof eight);
            if (((eight | (eight - ones)) & highs) != 0) {
                break;
            }
            i += sizeof eight;
        }
        if (i == size) {
            break;
        }
        size_t n = utf8_sequence(p + i, size - i);
        if (n == 0) {
            return i;
        }
        i += n;
    }
    return size;
}
