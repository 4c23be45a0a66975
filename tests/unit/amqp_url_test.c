/* The URL and the options of a broker. */
#include <stdio.h>
#include <string.h>
#include <tug/amqp.h>
#include <tug/error.h>

#include "config.h"
#include "test.h"
#include "url.h"

/* Appendix A of the AMQP URI specification. NULL: absent, 0: no port. */
static const struct vector {
    const char *url, *user, *password, *host;
    uint16_t port;
    const char *vhost;
} vectors[] = {
    {"amqp://user:pass@host:10000/vhost", "user", "pass", "host", 10000, "vhost"},
    {"amqp://user%61:%61pass@ho%61st:10000/v%2fhost", "usera", "apass", "hoast", 10000, "v/host"},
    {"amqp://", NULL, NULL, NULL, 0, NULL},
    {"amqp://:@/", "", "", NULL, 0, ""},
    {"amqp://user@", "user", NULL, NULL, 0, NULL},
    {"amqp://user:pass@", "user", "pass", NULL, 0, NULL},
    {"amqp://host", NULL, NULL, "host", 0, NULL},
    {"amqp://:10000", NULL, NULL, NULL, 10000, NULL},
    {"amqp:///vhost", NULL, NULL, NULL, 0, "vhost"},
    {"amqp://host/", NULL, NULL, "host", 0, ""},
    {"amqp://host/%2f", NULL, NULL, "host", 0, "/"},
    {"amqp://[::1]", NULL, NULL, "::1", 0, NULL},
};

TEST(twelve_vectors)
{
    assert_int_equal(sizeof vectors / sizeof *vectors, 12);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const struct vector *v = &vectors[i];
        tug__amqp_config *c = NULL;
        assert_ok(tug__amqp_config_new(v->url, NULL, &c));
        assert_string_equal(c->user, v->user != NULL ? v->user : "guest");
        assert_string_equal(tug__secret_reveal(c->password).data,
                            v->password != NULL ? v->password : "guest");
        assert_string_equal(c->host, v->host != NULL ? v->host : "localhost");
        assert_int_equal(c->port, v->port != 0 ? v->port : 5672);
        assert_string_equal(c->vhost, v->vhost != NULL ? v->vhost : "/");
        tug__amqp_config_free(c);
    }
}

/* The defaults above would hide a part that was taken for absent though it was empty, or the
 * reverse. */
TEST(absent_is_not_empty)
{
    tug__amqp_config *a = NULL, *b = NULL;
    assert_ok(tug__amqp_config_new("amqp://h", NULL, &a));
    assert_ok(tug__amqp_config_new("amqp://:@h/", NULL, &b));
    assert_string_equal(a->vhost, "/");
    assert_string_equal(b->vhost, "");
    assert_string_equal(a->user, "guest");
    assert_string_equal(b->user, "");
    assert_int_equal(tug__secret_reveal(b->password).size, 0);
    tug__amqp_config_free(a);
    tug__amqp_config_free(b);
}

TEST(where_has_brackets_for_ipv6)
{
    tug__amqp_config *c = NULL;
    assert_ok(tug__amqp_config_new("amqp://[::1]:77/", NULL, &c));
    assert_string_equal(c->where, "amqp [::1]:77");
    tug__amqp_config_free(c);
}

TEST(parameters)
{
    tug__amqp_config *c = NULL;
    tug_amqp_options o = TUG_AMQP_OPTIONS_INIT;
    o.heartbeat = TUG_SECONDS(5);
    o.max_body = 4096;
    assert_ok(tug__amqp_config_new(
        "amqp://h/?heartbeat=30&connection_timeout=2.5&frame_max=8192&channel_max=16", &o, &c));
    assert_int_equal(c->heartbeat_s, 30); /* the URL wins */
    assert_int_equal(c->o.connect_timeout, TUG_MS(2500));
    assert_int_equal(c->o.frame_max, 8192);
    assert_int_equal(c->o.channel_max, 16);
    assert_int_equal(c->o.max_body, 4096);
    tug__amqp_config_free(c);
    assert_ok(tug__amqp_config_new("amqp://h?connect_timeout=3&heartbeat=0", &o, &c));
    assert_int_equal(c->o.connect_timeout, TUG_SECONDS(3));
    assert_int_equal(c->heartbeat_s, 0);
    tug__amqp_config_free(c);
}

TEST(bad_urls_are_one_clear_line)
{
    static const struct {
        const char *url, *part;
    } bad[] = {
        {NULL, "NULL"},
        {"", "empty"},
        {"http://h", "expected amqp"},
        {"amqps://h", "TLS comes later"},
        {"amqp://h/a/b", "%2F"},
        {"amqp://h?heartbeat=soon", "heartbeat"},
        {"amqp://h?frame_max=4096", "8192"},
        {"amqp://h?frame_max=99999999", "1048576"},
        {"amqp://h?channel_max=70000", "65535"},
        {"amqp://h?connection_timeout=0", "connection_timeout"},
        {"amqp://h?hartbeat=3", "hartbeat"},
        {"amqp://h:0", "port"},
        {"amqp://user:s3cret@h?x=1", "unknown parameter"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tug__amqp_config *c = NULL;
        assert_rc(tug__amqp_config_new(bad[i].url, NULL, &c), TUG_EINVAL);
        assert_detail_has(bad[i].part);
        assert_null(strstr(tug_last_error()->text, "s3cret"));
        assert_null(c);
    }
}

TEST(bad_options)
{
    tug__amqp_config *c = NULL;
    tug_amqp_options good = TUG_AMQP_OPTIONS_INIT, o = good;
    o.size = 3;
    assert_rc(tug__amqp_config_new("amqp://h", &o, &c), TUG_EINVAL);
    assert_detail_has("_INIT");
    o = good;
    o.size = sizeof o + 8;
    assert_rc(tug__amqp_config_new("amqp://h", &o, &c), TUG_EINVAL);
    o = good;
    o.heartbeat = TUG_MS(1500);
    assert_rc(tug__amqp_config_new("amqp://h", &o, &c), TUG_EINVAL);
    assert_detail_has("heartbeat");
    o = good;
    o.max_unconfirmed = 0;
    assert_rc(tug__amqp_config_new("amqp://h", &o, &c), TUG_EINVAL);
    assert_detail_has("max_unconfirmed");
    o = good;
    o.frame_max = 4096;
    assert_rc(tug__amqp_config_new("amqp://h", &o, &c), TUG_EINVAL);
    /* A program built against an older, shorter struct: the rest keeps its default. */
    o = good;
    o.size = offsetof(tug_amqp_options, max_unconfirmed);
    o.max_body = 7;
    o.max_unconfirmed = 5;
    assert_ok(tug__amqp_config_new("amqp://h", &o, &c));
    assert_int_equal(c->o.max_body, 7);
    assert_int_equal(c->o.max_unconfirmed, 1000);
    tug__amqp_config_free(c);
}
