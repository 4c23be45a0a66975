#include "url.h"

#include <stdio.h>
#include <string.h>
#include <tug/error.h>

#include "test.h"

static tug__url *parsed(const char *text)
{
    tug__url *url = NULL;
    assert_ok(tug__url_parse(text, &url));
    return url;
}

static void assert_text(const char *got, const char *expected)
{
    if (expected == NULL) {
        assert_null(got);
    } else {
        assert_non_null(got);
        assert_string_equal(got, expected);
    }
}

static void assert_url(const char *text, const char *user, const char *password, const char *host,
                       unsigned port, const char *path)
{
    tug__url *url = parsed(text);
    assert_text(url->user, user);
    assert_text(url->password != NULL ? tug__secret_reveal(url->password).data : NULL, password);
    assert_text(url->host, host);
    assert_int_equal(url->port, port);
    assert_text(url->path, path);
    tug__url_free(url);
}

/* The URL does not parse, and the message names this and never a part of a secret. */
static void assert_wrong(const char *text, const char *says)
{
    tug__url *url = (tug__url *)1;
    assert_rc(tug__url_parse(text, &url), TUG_EINVAL);
    assert_detail_has(says);
    assert_ptr_equal(url, (tug__url *)1);
    assert_null(strstr(tug_last_error()->text, "hunter"));
    assert_null(strstr(tug_last_error()->text, "geheim"));
}

TEST(absent_is_not_empty)
{
    assert_url("redis://", NULL, NULL, NULL, 0, NULL);
    assert_url("redis:///", NULL, NULL, NULL, 0, "/");
    assert_url("redis://host", NULL, NULL, "host", 0, NULL);
    assert_url("redis://host/", NULL, NULL, "host", 0, "/");
    assert_url("redis://@host", "", NULL, "host", 0, NULL);
    assert_url("redis://:@host", "", "", "host", 0, NULL);
    assert_url("redis://user@host", "user", NULL, "host", 0, NULL);
    assert_url("redis://user:@host", "user", "", "host", 0, NULL);
    assert_url("redis://:hunter2@host", "", "hunter2", "host", 0, NULL);
    assert_url("redis://host:", NULL, NULL, "host", 0, NULL);
    assert_url("redis://:6379", NULL, NULL, NULL, 6379, NULL);
}

/* The twelve examples of the AMQP URI specification. */
TEST(amqp_specification_examples)
{
    assert_url("amqp://user:pass@host:10000/vhost", "user", "pass", "host", 10000, "/vhost");
    assert_url("amqp://user%61:%61pass@ho%61st:10000/v%2fhost", "usera", "apass", "hoast", 10000,
               "/v/host");
    assert_url("amqp://", NULL, NULL, NULL, 0, NULL);
    assert_url("amqp://:@/", "", "", NULL, 0, "/");
    assert_url("amqp://user@", "user", NULL, NULL, 0, NULL);
    assert_url("amqp://user:pass@", "user", "pass", NULL, 0, NULL);
    assert_url("amqp://host", NULL, NULL, "host", 0, NULL);
    assert_url("amqp://:10000", NULL, NULL, NULL, 10000, NULL);
    assert_url("amqp:///vhost", NULL, NULL, NULL, 0, "/vhost");
    assert_url("amqp://host/", NULL, NULL, "host", 0, "/");
    assert_url("amqp://host/%2f", NULL, NULL, "host", 0, "//");
    assert_url("amqp://[::1]", NULL, NULL, "::1", 0, NULL);
}

TEST(path_counts_written_slashes)
{
    tug__url *url = parsed("amqp://host/a%2fb");
    assert_int_equal(url->path_slashes, 1);
    tug__url_free(url);
    url = parsed("amqp://host/a/b");
    assert_int_equal(url->path_slashes, 2);
    tug__url_free(url);
}

TEST(hosts_of_all_kinds)
{
    assert_url("redis://[fe80::1%25eth0]:1/0", NULL, NULL, "fe80::1%eth0", 1, "/0");
    assert_url("redis://u:p@[::1]:6379", "u", "p", "::1", 6379, NULL);
    assert_url("redis://%2Frun%2Fredis.sock/1", NULL, NULL, "/run/redis.sock", 0, "/1");
    assert_url("unix:///run/redis.sock", NULL, NULL, NULL, 0, "/run/redis.sock");
    assert_url("unix://:hunter2@/run/redis.sock", "", "hunter2", NULL, 0, "/run/redis.sock");
}

TEST(password_keeps_its_bytes)
{
    assert_url("redis://:a%3Ab%2F%40%25%20%C3%BC@h", "", "a:b/@% \xc3\xbc", "h", 0, NULL);
    assert_url("redis://:p@ss@h", "", "p@ss", "h", 0, NULL);
    assert_url("redis://:a:b:c@h", "", "a:b:c", "h", 0, NULL);
    assert_url("redis://:a+b@h", "", "a+b", "h", 0, NULL);
}

TEST(scheme_is_lower_case)
{
    tug__url *url = parsed("Redis+UNIX:///x");
    assert_string_equal(url->scheme, "redis+unix");
    tug__url_free(url);
}

TEST(parameters)
{
    tug__url *url = parsed("redis://h/1?connect_timeout=2.5&a%3D=b%26c&flag&&x=");
    assert_int_equal(url->n_params, 4);
    assert_string_equal(tug__url_param_get(url, "connect_timeout"), "2.5");
    assert_string_equal(tug__url_param_get(url, "a="), "b&c");
    assert_string_equal(tug__url_param_get(url, "flag"), "");
    assert_string_equal(tug__url_param_get(url, "x"), "");
    assert_null(tug__url_param_get(url, "y"));
    assert_string_equal(url->path, "/1");
    tug__url_free(url);
    url = parsed("redis://h?db=1");
    assert_null(url->path);
    assert_string_equal(tug__url_param_get(url, "db"), "1");
    tug__url_free(url);
}

TEST(wrong_urls_say_where)
{
    assert_wrong(NULL, "NULL");
    assert_wrong("", "empty");
    assert_wrong("localhost:6379", "position 10");
    assert_wrong("redis:/host", "position 6");
    assert_wrong("1redis://host", "\"://\"");
    assert_wrong("://host", "position 1");
    assert_wrong("redis://h ost", "position 10: a space");
    assert_wrong("redis://host\n", "control character");
    assert_wrong("redis://h:0", "position 11: the port");
    assert_wrong("redis://h:65536", "position 11");
    assert_wrong("redis://h:99999999999999999999", "65535");
    assert_wrong("redis://h:6379x/", "65535");
    assert_wrong("redis://[::1", "'[' without ']'");
    assert_wrong("redis://[::1]x", "behind ']'");
    assert_wrong("redis://[host]", "brackets are for IPv6");
    assert_wrong("redis://::1", "brackets");
    assert_wrong("redis://h%zz", "position 10: '%'");
    assert_wrong("redis://h%4", "two hexadecimal digits");
    assert_wrong("redis://h%00", "%00");
    assert_wrong("redis://h?=1", "without a name");
    assert_wrong("redis://h?a=1&a=2", "twice");
}

/* What people do with passwords: none of it may show up in the message, wherever the parser thinks it is. */
TEST(slips_with_passwords_stay_secret)
{
    assert_wrong("redis://:hunter/geheim@host:1", "%2F");
    assert_wrong("redis://user:12/hunter@host", "%2F");
    assert_wrong("redis://:hunter?geheim@host", "%3F");
    assert_wrong("redis://:hunter#geheim@host", "%23");
    assert_wrong("redis://:hunter%ge@host", "hexadecimal");
    assert_wrong("redis://:hunter2", "port");
    assert_wrong("redis://user:hunter2", "port");
    assert_wrong("redis://user:hunter geheim@host", "space");
}

TEST(bounds)
{
    char text[TUG__URL_MAX + 2];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    memcpy(text, "redis://", 8);
    assert_wrong(text, "longer than 4096");
    text[sizeof text - 2] = 0;
    tug__url_free(parsed(text));
    size_t n = (size_t)sprintf(text, "redis://h?");
    for (int i = 0; i < TUG__URL_PARAMS_MAX; i++) {
        n += (size_t)sprintf(text + n, "p%d&", i);
    }
    tug__url_free(parsed(text));
    sprintf(text + n, "one");
    assert_wrong(text, "too many parameters");
}

TEST(seconds)
{
    tug_duration d = -1;
    tug__url_param p = {"connect_timeout", "10"};
    assert_ok(tug__url_seconds(&p, TUG_MS(1), TUG_SECONDS(60), &d));
    assert_true(d == TUG_SECONDS(10));
    p.value = "0.25";
    assert_ok(tug__url_seconds(&p, TUG_MS(1), TUG_SECONDS(60), &d));
    assert_true(d == TUG_MS(250));
    static const char *const wrong[] = {
        "", "-1", "1s", "0", "61", "1e3", "0x10", ".5", "99999999999999999999", "1,5"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        p.value = wrong[i];
        assert_rc(tug__url_seconds(&p, TUG_MS(1), TUG_SECONDS(60), &d), TUG_EINVAL);
        assert_detail_has("connect_timeout");
    }
    assert_true(d == TUG_MS(250));
}

TEST(numbers)
{
    uint64_t number = 7;
    tug__url_param p = {"db", "18446744073709551615"};
    assert_ok(tug__url_number(&p, 0, UINT64_MAX, &number));
    assert_true(number == UINT64_MAX);
    static const char *const wrong[] = {"", "x", "-1", "16", "18446744073709551616", "1.0"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        p.value = wrong[i];
        assert_rc(tug__url_number(&p, 0, 15, &number), TUG_EINVAL);
        assert_detail_has("from 0 to 15");
    }
}
