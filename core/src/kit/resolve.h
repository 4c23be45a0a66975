/* What:      addresses without a look-up.
 * Ownership: the list is yours. Context: any. Callbacks: none. Errors: TUG_ENOMEM. */
#ifndef TUG_KIT_RESOLVE_H
#define TUG_KIT_RESOLVE_H

#include <tug/resolve.h>

/* TUG_ENOTFOUND, without a detail, if one of them is no address but a name. */
int tug__addresses_from_numbers(const char *const *hosts, size_t n, uint16_t port,
                                tug_addresses **ret_addresses);

#endif
