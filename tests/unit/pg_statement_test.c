/* Texts, prepared statements and request lists of the PostgreSQL driver, without a server. */
#include <stdio.h>
#include <string.h>

#include "renew.h"
#include "statement.h"
#include "test.h"
#include "type.h"

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

/* Two texts with one hash: made here by hand, because nobody finds such. */
TEST(texts_of_one_hash_do_not_share_a_name)
{
    tug__pg_texts texts = {0};
    tug__pg_statements s;
    assert_int_equal(tug__pg_statements_init(&s, &texts, 8), 0);
    tug__pg_text *one = get(&texts, "select 1");
    tug__pg_text *other = get(&texts, "select 2");
    assert_int_equal(one->twin, 0);
    assert_int_equal(other->twin, 0);
    uint64_t hash = other->hash;
    other->hash = one->hash;
    other->twin = 1;
    const tug__pg_statement *first = tug__pg_statements_add(&s, one);
    const tug__pg_statement *second = tug__pg_statements_add(&s, other);
    assert_non_null(first);
    assert_non_null(second);
    assert_string_not_equal(first->name, second->name);
    tug__pg_statements_free(&s);
    other->hash = hash;
    tug__pg_text_unref(&texts, one);
    tug__pg_text_unref(&texts, other);
    tug__pg_texts_free(&texts);
}

TEST(a_new_generation_makes_all_stale_and_has_another_name)
{
    tug__pg_texts texts = {0};
    tug__pg_statements s, t;
    char name[TUG__PG_STATEMENT_NAME];
    assert_int_equal(tug__pg_statements_init(&s, &texts, 8), 0);
    assert_int_equal(tug__pg_statements_init(&t, &texts, 8), 0);
    tug__pg_statement *st = add(&s, "select 1", true);
    tug__pg_statement *there = add(&t, "select 1", true);
    strcpy(name, st->name);
    assert_string_equal(there->name, name);
    assert_false(tug__pg_statement_is_stale(st));
    st->text->generation++;
    assert_true(tug__pg_statement_is_stale(st));
    assert_true(tug__pg_statement_is_stale(there));
    tug__pg_statements_remove(&s, st);
    st = add(&s, "select 1", true);
    assert_false(tug__pg_statement_is_stale(st));
    assert_string_not_equal(st->name, name);
    tug__pg_statements_free(&s);
    tug__pg_statements_free(&t);
    tug__pg_texts_free(&texts);
}

TEST(long_texts_and_all_of_some_pools_have_no_name)
{
    tug__pg_texts texts = {0};
    tug__pg_statements s;
    assert_int_equal(tug__pg_statements_init(&s, &texts, 8), 0);
    s.max_bytes = 8;
    tug__pg_statement *short_one = add(&s, "select 1", true);
    tug__pg_statement *long_one = add(&s, "select 12", true);
    assert_false(short_one->unnamed || short_one->once);
    assert_true(long_one->unnamed && long_one->once);
    assert_string_equal(long_one->name, "");
    s.unnamed = true;
    tug__pg_statement *other = add(&s, "select 2", true);
    assert_true(other->unnamed);
    assert_false(other->once);
    tug__pg_statements_free(&s);
    tug__pg_texts_free(&texts);
}

/* The row_bytes of a statement whose columns have these types and sizes. */
static int row_bytes(bool unnamed, int columns, const Oid *types, const int *sizes)
{
    tug__pg_texts texts = {0};
    tug__pg_statements s;
    PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_COMMAND_OK);
    PGresAttDesc of[4] = {{.name = NULL}};
    char name[] = "a";
    for (int i = 0; i < columns; i++) {
        of[i] = (PGresAttDesc){
            .name = name, .typid = types[i], .typlen = sizes[i], .atttypmod = -1};
    }
    assert_int_equal(PQsetResultAttrs(res, columns, of), 1);
    assert_int_equal(tug__pg_statements_init(&s, &texts, 8), 0);
    s.unnamed = unnamed;
    tug__pg_statement *st = add(&s, "select", false);
    assert_int_equal(tug__pg_statement_describe(st, res), 0);
    int bytes = st->row_bytes;
    PQclear(res);
    tug__pg_statements_free(&s);
    tug__pg_texts_free(&texts);
    return bytes;
}

TEST(a_row_has_a_bound_if_its_columns_are_of_fixed_size)
{
    const Oid types[] = {TUG__PG_INT4, TUG__PG_TIMESTAMPTZ, TUG__PG_TEXT};
    const int sizes[] = {4, 8, -1};
    const Oid money = 790; /* comes as text */
    assert_int_equal(row_bytes(false, 2, types, sizes), 7 + 4 + 4 + 4 + 8);
    assert_int_equal(row_bytes(false, 3, types, sizes), 0);
    assert_int_equal(row_bytes(true, 2, types, sizes), 0);
    assert_int_equal(row_bytes(false, 1, &money, &sizes[1]), 0);
}

/* --- whose fault a failure is ----------------------------------------------------------------- */

TEST(which_failures_are_the_plans)
{
    static const struct {
        tug__pg_complaint why;
        tug__pg_renewal renewal;
    } cases[] = {
        {{"0A000", "RevalidateCachedQuery", "gespeicherter Plan ...", false}, TUG__PG_RENEW_AGAIN},
        {{"0A000", "exec_stmt_raise", "cached plan must not change result type", false},
         TUG__PG_RENEW_NOT},
        {{"0A000", NULL, NULL, false}, TUG__PG_RENEW_NOT},
        {{"XX000", "getTypeInputInfo", "cache lookup failed for type 4711", false},
         TUG__PG_RENEW_AGAIN},
        {{"XX000", "TupleDescInitEntry", "cache lookup failed for type 4712", false},
         TUG__PG_RENEW_AGAIN},
        {{"XX000", "elsewhere", "cache lookup failed for type 23", false}, TUG__PG_RENEW_NOT},
        {{"XX000", "elsewhere", "cache lookup failed for function 4711", false}, TUG__PG_RENEW_NOT},
        {{"XX000", NULL, NULL, false}, TUG__PG_RENEW_NOT},
        {{"26000", "FetchPreparedStatement", "prepared statement \"mine\" does not exist", false},
         TUG__PG_RENEW_NOT},
        {{"42804", "transformAssignedExpr", "column is of type uuid", true}, TUG__PG_RENEW_NEXT},
        {{"42501", "aclcheck_error", "permission denied", false}, TUG__PG_RENEW_NOT},
        {{"22P02", "pg_strtoint32", "invalid input syntax", false}, TUG__PG_RENEW_DOUBT},
        {{"23505", "_bt_check_unique", "duplicate key", false}, TUG__PG_RENEW_NOT},
        {{NULL, NULL, NULL, true}, TUG__PG_RENEW_NOT},
    };
    tug__pg_texts texts = {0};
    tug__pg_statements s;
    char message[120];
    assert_int_equal(tug__pg_statements_init(&s, &texts, 8), 0);
    tug__pg_statement *st = add(&s, "select $1", true);
    Oid types[] = {4711, 4712};
    Oid *own = st->types;
    st->types = types;
    st->types_n = 1;
    st->columns_n = 1;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(tug__pg_renewal_for(&cases[i].why, st->text, st), cases[i].renewal);
    }
    snprintf(message, sizeof message, "\"%s\" ist unbekannt", st->name);
    tug__pg_complaint lost = {"26000", "FetchPreparedStatement", message, false};
    assert_int_equal(tug__pg_renewal_for(&lost, st->text, st), TUG__PG_RENEW_LOST);
    assert_int_equal(tug__pg_renewal_for(&lost, st->text, NULL), TUG__PG_RENEW_LOST);
    assert_int_equal(tug__pg_renewal_for(&cases[3].why, st->text, NULL), TUG__PG_RENEW_NOT);
    st->types = own;
    tug__pg_statements_free(&s);
    tug__pg_texts_free(&texts);
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
