/* What:      where the broker is, who logs in and with which bounds: the URL and the options as one.
 * Ownership: yours: free. The password is wiped with it.
 * Context:   any. Callbacks: none.
 * Errors:    TUG_EINVAL with the part that is wrong, never with the password; TUG_ENOMEM. */
#ifndef TUG_AMQP_CONFIG_H
#define TUG_AMQP_CONFIG_H

#include <tug/amqp.h>

#include "secret.h"

typedef struct tug__amqp_config {
    char *host; /* an IPv6 address without brackets */
    uint16_t port;
    char *user;
    tug__secret *password;
    char *vhost;
    char *name;
    char *where;       /* "amqp 127.0.0.1:5672": how errors begin */
    const char *place; /* the same without "amqp ": for log lines, which name the subsystem */
    tug_amqp_options o;
    uint16_t heartbeat_s;
} tug__amqp_config;

int tug__amqp_config_new(const char *url, const tug_amqp_options *o,
                         tug__amqp_config **ret_config) TUG_CHECK;
/* NULL is fine. */
void tug__amqp_config_free(tug__amqp_config *c);

#endif
