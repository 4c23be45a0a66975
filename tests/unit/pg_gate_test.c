#include "gate.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

typedef struct gate_case {
    const char *sql, *keyword; /* NULL: passes */
} gate_case;

static void check_all(const gate_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *found = tug__pg_gate(cases[i].sql);
        if (cases[i].keyword == NULL ? found != NULL
                                     : found == NULL || strcmp(found, cases[i].keyword) != 0) {
            fail_msg("\"%s\" gave %s, expected %s", cases[i].sql, found != NULL ? found : "NULL",
                     cases[i].keyword != NULL ? cases[i].keyword : "NULL");
        }
    }
}

#define CHECK_ALL(cases) check_all(cases, sizeof(cases) / sizeof *(cases))

TEST(refuses_each_keyword_that_changes_the_session)
{
    static const char *const words[] = {
        "BEGIN",   "START", "COMMIT",  "END",        "ROLLBACK", "ABORT",   "SAVEPOINT", "RELEASE",
        "PREPARE", "SET",   "RESET",   "LISTEN",     "UNLISTEN", "DECLARE", "FETCH",     "MOVE",
        "CLOSE",   "COPY",  "DISCARD", "DEALLOCATE", "EXECUTE",  "LOAD"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char sql[64];
        gate_case c = {sql, words[i]};
        snprintf(sql, sizeof sql, "%s x", words[i]);
        check_all(&c, 1);
        for (char *p = sql; *p != 0; p++) {
            *p = (char)(p - sql) % 2 == 0 ? (char)(*p | 0x20) : *p;
        }
        check_all(&c, 1);
    }
}

TEST(passes_statements_that_leave_the_session_alone)
{
    static const gate_case cases[] = {
        {"select 1", NULL},
        {"insert into t values (1)", NULL},
        {"update t set x = 1", NULL},
        {"with a as (select 1) select * from a", NULL},
        {"(select 1)", NULL},
        {"create table t(x int)", NULL},
        {"create or replace function f() returns int language sql as 'select 1'", NULL},
        {"create unlogged table t(x int)", NULL},
        {"table t", NULL},
        {"values (1)", NULL},
        {"", NULL},
        {";", NULL},
        {"   ", NULL},
    };
    CHECK_ALL(cases);
}

TEST(takes_whole_words_only)
{
    static const gate_case cases[] = {
        {"begin_work", NULL},
        {"settle", NULL},
        {"begin1", NULL},
        {"set$x", NULL},
        {"setx = 1", NULL},
        {"copy_to_me()", NULL},
        {"fetch\xc3\xa9", NULL},
        {"set(x)", "SET"},
        {"begin;", "BEGIN"},
        {"begin", "BEGIN"},
        {"copy\tt from stdin", "COPY"},
        {"\"begin\"", NULL},
        {"en", NULL},
        {"set\"x\"", "SET"},
        {"close/**/all", "CLOSE"},
    };
    CHECK_ALL(cases);
}

TEST(looks_behind_blanks_semicolons_and_comments)
{
    static const gate_case cases[] = {
        {" \t\r\n\f\v;; ;begin", "BEGIN"},
        {"-- a comment\nbegin", "BEGIN"},
        {"-- a comment\rbegin", "BEGIN"},
        {"--\nselect 1", NULL},
        {"/* one */begin", "BEGIN"},
        {"/* one /* two */ still one */ set x = 1", "SET"},
        {"/* one /* two */ begin", NULL}, /* unterminated: nothing but comment */
        {"/*/* */*/ commit", "COMMIT"},
        {"/*/ begin */ select 1", NULL},
        {"/* */ -- \n ; /**/ ; rollback", "ROLLBACK"},
        {"-- begin", NULL},
        {"/* begin", NULL},
        {"/*", NULL},
        {"/", NULL},
        {"-", NULL},
        {"/* a **/ begin", "BEGIN"},
    };
    CHECK_ALL(cases);
}

TEST(knows_temporary_tables)
{
    static const gate_case cases[] = {
        {"create temp table t(x int)", "CREATE TEMP"},
        {"CREATE TEMPORARY TABLE t(x int)", "CREATE TEMP"},
        {"create local temp table t(x int)", "CREATE TEMP"},
        {"create global temporary table t(x int)", "CREATE TEMP"},
        {"create or replace temp view v as select 1", "CREATE TEMP"},
        {"create or replace local temporary view v as select 1", "CREATE TEMP"},
        {"create/* x */or -- y\n replace /**/ temp view v as select 1", "CREATE TEMP"},
        {"create table temp(x int)", NULL},
        {"create tempx table t(x int)", NULL},
        {"create or temp view v", NULL},
        {"create", NULL},
        {"create or replace", NULL},
        {"created temp", NULL},
    };
    CHECK_ALL(cases);
}

TEST(what_changes_a_session_marks_it)
{
    static const struct {
        const char *sql;
        bool marks;
    } cases[] = {
        {"select 1", false},
        {"set work_mem = '1MB'", true},
        {"set session x.y = 1", true},
        {"set local work_mem = '1MB'", false},
        {"set search_path to local", true},
        {"set transaction read only", false},
        {"; set /* a */ constraints all deferred", false},
        {"reset all", true},
        {"begin", false},
        {"savepoint a", false},
        {"rollback to a", false},
        {"declare c cursor for select 1", false},
        {"declare c cursor with hold for select 1", true},
        {"fetch 3 from c", false},
        {"close c", false},
        {"listen x", true},
        {"prepare a as select 1", true},
        {"create temp table t(a int)", true},
        {"create table t(a int)", false},
        {"select 1 as a into temp t", true},
        {"select 1 as a INTO /* b */ temporary t", true},
        {"insert into temperatures values (1)", false},
        {"insert into t(temp) values (1)", false},
        {"create table pg_temp.t(a int)", true},
        {"select set_config('a.b', 'c', false)", true},
        {"select pg_advisory_lock(1)", true},
        {"select pg_try_advisory_lock_shared(1)", true},
        {"select pg_advisory_xact_lock(1)", false},
        {"select pg_advisory_unlock(1)", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *sql = cases[i].sql;
        if (tug__pg_gate_marks_session(sql, tug__pg_gate(sql)) != cases[i].marks) {
            fail_msg("%s", sql);
        }
    }
}

TEST(what_ends_a_transaction_is_told_from_what_does_not)
{
    static const struct {
        const char *sql;
        bool ends;
    } cases[] = {
        {"commit", true},
        {"/* a */ end", true},
        {"begin", true},
        {"start transaction", true},
        {"abort", true},
        {"rollback", true},
        {"rollback work", true},
        {"rollback and chain", true},
        {"rollback /* to */", true},
        {"rollback -- to", true},
        {"rollback transaction; -- to a", true},
        {"rollback prepared 'to'", true},
        {"prepare/**/transaction 'x'", true},
        {"rollback to a", false},
        {"rollback/**/work to savepoint a", false},
        {"ROLLBACK TRANSACTION TO a", false},
        {"rollback to\"a\"", false},
        {"prepare a as select 'transaction'", false},
        {"savepoint a", false},
        {"release a", false},
        {"select 1 -- commit", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (tug__pg_gate_ends_transaction(cases[i].sql) != cases[i].ends) {
            fail_msg("%s", cases[i].sql);
        }
    }
}

TEST(a_second_statement_is_seen)
{
    static const struct {
        const char *sql;
        bool single;
    } cases[] = {
        {"copy t from stdin", true},
        {"copy t from stdin;", true},
        {"; copy t from stdin; ; /* a; b */ -- c; d\n;", true},
        {"copy t from stdin delimiter ';'", true},
        {"copy t from stdin delimiter E'\\';'", true},
        {"copy t from stdin null 'a'';'';'", true},
        {"copy \"a;\"\";b\" from stdin", true},
        {"copy (select $$;$$, $a$;$$;$a $b$;$a$, a$b;c) to stdout", false},
        {"copy (select $$;$$, $a$;$$;$a $b$;$a$, a$b) to stdout", true},
        {"copy (select 1 -- ;\n) to stdout", true},
        {"copy (select /* /* ; */ ; */ 1) to stdout", true},
        {"copy (select e';') to stdout", true},
        {"copy (select some';') to stdout", true},
        {"copy t from stdin; commit", false},
        {"copy t from stdin;commit", false},
        {"copy t from stdin delimiter E'\\''; commit", false},
        {"copy t from stdin null '\\'; commit; --'", false},
        {"copy t from stdin null 'a''b'; commit", false},
        {"copy (select $a$;$a$) to stdout; rollback", false},
        {"copy (select $1) to stdout; commit -- $1", false},
        {"copy \"a\"\"\" from stdin; begin", false},
        {"copy t from stdin null 'open; commit", true}, /* the server refuses it */
        {"copy t from stdin null $a$ open; commit", true},
        {"", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (tug__pg_gate_is_single(cases[i].sql) != cases[i].single) {
            fail_msg("%s", cases[i].sql);
        }
    }
}

TEST(copies_to_the_client_are_found_in_scripts)
{
    static const struct {
        const char *sql;
        size_t at;
    } cases[] = {
        {"", 0},
        {";;", 0},
        {"copy t to stdout", 1},
        {"select 1; COPY t (a, \"b;\") TO /* x */ STDOUT with csv; select 2", 2},
        {"select 1;; copy (select ';') to stdout", 2},
        {"copy t from stdin", 0},
        {"copy t to '/tmp/stdout'", 0},
        {"copy \"to\" from program 'x to stdout'", 0},
        {"select 'a; copy t to stdout'", 0},
        {"select $$; copy t to stdout$$", 0},
        {"-- copy t to stdout\nselect 1", 0},
        {"-- x\rcopy t to stdout", 1},
        {"select copy to stdout", 0},
        {"copy t to stdouts", 0},
        {"copy t to stdout;copy t to stdout", 1},
        {"select e'\\'; copy t to stdout'; select 1", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (tug__pg_gate_copy_to_client(cases[i].sql) != cases[i].at) {
            fail_msg("%s", cases[i].sql);
        }
    }
}
