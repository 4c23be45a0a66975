/* What:      the writer behind tug_inspect: entries, fields and lists, as text or as JSON.
 * Ownership: on the stack of the call. Context: the loop's thread; not a word of it allocates for a FILE.
 * Callbacks: none. Errors: `failed`, once memory or room is used up; what is written after is dropped. */
#ifndef TUG_TASK_INSPECT_WRITER_H
#define TUG_TASK_INSPECT_WRITER_H

#include <stdio.h>
#include <tug/sys/inspect.h>

enum {
    TUG__INSPECT_CHUNK = 1024, /* collected before it goes to the FILE */
    TUG__INSPECT_DEPTH = 256   /* of lists and items in one another; a bit each */
};

struct tug_inspect_writer {
    bool is_json;
    int code; /* TUG_ELIMIT, TUG_ENOMEM */
    unsigned depth;
    uint64_t begun[TUG__INSPECT_DEPTH / 64]; /* at this depth there is something before a comma */
    const char *keys[TUG__INSPECT_DEPTH]; /* of the lists that are open: what text calls an item */
    FILE *file;                           /* NULL: memory */
    char *memory;
    size_t size, room, most;
    char chunk[TUG__INSPECT_CHUNK];
    size_t used;
};

/* The outermost entry. */
void tug__inspect_begin(tug_inspect_writer *w, const char *title);
void tug__inspect_end(tug_inspect_writer *w);
/* An entry that is not part of a list: an object in JSON, a line "key ..." in text. */
void tug__inspect_object(tug_inspect_writer *w, const char *key);
void tug__inspect_object_end(tug_inspect_writer *w);
/* An item with a name of its own in text, where the list's key would say less. */
void tug__inspect_item_called(tug_inspect_writer *w, const char *name);
/* A sentence in place of the fields; text only, JSON does not see it. */
void tug__inspect_say(tug_inspect_writer *w, const char *sentence);
/* Bytes as they are. */
void tug__inspect_raw(tug_inspect_writer *w, const char *data, size_t size);

#endif
