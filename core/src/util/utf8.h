/* What:      UTF-8, as strict readers take it.
 * Ownership: none. Context: any thread. Callbacks: none. Errors: none. */
#ifndef TUG_UTIL_UTF8_H
#define TUG_UTIL_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The length of the character of UTF-8 at text, 0 if it is none: overlong forms, surrogates and what
 * lies beyond Unicode are refused by strict readers of JSON. */
static inline size_t tug__utf8_length(const unsigned char *s)
{
    size_t n = s[0] < 0x80                   ? 1
               : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
               : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
               : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                             : 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool is_refused = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
                      (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90);
    return is_refused ? 0 : n;
}

#endif
