/* What: fields, entries and lists as text or JSON. In text an entry is a line, indented by its depth; an
 * item is called by the key of its list. */
#include "task/inspect_writer.h"

#include <assert.h>
#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

#include "util/place.h"
#include "util/utf8.h"

enum {
    MEMORY_FIRST = 4096
};

/* --- bytes -------------------------------------------------------------------------------------- */

static bool has_room(tug_inspect_writer *w, size_t size)
{
    if (size > w->most - w->size) {
        w->code = TUG_ELIMIT;
        return false;
    }
    size_t room = w->room > 0 ? w->room : MEMORY_FIRST;
    while (room < w->size + size) {
        room *= 2;
    }
    if (room > w->room) {
        char *memory = tug_realloc(w->memory, room);
        if (memory == NULL) {
            w->code = TUG_ENOMEM;
            return false;
        }
        w->memory = memory;
        w->room = room;
    }
    return true;
}

static void flush(tug_inspect_writer *w)
{
    if (w->file != NULL) {
        fwrite(w->chunk, 1, w->used, w->file);
    } else if (w->code == 0 && has_room(w, w->used)) {
        memcpy(w->memory + w->size, w->chunk, w->used);
        w->size += w->used;
    }
    w->used = 0;
}

void tug__inspect_raw(tug_inspect_writer *w, const char *data, size_t size)
{
    while (size > 0) {
        size_t part = sizeof w->chunk - w->used;
        part = part < size ? part : size;
        memcpy(w->chunk + w->used, data, part);
        w->used += part;
        data += part;
        size -= part;
        if (w->used == sizeof w->chunk) {
            flush(w);
        }
    }
}

static void put(tug_inspect_writer *w, const char *text)
{
    tug__inspect_raw(w, text, strlen(text));
}

/* --- texts -------------------------------------------------------------------------------------- */

/* Between quotes. The escapes are JSON's in both forms, so that no name breaks a line or a terminal. */
static void put_quoted(tug_inspect_writer *w, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    put(w, "\"");
    while (*s != 0) {
        size_t n = tug__utf8_length(s);
        char escaped[8];
        if (n == 0) {
            put(w, "\\ufffd");
            s++;
            continue;
        }
        if (*s < 0x20 || *s == 0x7f) {
            snprintf(escaped, sizeof escaped, "\\u%04x", *s);
            put(w, escaped);
        } else {
            if (*s == '"' || *s == '\\') {
                put(w, "\\");
            }
            tug__inspect_raw(w, (const char *)s, n);
        }
        s += n;
    }
    put(w, "\"");
}

/* --- entries and lists -------------------------------------------------------------------------- */

static bool has_begun(const tug_inspect_writer *w)
{
    return (w->begun[w->depth / 64] >> (w->depth % 64) & 1) != 0;
}

static void set_begun(tug_inspect_writer *w, bool begun)
{
    uint64_t bit = UINT64_C(1) << (w->depth % 64);
    w->begun[w->depth / 64] = begun ? w->begun[w->depth / 64] | bit
                                    : w->begun[w->depth / 64] & ~bit;
}

static void comma(tug_inspect_writer *w)
{
    if (w->is_json && has_begun(w)) {
        put(w, ",");
    }
    set_begun(w, true);
}

static void descend(tug_inspect_writer *w, const char *key)
{
    assert(w->depth + 1 < TUG__INSPECT_DEPTH && "lists nest less deep than this");
    w->keys[++w->depth] = key;
    set_begun(w, false);
}

static void key_of(tug_inspect_writer *w, const char *key)
{
    comma(w);
    if (w->is_json) {
        put_quoted(w, key);
        put(w, ":");
    } else {
        put(w, " ");
        put(w, key);
        put(w, "=");
    }
}

static void indent(tug_inspect_writer *w, unsigned levels)
{
    put(w, "\n");
    while (levels-- > 0) {
        put(w, "  ");
    }
}

void tug__inspect_begin(tug_inspect_writer *w, const char *title)
{
    put(w, w->is_json ? "{" : title);
    set_begun(w, false);
}

void tug__inspect_end(tug_inspect_writer *w)
{
    assert(w->depth == 0 && "what was opened was closed");
    put(w, w->is_json ? "}\n" : "\n");
    flush(w);
}

void tug__inspect_object(tug_inspect_writer *w, const char *key)
{
    if (w->is_json) {
        key_of(w, key);
        put(w, "{");
    } else {
        indent(w, w->depth / 2);
        put(w, key);
    }
    descend(w, key);
    descend(w, key);
}

void tug__inspect_object_end(tug_inspect_writer *w)
{
    w->depth -= 2;
    if (w->is_json) {
        put(w, "}");
    }
}

void tug_inspect_list(tug_inspect_writer *w, const char *key)
{
    if (w->is_json) {
        key_of(w, key);
        put(w, "[");
    }
    descend(w, key);
}

void tug_inspect_list_end(tug_inspect_writer *w)
{
    w->depth--;
    if (w->is_json) {
        put(w, "]");
    }
}

void tug__inspect_item_called(tug_inspect_writer *w, const char *name)
{
    comma(w);
    if (w->is_json) {
        put(w, "{");
    } else {
        indent(w, w->depth / 2);
        put(w, name);
    }
    descend(w, NULL);
}

void tug_inspect_item(tug_inspect_writer *w)
{
    tug__inspect_item_called(w, w->keys[w->depth]);
}

void tug_inspect_item_end(tug_inspect_writer *w)
{
    w->depth--;
    if (w->is_json) {
        put(w, "}");
    }
}

/* --- fields ------------------------------------------------------------------------------------- */

void tug__inspect_say(tug_inspect_writer *w, const char *sentence)
{
    if (!w->is_json) {
        put(w, sentence);
    }
}

void tug_inspect_text(tug_inspect_writer *w, const char *key, const char *text)
{
    if (text != NULL) {
        key_of(w, key);
        put_quoted(w, text);
    }
}

void tug_inspect_number(tug_inspect_writer *w, const char *key, int64_t n)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)n);
    key_of(w, key);
    put(w, text);
}

void tug_inspect_bool(tug_inspect_writer *w, const char *key, bool value)
{
    key_of(w, key);
    put(w, value ? "true" : "false");
}

void tug_inspect_duration(tug_inspect_writer *w, const char *key, tug_duration d)
{
    char text[48];
    if (d == TUG_FOREVER) {
        return;
    }
    uint64_t ns = d < 0 ? -(uint64_t)d : (uint64_t)d;
    snprintf(text, sizeof text, "%s%llu.%06llu%s", d < 0 ? "-" : "",
             (unsigned long long)(ns / 1000000000), (unsigned long long)(ns % 1000000000 / 1000),
             w->is_json ? "" : "s");
    key_of(w, key);
    put(w, text);
}

void tug_place_text(const void *address, char *to, size_t size)
{
    tug__place_describe(address, to, size);
}

void tug_inspect_place(tug_inspect_writer *w, const char *key, const void *address)
{
    char text[TUG__PLACE_SIZE];
    if (address != NULL) {
        tug__place_describe(address, text, sizeof text);
        tug_inspect_text(w, key, text);
    }
}
