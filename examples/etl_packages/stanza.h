/* What:      the pure part of the worker: a stream of bytes cut into stanzas, a stanza read into
 *            fields.
 * Ownership: what a splitter gives is borrowed until its next call; a package owns its memory:
 *            clear it.
 * Context:   any thread; nothing here waits, logs or knows a server.
 * Callbacks: none.
 * Errors:    TUG_ENOMEM; a stanza that is no package gives TUG_EREJECT and a reason in words. */
#ifndef ETL_STANZA_H
#define ETL_STANZA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tug/error.h>

enum {
    /* A longer stanza is rejected unread. The longest of Debian 12 has 76 KB; the bound keeps the
     * memory of a worker and the size of a message in hand, whatever the input holds. */
    STANZA_MAX = 4 << 20,
    /* So much of a stanza over the bound is kept as its raw text; the rest is at its offset in the
     * input. */
    STANZA_KEPT = 64 << 10,
    /* Name, version and architecture make up the primary key, and PostgreSQL's index rows end at
     * 2,704 bytes with an error that belongs to no class of bad data. */
    STANZA_KEY_MAX = 512, /* bytes; the names and versions in Depends too */
    /* Each is a row: the longest list of Debian 12 has some 300. */
    STANZA_DEPENDENCIES = 65536,
    STANZA_HASH = 32,
    STANZA_REASON = 320
};

/* One stanza as it stands in the input. Its text is made of its lines, each ended by one LF (CRLF
 * counts as LF, a missing last LF is added); the blank line after it is not a part of it. The hash
 * is the SHA-256 of that text, so that the same content has the same hash however its lines end. */
typedef struct stanza {
    int64_t offset; /* of its first line, in bytes from the start of the input */
    int64_t length; /* of its lines as they stand there */
    int64_t total;  /* bytes of its text */
    const char *text;
    size_t size; /* bytes at text: all of them, or STANZA_KEPT of one that is oversized */
    bool is_oversized;
    unsigned char hash[STANZA_HASH];
} stanza;

typedef struct stanza_splitter stanza_splitter;

/* offset: where in the input its bytes begin. */
int stanza_splitter_new(int64_t offset, stanza_splitter **ret_splitter);
void stanza_splitter_free(stanza_splitter *s);
/* The next piece of the input: borrowed until stanza_splitter_next has returned 0. */
void stanza_splitter_feed(stanza_splitter *s, const void *data, size_t size);
/* No more input: the stanza that is open, if any, is complete. */
void stanza_splitter_finish(stanza_splitter *s);
/* 1: a stanza; 0: more input is needed, or it has ended; TUG_ENOMEM. */
int stanza_splitter_next(stanza_splitter *s, stanza *ret_stanza);

/* One alternative of Depends. */
typedef struct stanza_dependency {
    const char *name;
    const char *qualifier;    /* the "any" of "python3:any", NULL without */
    const char *constraint;   /* ">= 1.0": one of << <= = >= >>, a space, a version; NULL without */
    const char *restrictions; /* "[amd64] <!nocheck>" as written, NULL without */
    int group;                /* from 1: which part between commas */
    int position;             /* from 1: which alternative in it */
} stanza_dependency;

typedef struct stanza_package {
    const char *name, *version, *architecture; /* never NULL, never empty */
    const char *section;                       /* NULL without, as the others below */
    const char *maintainer_name, *maintainer_address;
    bool has_size, has_installed_size;
    int64_t size, installed_size;
    stanza_dependency *dependencies;
    size_t n_dependencies;
    char *memory; /* private: the values' bytes */
} stanza_package;

/* Reads a stanza's text: fields in any order, names in any case, continuation lines. TUG_EREJECT
 * with a reason of at most STANZA_REASON - 1 bytes, TUG_ENOMEM. Only after 0 there is something to
 * clear. */
int stanza_parse(const char *text, size_t size, stanza_package *ret_package, char *ret_reason);
void stanza_package_clear(stanza_package *p);
/* Replaces what is not UTF-8 by question marks: a message that was cut in the middle of a
 * character. */
void stanza_clean_text(char *text);

#endif
