/* How failures of libpq and of the server are told. */
#include <string.h>

#include "failure.h"
#include "sqlstate.h"
#include "test.h"

TEST(a_refused_login_has_its_sqlstate)
{
    tug_error e;
    tug__pg_failure_login(
        &e,
        "connection to server at \"10.0.0.1\", port 5432 failed: FATAL:  28P01: password "
        "authentication failed for user \"joe\"\nLOCATION:  auth_failed, auth.c:326\n",
        false, "db1:5432/shop as joe");
    assert_int_equal(e.code, TUG_EAUTH);
    assert_string_equal(e.native, "28P01");
    assert_string_equal(
        e.text, "cannot log in to db1:5432/shop as joe: password authentication failed for user "
                "\"joe\" (SQLSTATE 28P01)");
    assert_int_equal(e.origin, TUG_ORIGIN_SERVER);
    assert_false(e.transient);
}

TEST(a_translated_severity_is_understood)
{
    tug_error e;
    tug__pg_failure_login(&e, "FEHLER:  3D000: Datenbank \"x\" existiert nicht\n", false, "h");
    assert_int_equal(e.code, TUG_ESERVER);
    assert_string_equal(e.native, "3D000");
}

TEST(a_full_or_starting_server_is_transient)
{
    tug_error e;
    tug__pg_failure_login(&e, "FATAL:  53300: sorry, too many clients already\n", false, "h");
    assert_int_equal(e.code, TUG_ESERVER);
    assert_true(e.transient);
    tug__pg_failure_login(&e, "FATAL:  57P03: the database system is starting up\n", false, "h");
    assert_true(e.transient);
}

TEST(a_refused_connection_is_transient_and_short)
{
    tug_error e;
    tug__pg_failure_login(
        &e,
        "connection to server at \"127.0.0.1\", port 9 failed: Connection refused\n"
        "\tIs the server running on that host and accepting TCP/IP connections?\n",
        false, "127.0.0.1:9/x");
    assert_int_equal(e.code, TUG_ECONNECT);
    assert_string_equal(e.text, "cannot connect to 127.0.0.1:9/x: Connection refused");
    assert_true(e.transient);
    assert_int_equal(e.sent, TUG_NOT_SENT);
}

TEST(a_missing_password_is_a_matter_of_login)
{
    tug_error e;
    tug__pg_failure_login(
        &e, "connection to server at \"h\", port 1 failed: fe_sendauth: no password supplied\n",
        true, "h:1");
    assert_int_equal(e.code, TUG_EAUTH);
}

TEST(a_bad_certificate_is_not_worth_a_retry)
{
    tug_error e;
    tug__pg_failure_login(
        &e,
        "connection to server at \"h\" (::1), port 1 failed: SSL error: certificate verify "
        "failed\n",
        false, "h:1");
    assert_int_equal(e.origin, TUG_ORIGIN_TLS);
    assert_false(e.transient);
}

TEST(a_handshake_that_breaks_off_is_worth_a_retry)
{
    tug_error e;
    tug__pg_failure_login(&e,
                          "connection to server at \"h\" (::1), port 1 failed: SSL SYSCALL error: "
                          "EOF detected\n",
                          false, "h:1");
    assert_int_equal(e.origin, TUG_ORIGIN_TLS);
    assert_true(e.transient);
}

TEST(what_libpq_refuses_by_itself_is_final)
{
    static const char *const texts[] = {
        "connection to server at \"h\", port 1 failed: channel binding required, but SSL not in use\n",
        "connection to server on socket \"/s\" failed: requirepeer specifies \"a\", but actual peer "
        "user name is \"b\"\n",
        "connection to server at \"h\", port 1 failed: authentication method requirement "
        "\"scram-sha-256\" failed: server requested a cleartext password\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        tug_error e;
        tug__pg_failure_login(&e, texts[i], false, "h:1");
        assert_int_equal(e.code, TUG_EAUTH);
        assert_int_equal(e.origin, TUG_ORIGIN_LIBPQ);
        assert_false(e.transient);
    }
}

TEST(a_long_text_stays_one_line_within_bounds)
{
    tug_error e;
    char text[2000] = "FATAL:  28000: ";
    memset(text + 15, 'y', sizeof text - 16);
    text[100] = '\t';
    text[sizeof text - 1] = '\0';
    tug__pg_failure_login(&e, text, false, "host");
    assert_true(strlen(e.text) < sizeof e.text);
    assert_null(strchr(e.text, '\t'));
}

TEST(one_line)
{
    char to[12];
    tug__pg_failure_one_line(to, sizeof to, "\n a \n\t b\r\n");
    assert_string_equal(to, "a b");
    tug__pg_failure_one_line(to, sizeof to, "abcdefghijklmnop");
    assert_true(strlen(to) < sizeof to);
    tug__pg_failure_one_line(to, sizeof to, "");
    assert_string_equal(to, "");
}

TEST(which_states_are_transient)
{
    assert_true(tug__pg_sqlstate_is_transient("40001"));
    assert_true(tug__pg_sqlstate_is_transient("40P01"));
    assert_false(tug__pg_sqlstate_is_transient("23505"));
    assert_false(tug__pg_sqlstate_is_transient(""));
}
