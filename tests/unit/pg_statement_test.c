/* Texts, prepared statements and request lists of the PostgreSQL driver, without a server. */
#include <stdio.h>
#include <string.h>

#include "statement.h"
#include "test.h"

static tug__pg_text *get(tug__pg_texts *texts, const char *sql)
{
    tug__pg_text *text = tug__pg_texts_get(texts, sql);
    assert_non_null(text);
    return text;
}

TEST(a_text_is_kept_once)
{
    tug__pg_texts texts = {0};
    tug__pg_text *a = get(&texts, "select 1");
    char copy[] = "select 1";
    tug__pg_text *b = get(&texts, copy);
    tug__pg_text *c = get(&texts, "select 2");
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_int_equal(texts.n, 2);
    tug__pg_text_unref(&texts, a);
    assert_string_equal(b->sql, "select 1");
    tug__pg_text_unref(&texts, b);
    tug__pg_text_unref(&texts, c);
    tug__pg_text_unref(&texts, NULL);
    assert_int_equal(texts.n, 0);
    tug__pg_texts_free(&texts);
    assert_int_equal(tug_test_live_allocations(), 0);
}

TEST(a_text_knows_its_gate)
{
    tug__pg_texts texts = {0};
    tug__pg_text *a = get(&texts, "/* hidden */ begin");
    tug__pg_text *b = get(&texts, "select 'begin'");
    assert_string_equal(a->gate, "BEGIN");
    assert_null(b->gate);
    tug__pg_text_unref(&texts, a);
    tug__pg_text_unref(&texts, b);
    tug__pg_texts_free(&texts);
}

TEST(many_texts_come_and_go)
{
    enum {
        N = 500
    };
    static tug__pg_text *all[N];
    tug__pg_texts texts = {0};
    char sql[40];
    for (int i = 0; i < N; i++) {
        snprintf(sql, sizeof sql, "select %d from somewhere", i);
        all[i] = get(&texts, sql);
    }
    assert_int_equal(texts.n, N);
    for (int i = 0; i < N; i++) {
        snprintf(sql, sizeof sql, "select %d from somewhere", i);
        tug__pg_text *again = get(&texts, sql);
        assert_ptr_equal(again, all[i]);
        tug__pg_text_unref(&texts, again);
    }
    for (int i = 0; i < N; i++) {
        tug__pg_text_unref(&texts, all[i * 7 % N]);
    }
    assert_int_equal(texts.n, 0);
    tug__pg_texts_free(&texts);
    assert_int_equal(tug_test_live_allocations(), 0);
}

TEST(hashes_differ_where_texts_do)
{
    /* The ends of eight-byte steps and the length itself. */
    assert_true(tug__pg_hash("aaaaaaaa", 8) != tug__pg_hash("aaaaaaa", 7));
    assert_true(tug__pg_hash("aaaaaaaab", 9) != tug__pg_hash("aaaaaaaac", 9));
    assert_true(tug__pg_hash("baaaaaaab", 9) != tug__pg_hash("aaaaaaaab", 9));
    assert_true(tug__pg_hash("a\0", 2) != tug__pg_hash("a", 1));
    assert_true(tug__pg_hash("same", 4) == tug__pg_hash("same", 4));
}

/* --- statements ------------------------------------------------------------------------------- */

static tug__pg_statement *add(tug__pg_statements *s, const char *sql, bool described)
{
    tug__pg_text *text = get(s->texts, sql);
    tug__pg_statement *st = tug__pg_statements_add(s, text);
    tug__pg_text_unref(s->texts, text);
    assert_non_null(st);
    st->described = described;
    return st;
}

static tug__pg_statement *find(tug__pg_statements *s, const char *sql)
{
    tug__pg_text *text = get(s->texts, sql);
    tug__pg_statement *st = tug__pg_statements_find(s, text);
    tug__pg_text_unref(s->texts, text);
    return st;
}

TEST(the_least_recently_used_statement_goes_first)
{
    tug__pg_texts texts = {0};
    tug__pg_statements s;
    assert_int_equal(tug__pg_statements_init(&s, &texts, 3), 0);
    tug__pg_statement *one = add(&s, "one", true);
    add(&s, "two", true);
    add(&s, "three", true);
    assert_null(tug__pg_statements_surplus(&s));
    assert_ptr_equal(find(&s, "one"), one);
    add(&s, "four", false);
    tug__pg_statement *surplus = tug__pg_statements_surplus(&s);
    assert_non_null(surplus);
    assert_string_equal(surplus->text->sql, "two");
    tug__pg_statements_remove(&s, surplus);
    assert_null(find(&s, "two"));
    assert_null(tug__pg_statements_surplus(&s));
    assert_int_equal(s.n, 3);
    tug__pg_statements_free(&s);
    tug__pg_texts_free(&texts);
    assert_int_equal(tug_test_live_allocations(), 0);
}

TEST(a_statement_that_is_waited_for_stays)
{
    tug__pg_texts texts = {0};
    tug__pg_statements s;
    assert_int_equal(tug__pg_statements_init(&s, &texts, 1), 0);
    add(&s, "first", false);
    add(&s, "second", false);
    assert_null(tug__pg_statements_surplus(&s)); /* too many, but none can go */
    tug__pg_statement *third = add(&s, "third", true);
    assert_ptr_equal(tug__pg_statements_surplus(&s), third);
    tug__pg_statements_free(&s);
    tug__pg_texts_free(&texts);
}

TEST(names_are_stable_and_tell_texts_apart)
{
    char name[TUG__PG_STATEMENT_NAME];
    for (int round = 0; round < 2; round++) {
        tug__pg_texts texts = {0};
        tug__pg_statements s;
        assert_int_equal(tug__pg_statements_init(&s, &texts, 8), 0);
        tug__pg_statement *st = add(&s, "select $1", true);
        if (round == 0) {
            strcpy(name, st->name);
        }
        assert_string_equal(st->name, name);
        assert_string_not_equal(add(&s, "select $2", true)->name, name);
        tug__pg_statements_remove(&s, st);
        s.generation = 7; /* the name may be taken by a stale plan */
        assert_string_not_equal(add(&s, "select $1", true)->name, name);
        tug__pg_statements_free(&s);
        tug__pg_texts_free(&texts);
    }
    assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
}

/* --- request lists ---------------------------------------------------------------------------- */

TEST(requests_leave_a_list_from_anywhere)
{
    tug__pg_requests list = {0}, other = {0};
    tug__pg_request r[4];
    memset(r, 0, sizeof r);
    for (int i = 0; i < 4; i++) {
        tug__pg_requests_push(&list, &r[i]);
        assert_ptr_equal(r[i].in, &list);
    }
    tug__pg_requests_remove(&r[1]);
    tug__pg_requests_remove(&r[3]);
    assert_null(r[1].in);
    assert_int_equal(list.n, 2);
    tug__pg_requests_push(&other, &r[1]);
    tug__pg_requests_push(&other, &r[3]);
    tug__pg_requests_move_first(&list, &other);
    static const int order[] = {1, 3, 0, 2};
    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(tug__pg_requests_pop(&list), &r[order[i]]);
    }
    assert_null(tug__pg_requests_pop(&list));
    assert_int_equal(list.n + other.n, 0);
}
