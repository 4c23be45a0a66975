/* What:      what a handle is opened with: the URL and the options, checked.
 * Ownership: yours: free. Context: any thread. Callbacks: none.
 * Errors:    TUG_EINVAL names the part that is wrong, never the password. */
#ifndef TUG_REDIS_CONFIG_H
#define TUG_REDIS_CONFIG_H

#include <tug/redis.h>

#include "url.h"

typedef struct redis_config {
    tug__url *url;    /* holds the texts below */
    const char *host; /* starts with '/': a Unix socket */
    uint16_t port;
    uint64_t database;
    tug_redis_options options;
} redis_config;

int tug__redis_config_read(const char *url, const tug_redis_options *o,
                           redis_config *ret_config) TUG_CHECK;
/* The options alone: connections that are handed over by tests. */
int tug__redis_options_read(const tug_redis_options *o, tug_redis_options *ret_options) TUG_CHECK;
void tug__redis_config_free(redis_config *config);

#endif
