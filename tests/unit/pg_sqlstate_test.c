/* SQLSTATE codes: numbers, names, and what kind of failure each stands for. */
#include "sqlstate.h"

#include <string.h>
#include <tug/pg_error.h>

#include "test.h"

static tug_error server(const char *code)
{
    tug_error e = {.code = TUG_ESERVER, .origin = TUG_ORIGIN_SERVER, .sent = TUG_ANSWERED};
    strcpy(e.native, code);
    return e;
}

TEST(only_five_digits_and_capitals_are_a_code)
{
    assert_int_equal(tug__pg_sqlstate_number("00000"), TUG_PG_SUCCESSFUL_COMPLETION);
    assert_int_equal(tug__pg_sqlstate_number("00000"), 1);
    assert_int_equal(tug__pg_sqlstate_number("MY001"), TUG_PG_SQLSTATE('M', 'Y', '0', '0', '1'));
    static const char *const others[] = {"", "2350", "235055", "2350a", "23 05", "@0000", "2350["};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(tug__pg_sqlstate_number(others[i]), 0);
    }
}

TEST(each_code_has_its_own_number_and_name)
{
    static int numbers[400];
    size_t n = 0;
#define STATE(name, a, b, c, d, e)                                                                 \
    {                                                                                              \
        const char code[] = {a, b, c, d, e, 0};                                                    \
        assert_int_equal(tug__pg_sqlstate_number(code), TUG_PG_##name);                            \
        assert_string_equal(tug_pg_sqlstate_name(code), "TUG_PG_" #name);                          \
        numbers[n++] = TUG_PG_##name;                                                              \
    }
    TUG_PG_SQLSTATES(STATE)
#undef STATE
    assert_true(n >= 263);
    for (size_t i = 0; i < n; i++) {
        assert_true(numbers[i] > 0);
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(numbers[i], numbers[k]);
        }
    }
    assert_string_equal(tug_pg_sqlstate_name("MY001"), "");
    assert_string_equal(tug_pg_sqlstate_name("no code at all"), "");
    /* Some by heart, against a slip in the table. */
    assert_string_equal(tug_pg_sqlstate_name("23505"), "TUG_PG_UNIQUE_VIOLATION");
    assert_string_equal(tug_pg_sqlstate_name("40P01"), "TUG_PG_DEADLOCK_DETECTED");
    assert_string_equal(tug_pg_sqlstate_name("42P01"), "TUG_PG_UNDEFINED_TABLE");
    assert_string_equal(tug_pg_sqlstate_name("57014"), "TUG_PG_QUERY_CANCELED");
    assert_string_equal(tug_pg_sqlstate_name("22001"), "TUG_PG_STRING_DATA_RIGHT_TRUNCATION");
    assert_string_equal(tug_pg_sqlstate_name("01004"),
                        "TUG_PG_WARNING_STRING_DATA_RIGHT_TRUNCATION");
    assert_string_equal(tug_pg_sqlstate_name("XX000"), "TUG_PG_INTERNAL_ERROR");
}

TEST(questions_know_their_codes_and_no_others)
{
    static const struct {
        bool (*is)(const tug_error *e);
        const char *code;
    } questions[] = {
        {tug_pg_is_unique_violation, "23505"},
        {tug_pg_is_foreign_key_violation, "23503"},
        {tug_pg_is_not_null_violation, "23502"},
        {tug_pg_is_check_violation, "23514"},
        {tug_pg_is_constraint_violation, "23P01"},
        {tug_pg_is_serialization_failure, "40001"},
        {tug_pg_is_deadlock, "40P01"},
        {tug_pg_is_lock_not_available, "55P03"},
        {tug_pg_is_query_canceled, "57014"},
        {tug_pg_is_read_only, "25006"},
        {tug_pg_is_too_many_connections, "53300"},
        {tug_pg_is_failed_transaction, "25P02"},
        {tug_pg_is_connection_lost, "08006"},
    };
    size_t n = sizeof questions / sizeof *questions;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            tug_error e = server(questions[k].code);
            bool both = questions[i].is == tug_pg_is_constraint_violation &&
                        strncmp(questions[k].code, "23", 2) == 0;
            assert_int_equal(questions[i].is(&e), i == k || both);
            e.origin = TUG_ORIGIN_CODEC; /* another driver's */
            assert_false(questions[i].is(&e));
        }
    }
}

TEST(a_lost_connection_is_known_by_its_code)
{
    tug_error e = {.code = TUG_ECLOSED, .origin = TUG_ORIGIN_LIBPQ};
    assert_true(tug_pg_is_connection_lost(&e));
    e = server("57P01");
    assert_false(tug_pg_is_connection_lost(&e)); /* pg_terminate_backend() as an answer: not yet */
    e.code = TUG_ECLOSED;
    assert_true(tug_pg_is_connection_lost(&e));
    e = (tug_error){.code = TUG_ECLOSED, .origin = TUG_ORIGIN_TUG};
    assert_false(tug_pg_is_connection_lost(&e)); /* closed by the program */
    e = (tug_error){.code = TUG_ECONNECT, .origin = TUG_ORIGIN_TLS};
    assert_true(tug_pg_is_connection_lost(&e));
}

TASK_TEST(without_a_detail_the_latest_is_asked)
{
    tug_error e = server("23505");
    assert_rc(tug_fail_with(&e), TUG_ESERVER);
    assert_true(tug_pg_is_unique_violation(NULL));
    assert_int_equal(tug_pg_sqlstate(NULL), TUG_PG_UNIQUE_VIOLATION);
    assert_rc(tug_fail(TUG_EMISUSE, "x"), TUG_EMISUSE);
    assert_false(tug_pg_is_unique_violation(NULL));
    assert_int_equal(tug_pg_sqlstate(NULL), 0);
    assert_null(tug_pg_last_error());
}

TEST(what_may_be_tried_again)
{
    static const char *const yes[] = {"40001", "40P01", "55P03", "53300", "57P01",
                                      "57P02", "57P03", "08001", "08003", "08006"};
    static const char *const no[] = {"",      "23505", "57014", "25006", "42601", "53100",
                                     "08P01", "40002", "40003", "XX000", "57P04"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        assert_true(tug__pg_sqlstate_is_transient(yes[i]));
    }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        assert_false(tug__pg_sqlstate_is_transient(no[i]));
    }
}
