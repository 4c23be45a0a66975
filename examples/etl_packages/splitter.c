/* Cuts a stream of bytes into stanzas, in pieces of any size and with bounded memory. */
#include "stanza.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct stanza_splitter {
    EVP_MD_CTX *digest;
    const char *at, *end; /* what is left of the piece that was fed */
    int64_t position;     /* of the next byte, in the input */
    int64_t line_offset;  /* where the line at hand begins */
    char *text;
    size_t size, capacity;
    /* Bytes from here on may still turn out to be blanks of a line that ends the stanza. */
    size_t line_start;
    bool is_blank_line; /* nothing but blanks so far in the line at hand */
    size_t crs; /* so many CRs ended the piece: whether they count depends on what follows */
    bool is_finished;
    bool is_handed_out; /* text is what next returned last: it is empty for the next one */
    stanza open;        /* offset -1: no stanza has begun */
};

int stanza_splitter_new(int64_t offset, stanza_splitter **ret_splitter)
{
    stanza_splitter *s = calloc(1, sizeof *s);
    if (s != NULL) {
        s->digest = EVP_MD_CTX_new();
    }
    if (s == NULL || s->digest == NULL || EVP_DigestInit_ex(s->digest, EVP_sha256(), NULL) != 1) {
        stanza_splitter_free(s);
        return tug_fail(TUG_ENOMEM, "out of memory for reading stanzas");
    }
    s->position = s->line_offset = offset;
    s->is_blank_line = true;
    s->open.offset = -1;
    *ret_splitter = s;
    return 0;
}

void stanza_splitter_free(stanza_splitter *s)
{
    if (s != NULL) {
        EVP_MD_CTX_free(s->digest);
        free(s->text);
        free(s);
    }
}

void stanza_splitter_feed(stanza_splitter *s, const void *data, size_t size)
{
    s->at = data;
    s->end = s->at + size;
}

void stanza_splitter_finish(stanza_splitter *s)
{
    s->is_finished = true;
}

/* Blanks at the start of a line are held back in text, all else counts at once. */
static void splitter_count(stanza_splitter *s)
{
    stanza *o = &s->open;
    size_t n = s->size - s->line_start;
    o->total += (int64_t)n;
    EVP_DigestUpdate(s->digest, s->text + s->line_start, n);
    if (o->total > STANZA_MAX && !o->is_oversized) {
        o->is_oversized = true;
        o->size = STANZA_KEPT;
    }
    if (o->is_oversized) { /* what has been counted need not be kept */
        s->size = o->size;
    }
    s->line_start = s->size;
}

static int splitter_append(stanza_splitter *s, const char *data, size_t size)
{
    if (s->size + size > s->capacity) {
        size_t capacity = s->capacity == 0 ? 4096 : s->capacity;
        while (capacity < s->size + size) {
            capacity *= 2;
        }
        char *text = realloc(s->text, capacity);
        if (text == NULL) {
            return tug_fail(TUG_ENOMEM, "out of memory for a stanza of %zu bytes", capacity);
        }
        s->text = text;
        s->capacity = capacity;
    }
    memcpy(s->text + s->size, data, size);
    s->size += size;
    return 0;
}

/* Bytes of a line, without its end. */
static int splitter_put(stanza_splitter *s, const char *data, size_t size)
{
    while (s->is_blank_line && size > 0 && (*data == ' ' || *data == '\t')) {
        /* One blank over the bound is enough: the stanza is oversized if the line goes on. */
        int rc = s->size - s->line_start <= STANZA_MAX ? splitter_append(s, data, 1) : 0;
        if (rc < 0) {
            return rc;
        }
        data++;
        size--;
    }
    if (size == 0) {
        return 0;
    }
    s->is_blank_line = false;
    if (s->open.offset < 0) {
        s->open.offset = s->line_offset;
    }
    int rc = splitter_append(s, data, size);
    if (rc == 0) {
        splitter_count(s);
    }
    return rc;
}

/* The end of a line: 1 if it completed a stanza. */
static int splitter_end_line(stanza_splitter *s)
{
    bool is_blank = s->is_blank_line;
    s->is_blank_line = true;
    s->line_offset = s->position;
    if (is_blank) {
        s->size = s->line_start;
        return s->open.offset >= 0;
    }
    int rc = splitter_append(s, "\n", 1);
    if (rc < 0) {
        return rc;
    }
    splitter_count(s);
    s->open.length = s->position - s->open.offset;
    return 0;
}

static void splitter_hand_out(stanza_splitter *s, stanza *ret_stanza)
{
    EVP_DigestFinal_ex(s->digest, s->open.hash, NULL);
    EVP_DigestInit_ex(s->digest, NULL, NULL);
    s->open.text = s->text;
    s->open.size = s->line_start; /* without blanks of a last line that did not end */
    *ret_stanza = s->open;
    s->open = (stanza){.offset = -1};
    s->is_handed_out = true;
}

/* The CRs that were held back did not stand before an LF. */
static int splitter_put_crs(stanza_splitter *s)
{
    static const char some[] = "\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r";
    int rc = 0;
    while (rc == 0 && s->crs > 0) {
        size_t n = s->crs < sizeof some - 1 ? s->crs : sizeof some - 1;
        s->crs -= n;
        rc = splitter_put(s, some, n);
    }
    return rc;
}

/* Takes what is left of the piece up to the end of a line. All CRs before an LF belong to it, not
 * only the last: else a text would be another one, with another hash, when it is cut again. */
static int splitter_step(stanza_splitter *s)
{
    const char *begin = s->at;
    const char *lf = memchr(begin, '\n', (size_t)(s->end - begin));
    const char *stop = lf != NULL ? lf : s->end, *text_end = stop;
    while (text_end > begin && text_end[-1] == '\r') {
        text_end--;
    }
    s->at = lf != NULL ? lf + 1 : s->end;
    int rc = text_end > begin ? splitter_put_crs(s) : 0;
    if (rc == 0) {
        rc = splitter_put(s, begin, (size_t)(text_end - begin));
    }
    s->crs = lf != NULL ? 0 : s->crs + (size_t)(stop - text_end);
    s->position += s->at - begin;
    return rc == 0 && lf != NULL ? splitter_end_line(s) : rc;
}

int stanza_splitter_next(stanza_splitter *s, stanza *ret_stanza)
{
    if (s->is_handed_out) {
        s->is_handed_out = false;
        s->size = s->line_start = 0;
    }
    int rc = 0;
    while (rc == 0 && s->at < s->end) {
        rc = splitter_step(s);
    }
    if (rc == 0 && s->is_finished) {
        if (!s->is_blank_line) {
            rc = splitter_end_line(s);
        }
        rc = rc == 0 ? s->open.offset >= 0 : rc;
    }
    if (rc == 1) {
        splitter_hand_out(s, ret_stanza);
    }
    return rc;
}
