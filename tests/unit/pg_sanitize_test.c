/* tug_pg_sanitize: what a metrics system may see of a statement. */
#include <stdlib.h>
#include <string.h>
#include <tug/pg_hooks.h>

#include "test.h"

static void check(const char *sql, const char *expected)
{
    char to[256];
    assert_string_equal(tug_pg_sanitize(sql, to, sizeof to), expected);
}

TEST(literals_become_question_marks)
{
    check("select * from t where a = 'O''Brien' and b = 12.5e-3",
          "select * from t where a = ? and b = ?");
    check("select E'it\\'s', B'01', x'ff', N'n', U&'d\\0061t'", "select ?, ?, ?, ?, ?");
    check("select $$it's$$, $a$ $b$ $$ $a$, 'x'", "select ?, ?, ?");
    check("values (1, .5, 0x1f, 1_000, -7)", "values (?, ?, ?, ?, -?)");
    check("select 'a' 'b'", "select ? ?");
}

TEST(parameters_names_and_comments_stay)
{
    check("select $1::int4 + 1", "select $1::int4 + ?");
    check("select \"it's 1\", t1.c2, price$usd, ext\xc3\xa4 from t1",
          "select \"it's 1\", t1.c2, price$usd, ext\xc3\xa4 from t1");
    check("select 1 -- it's one\n, 2 /* o'clock /* 3 */ 4 */",
          "select ? -- it's one\n, ? /* o'clock /* 3 */ 4 */");
    check("select 1 -- it ends here\r, 'secret'", "select ? -- it ends here\r, ?");
    check("", "");
}

TEST(what_never_ends_is_literal_to_the_end)
{
    check("select 'secret", "select ?");
    check("select $x$secret", "select ?");
    check("select 1 /* secret", "select ? /* secret");
    check("select E'\\", "select ?");
}

TEST(the_copy_is_cut_to_the_room)
{
    char to[8];
    assert_string_equal(tug_pg_sanitize("select name", to, sizeof to), "select ");
    assert_string_equal(tug_pg_sanitize("select 'a'", to, 1), "");
    to[0] = 'x';
    tug_pg_sanitize("select", to, 0);
    assert_int_equal(to[0], 'x');
}

/* Every cut of a text is read to its end and not beyond. */
TEST(cut_anywhere_it_stays_within_the_text)
{
    static const char sql[] =
        "select E'a\\'b', $q$x$q$, U&'u', 1e+5, \"n\"\"n\" /* /* */ */ -- e\n";
    for (size_t n = 0; n < sizeof sql; n++) {
        char *cut = strndup(sql, n);
        char to[sizeof sql + 1];
        assert_true(strlen(tug_pg_sanitize(cut, to, sizeof to)) <= n);
        free(cut);
    }
}
