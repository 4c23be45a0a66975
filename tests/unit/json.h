/* A strict checker of JSON (RFC 8259), for what tug writes: structure, numbers, escapes, UTF-8. */
#ifndef TUG_TESTS_JSON_H
#define TUG_TESTS_JSON_H

/* NULL if text is one JSON value and white space, else where it goes wrong. */
const char *json_check(const char *text);

#endif
