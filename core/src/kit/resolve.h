/* What:      addresses without a look-up, and the threads for look-ups.
 * Ownership: the list is yours. Context: any. Callbacks: none. Errors: TUG_ENOMEM. */
#ifndef TUG_KIT_RESOLVE_H
#define TUG_KIT_RESOLVE_H

#include <tug/resolve.h>

/* TUG_ENOTFOUND, without a detail, if one of them is no address but a name. */
int tug__addresses_from_numbers(const char *const *hosts, size_t n, uint16_t port,
                                tug_addresses **ret_addresses);

/* As tug_offload_abandonable, for what may hang for minutes when a server elsewhere is dead: at most
 * half of the threads run such calls, the others wait. */
TUG_SUSPENDS int tug__offload_hanging(int (*fn)(void *arg), void (*peek)(void *arg, void *to),
                                      void (*destroy)(void *arg), void *arg, void *to);

#endif
