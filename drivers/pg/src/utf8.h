/* What:      text on its way out: is it UTF-8, and does it hold a zero byte, which PostgreSQL cannot store.
 * Ownership: none. Context: any. Callbacks: none. Errors: by the answer. */
#ifndef TUG_PG_UTF8_H
#define TUG_PG_UTF8_H

#include <stddef.h>

/* The number of good bytes from the start: size if all of it is UTF-8 without zero bytes, else where
 * the first bad sequence begins. By the server's own rules: no overlong forms, no surrogates,
 * nothing above U+10FFFF. */
size_t tug__pg_utf8_good(const char *text, size_t size);

#endif
