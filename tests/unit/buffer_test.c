#include <pthread.h>
#include <string.h>
#include <tug/base.h>
#include <tug/error.h>
#include <tug/sys/driver.h>
#include <tug/value.h>

#include "test.h"
#include "util/random.h"

TEST(a_buffer_copies_and_ends_with_0)
{
    char text[] = "ab\0c";
    TUG_AUTO(tug_buffer) b = NULL;
    assert_ok(tug_buffer_new(text, 4, &b));
    memset(text, 'x', 4);
    struct tug_bytes bytes = tug_buffer_bytes(b);
    assert_int_equal(bytes.size, 4);
    assert_memory_equal(bytes.data, "ab\0c", 5);
}

TEST(an_empty_buffer_is_an_empty_string)
{
    TUG_AUTO(tug_buffer) b = NULL;
    assert_ok(tug_buffer_new(NULL, 0, &b));
    assert_int_equal(tug_buffer_bytes(b).size, 0);
    assert_string_equal(tug_buffer_bytes(b).data, "");
}

TEST(the_last_reference_frees)
{
    size_t before = tug_test_live_allocations();
    tug_buffer *b = NULL;
    assert_ok(tug_buffer_new("x", 1, &b));
    assert_ptr_equal(tug_buffer_ref(b), b);
    assert_null(tug_buffer_unref(b));
    assert_int_equal(tug_test_live_allocations(), before + 1);
    assert_string_equal(tug_buffer_bytes(b).data, "x");
    assert_null(tug_buffer_unref(b));
    assert_int_equal(tug_test_live_allocations(), before);
}

TEST(no_buffer_has_no_bytes)
{
    assert_null(tug_buffer_unref(NULL));
    assert_int_equal(tug_buffer_bytes(NULL).size, 0);
}

TEST(an_impossible_size_is_out_of_memory)
{
    tug_buffer *b = NULL;
    assert_rc(tug_buffer_new("x", SIZE_MAX, &b), TUG_ENOMEM);
    assert_rc(tug_buffer_new("x", SIZE_MAX - 8, &b), TUG_ENOMEM);
    assert_null(b);
}

static void *ref_and_unref(void *arg)
{
    for (int i = 0; i < 10000; i++) {
        tug_buffer_unref(tug_buffer_ref(arg));
    }
    tug_buffer_unref(arg);
    return NULL;
}

TEST(references_cross_threads)
{
    size_t before = tug_test_live_allocations();
    pthread_t threads[2];
    tug_buffer *b = NULL;
    assert_ok(tug_buffer_new("shared", 6, &b));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ref_and_unref, tug_buffer_ref(b)), 0);
    }
    tug_buffer_unref(b);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_int_equal(tug_test_live_allocations(), before);
}

TEST(text_values_know_their_size)
{
    assert_int_equal(tug_text("").u.bytes.size, 0);
    assert_int_equal(tug_text("abc").u.bytes.size, 3);
    assert_int_equal(tug_text(NULL).type, TUG_VALUE_NULL);
}

/* --- random and backoff ---------------------------------------------------------------------- */

TEST(a_seed_repeats_its_numbers)
{
    uint64_t first[8];
    tug__random_seed(42);
    for (int i = 0; i < 8; i++) {
        first[i] = tug_random();
    }
    tug__random_seed(42);
    for (int i = 0; i < 8; i++) {
        assert_true(tug_random() == first[i]);
    }
    /* splitmix64's published first output for the seed 0. */
    tug__random_seed(0);
    assert_true(tug_random() == UINT64_C(0xe220a8397b1dcdaf));
}

static void *draw(void *arg)
{
    *(uint64_t *)arg = tug_random();
    return NULL;
}

TEST(threads_have_numbers_of_their_own)
{
    uint64_t drawn[3];
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, draw, &drawn[i]), 0);
        pthread_join(thread, NULL);
    }
    assert_true(drawn[0] != drawn[1] && drawn[1] != drawn[2] && drawn[0] != drawn[2]);
}

TEST(backoff_doubles_with_jitter_in_the_upper_half)
{
    tug__random_seed(7);
    const tug_duration first = TUG_MS(100), most = TUG_SECONDS(10);
    for (unsigned attempt = 0; attempt < 40; attempt++) {
        tug_duration ceiling = attempt < 6 ? first << (attempt + 1) : most;
        tug_duration least = most, greatest = 0;
        for (int i = 0; i < 1000; i++) {
            tug_duration d = tug_backoff(attempt, first, most);
            least = d < least ? d : least;
            greatest = d > greatest ? d : greatest;
        }
        assert_true(least >= ceiling / 2 && greatest <= ceiling);
        /* It really is spread over the half. */
        assert_true(least < ceiling / 2 + ceiling / 50 && greatest > ceiling - ceiling / 50);
    }
}

TEST(backoff_stays_in_its_bounds)
{
    assert_int_equal(tug_backoff(3, 0, TUG_SECONDS(1)), 0);
    assert_int_equal(tug_backoff(3, -5, TUG_SECONDS(1)), 0);
    assert_int_equal(tug_backoff(0, TUG_MS(5), TUG_MS(5)), TUG_MS(5));
    assert_int_equal(tug_backoff(9, TUG_MS(5), TUG_MS(1)), TUG_MS(5));
    for (int i = 0; i < 100; i++) {
        tug_duration d = tug_backoff(UINT32_MAX, TUG_MS(1), TUG_FOREVER);
        assert_true(d >= TUG_FOREVER / 2);
        d = tug_backoff(1, 1, 3);
        assert_in_range(d, 1, 3);
    }
}
