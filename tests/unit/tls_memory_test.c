/* Every allocation fails once: the test stands before the real functions (linker option --wrap). Nothing may
 * crash, leak or hang: what was asked for ends with TUG_ENOMEM, or the other side sees a closed connection. */
#include "tls_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tug/scope.h>
#include <tug/sys/alloc.h>
#include <unistd.h>

void *__real_tug_alloc(size_t size);
void *__real_tug_calloc(size_t n, size_t size);
char *__real_tug_strdup(const char *text);
void *__wrap_tug_alloc(size_t size);
void *__wrap_tug_calloc(size_t n, size_t size);
char *__wrap_tug_strdup(const char *text);

static long until_failure = -1; /* allocations; negative: none fails */
static bool has_failed;

static bool fails(void)
{
    if (until_failure < 0 || until_failure-- > 0) {
        return false;
    }
    has_failed = true;
    return true;
}

void *__wrap_tug_alloc(size_t size)
{
    return fails() ? NULL : __real_tug_alloc(size);
}

void *__wrap_tug_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_tug_calloc(n, size);
}

char *__wrap_tug_strdup(const char *text)
{
    return fails() ? NULL : __real_tug_strdup(text);
}

enum {
    MUCH = 1000 * 1000 /* more than a socket holds, so that sealed bytes are held back */
};

struct scene {
    tug_tls *client_tls, *server_tls;
    rig_end client, server;
    int fds[2];
};

/* 0, or what failed first. */
static int act(struct scene *s, const tug_tls_options *co, const tug_tls_options *so)
{
    static char data[MUCH];
    int rc = tug_tls_new(co, &s->client_tls);
    rc = rc < 0 ? rc : tug_tls_new(so, &s->server_tls);
    rc = rc < 0 ? rc : tug_transport_from_fd(s->fds[0], &s->client.t);
    rc = rc < 0 ? rc : tug_transport_from_fd(s->fds[1], &s->server.t);
    rc = rc < 0 ? rc : tug_transport_secure_server(s->server.t, s->server_tls);
    if (rc < 0) {
        return rc;
    }
    rig_start(&s->server);
    rc = tug_transport_secure(s->client.t, s->client_tls, "localhost");
    if (rc < 0) {
        return rc;
    }
    rig_start(&s->client);
    tug_transport_pause(s->server.t, true);
    rc = tug_transport_write(s->client.t, tug_bytes(data, sizeof data));
    tug_test_settle();
    tug_transport_pause(s->server.t, false);
    tug_test_settle();
    if (rc == 0 && (s->client.ended || s->server.ended)) {
        rc = s->client.ended ? s->client.why.code : s->server.why.code;
    }
    if (rc == 0) {
        assert_int_equal(s->server.size, MUCH);
    }
    return rc;
}

static void end(struct scene *s)
{
    for (int i = 0; i < 2; i++) {
        rig_end *e = i == 0 ? &s->client : &s->server;
        if (e->t == NULL) {
            close(s->fds[i]);
        }
        tug_transport_close(e->t);
        free(e->data);
    }
    tug_tls_unref(s->client_tls);
    tug_tls_unref(s->server_tls);
}

TASK_TEST(each_allocation_may_fail)
{
    long n = 0;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    co.certificate_file = so.certificate_file;
    co.server_name = "localhost";
    do {
        struct scene s;
        memset(&s, 0, sizeof s);
        assert_ok(tug_test_socketpair(s.fds));
        has_failed = false;
        until_failure = n++;
        int rc = TUG_WITHIN(TUG_SECONDS(100), act(&s, &co, &so));
        until_failure = -1;
        end(&s);
        tug_test_settle();
        /* What fails on one side is a lost connection on the other. ELIMIT: no thread for the files. */
        if (rc != 0 && rc != TUG_ENOMEM && rc != TUG_ELIMIT && rc != TUG_ECLOSED &&
            rc != TUG_EPROTO && rc != -ECONNRESET && rc != -EPIPE) {
            fail_msg("allocation %ld: %s: %s", n, tug_error_name(rc), tug_last_error()->text);
        }
        assert_true(rc == 0 || has_failed);
    } while (has_failed);
    assert_true(n > 20);
}
