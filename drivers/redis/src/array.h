/* What:      arrays: redisReader with our own object functions. hiredis asks before it makes an array, so
 *            that depth and number are checked here, before memory is spent; it has no cap on the bytes
 *            of a text (it would buffer what comes), so the length is read from its buffer as soon as
 *            it stands there.
 * Ownership: what is built hangs in rd->root from the first moment: hiredis frees nothing.
 * Context:   loop stack. Callbacks: none.
 * Errors:    in rd->why. */
#ifndef TUG_REDIS_ARRAY_H
#define TUG_REDIS_ARRAY_H

#include "reader.h"

/* NULL: out of memory. */
struct redisReader *tug__redis_array_reader(redis_reader *rd);
/* After an incomplete GetReply: false, with rd->why set, if this reply has grown or will grow too large. */
bool tug__redis_array_within_limits(redis_reader *rd);
/* After a failed GetReply: sets rd->why, unless an object function did. */
void tug__redis_array_why(redis_reader *rd);

#endif
