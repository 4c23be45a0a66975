#include "config.h"

#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

#include "table.h"
#include "url.h"

#define CONFIG_PORT 5672
/* RabbitMQ >= 4.1 refuses less. */
#define CONFIG_FRAME_LEAST 8192
#define CONFIG_FRAME_MOST (1U << 20)
#define CONFIG_BODY_MOST ((size_t)1 << 30)
#define CONFIG_UNCONFIRMED_MOST 65536
#define CONFIG_CONNECT_MOST TUG_SECONDS(86400)

static int config_check_options(const tug_amqp_options *o)
{
    const char *wrong = NULL;
    if (o->connect_timeout <= 0) {
        wrong = "connect_timeout is above 0";
    } else if (o->heartbeat < 0 || o->heartbeat > TUG_SECONDS(65535) ||
               o->heartbeat % TUG_SECONDS(1) != 0) {
        wrong = "heartbeat is whole seconds from 0 to 65535";
    } else if (o->frame_max < CONFIG_FRAME_LEAST || o->frame_max > CONFIG_FRAME_MOST) {
        wrong = "frame_max is from 8192 to 1048576 bytes";
    } else if (o->channel_max < 2) {
        wrong = "channel_max is from 2 to 65535";
    } else if (o->max_body < 1 || o->max_body > CONFIG_BODY_MOST) {
        wrong = "max_body is from 1 byte to 1 GiB";
    } else if (o->max_unconfirmed < 1 || o->max_unconfirmed > CONFIG_UNCONFIRMED_MOST) {
        wrong = "max_unconfirmed is from 1 to 65536";
    } else if (o->max_unsent < 1) {
        wrong = "max_unsent is above 0";
    }
    return wrong == NULL ? 0 : tug_fail(TUG_EINVAL, "amqp: tug_amqp_options: %s", wrong);
}

static int config_param(tug__amqp_config *c, const tug__url_param *p)
{
    uint64_t number = 0;
    int rc;
    if (strcmp(p->key, "heartbeat") == 0) {
        rc = tug__url_number(p, 0, 65535, &number);
        c->o.heartbeat = TUG_SECONDS(number);
    } else if (strcmp(p->key, "connection_timeout") == 0 ||
               strcmp(p->key, "connect_timeout") == 0) {
        tug_duration d = 0;
        rc = tug__url_seconds(p, TUG_MS(1), CONFIG_CONNECT_MOST, &d);
        c->o.connect_timeout = d;
    } else if (strcmp(p->key, "frame_max") == 0) {
        rc = tug__url_number(p, CONFIG_FRAME_LEAST, CONFIG_FRAME_MOST, &number);
        c->o.frame_max = (uint32_t)number;
    } else if (strcmp(p->key, "channel_max") == 0) {
        rc = tug__url_number(p, 2, 65535, &number);
        c->o.channel_max = (uint16_t)number;
    } else {
        rc = tug_fail(
            TUG_EINVAL,
            "amqp URL: unknown parameter \"%.40s\" (known: heartbeat, connection_timeout, "
            "connect_timeout, frame_max, channel_max)",
            p->key);
    }
    return rc;
}

static int config_check_url(const tug__url *url)
{
    if (strcmp(url->scheme, "amqps") == 0) {
        return tug_fail(TUG_EINVAL,
                        "amqp URL: amqps is not supported: TLS comes later; use amqp:// on a "
                        "trusted network");
    }
    if (strcmp(url->scheme, "amqp") != 0) {
        return tug_fail(TUG_EINVAL, "amqp URL: the scheme is \"%.20s\", expected amqp",
                        url->scheme);
    }
    if (url->path_slashes > 1) {
        return tug_fail(TUG_EINVAL, "amqp URL: a '/' in the virtual host is written %%2F");
    }
    if (url->path != NULL) {
        int rc = tug__amqp_check_name("the URL's virtual host", url->path + 1, true);
        if (rc < 0) {
            return rc;
        }
    }
    return url->user == NULL ? 0 : tug__amqp_check_name("the URL's user", url->user, true);
}

static int config_fill(tug__amqp_config *c, const tug__url *url)
{
    /* Absent and empty differ: amqp://host is the virtual host "/", amqp://host/ the one named
     * "". */
    const char *host = url->host != NULL ? url->host : "localhost";
    bool is_v6 = strchr(host, ':') != NULL;
    c->port = url->port != 0 ? url->port : CONFIG_PORT;
    c->host = tug_strdup(host);
    c->user = tug_strdup(url->user != NULL ? url->user : "guest");
    struct tug_bytes password = tug_bytes("guest", 5);
    if (url->password != NULL) {
        password = tug__secret_reveal(url->password);
    }
    c->password = tug__secret_new(password.data, password.size);
    c->vhost = tug_strdup(url->path != NULL ? url->path + 1 : "/");
    c->name = tug_strdup(c->o.name != NULL ? c->o.name : "tug");
    c->where = tug_format("amqp %s%s%s:%u", is_v6 ? "[" : "", host, is_v6 ? "]" : "", c->port);
    c->place = c->where != NULL ? c->where + strlen("amqp ") : NULL;
    c->o.name = NULL;
    c->heartbeat_s = (uint16_t)(c->o.heartbeat / TUG_SECONDS(1));
    bool is_whole = c->host != NULL && c->user != NULL && c->password != NULL && c->vhost != NULL &&
                    c->name != NULL && c->where != NULL;
    return is_whole ? 0 : tug_fail(TUG_ENOMEM, "amqp: no memory for a connection's settings");
}

int tug__amqp_config_new(const char *url_text, const tug_amqp_options *o,
                         tug__amqp_config **ret_config)
{
    tug__url *url = NULL;
    tug__amqp_config *c = tug_calloc(1, sizeof *c);
    if (c == NULL) {
        return tug_fail(TUG_ENOMEM, "amqp: no memory for a connection's settings");
    }
    c->o = (tug_amqp_options)TUG_AMQP_OPTIONS_INIT;
    int rc = tug__amqp_take_options("tug_amqp_options", &c->o, sizeof c->o, o);
    if (rc == 0) {
        rc = config_check_options(&c->o);
    }
    if (rc == 0 && c->o.name != NULL) {
        rc = tug__amqp_check_name("tug_amqp_options.name", c->o.name, true);
    }
    if (rc == 0) {
        rc = tug__url_parse(url_text, &url);
    }
    if (rc == 0) {
        rc = config_check_url(url);
    }
    for (size_t i = 0; rc == 0 && i < url->n_params; i++) {
        rc = config_param(c, &url->params[i]);
    }
    if (rc == 0) {
        rc = config_fill(c, url);
    }
    tug__url_free(url);
    if (rc < 0) {
        tug__amqp_config_free(c);
        return rc;
    }
    *ret_config = c;
    return 0;
}

void tug__amqp_config_free(tug__amqp_config *c)
{
    if (c != NULL) {
        tug_free(c->host);
        tug_free(c->user);
        tug__secret_free(c->password);
        tug_free(c->vhost);
        tug_free(c->name);
        tug_free(c->where);
        tug_free(c);
    }
}
