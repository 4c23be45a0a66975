#include "config.h"

#include <string.h>
#include <tug/error.h>

#define PORT_DEFAULT 6379
/* Databases are counted in an int by the server. */
#define DATABASE_MOST INT32_MAX
#define TIMEOUT_LEAST TUG_MS(1)
#define TIMEOUT_MOST TUG_SECONDS(86400)

static int config_range(const char *name, uint64_t value, uint64_t least, uint64_t most)
{
    if (value < least || value > most) {
        return tug_fail(TUG_EINVAL, "redis option %s: from %llu to %llu", name,
                        (unsigned long long)least, (unsigned long long)most);
    }
    return 0;
}

int tug__redis_options_read(const tug_redis_options *o, tug_redis_options *ret_options)
{
    tug_redis_options got = TUG_REDIS_OPTIONS_INIT;
    if (o != NULL) {
        if (o->size < sizeof o->size || o->size > sizeof got) {
            return tug_fail(TUG_EINVAL, "redis options: size %zu: use TUG_REDIS_OPTIONS_INIT",
                            o->size);
        }
        memcpy(&got, o, o->size);
    }
    const struct {
        const char *name;
        uint64_t value, least, most;
    } checks[] = {
        {"connect_timeout", (uint64_t)got.connect_timeout, TIMEOUT_LEAST, TIMEOUT_MOST},
        {"max_queued", got.max_queued, 1, UINT64_C(1) << 24},
        {"max_unsent", got.max_unsent, 1024, UINT64_C(4) << 30},
        {"max_bulk", got.max_bulk, 1024, UINT64_C(1) << 30},
        {"max_elements", got.max_elements, 1, UINT64_C(1) << 30},
        {"max_reply", got.max_reply, 1024, UINT64_C(1) << 40},
        {"max_depth", got.max_depth, 1, 32},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        int rc = config_range(checks[i].name, checks[i].value, checks[i].least, checks[i].most);
        if (rc < 0) {
            return rc;
        }
    }
    *ret_options = got;
    return 0;
}

static int config_database(const char *text, uint64_t *ret_database)
{
    const tug__url_param p = {"db", text};
    return tug__url_number(&p, 0, DATABASE_MOST, ret_database);
}

static int config_params(redis_config *c, bool is_unix)
{
    for (size_t i = 0; i < c->url->n_params; i++) {
        const tug__url_param *p = &c->url->params[i];
        int rc;
        if (strcmp(p->key, "connect_timeout") == 0) {
            rc = tug__url_seconds(p, TIMEOUT_LEAST, TIMEOUT_MOST, &c->options.connect_timeout);
        } else if (strcmp(p->key, "db") == 0 && is_unix) {
            rc = config_database(p->value, &c->database);
        } else {
            rc = tug_fail(TUG_EINVAL,
                          "Redis URL: unknown parameter %.40s (known: connect_timeout%s)", p->key,
                          is_unix ? ", db" : "");
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int config_unix(redis_config *c)
{
    if (c->url->host != NULL || c->url->port != 0) {
        return tug_fail(TUG_EINVAL,
                        "Redis URL: %s:// takes no host: write three slashes, %s:///path/of/socket",
                        c->url->scheme, c->url->scheme);
    }
    if (c->url->path == NULL || c->url->path[1] == 0) {
        return tug_fail(TUG_EINVAL, "Redis URL: %s:// needs the path of a socket", c->url->scheme);
    }
    c->host = c->url->path;
    return config_params(c, true);
}

static int config_tcp(redis_config *c)
{
    const char *path = c->url->path;
    c->host = c->url->host != NULL ? c->url->host : "127.0.0.1";
    c->port = c->url->port != 0 ? c->url->port : PORT_DEFAULT;
    if (path != NULL && path[1] != 0) {
        /* Not quoted: whatever stands there instead of a number, it was not meant for eyes. */
        int rc = config_database(path + 1, &c->database);
        if (rc < 0) {
            return tug_fail(TUG_EINVAL,
                            "Redis URL: what follows the host's '/' is the number of a database");
        }
    }
    return config_params(c, false);
}

static int config_scheme(redis_config *c)
{
    const char *scheme = c->url->scheme;
    if (c->url->user != NULL && c->url->user[0] != 0 && c->url->password == NULL) {
        return tug_fail(
            TUG_EINVAL,
            "Redis URL: a user without a password: write user:password@ (or :password@)");
    }
    if (strcmp(scheme, "redis") == 0 || strcmp(scheme, "valkey") == 0) {
        return config_tcp(c);
    }
    if (strcmp(scheme, "unix") == 0 || strcmp(scheme, "redis+unix") == 0 ||
        strcmp(scheme, "redis-socket") == 0) {
        return config_unix(c);
    }
    if (strcmp(scheme, "rediss") == 0 || strcmp(scheme, "valkeys") == 0) {
        return tug_fail(TUG_EINVAL,
                        "Redis URL: %s:// means TLS, which this version does not have yet", scheme);
    }
    return tug_fail(TUG_EINVAL,
                    "Redis URL: unknown scheme %.20s:// (known: redis, unix, redis+unix)", scheme);
}

int tug__redis_config_read(const char *url, const tug_redis_options *o, redis_config *ret_config)
{
    redis_config c = {0};
    int rc = tug__redis_options_read(o, &c.options);
    if (rc == 0) {
        rc = tug__url_parse(url, &c.url);
    }
    if (rc == 0) {
        rc = config_scheme(&c);
    }
    if (rc < 0) {
        tug__redis_config_free(&c);
        return rc;
    }
    *ret_config = c;
    return 0;
}

void tug__redis_config_free(redis_config *config)
{
    tug__url_free(config->url);
    config->url = NULL;
}
