/* The listener's mailbox: order, bounds, and where the words about losses stand. And the quoting of
 * names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

#include "mailbox.h"
#include "quote.h"
#include "test.h"

static struct tug_timestamp at(int64_t us)
{
    return (struct tug_timestamp){us};
}

static void put(tug__pg_mailbox *box, const char *channel, int n)
{
    char payload[16];
    snprintf(payload, sizeof payload, "%d", n);
    assert_ok(tug__pg_mailbox_put(box, channel, payload, 7));
}

/* Takes a notification with this number. */
static void expect(tug__pg_mailbox *box, int n)
{
    tug__pg_mail *m = tug__pg_mailbox_take(box);
    assert_non_null(m);
    assert_int_equal(m->item.kind, TUG_PG_NOTIFICATION);
    assert_int_equal(atoi(m->item.payload), n);
    assert_int_equal(m->item.payload_size, strlen(m->item.payload));
    assert_int_equal(m->item.sender, 7);
    tug_free(m);
}

static void expect_loss(tug__pg_mailbox *box, uint64_t dropped, uint64_t outages, int64_t since,
                        int64_t until)
{
    tug__pg_mail *m = tug__pg_mailbox_take(box);
    assert_non_null(m);
    assert_int_equal(m->item.kind, TUG_PG_LOST);
    assert_int_equal(m->item.dropped, dropped);
    assert_int_equal(m->item.outages, outages);
    assert_int_equal(m->item.since.us, since);
    assert_int_equal(m->item.until.us, until);
    tug_free(m);
}

static void outage(tug__pg_mailbox *box, int64_t since, int64_t until)
{
    assert_ok(tug__pg_mailbox_prepare(box));
    tug__pg_mailbox_gap_begin(box, at(since));
    tug__pg_mailbox_gap_end(box, at(until));
}

TEST(what_fits_comes_in_order)
{
    tug__pg_mailbox box = {.max_n = 100, .max_bytes = 1 << 20};
    for (int i = 0; i < 100; i++) {
        put(&box, "a", i);
    }
    for (int i = 0; i < 100; i++) {
        expect(&box, i);
    }
    assert_null(tug__pg_mailbox_take(&box));
    assert_int_equal(box.n, 0);
    assert_int_equal(box.bytes, 0);
    tug__pg_mailbox_free(&box);
    assert_int_equal(tug_test_live_allocations(), 0);
}

TEST(too_many_drop_the_oldest_and_say_so)
{
    tug__pg_mailbox box = {.max_n = 3, .max_bytes = 1 << 20};
    for (int i = 0; i < 10; i++) {
        put(&box, "a", i);
    }
    assert_int_equal(box.n, 3);
    assert_int_equal(box.dropped, 7);
    expect_loss(&box, 7, 0, 0, 0);
    expect(&box, 7);
    expect(&box, 8);
    expect(&box, 9);
    assert_null(tug__pg_mailbox_take(&box));
    tug__pg_mailbox_free(&box);
    assert_int_equal(tug_test_live_allocations(), 0);
}

TEST(too_many_bytes_do_the_same)
{
    tug__pg_mailbox box = {.max_n = 1000, .max_bytes = 1000};
    for (int i = 0; i < 100; i++) {
        put(&box, "a", i);
        assert_true(box.bytes <= 1000);
    }
    size_t kept = box.n;
    assert_true(kept > 2 && kept < 12);
    expect_loss(&box, 100 - kept, 0, 0, 0);
    expect(&box, (int)(100 - kept));
    tug__pg_mailbox_free(&box);
    assert_int_equal(box.bytes < 1000, 1);
    assert_int_equal(tug_test_live_allocations(), 0);
}

TEST(one_larger_than_the_bound_is_kept_alone)
{
    tug__pg_mailbox box = {.max_n = 10, .max_bytes = 10};
    put(&box, "a", 1);
    put(&box, "a", 2);
    expect_loss(&box, 1, 0, 0, 0);
    expect(&box, 2);
    tug__pg_mailbox_free(&box);
}

TEST(an_outage_stands_at_its_place)
{
    tug__pg_mailbox box = {.max_n = 10, .max_bytes = 1 << 20};
    put(&box, "a", 1);
    outage(&box, 100, 200);
    put(&box, "a", 2);
    expect(&box, 1);
    expect_loss(&box, 0, 1, 100, 200);
    expect(&box, 2);
    tug__pg_mailbox_free(&box);
    assert_int_equal(tug_test_live_allocations(), 0);
}

TEST(behind_an_outage_nothing_comes_until_it_has_ended)
{
    tug__pg_mailbox box = {.max_n = 10, .max_bytes = 1 << 20};
    assert_ok(tug__pg_mailbox_prepare(&box));
    tug__pg_mailbox_gap_begin(&box, at(5));
    put(&box, "a", 1);
    assert_null(tug__pg_mailbox_take(&box));
    tug__pg_mailbox_gap_end(&box, at(6));
    expect_loss(&box, 0, 1, 5, 6);
    expect(&box, 1);
    tug__pg_mailbox_free(&box);
}

TEST(outages_side_by_side_are_one)
{
    tug__pg_mailbox box = {.max_n = 10, .max_bytes = 1 << 20};
    outage(&box, 100, 200);
    outage(&box, 300, 400);
    expect_loss(&box, 0, 2, 100, 400);
    assert_null(tug__pg_mailbox_take(&box));
    tug__pg_mailbox_free(&box);
    assert_int_equal(tug_test_live_allocations(), 0);
}

TEST(losses_of_both_kinds_meet)
{
    tug__pg_mailbox box = {.max_n = 2, .max_bytes = 1 << 20};
    put(&box, "a", 1);
    outage(&box, 100, 200);
    put(&box, "a", 2);
    put(&box, "a", 3); /* drops 1 */
    expect_loss(&box, 1, 1, 100, 200);
    expect(&box, 2);
    outage(&box, 300, 400);
    put(&box, "a", 4);
    put(&box, "a", 5); /* drops 3 */
    put(&box, "a", 6); /* drops 4 */
    expect_loss(&box, 2, 1, 300, 400);
    expect(&box, 5);
    expect(&box, 6);
    tug__pg_mailbox_free(&box);
    assert_int_equal(tug_test_live_allocations(), 0);
}

TEST(an_open_outage_that_meets_another_loss_stays_open)
{
    tug__pg_mailbox box = {.max_n = 2, .max_bytes = 1 << 20};
    put(&box, "a", 1);
    assert_ok(tug__pg_mailbox_prepare(&box));
    tug__pg_mailbox_gap_begin(&box, at(100));
    put(&box, "a", 2);
    put(&box, "a", 3); /* drops 1: its word and the outage's are one */
    assert_null(tug__pg_mailbox_take(&box));
    tug__pg_mailbox_gap_end(&box, at(200));
    expect_loss(&box, 1, 1, 100, 200);
    expect(&box, 2);
    expect(&box, 3);
    tug__pg_mailbox_free(&box);
    assert_int_equal(tug_test_live_allocations(), 0);
}

TEST(a_channel_is_forgotten)
{
    tug__pg_mailbox box = {.max_n = 10, .max_bytes = 1 << 20};
    put(&box, "b", 1);
    outage(&box, 1, 2);
    put(&box, "a", 2);
    put(&box, "a", 3);
    outage(&box, 3, 4);
    put(&box, "b", 4);
    put(&box, "a", 5);
    tug__pg_mailbox_forget(&box, "a");
    expect(&box, 1);
    expect_loss(&box, 0, 2, 1, 4);
    expect(&box, 4);
    assert_null(tug__pg_mailbox_take(&box));
    put(&box, "b", 6); /* the end of the list is where it should be */
    expect(&box, 6);
    tug__pg_mailbox_free(&box);
    assert_int_equal(tug_test_live_allocations(), 0);
}

/* Against a plain model: what is given out and what is counted as lost are all that came in. */
TEST(nothing_goes_uncounted)
{
    unsigned random = 1;
    tug__pg_mailbox box = {.max_n = 5, .max_bytes = 1 << 20};
    int given = 0, expected = 0;
    for (int i = 0; i < test_many(20000, 1000); i++) {
        random = random * 1103515245 + 12345;
        unsigned what = random >> 16 & 7;
        if (what < 4) {
            put(&box, "a", given++);
        } else if (what == 4) {
            outage(&box, i, i);
        } else {
            tug__pg_mail *m = tug__pg_mailbox_take(&box);
            if (m != NULL && m->item.kind == TUG_PG_LOST) {
                assert_true(m->item.dropped > 0 || m->item.outages > 0);
                expected += (int)m->item.dropped;
            } else if (m != NULL) {
                assert_int_equal(atoi(m->item.payload), expected++);
            }
            tug_free(m);
        }
        assert_true(box.n <= 5);
    }
    tug__pg_mailbox_free(&box);
    assert_int_equal(tug_test_live_allocations(), 0);
}

/* --- quoting ---------------------------------------------------------------------------------- */

TEST(names_are_quoted)
{
    char to[TUG__PG_QUOTED_MAX];
    assert_ok(tug__pg_quote_name("the channel", "Plain name", to));
    assert_string_equal(to, "\"Plain name\"");
    assert_ok(tug__pg_quote_name("the channel", "a\"; drop table t; --", to));
    assert_string_equal(to, "\"a\"\"; drop table t; --\"");
}

TEST(the_longest_name_of_quotes_fits)
{
    char name[TUG__PG_NAME_MAX + 2], to[TUG__PG_QUOTED_MAX];
    memset(name, '"', sizeof name);
    name[TUG__PG_NAME_MAX] = '\0';
    assert_ok(tug__pg_quote_name("the channel", name, to));
    assert_int_equal(strlen(to), TUG__PG_QUOTED_MAX - 1);
    name[TUG__PG_NAME_MAX] = '"';
    name[TUG__PG_NAME_MAX + 1] = '\0';
    assert_rc(tug__pg_quote_name("the channel", name, to), TUG_EINVAL);
    assert_detail_has("longer than 63 bytes");
}

TEST(names_that_are_none_are_refused)
{
    char to[TUG__PG_QUOTED_MAX];
    assert_rc(tug__pg_quote_name("the channel", "", to), TUG_EINVAL);
    assert_detail_has("the channel has no name");
    assert_rc(tug__pg_quote_name("the channel", NULL, to), TUG_EINVAL);
    assert_rc(tug__pg_quote_name("the channel", "\xff", to), TUG_EINVAL);
    assert_detail_has("not UTF-8");
}

TEST(literals_are_quoted)
{
    char to[16] = "x ";
    size_t at_byte = 2;
    assert_true(tug__pg_quote_literal(to, sizeof to, &at_byte, "it's \\"));
    assert_string_equal(to, "x 'it''s \\'");
    assert_int_equal(at_byte, strlen(to));
    assert_false(tug__pg_quote_literal(to, sizeof to, &at_byte, "four more"));
}
