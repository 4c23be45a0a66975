#include "stream_rig.h"

static int line(struct caller *c)
{
    return tug_stream_read_until(s, text("\r\n"), c->to, c->size);
}

static int all(struct caller *c)
{
    return tug_stream_read_all(s, c->size, &c->buffer);
}

/* --- up to a delimiter ----------------------------------------------------------------------- */

TASK_TEST(lines_are_read_one_by_one)
{
    char to[16] = "";
    rig_open();
    say("one\r\ntwo\r\n\r\nrest");
    tug_test_settle();
    assert_rc(tug_stream_read_until(s, text("\r\n"), to, sizeof to), 5);
    assert_memory_equal(to, "one\r\n", 5);
    assert_rc(tug_stream_read_until(s, text("\r\n"), to, 5), 5);
    assert_memory_equal(to, "two\r\n", 5);
    assert_rc(tug_stream_read_until(s, text("\r\n"), to, sizeof to), 2);
    memset(to, 0, sizeof to);
    assert_rc(tug_stream_read(s, to, sizeof to), 4);
    assert_string_equal(to, "rest");
    rig_close();
}

TASK_TEST(a_line_may_come_byte_by_byte)
{
    static const char sent[] = "a\rb\r\r\n";
    struct caller c;
    tug_group g;
    rig_open();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, line, 64);
    for (const char *at = sent; *at != 0; at++) {
        assert_false(c.has_ended);
        assert_int_equal(send(peer, at, 1, 0), 1);
        tug_test_settle();
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 6);
    assert_string_equal(c.to, sent);
    rig_close();
}

TASK_TEST(a_line_that_is_too_long_stays_readable)
{
    char to[16] = "";
    struct caller c;
    tug_group g;
    rig_open();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, line, 5);
    say("1234");
    tug_test_settle();
    assert_false(c.has_ended);
    say("\r"); /* the delimiter would end beyond the fifth byte */
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, TUG_ELIMIT);
    assert_non_null(strstr(c.why.text, "no delimiter within 5 bytes"));
    say("\n");
    assert_ok(tug_stream_read_exact(s, to, 6));
    assert_string_equal(to, "1234\r\n");
    rig_close();
}

TASK_TEST(the_end_before_a_delimiter)
{
    char to[16] = "";
    rig_open();
    say("done\r\nhalf");
    shutdown(peer, SHUT_WR);
    assert_rc(tug_stream_read_until(s, text("\r\n"), to, sizeof to), 6);
    assert_rc(tug_stream_read_until(s, text("\r\n"), to, sizeof to), TUG_EPROTO);
    assert_detail_has("after 4 bytes without a delimiter");
    memset(to, 0, sizeof to);
    assert_rc(tug_stream_read(s, to, sizeof to), 4);
    assert_string_equal(to, "half");
    assert_rc(tug_stream_read_until(s, text("\r\n"), to, sizeof to), 0);
    rig_close();
}

TASK_TEST(a_waiting_line_learns_of_the_end)
{
    struct caller c;
    tug_group g;
    rig_open();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, line, 64);
    say("half");
    tug_test_settle();
    shutdown(peer, SHUT_WR);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, TUG_EPROTO);
    rig_close();
}

TASK_TEST(a_cancelled_line_has_taken_nothing)
{
    struct caller c;
    tug_group g;
    char to[16] = "";
    rig_open();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, line, 64);
    say("half ");
    tug_test_settle();
    cancel(&c);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, TUG_ECANCELED);
    assert_rc(TUG_WITHIN(TUG_MS(5), tug_stream_read_until(s, text("\n"), to, sizeof to)),
              TUG_ETIMEDOUT);
    say("whole\n");
    assert_rc(tug_stream_read_until(s, text("\n"), to, sizeof to), 11);
    assert_string_equal(to, "half whole\n");
    rig_close();
}

/* The limit of one call may be above what is read ahead of readers. */
TASK_TEST(a_long_line_is_waited_for_beyond_read_ahead)
{
    const size_t size = 300 * 1000;
    tug_stream_options o = TUG_STREAM_OPTIONS_INIT;
    char *data = block(size), *to = malloc(size);
    struct caller c;
    tug_group g;
    size_t said = 0;
    for (size_t i = 0; i < size; i++) {
        data[i] = data[i] == '\r' ? ' ' : data[i];
    }
    memcpy(data + size - 2, "\r\n", 2);
    o.read_ahead = 100;
    rig_open_with(&o);
    /* Nobody reads: about one receive is taken. */
    ssize_t n = send(peer, data, size, 0);
    said = n > 0 ? (size_t)n : 0;
    tug_test_settle();
    n = send(peer, data + said, size - said, 0);
    said += n > 0 ? (size_t)n : 0;
    tug_test_settle();
    assert_int_equal(send(peer, data + said, size - said, 0), -1);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, line, 64); /* too short for it */
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, TUG_ELIMIT);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_buffer *got = NULL;
    spawn(&g, &c, all, size);
    while (said < size) {
        tug_test_settle();
        assert_false(c.has_ended);
        n = send(peer, data + said, size - said, 0);
        said += n > 0 ? (size_t)n : 0;
    }
    shutdown(peer, SHUT_WR);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 0);
    got = c.buffer;
    assert_int_equal(tug_buffer_bytes(got).size, size);
    assert_memory_equal(tug_buffer_bytes(got).data, data, size);
    tug_buffer_unref(got);
    rig_close();
    free(data);
    free(to);
}

TASK_TEST(bad_delimiters_are_refused)
{
    char to[8];
    rig_open();
    assert_rc(tug_stream_read_until(s, text(""), to, sizeof to), TUG_EINVAL);
    assert_rc(tug_stream_read_until(s, tug_bytes(to, 65), to, sizeof to), TUG_EINVAL);
    assert_rc(tug_stream_read_until(s, text("x"), to, 0), TUG_EINVAL);
    assert_rc(tug_stream_read_until(s, text("x"), to, ((size_t)64 << 20) + 1), TUG_EINVAL);
    assert_rc(tug_stream_read_all(s, 1, NULL), TUG_EINVAL);
    rig_close();
}

/* --- to the end ------------------------------------------------------------------------------ */

TASK_TEST(everything_up_to_the_end)
{
    struct caller c;
    tug_group g;
    tug_buffer *b = NULL;
    rig_open();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, all, 10);
    say("12345");
    tug_test_settle();
    say("67890");
    tug_test_settle();
    assert_false(c.has_ended);
    shutdown(peer, SHUT_WR);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 0);
    assert_string_equal(tug_buffer_bytes(c.buffer).data, "1234567890");
    tug_buffer_unref(c.buffer);
    assert_ok(tug_stream_read_all(s, 10, &b)); /* nothing is left */
    assert_int_equal(tug_buffer_bytes(b).size, 0);
    tug_buffer_unref(b);
    rig_close();
}

TASK_TEST(more_than_the_limit_stays_readable)
{
    tug_buffer *b = NULL;
    char to[16] = "";
    rig_open();
    say("12345");
    assert_rc(tug_stream_read_all(s, 4, &b), TUG_ELIMIT);
    assert_detail_has("sent more than 4 bytes");
    assert_null(b);
    assert_rc(tug_stream_read(s, to, sizeof to), 5);
    say("6");
    assert_rc(TUG_WITHIN(TUG_MS(5), tug_stream_read_all(s, 4, &b)), TUG_ETIMEDOUT);
    assert_null(b);
    assert_rc(tug_stream_read(s, to, sizeof to), 1);
    rig_close();
}

/* --- straight into the reader's buffer ------------------------------------------------------- */

TASK_TEST(a_large_buffer_is_received_into)
{
    const size_t size = 200 * 1000;
    char *data = block(size), *to = calloc(1, size);
    size_t said = 0, heard = 0;
    rig_open();
    while (heard < size) {
        ssize_t n = send(peer, data + said, size - said, 0);
        said += n > 0 ? (size_t)n : 0;
        int got = tug_stream_read(s, to + heard, size - heard);
        assert_true(got > 0);
        heard += (size_t)got;
    }
    assert_memory_equal(to, data, size);
    rig_close();
    free(data);
    free(to);
}

struct exact {
    struct caller c;
    char *to;
};

static int exact(struct caller *c)
{
    return tug_stream_read_exact(s, ((struct exact *)c)->to, c->size);
}

TASK_TEST(exact_takes_what_is_there_and_waits_for_the_rest)
{
    const size_t size = 200 * 1000;
    struct exact e = {.to = calloc(1, size)};
    char *data = block(size + 10), to[16] = "";
    size_t said = 10;
    tug_group g;
    rig_open();
    assert_int_equal(send(peer, data, 10, 0), 10);
    tug_test_settle();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    e.c = (struct caller){.fn = exact, .size = size};
    assert_ok(tug_group_spawn(&g, rig_call, &e.c));
    while (said < size + 10) {
        assert_false(e.c.has_ended);
        ssize_t n = send(peer, data + said, size + 10 - said, 0);
        said += n > 0 ? (size_t)n : 0;
        tug_test_settle();
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(e.c.rc, 0);
    assert_memory_equal(e.to, data, size);
    assert_ok(tug_stream_read_exact(s, to, 10));
    assert_memory_equal(to, data + size, 10);
    rig_close();
    free(e.to);
    free(data);
}

TASK_TEST(a_large_exact_that_is_cancelled_gives_all_back)
{
    const size_t size = 100 * 1000;
    struct exact e = {.to = calloc(1, size)};
    char *data = block(size), *to = calloc(1, size);
    tug_group g;
    rig_open();
    assert_int_equal(send(peer, data, size / 2, 0), size / 2);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    e.c = (struct caller){.fn = exact, .size = size};
    assert_ok(tug_group_spawn(&g, rig_call, &e.c));
    tug_test_settle();
    assert_memory_equal(e.to, data, size / 2);
    cancel(&e.c);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(e.c.rc, TUG_ECANCELED);
    assert_int_equal(send(peer, data + size / 2, size - size / 2, 0), size - size / 2);
    assert_ok(tug_stream_read_exact(s, to, size));
    assert_memory_equal(to, data, size);
    rig_close();
    free(e.to);
    free(data);
    free(to);
}

TASK_TEST(an_end_in_the_middle_leaves_what_came)
{
    char to[8] = "";
    rig_open();
    say("abc");
    shutdown(peer, SHUT_WR);
    assert_rc(tug_stream_read_exact(s, to, 5), TUG_EPROTO);
    assert_rc(tug_stream_read_exact(s, to, 5), TUG_EPROTO); /* now it is known before */
    assert_detail_has("after 3 of 5 bytes");
    memset(to, 0, sizeof to);
    assert_rc(tug_stream_read(s, to, sizeof to), 3);
    assert_string_equal(to, "abc");
    rig_close();
}

/* --- several at once ------------------------------------------------------------------------- */

TASK_TEST(each_read_that_waits_can_be_closed_and_excludes_others)
{
    int (*const calls[])(struct caller * c) = {line, all};
    for (size_t i = 0; i < 2; i++) {
        struct caller c;
        tug_group g;
        char to[8];
        rig_open();
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        spawn(&g, &c, calls[i], 64);
        tug_test_settle();
        assert_false(c.has_ended);
        assert_rc(tug_stream_read(s, to, 1), TUG_EMISUSE);
        assert_rc(tug_stream_read_until(s, text("x"), to, 1), TUG_EMISUSE);
        assert_rc(tug_stream_read_all(s, 1, &c.buffer), TUG_EMISUSE);
        assert_rc(tug_stream_finish(s), TUG_EMISUSE);
        say("some");
        tug_test_settle();
        rig_close();
        assert_ok(tug_group_leave(&g, 0));
        assert_int_equal(c.rc, TUG_ECLOSED);
        assert_int_equal(c.why.code, TUG_ECLOSED);
    }
}

TASK_TEST(cancelled_on_entry_no_read_takes_anything)
{
    tug_buffer *b = NULL;
    char to[8] = "";
    tug_scope scope;
    rig_open();
    say("ab\r\n");
    tug_test_settle();
    tug_scope_enter(&scope, TUG_FOREVER);
    tug_scope_cancel(&scope);
    assert_rc(tug_stream_read_until(s, text("\r\n"), to, 8), TUG_ECANCELED);
    assert_rc(tug_stream_read_all(s, 1, &b), TUG_ECANCELED);
    assert_rc(tug_stream_read_exact(s, to, 6), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&scope, 0), 0);
    assert_rc(tug_stream_read(s, to, sizeof to), 4);
    rig_close();
}
