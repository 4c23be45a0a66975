/* Every allocation of a session fails once: what the driver says then does not matter, but that
 * it says something, leaks nothing and ends. The linker puts the functions below before the real
 * ones. */
#include "test.h"

#include <string.h>
#include <tug/amqp.h>
#include <tug/scope.h>
#include <tug/sys/alloc.h>
#include <tug/task.h>

static long countdown = -1; /* allocations until the one that fails; < 0: none does */

static bool fails(void)
{
    return countdown >= 0 && countdown-- == 0;
}

void *__real_tug_alloc(size_t size);
void *__real_tug_calloc(size_t n, size_t size);
void *__real_tug_realloc(void *p, size_t size);
void *__wrap_tug_alloc(size_t size);
void *__wrap_tug_calloc(size_t n, size_t size);
void *__wrap_tug_realloc(void *p, size_t size);

void *__wrap_tug_alloc(size_t size)
{
    return fails() ? NULL : __real_tug_alloc(size);
}

void *__wrap_tug_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_tug_calloc(n, size);
}

void *__wrap_tug_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_tug_realloc(p, size);
}

static int session(tug_amqp **ret_mq, const char *queue)
{
    tug_amqp_queue_options o = TUG_AMQP_QUEUE_OPTIONS_INIT;
    tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
    const tug_amqp_field header = {"run", tug_int64(7)};
    TUG_AUTO(tug_amqp_consumer) c = NULL;
    TUG_AUTO(tug_amqp_delivery) d = NULL;
    int64_t run = 0;
    static char big[300000];
    o.auto_delete = true;
    o.durable = false;
    m.body = tug_bytes(big, sizeof big);
    m.headers = tug_amqp_table(&header, 1);
    m.mandatory = true;
    int rc = tug_amqp_open(test_url("TUG_AMQP_URL"), NULL, ret_mq);
    if (rc == 0) {
        rc = tug_amqp_queue_declare(*ret_mq, queue, &o);
    }
    if (rc == 0) {
        rc = tug_amqp_publish(*ret_mq, "", queue, &m);
    }
    if (rc == 0) {
        rc = tug_amqp_consume(*ret_mq, queue, NULL, &c);
    }
    if (rc == 0) {
        rc = tug_amqp_consumer_next(c, &d) == 1 ? 0 : tug_last_error()->code;
    }
    if (rc == 0) {
        rc = tug_amqp_delivery_header(d, "run", TUG_OUT(&run));
    }
    return rc == 0 ? tug_amqp_ack(d) : rc;
}

LIVE_TEST(each_allocation_fails_once)
{
    int failed = 0, rc;
    long n = 0, left = 0;
    do {
        tug_amqp *mq = NULL;
        const char *queue = test_name();
        countdown = n++;
        rc = TUG_WITHIN(TUG_SECONDS(10), session(&mq, queue));
        left = countdown;
        countdown = -1;
        assert_true(rc == 0 || (rc != TUG_ETIMEDOUT && rc != TUG_ECANCELED));
        if (rc < 0) {
            failed++;
            assert_int_equal(tug_last_error()->code, rc);
            assert_true(tug_last_error()->text[0] != 0);
        }
        tug_amqp_close(mq);
        tug_test_settle();
    } while (left < 0 && n < 1000); /* until a session ends before its turn comes */
    assert_int_equal(rc, 0);
    assert_true(failed > 20);
}
