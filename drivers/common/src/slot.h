/* What:      whole numbers into the integer places of TUG_OUT, whatever server they came from.
 * Ownership: none. Context: any thread. Callbacks: none.
 * Errors:    none of its own: the caller knows what to say about a number that does not fit. */
#ifndef TUG_COMMON_SLOT_H
#define TUG_COMMON_SLOT_H

#include <tug/value.h>

/* slot is a TUG_SLOT_INT or TUG_SLOT_UINT of 1, 2, 4 or 8 bytes. False: the number does not fit, nothing is
 * written. A slot whose `to` is NULL only asks. Sign and magnitude, so that int64 and uint64 are one case. */
bool tug__slot_put_whole(const tug_slot *slot, bool is_negative, uint64_t magnitude);

#endif
