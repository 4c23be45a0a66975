#include "command.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "test.h"

static char wire[4096];

static const char *written(tug_args command)
{
    tug_error why;
    size_t room = 0;
    assert_int_equal(tug__redis_command_measure(command, &room, &why), 0);
    assert_in_range(room, 1, sizeof wire - 1);
    size_t size = (size_t)(tug__redis_command_write(command, (uint8_t *)wire) - (uint8_t *)wire);
    assert_in_range(size, 1, room);
    wire[size] = 0;
    return wire;
}

static void refused(tug_args command, int code, const char *says)
{
    tug_error why = {0};
    size_t room = 0;
    int rc = tug__redis_command_measure(command, &room, &why);
    if (rc == 0) {
        rc = tug__redis_command_gate(command, &why);
    }
    assert_int_equal(rc, code);
    assert_int_equal(why.code, code);
    assert_int_equal(why.sent, TUG_NOT_SENT);
    if (strstr(why.text, says) == NULL) {
        fail_msg("\"%s\" has no \"%s\"", why.text, says);
    }
}

static void passes(tug_args command)
{
    tug_error why;
    assert_int_equal(tug__redis_command_gate(command, &why), 0);
}

TEST(texts_and_bytes)
{
    assert_string_equal(written(TUG_ARGS("PING")), "*1\r\n$4\r\nPING\r\n");
    assert_string_equal(written(TUG_ARGS("SET", "k", "")),
                        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    assert_string_equal(written(TUG_ARGS("GET", tug_bytes("a\r\nb", 4))),
                        "*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n");
    char long_key[101];
    memset(long_key, 'x', 100);
    long_key[100] = 0;
    assert_string_equal(written(TUG_ARGS("A", long_key)) + 11,
                        "$100\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n");
    long_key[12] = 0;
    assert_string_equal(written(TUG_ARGS("A", long_key)) + 11, "$12\r\nxxxxxxxxxxxx\r\n");
}

TEST(bytes_may_hold_anything)
{
    tug_error why;
    size_t room = 0;
    tug_args command = TUG_ARGS("GET", tug_bytes("\0\1", 2), tug_bytes(NULL, 0));
    assert_int_equal(tug__redis_command_measure(command, &room, &why), 0);
    const uint8_t *end = tug__redis_command_write(command, (uint8_t *)wire);
    assert_int_equal(end - (uint8_t *)wire, 27);
    assert_memory_equal(wire, "*3\r\n$3\r\nGET\r\n$2\r\n\0\1\r\n$0\r\n\r\n", 27);
}

TEST(numbers_are_decimal_text)
{
    assert_string_equal(written(TUG_ARGS("X", 0)), "*2\r\n$1\r\nX\r\n$1\r\n0\r\n");
    assert_string_equal(written(TUG_ARGS("X", -7)), "*2\r\n$1\r\nX\r\n$2\r\n-7\r\n");
    assert_string_equal(written(TUG_ARGS("X", INT64_MIN)),
                        "*2\r\n$1\r\nX\r\n$20\r\n-9223372036854775808\r\n");
    assert_string_equal(written(TUG_ARGS("X", UINT64_MAX)),
                        "*2\r\n$1\r\nX\r\n$20\r\n18446744073709551615\r\n");
    assert_string_equal(written(TUG_ARGS("X", (bool)true, (bool)false)),
                        "*3\r\n$1\r\nX\r\n$1\r\n1\r\n$1\r\n0\r\n");
}

TEST(doubles_read_back_as_themselves)
{
    assert_string_equal(written(TUG_ARGS("X", 0.1)) + 11, "$3\r\n0.1\r\n");
    assert_string_equal(written(TUG_ARGS("X", -2.0)) + 11, "$2\r\n-2\r\n");
    assert_string_equal(written(TUG_ARGS("X", 1.0 / 3)) + 11, "$18\r\n0.3333333333333333\r\n");
    assert_string_equal(written(TUG_ARGS("X", INFINITY)) + 11, "$3\r\ninf\r\n");
    assert_string_equal(written(TUG_ARGS("X", -INFINITY)) + 11, "$4\r\n-inf\r\n");
    static const double hard[] = {DBL_MAX, -DBL_MAX,           DBL_MIN, 5e-324, 0.1 + 0.2,
                                  1e22,    123456789.123456789};
    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) {
        double back = 0;
        assert_int_equal(
            sscanf(strchr(written(TUG_ARGS("X", hard[i])) + 12, '\n') + 1, "%lf", &back), 1);
        assert_true(back == hard[i]);
    }
}

TEST(a_locale_with_a_comma_changes_nothing)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++) {
        found = setlocale(LC_NUMERIC, names[i]) != NULL;
    }
    /* Without such a locale on the machine this still says that the point is a point. */
    assert_string_equal(written(TUG_ARGS("X", 2.5)) + 11, "$3\r\n2.5\r\n");
    setlocale(LC_NUMERIC, "C");
}

TEST(arguments_that_have_no_form)
{
    refused(TUG_NO_ARGS, TUG_EINVAL, "argument 1 is missing");
    refused(TUG_ARGS(1), TUG_EINVAL, "argument 1 is the command's name");
    refused(TUG_ARGS((const char *)NULL), TUG_EINVAL, "argument 1");
    refused(TUG_ARGS("SET", "k", (char *)NULL), TUG_EINVAL, "argument 3 is NULL");
    refused(TUG_ARGS("SET", tug_null()), TUG_EINVAL, "argument 2 is NULL");
    refused(TUG_ARGS("SET", "k", ((struct tug_timestamp){1})), TUG_EINVAL,
            "argument 3 is a timestamp");
    refused(TUG_ARGS("SET", "k", ((struct tug_date){1})), TUG_EINVAL, "argument 3 is of a type");
    refused(((tug_args){(const tug_value[]){{0}}, ((size_t)1 << 20) + 1}), TUG_EINVAL,
            "argument 1048577");
}

TEST(gate_refuses_what_changes_a_shared_connection)
{
    static const char *const names[] = {
        "AUTH",        "EXEC",         "QUIT",        "WAIT",       "SYNC",       "HELLO",
        "MULTI",       "WATCH",        "RESET",       "PSYNC",      "BLPOP",      "BRPOP",
        "SELECT",      "BLMOVE",       "BLMPOP",      "BZMPOP",     "ASKING",     "UNWATCH",
        "DISCARD",     "MONITOR",      "WAITAOF",     "BZPOPMIN",   "BZPOPMAX",   "REPLCONF",
        "READONLY",    "SUBSCRIBE",    "READWRITE",   "PSUBSCRIBE", "SSUBSCRIBE", "BRPOPLPUSH",
        "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char lower[32];
        size_t n = strlen(names[i]);
        for (size_t j = 0; j <= n; j++) {
            lower[j] = (char)(names[i][j] | (names[i][j] != 0 ? 0x20 : 0));
        }
        refused(TUG_ARGS(names[i], "x"), TUG_EMISUSE, names[i]);
        refused(TUG_ARGS(lower, "x"), TUG_EMISUSE, names[i]);
        refused(TUG_ARGS(tug_bytes(names[i], n), "x"), TUG_EMISUSE, names[i]);
    }
}

TEST(gate_looks_at_the_words_that_decide)
{
    refused(TUG_ARGS("CLIENT", "reply", "off"), TUG_EMISUSE, "CLIENT REPLY breaks the order");
    passes(TUG_ARGS("CLIENT", "KILL", "ID", 7));
    passes(TUG_ARGS("CLIENT"));
    refused(TUG_ARGS("SCRIPT", "DEBUG", "YES"), TUG_EMISUSE,
            "SCRIPT DEBUG takes the connection over");
    passes(TUG_ARGS("SCRIPT", "LOAD", "return 1"));
    refused(TUG_ARGS("XREAD", "COUNT", 2, "BLOCK", 0, "STREAMS", "s", "$"), TUG_EMISUSE,
            "XREAD with BLOCK");
    passes(TUG_ARGS("XREAD", "STREAMS", "BLOCK", "0"));
    refused(TUG_ARGS("xreadgroup", "GROUP", "g", "c", "block", 0, "STREAMS", "s", ">"), TUG_EMISUSE,
            "XREADGROUP");
    passes(TUG_ARGS("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"));
}

TEST(gate_lets_the_rest_through)
{
    static const char *const names[] = {"GET",    "SET",     "MGET",  "HSET",   "EVAL",    "LPUSH",
                                        "EXPIRE", "PUBLISH", "WAITx", "AUTHOR", "",        "ECHO",
                                        "LMOVE",  "ZPOPMIN", "QUI",   "XADD",   "FLUSHALL"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        passes(TUG_ARGS(names[i], "x"));
    }
}
