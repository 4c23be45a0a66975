/* What:      how drivers and pools show themselves in tug_inspect: a node in the loop's list, and a
 *            writer that serves text and JSON.
 * Ownership: the node is embedded in your object; zeroed is not linked. Texts are copied while they are
 *            written.
 * Context:   the loop's thread.
 * Callbacks: fn, inside tug_inspect: it must not suspend, nor add or remove sources.
 * Errors:    none. Never write a password: what is written ends up in logs and tickets. */
#ifndef TUG_SYS_INSPECT_H
#define TUG_SYS_INSPECT_H

#include <tug/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_inspect_writer tug_inspect_writer;

typedef struct tug_inspect_source {
    struct tug_inspect_source *next, *prev;
    const char *kind;
    void (*fn)(tug_inspect_writer *w, void *arg);
    void *arg;
} tug_inspect_source;

/* kind: a static word, "pool": how its entry is called. */
TUG_EXPORT void tug_inspect_add(tug_inspect_source *s, const char *kind,
                                void (*fn)(tug_inspect_writer *w, void *arg), void *arg);
/* Before the object goes. One that is not linked is fine; the end of the loop unlinks all. */
TUG_EXPORT void tug_inspect_remove(tug_inspect_source *s);

/* Fields of the entry at hand: keys are static words without spaces. text NULL: nothing is written. */
TUG_EXPORT void tug_inspect_text(tug_inspect_writer *w, const char *key, const char *text);
TUG_EXPORT void tug_inspect_number(tug_inspect_writer *w, const char *key, int64_t n);
TUG_EXPORT void tug_inspect_bool(tug_inspect_writer *w, const char *key, bool value);
/* TUG_FOREVER: nothing is written. */
TUG_EXPORT void tug_inspect_duration(tug_inspect_writer *w, const char *key, tug_duration d);
/* The place of a call, from its return address: function, module and offset. NULL: nothing is written. */
TUG_EXPORT void tug_inspect_place(tug_inspect_writer *w, const char *key, const void *address);
/* The same as text, for a log or an error: at most 159 bytes and the 0, cut to size. */
TUG_EXPORT void tug_place_text(const void *address, char *to, size_t size);
/* A list inside the entry, behind its fields; each item is an entry of its own. Lists nest up to 8 deep. */
TUG_EXPORT void tug_inspect_list(tug_inspect_writer *w, const char *key);
TUG_EXPORT void tug_inspect_item(tug_inspect_writer *w);
TUG_EXPORT void tug_inspect_item_end(tug_inspect_writer *w);
TUG_EXPORT void tug_inspect_list_end(tug_inspect_writer *w);

#ifdef __cplusplus
}
#endif
#endif
