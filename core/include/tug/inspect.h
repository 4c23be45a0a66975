/* What:      what a loop is doing right now: its groups and tasks as a tree, what each waits for and
 *            since when, its pools and connections.
 * Ownership: the FILE stays the caller's; a buffer is the caller's to unref.
 * Context:   any context of the loop, at any time. Writing to a FILE may block, as stdio does.
 * Callbacks: those of pools and connections, at once; none of the program's.
 * Errors:    the FILE forms return none: ferror() of the FILE says what it says. */
#ifndef TUG_INSPECT_H
#define TUG_INSPECT_H

#include <stdio.h>

#include <tug/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* For people: a line for each task, scope, pool and connection, indented by what belongs to what. In a
 * thread without a loop: one line that says so. */
TUG_EXPORT void tug_inspect(FILE *to);
/* The same as one JSON object and a line end. Durations and times left are in seconds. */
TUG_EXPORT void tug_inspect_json(FILE *to);

enum {
    TUG_INSPECT_TEXT,
    TUG_INSPECT_JSON
};
/* Into memory, for a status page. TUG_ELIMIT when it would be longer than most, TUG_ENOMEM. */
TUG_EXPORT int tug_inspect_buffer(int form, size_t most, tug_buffer **ret_buffer) TUG_CHECK;

#ifdef __cplusplus
}
#endif
#endif
