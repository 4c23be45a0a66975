/* <tug/testing.h> itself: the clock that jumps, the peer that follows a script, the checks for leaks. */
#include "test.h"

#include <string.h>
#include <tug/group.h>
#include <tug/stream.h>
#include <tug/sys/alloc.h>
#include <tug/value.h>
#include <unistd.h>

#define START(...)                                                                                 \
    static const tug_test_step script[] = {__VA_ARGS__};                                           \
    tug_test_peer *peer = NULL;                                                                    \
    TUG_AUTO(tug_stream) s = NULL;                                                                 \
    int fd = -1;                                                                                   \
    assert_ok(tug_test_peer_start(script, sizeof script / sizeof *script, &fd, &peer));            \
    assert_ok(tug_stream_from_fd(fd, &s))

static struct tug_bytes text(const char *t)
{
    return tug_bytes(t, strlen(t));
}

TASK_TEST(a_conversation_with_pauses_takes_no_time)
{
    START(TUG_TEST_SAY("220 ready\r\n"), TUG_TEST_EXPECT("HELO me\r\n"),
          TUG_TEST_PAUSE(TUG_SECONDS(3600)), TUG_TEST_TRICKLE("250 ok\r\n"), TUG_TEST_EXPECT_END);
    char line[32] = {0};
    tug_time before = tug_now();
    assert_ok(tug_stream_read_exact(s, line, 11));
    assert_string_equal(line, "220 ready\r\n");
    assert_ok(tug_stream_write(s, text("HELO me\r\n")));
    memset(line, 0, sizeof line);
    assert_ok(tug_stream_read_exact(s, line, 8));
    assert_string_equal(line, "250 ok\r\n");
    assert_int_equal(tug_now() - before, TUG_SECONDS(3600));
    tug_stream_close(s);
    s = NULL;
    assert_ok(tug_test_peer_finish(peer));
}

TASK_TEST(another_word_than_expected_is_told)
{
    START(TUG_TEST_EXPECT("abc"), TUG_TEST_EXPECT("PING\r\n"), TUG_TEST_SAY("never said"));
    assert_ok(tug_stream_write(s, text("abcPONG\r\n")));
    assert_rc(tug_test_peer_finish(peer), TUG_EPROTO);
    assert_detail_has("step 1 of the script expected \"PING\\r\\n\", and \"PONG\\r\\n\" came");
}

TASK_TEST(an_end_too_early_is_told)
{
    START(TUG_TEST_EXPECT_BYTES("ab\0c", 4));
    assert_ok(tug_stream_write(s, text("ab")));
    assert_ok(tug_stream_flush(s));
    tug_stream_close(s);
    s = NULL;
    assert_rc(tug_test_peer_finish(peer), TUG_EPROTO);
    assert_detail_has("expected \"\\000c\", and the other end ended");
}

TASK_TEST(a_word_too_many_is_told)
{
    START(TUG_TEST_EXPECT_END);
    assert_ok(tug_stream_write(s, text("more")));
    assert_rc(tug_test_peer_finish(peer), TUG_EPROTO);
    assert_detail_has("expected the end, and \"more\" came");
}

TASK_TEST(a_cut_is_an_end)
{
    START(TUG_TEST_SAY_BYTES("a\0b", 3), TUG_TEST_CUT, TUG_TEST_SAY("not said"));
    char got[4];
    assert_ok(tug_stream_read_exact(s, got, 3));
    assert_memory_equal(got, "a\0b", 3);
    assert_int_equal(tug_stream_read(s, got, sizeof got), 0);
    assert_ok(tug_test_peer_finish(peer));
}

TASK_TEST(a_script_that_waits_can_be_cancelled)
{
    START(TUG_TEST_EXPECT("what never comes"));
    assert_rc(TUG_WITHIN(TUG_MS(10), tug_test_peer_finish(peer)), TUG_ETIMEDOUT);
    assert_int_equal(tug_task_count(), 1);
}

static int leave_memory(void *arg)
{
    *(void **)arg = tug_alloc(8);
    return 0;
}

static int leave_fd(void *arg)
{
    *(int *)arg = dup(0);
    return 0;
}

TEST(what_is_left_behind_fails_the_test)
{
    void *block = NULL;
    int fd = -1;
    assert_rc(tug_test_run(leave_memory, &block, NULL), TUG_EMISUSE);
    assert_detail_has("1 blocks, 0 file descriptors behind");
    tug_free(block);
    assert_rc(tug_test_run(leave_fd, &fd, NULL), TUG_EMISUSE);
    assert_detail_has("0 blocks, 1 file descriptors behind");
    close(fd);
}

static int sleep_long(void *arg)
{
    *(tug_time *)arg = tug_now();
    int rc = tug_sleep(TUG_SECONDS(1000000));
    *(tug_time *)arg = tug_now() - *(tug_time *)arg;
    return rc;
}

TEST(the_clock_jumps_to_the_nanosecond)
{
    tug_time slept = 0;
    assert_ok(tug_test_run(sleep_long, &slept, NULL));
    assert_int_equal(slept, TUG_SECONDS(1000000));
}
