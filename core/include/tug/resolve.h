/* What:      host names to addresses, by getaddrinfo on an offload thread (it honours nsswitch),
 *            four look-ups at a time.
 * Ownership: the list is yours: unref. Context: task only. Callbacks: none.
 * Errors:    TUG_ECONNECT with the name and the resolver's reason, TUG_ECANCELED at once even while the
 *            resolver hangs, TUG_ENOMEM. */
#ifndef TUG_RESOLVE_H
#define TUG_RESOLVE_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_addresses tug_addresses;

/* In getaddrinfo's order, at most 64. A numeric host needs no thread. */
TUG_SUSPENDS TUG_EXPORT int tug_resolve(const char *host, uint16_t port,
                                        tug_addresses **ret_addresses) TUG_CHECK;
TUG_EXPORT tug_addresses *tug_addresses_unref(tug_addresses *a);
TUG_AUTO_FN(tug_addresses, tug_addresses_unref)
TUG_EXPORT size_t tug_addresses_count(const tug_addresses *a);
/* "192.0.2.1", "2001:db8::1": the i-th. Borrowed. */
TUG_EXPORT const char *tug_addresses_text(const tug_addresses *a, size_t i);
/* Its struct sockaddr and length. Borrowed. */
TUG_EXPORT const void *tug_addresses_sockaddr(const tug_addresses *a, size_t i, unsigned *ret_size);

#ifdef __cplusplus
}
#endif
#endif
