/* Cursors, by SQL: libpq knows no portal that is executed in parts. */
#include <tug/pg_cursor.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "handle.h"

/* "tug_" + 16 digits + "_" + a number. */
#define CURSOR_NAME 40
#define CURSOR_ROWS 1000000

struct tug_pg_cursor {
    tug_pg *db; /* NULL: it was closed before */
    tug__pg_pool *pool;
    tug_pg_cursor *next, **at_prev; /* in the pool's list */
    uint64_t hash;
    unsigned number;
    bool scroll;
    char name[CURSOR_NAME];
};

/* The name is made of the text: the same FETCH is then always of the same columns, and the connection's
 * prepared statements serve again. Several at once of one text differ by their number. */
static void cursor_set_name(tug_pg_cursor *cursor, const char *sql)
{
    bool taken = true;
    cursor->hash = tug__pg_hash(sql, strlen(sql));
    for (unsigned number = 1; taken; number++) {
        taken = false;
        for (const tug_pg_cursor *c = cursor->pool->cursors; c != NULL; c = c->next) {
            taken = taken || (c->hash == cursor->hash && c->number == number && c->db != NULL &&
                              c->db->holding == cursor->db->holding);
        }
        cursor->number = number;
    }
    snprintf(cursor->name, sizeof cursor->name, "tug_%016" PRIx64 "_%u", cursor->hash,
             cursor->number);
}

static void cursor_link(tug_pg_cursor *cursor)
{
    cursor->next = cursor->pool->cursors;
    cursor->at_prev = &cursor->pool->cursors;
    if (cursor->next != NULL) {
        cursor->next->at_prev = &cursor->next;
    }
    cursor->pool->cursors = cursor;
}

static void cursor_free(tug_pg_cursor *cursor)
{
    tug__pg_pool *pool = cursor->pool;
    *cursor->at_prev = cursor->next;
    if (cursor->next != NULL) {
        cursor->next->at_prev = cursor->at_prev;
    }
    tug_free(cursor);
    tug__pg_pool_unref(pool);
}

void tug__pg_cursors_cut(tug_pg *handle)
{
    for (tug_pg_cursor *c = tug__pg_pool_of(handle)->cursors; c != NULL; c = c->next) {
        c->db = c->db == handle ? NULL : c->db;
    }
}

void tug__pg_cursors_close(tug__pg_pool *pool)
{
    while (pool->cursors != NULL) {
        tug_pg_cursor_close(pool->cursors);
    }
}

static int cursor_check(const tug_pg *db, const char *sql, bool hold)
{
    int rc = tug__pg_check(db, "tug_pg_cursor_open");
    if (rc < 0) {
        return rc;
    }
    if (sql == NULL) {
        return tug_fail(TUG_EINVAL, "tug_pg_cursor_open: sql is NULL");
    }
    if (db->kind == TUG__PG_POOL || (db->kind == TUG__PG_SESSION && !hold)) {
        return tug_fail(TUG_EMISUSE, "tug_pg_cursor_open: a cursor lives in a transaction%s",
                        db->kind == TUG__PG_SESSION ? ", or with hold on a session" : "");
    }
    return 0;
}

int tug_pg_cursor_open(tug_pg *db, const char *sql, tug_args args, const tug_pg_cursor_options *o,
                       tug_pg_cursor **ret_cursor)
{
    tug_pg_cursor_options all = TUG_PG_CURSOR_OPTIONS_INIT;
    if (o != NULL) {
        memcpy(&all, o, o->size < sizeof all ? o->size : sizeof all);
    }
    int rc = cursor_check(db, sql, all.hold);
    if (rc < 0) {
        return rc;
    }
    size_t size = strlen(sql) + CURSOR_NAME + 64;
    tug_pg_cursor *cursor = tug_calloc(1, sizeof *cursor);
    char *text = tug_alloc(size);
    if (cursor == NULL || text == NULL) {
        tug_free(cursor);
        tug_free(text);
        return tug_fail(TUG_ENOMEM, "out of memory for a cursor");
    }
    cursor->db = db;
    cursor->pool = tug__pg_pool_of(db);
    cursor->scroll = all.scroll;
    tug__pg_pool_ref(cursor->pool);
    cursor_set_name(cursor, sql);
    cursor_link(cursor);
    snprintf(text, size, "DECLARE %s %s CURSOR %s FOR %s", cursor->name,
             all.scroll ? "SCROLL" : "NO SCROLL", all.hold ? "WITH HOLD" : "", sql);
    rc = tug_pg_exec(db, text, args, NULL);
    tug_free(text);
    if (rc < 0) {
        cursor_free(cursor);
        return rc;
    }
    *ret_cursor = cursor;
    return 0;
}

/* "FETCH FORWARD 100 FROM name". */
static int cursor_sql(const tug_pg_cursor *cursor, const char *what, int rows, char *to,
                      size_t size)
{
    if (cursor->db == NULL) {
        return tug_fail(TUG_ECLOSED, "the cursor has gone with what it was opened on");
    }
    if (rows < -CURSOR_ROWS || rows > CURSOR_ROWS || rows == 0) {
        return tug_fail(TUG_EINVAL, "a cursor moves by 1 to %d rows, not %d", CURSOR_ROWS, rows);
    }
    if (rows < 0 && !cursor->scroll) {
        return tug_fail(TUG_EMISUSE, "this cursor was not opened to scroll");
    }
    snprintf(to, size, "%s %s %d FROM %s", what, rows < 0 ? "BACKWARD" : "FORWARD",
             rows < 0 ? -rows : rows, cursor->name);
    return 0;
}

int tug_pg_cursor_fetch(tug_pg_cursor *cursor, int rows, tug_pg_result **ret_result)
{
    char sql[CURSOR_NAME + 48];
    int rc = cursor_sql(cursor, "FETCH", rows, sql, sizeof sql);
    return rc < 0 ? rc : tug_pg_query(cursor->db, sql, TUG_NO_ARGS, ret_result);
}

int tug_pg_cursor_move(tug_pg_cursor *cursor, int rows, int64_t *ret_rows)
{
    char sql[CURSOR_NAME + 48];
    int rc = cursor_sql(cursor, "MOVE", rows, sql, sizeof sql);
    return rc < 0 ? rc : tug_pg_exec(cursor->db, sql, TUG_NO_ARGS, ret_rows);
}

void tug_pg_cursor_close(tug_pg_cursor *cursor)
{
    if (cursor == NULL) {
        return;
    }
    const tug_pg *db = cursor->db;
    /* In a failed transaction it has gone already; where rows or a COPY are open it goes with the
     * transaction, or with the session's reset. */
    if (db != NULL && db->holding->flow == NULL &&
        (db->kind == TUG__PG_SESSION || db->tx_state == TUG__PG_TX_OPEN) &&
        db->holding->connection->state == TUG__PG_PIPELINE &&
        PQtransactionStatus(db->holding->connection->pq) != PQTRANS_INERROR) {
        char sql[CURSOR_NAME + 16];
        snprintf(sql, sizeof sql, "CLOSE %s", cursor->name);
        /* A clean-up leaves the detail of what went wrong before alone. */
        tug_error kept = *tug_last_error();
        tug_future_detach(tug_pg_exec_start(cursor->db, sql, TUG_NO_ARGS));
        if (kept.code < 0) {
            TUG_IGNORE(tug_fail_with(&kept));
        }
    }
    cursor_free(cursor);
}
