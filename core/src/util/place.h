/* What:      names for places in the program: function and module of an address.
 * Ownership: the text goes to the caller's memory. Context: any thread; not in a signal handler.
 * Callbacks: none. Errors: none: what has no name is written as a number. */
#ifndef TUG_UTIL_PLACE_H
#define TUG_UTIL_PLACE_H

#include <stddef.h>

enum {
    TUG__PLACE_SIZE = 160 /* enough for a long function and the module's file name */
};

/* "function+0x1f (program+0x1234)" for a return address; without the first part where the function is
 * not exported (link with -rdynamic for it). program+0x1234 is what "addr2line -e program 0x1234" takes:
 * it lies within the call, not behind it. */
void tug__place_describe(const void *return_address, char *to, size_t size);

#endif
