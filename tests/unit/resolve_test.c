#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <tug/group.h>
#include <tug/offload.h>
#include <tug/resolve.h>
#include <unistd.h>

#include "test.h"

TASK_TEST(an_ipv4_address_needs_no_look_up)
{
    TUG_AUTO(tug_addresses) a = NULL;
    unsigned size = 0;
    assert_ok(tug_resolve("127.0.0.1", 5432, &a));
    assert_int_equal(tug_addresses_count(a), 1);
    assert_string_equal(tug_addresses_text(a, 0), "127.0.0.1");
    const struct sockaddr_in *in = tug_addresses_sockaddr(a, 0, &size);
    assert_int_equal(size, sizeof *in);
    assert_int_equal(in->sin_family, AF_INET);
    assert_int_equal(ntohs(in->sin_port), 5432);
    assert_int_equal(ntohl(in->sin_addr.s_addr), INADDR_LOOPBACK);
    assert_string_equal(tug_addresses_text(a, 1), "");
    assert_null(tug_addresses_sockaddr(a, 1, &size));
}

TASK_TEST(an_ipv6_address_needs_no_look_up)
{
    TUG_AUTO(tug_addresses) a = NULL;
    unsigned size = 0;
    assert_ok(tug_resolve("2001:db8::1", 6379, &a));
    assert_int_equal(tug_addresses_count(a), 1);
    assert_string_equal(tug_addresses_text(a, 0), "2001:db8::1");
    const struct sockaddr_in6 *in6 = tug_addresses_sockaddr(a, 0, &size);
    assert_int_equal(size, sizeof *in6);
    assert_int_equal(in6->sin6_family, AF_INET6);
    assert_int_equal(ntohs(in6->sin6_port), 6379);
}

TASK_TEST(localhost_is_loopback)
{
    TUG_AUTO(tug_addresses) a = NULL;
    unsigned size = 0;
    assert_ok(tug_resolve("localhost", 80, &a));
    assert_in_range(tug_addresses_count(a), 1, 64);
    for (size_t i = 0; i < tug_addresses_count(a); i++) {
        const char *text = tug_addresses_text(a, i);
        assert_true(strncmp(text, "127.", 4) == 0 || strcmp(text, "::1") == 0);
        const struct sockaddr_in *in = tug_addresses_sockaddr(a, i, &size);
        assert_int_equal(ntohs(in->sin_port), 80);
    }
}

/* An empty label is no name: the resolver says so without asking a server. */
TASK_TEST(an_unknown_name_is_named_with_the_reason)
{
    tug_addresses *a = NULL;
    assert_rc(tug_resolve("no..such..host", 80, &a), TUG_ECONNECT);
    assert_detail_has("cannot resolve host \"no..such..host\": ");
    assert_int_equal(tug_last_error()->origin, TUG_ORIGIN_OS);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_null(a);
}

TASK_TEST(what_cannot_be_a_name_is_refused)
{
    tug_addresses *a = NULL;
    char longest[300];
    memset(longest, 'a', sizeof longest);
    longest[256] = 0;
    assert_rc(tug_resolve(longest, 80, &a), TUG_EINVAL);
    assert_rc(tug_resolve("", 80, &a), TUG_EINVAL);
    assert_rc(tug_resolve(NULL, 80, &a), TUG_EINVAL);
    assert_rc(tug_resolve("a b", 80, &a), TUG_EINVAL);
    assert_rc(tug_resolve("a\nb", 80, &a), TUG_EINVAL);
    assert_null(tug_addresses_unref(NULL));
}

struct asker {
    tug_scope scope;
    int rc;
    tug_addresses *addresses;
};

static int ask(void *arg)
{
    struct asker *a = arg;
    tug_scope_enter(&a->scope, TUG_FOREVER);
    a->rc = tug_resolve("localhost", 80, &a->addresses);
    TUG_IGNORE(tug_scope_leave(&a->scope, 0));
    return 0;
}

static void cancel_after(unsigned microseconds, size_t with_pool)
{
    struct asker a = {.rc = 1};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, ask, &a));
    assert_ok(tug_yield());
    usleep(microseconds);
    tug_scope_cancel(&a.scope);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(a.rc, TUG_ECANCELED);
    assert_null(a.addresses);
    /* The abandoned look-up frees its own when it comes back. */
    while (tug_test_live_allocations() > with_pool) {
        assert_ok(tug_yield());
    }
}

TASK_TEST(a_cancel_ends_the_look_up_at_once)
{
    tug_addresses *a = NULL;
    tug_offload_options o = TUG_OFFLOAD_OPTIONS_INIT;
    o.max_threads = 1; /* a second one would be memory that stays */
    assert_ok(tug_offload_configure(&o));
    assert_ok(tug_resolve("localhost", 80, &a));
    tug_addresses_unref(a);
    size_t with_pool = tug_test_live_allocations();
    /* While it waits for a thread, while it runs, when it has come back but was not seen. */
    cancel_after(0, with_pool);
    cancel_after(50, with_pool);
    cancel_after(5000, with_pool);
}

TASK_TEST(a_cancel_on_entry_beats_a_number)
{
    tug_addresses *a = NULL;
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_resolve("127.0.0.1", 80, &a), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&s, 0), 0);
    assert_null(a);
}

TEST(there_must_be_a_task)
{
    tug_addresses *a = NULL;
    assert_rc(tug_resolve("127.0.0.1", 80, &a), TUG_EMISUSE);
}
