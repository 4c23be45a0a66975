/* What:      server URLs: scheme://[[user][:password]@][host][:port][/path][?key=value&...]
 * Ownership: tug__url is yours: free. All it points to belongs to it; the password is wiped with it.
 * Context:   any thread.
 * Callbacks: none.
 * Errors:    TUG_EINVAL with part and position (counted from 1). A message never quotes anything of the
 *            URL but its scheme and the names of its parameters: in a URL with a slip a piece of the
 *            password can stand anywhere else. TUG_ENOMEM. */
#ifndef TUG_DRIVERS_URL_H
#define TUG_DRIVERS_URL_H

#include <tug/base.h>

#include "secret.h"

/* Longer ones are refused: no server URL comes near, and error positions stay short. */
#define TUG__URL_MAX 4096
#define TUG__URL_PARAMS_MAX 32

typedef struct tug__url_param {
    const char *key;   /* decoded; not empty; no two of a URL are the same */
    const char *value; /* decoded; "" without a '=' */
} tug__url_param;

/* Absent is NULL, empty is "": amqp://host and amqp://host/ name different virtual hosts. All parts are
 * percent-decoded ('+' stays a plus sign), free of NUL, and end with 0. */
typedef struct tug__url {
    const char *scheme;    /* in lower case */
    const char *user;      /* NULL: no userinfo at all; "" in redis://:password@host */
    tug__secret *password; /* NULL: no ':' in the userinfo */
    const char *host;      /* NULL: empty or absent; an IPv6 address stands without its brackets; a
                              Unix socket written %2Frun%2Fx.sock starts with '/' */
    uint16_t port;         /* 0: absent */
    const char *path;      /* with its leading '/'; NULL: absent */
    unsigned
        path_slashes; /* slashes in it as written, the leading one included: amqp://h/a%2Fb has 1 */
    tug__url_param params[TUG__URL_PARAMS_MAX];
    size_t n_params;
    size_t store_size;
    char store[]; /* where the texts live */
} tug__url;

/* text NULL: TUG_EINVAL. */
int tug__url_parse(const char *text, tug__url **ret_url) TUG_CHECK;
/* NULL is fine. */
void tug__url_free(tug__url *url);
/* The value of a parameter, NULL if the URL has none of this name. */
const char *tug__url_param_get(const tug__url *url, const char *key);

/* A parameter's value as seconds ("10", "0.5"), from least to most. */
int tug__url_seconds(const tug__url_param *p, tug_duration least, tug_duration most,
                     tug_duration *ret_duration) TUG_CHECK;
/* A parameter's value as a whole number, from least to most. */
int tug__url_number(const tug__url_param *p, uint64_t least, uint64_t most,
                    uint64_t *ret_number) TUG_CHECK;

#endif
