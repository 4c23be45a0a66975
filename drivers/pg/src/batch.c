/* Batches, as their user sees them: built once, run as one request. What goes over the wire is in
 * batch_wire.c. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <tug/log.h>
#include <tug/pg_batch.h>
#include <tug/sys/alloc.h>

#include "check.h"
#include "element.h"
#include "gate.h"
#include "handle.h"
#include "result.h"

/* A statement text, once for all neighbours that have it. */
typedef struct batch_text {
    char *sql;
    tug__pg_text *text; /* while it runs */
} batch_text;

typedef struct batch_item {
    tug__pg_item item; /* first */
    size_t text;       /* place in texts */
    bool taken;
} batch_item;

typedef enum batch_state {
    BATCH_BUILT, /* not run, or changed since */
    BATCH_RUNNING,
    BATCH_SUCCEEDED, /* its results are there */
    BATCH_FAILED
} batch_state;

struct tug_pg_batch {
    tug__pg_batch wire; /* first; its items are our batch_items */
    batch_state state;
    tug__pg_pool *pool; /* while it runs */
    size_t room;        /* in wire.items */
    size_t items_n;     /* that are there, used or not */
    batch_text *texts;
    size_t texts_n, texts_room;
    size_t bytes;
    /* For looking at one result after the other. */
    tug_pg_result *view;
    size_t view_room;
    tug__pg_span span;
    const PGresult *viewed; /* what it shows; NULL: nothing */
};

static batch_item *batch_at(const tug_pg_batch *b, size_t place)
{
    return (batch_item *)b->wire.items[place];
}

static void batch_drop_results(tug_pg_batch *b)
{
    b->viewed = NULL;
    /* The latest first: so their memory joins what is free behind them, and the allocator need not look
     * for it next time. */
    for (size_t i = b->wire.n; i-- > 0;) {
        batch_item *item = batch_at(b, i);
        tug__pg_item_clear(&item->item);
        item->taken = false;
    }
}

int tug_pg_batch_new(tug_pg_batch **ret_batch)
{
    tug_pg_batch *b = tug_calloc(1, sizeof *b);
    if (b == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a batch");
    }
    *ret_batch = b;
    return 0;
}

void tug_pg_batch_clear(tug_pg_batch *b)
{
    if (b->state == BATCH_RUNNING) {
        tug_log(TUG_LOG_ERROR, "pg", "tug_pg_batch_clear: the batch is running: not cleared");
        return;
    }
    batch_drop_results(b);
    for (size_t i = 0; i < b->wire.n; i++) {
        tug__pg_args_free(&batch_at(b, i)->item.args);
    }
    for (size_t i = 0; i < b->texts_n; i++) {
        tug_free(b->texts[i].sql);
    }
    b->wire.n = b->wire.failed = b->texts_n = b->bytes = 0;
    b->state = BATCH_BUILT;
}

void tug_pg_batch_close(tug_pg_batch *b)
{
    if (b == NULL) {
        return;
    }
    if (b->state == BATCH_RUNNING) {
        tug_future_cancel(b->wire.request.owner);
    }
    tug_pg_batch_clear(b);
    for (size_t i = 0; i < b->items_n; i++) {
        tug_free(b->wire.items[i]);
    }
    tug_free(b->view);
    tug_free(b->wire.items);
    tug_free(b->texts);
    tug_free(b);
}

size_t tug_pg_batch_size(const tug_pg_batch *b)
{
    return b->wire.n;
}

size_t tug_pg_batch_failed(const tug_pg_batch *b)
{
    return b->state == BATCH_FAILED ? b->wire.failed : b->wire.n;
}

/* --- building ----------------------------------------------------------------------------------- */

static size_t value_bytes(const tug_value *v)
{
    size_t bytes = sizeof *v + (tug__pg_has_bytes(v) ? v->u.bytes.size : 0);
    if (v->type != TUG_VALUE_ARRAY) {
        return bytes;
    }
    const struct tug_array *a = v->u.array;
    bytes += sizeof *a + a->n * a->size;
    for (size_t i = 0; tug__pg_element_has_bytes(a) && i < a->n; i++) {
        bytes += tug__pg_element(a, i).u.bytes.size;
    }
    return bytes;
}

/* Of a copy, which was checked. */
static size_t args_bytes(tug_args args)
{
    size_t bytes = 0;
    for (size_t i = 0; i < args.n; i++) {
        bytes += value_bytes(&args.values[i]);
    }
    return bytes;
}

/* Doubles an array when it is full. */
static int batch_grow(void **array, size_t n, size_t *room, size_t size)
{
    if (n < *room) {
        return 0;
    }
    size_t more = *room == 0 ? 16 : *room * 2;
    void *grown = tug_realloc(*array, more * size);
    if (grown == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a batch of %zu statements", n + 1);
    }
    *array = grown;
    *room = more;
    return 0;
}

/* The place of the text, which is nearly always the latest one. */
static int batch_add_text(tug_pg_batch *b, const char *sql, size_t *ret_place)
{
    if (b->texts_n > 0 && strcmp(b->texts[b->texts_n - 1].sql, sql) == 0) {
        *ret_place = b->texts_n - 1;
        return 0;
    }
    int rc = batch_grow((void **)&b->texts, b->texts_n, &b->texts_room, sizeof *b->texts);
    char *copy = rc == 0 ? tug_strdup(sql) : NULL;
    if (rc == 0 && copy == NULL) {
        rc = tug_fail(TUG_ENOMEM, "out of memory for a statement");
    }
    if (rc < 0) {
        return rc;
    }
    b->texts[b->texts_n] = (batch_text){.sql = copy};
    b->bytes += strlen(sql);
    *ret_place = b->texts_n++;
    return 0;
}

/* The next item, unused. */
static int batch_add_item(tug_pg_batch *b, batch_item **ret_item)
{
    if (b->wire.n == b->items_n) {
        int rc = batch_grow((void **)&b->wire.items, b->items_n, &b->room, sizeof *b->wire.items);
        batch_item *item = rc == 0 ? tug_alloc(sizeof *item) : NULL;
        if (item == NULL) {
            return rc < 0 ? rc : tug_fail(TUG_ENOMEM, "out of memory for a statement of a batch");
        }
        item->item.result = NULL;
        item->item.owns = item->item.shared = false;
        item->taken = false;
        b->wire.items[b->items_n++] = &item->item;
    }
    *ret_item = batch_at(b, b->wire.n);
    return 0;
}

static int batch_check_add(const tug_pg_batch *b, const char *sql)
{
    if (b == NULL || b->state == BATCH_RUNNING) {
        return tug_fail(TUG_EMISUSE, "tug_pg_batch_add: the batch is %s",
                        b == NULL ? "NULL" : "running");
    }
    if (sql == NULL) {
        return tug_fail(TUG_EINVAL, "tug_pg_batch_add: sql is NULL");
    }
    if (b->wire.n >= TUG_PG_BATCH_MOST) {
        return tug_fail(TUG_ELIMIT, "tug_pg_batch_add: the batch has %d statements already",
                        TUG_PG_BATCH_MOST);
    }
    return 0;
}

int tug_pg_batch_add(tug_pg_batch *b, const char *sql, tug_args args)
{
    batch_item *item = NULL;
    size_t text = 0;
    int rc = batch_check_add(b, sql);
    rc = rc < 0 ? rc : batch_add_item(b, &item);
    rc = rc < 0 ? rc : tug__pg_args_copy(&item->item.args, args);
    if (rc < 0) {
        return rc;
    }
    size_t bytes = args_bytes(item->item.args.args);
    if (b->bytes + strlen(sql) + bytes > TUG_PG_BATCH_BYTES_MOST) {
        rc = tug_fail(TUG_ELIMIT, "tug_pg_batch_add: the batch would have more than %zu bytes",
                      TUG_PG_BATCH_BYTES_MOST);
    }
    rc = rc < 0 ? rc : batch_add_text(b, sql, &text);
    if (rc < 0) {
        tug__pg_args_free(&item->item.args);
        return rc;
    }
    if (b->state != BATCH_BUILT) {
        batch_drop_results(b);
        b->state = BATCH_BUILT;
    }
    item->text = text;
    b->bytes += bytes;
    b->wire.n++;
    return 0;
}

/* --- running ------------------------------------------------------------------------------------ */

static tug_pg_batch *batch_of(const tug_future *f)
{
    return *(tug_pg_batch **)tug_future_payload((tug_future *)f);
}

/* As for one statement: what the request had of the pool goes back. */
static void batch_release(tug_pg_batch *b, batch_state to)
{
    tug__pg_request *r = &b->wire.request;
    tug__pg_holding *h = r->holding;
    assert(b->state == BATCH_RUNNING && "a run ends once");
    if (h != NULL) {
        tug__pg_pool_not_alone(r);
    }
    for (size_t i = 0; i < b->texts_n; i++) {
        tug__pg_text_unref(&b->pool->texts, b->texts[i].text);
        b->texts[i].text = NULL;
    }
    r->holding = NULL;
    r->owner = NULL;
    b->pool = NULL;
    b->state = to;
    if (to == BATCH_FAILED) {
        batch_drop_results(b); /* what succeeded was rolled back */
    }
    tug__pg_holding_unref(h);
}

static void batch_told(tug_pg_batch *b, const tug_error *why)
{
    int64_t rows = 0;
    if (b->span.hooks == 0) {
        return;
    }
    for (size_t i = 0; why == NULL && i < b->wire.n; i++) {
        rows += strtoll(PQcmdTuples(b->wire.items[i]->result), NULL, 10);
    }
    tug__pg_span_end(b->pool, &b->span, b->texts[0].sql, why, rows);
}

static int batch_abort(tug_future *f)
{
    tug_pg_batch *b = batch_of(f);
    tug_error e;
    int sent = tug__pg_request_withdraw(&b->wire.request);
    b->wire.failed = b->wire.n;
    tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, sent, NULL, "the batch was cancelled %s",
                  sent == TUG_NOT_SENT ? "before it was sent"
                                       : "while it ran: its outcome is unknown");
    batch_told(b, &e);
    batch_release(b, BATCH_FAILED);
    tug_future_fail(f, &e);
    return TUG_ABORT_DONE;
}

static const tug_future_class batch_class = {.size = sizeof(tug_future_class),
                                             .name = "pg.batch",
                                             .payload = sizeof(tug_pg_batch *),
                                             .abort = batch_abort};

static void batch_done(tug__pg_request *r, PGresult *res, const tug_error *why)
{
    tug_future *f = r->owner;
    tug_pg_batch *b = batch_of(f);
    PQclear(res);
    if (why != NULL && why->sent == TUG_IN_FLIGHT) {
        b->wire.failed = b->wire.n; /* the connection, whatever it was about to answer */
    }
    batch_told(b, why);
    batch_release(b, why != NULL ? BATCH_FAILED : BATCH_SUCCEEDED);
    if (why != NULL) {
        tug_future_fail(f, why);
    } else {
        tug_future_settle(f, NULL);
    }
}

static int batch_check_text(tug_pg *db, const tug__pg_text *text)
{
    if (db->kind == TUG__PG_SESSION && text->gate != NULL &&
        tug__pg_gate_ends_transaction(text->sql)) {
        return tug_fail(TUG_EMISUSE,
                        "tug_pg_batch_run: %s in a batch, which is one transaction by itself",
                        text->gate);
    }
    return tug__pg_check_gate(db, text, "tug_pg_batch_run");
}

/* Of each text the pool's own, and whether it may go there. */
static int batch_get_texts(tug_pg_batch *b, tug_pg *db)
{
    tug__pg_pool *pool = tug__pg_pool_of(db);
    int rc = 0;
    size_t n = 0;
    b->wire.request.marks = false;
    for (; rc == 0 && n < b->texts_n; n++) {
        tug__pg_text *text = b->texts[n].text = tug__pg_texts_get(&pool->texts, b->texts[n].sql);
        rc = text != NULL ? batch_check_text(db, text)
                          : tug_fail(TUG_ENOMEM, "out of memory for a statement");
        b->wire.request.marks = b->wire.request.marks || (text != NULL && text->marks);
    }
    while (rc < 0 && n > 0) {
        n--;
        tug__pg_text_unref(&pool->texts, b->texts[n].text);
        b->texts[n].text = NULL;
    }
    for (size_t i = 0; rc == 0 && i < b->wire.n; i++) {
        b->wire.items[i]->text = b->texts[batch_at(b, i)->text].text;
    }
    return rc;
}

static int batch_check(tug_pg *db, const tug_pg_batch *b)
{
    int rc = tug__pg_check_run(db, "tug_pg_batch_run");
    if (rc < 0) {
        return rc;
    }
    if (b == NULL || b->state == BATCH_RUNNING) {
        return tug_fail(TUG_EMISUSE, "tug_pg_batch_run: the batch is %s",
                        b == NULL ? "NULL" : "running already");
    }
    return 0;
}

static bool batch_is_mixed(const tug_pg_batch *b)
{
    for (size_t i = 1; i < b->texts_n; i++) {
        if (!tug__pg_same_operation(b->texts[0].sql, b->texts[i].sql)) {
            return true;
        }
    }
    return false;
}

static void batch_send(tug_pg_batch *b, tug_pg *db, tug_future *f)
{
    tug__pg_request *r = &b->wire.request;
    *(tug_pg_batch **)tug_future_payload(f) = b;
    bool marks = r->marks;
    *r = (tug__pg_request){.kind = TUG__PG_BATCH, .marks = marks, .owner = f, .done = batch_done};
    b->wire.answered = 0;
    b->wire.failed = b->wire.n;
    b->wire.rounds = 0;
    b->pool = tug__pg_pool_of(db);
    b->state = BATCH_RUNNING;
    b->span.hooks = 0;
    if (b->pool->hooks_number != 0) {
        tug__pg_span_begin(b->pool, &b->span, b->texts[0].sql, b->wire.n, batch_is_mixed(b));
    }
    if (db->kind == TUG__PG_POOL) {
        tug__pg_pool_add(b->pool, r);
    } else {
        tug__pg_connection_add(db->holding->connection, r);
    }
}

tug_future *tug_pg_batch_start(tug_pg *db, tug_pg_batch *b)
{
    if (batch_check(db, b) < 0) {
        return tug_future_failed(tug_last_error());
    }
    tug_future *f = tug_future_new(&batch_class);
    if (f == NULL) {
        return tug_future_no_memory();
    }
    batch_drop_results(b);
    if (batch_get_texts(b, db) < 0) {
        b->state = BATCH_FAILED;
        b->wire.failed = b->wire.n;
        tug_future_fail(f, tug_last_error());
    } else if (b->wire.n == 0) {
        b->state = BATCH_SUCCEEDED;
        tug_future_settle(f, NULL);
    } else {
        batch_send(b, db, f);
    }
    return f;
}

int tug_pg_batch_run(tug_pg *db, tug_pg_batch *b)
{
    tug_future *f = tug_pg_batch_start(db, b);
    int rc = tug_await_own(f);
    tug_future_unref(f);
    return rc;
}

/* --- results ------------------------------------------------------------------------------------ */

static int batch_check_result(const tug_pg_batch *b, size_t place, const char *what)
{
    if (b->state != BATCH_SUCCEEDED || place >= b->wire.n) {
        return tug_fail(TUG_ENOTFOUND, "%s: %s", what,
                        b->state == BATCH_SUCCEEDED ? "the batch has no such statement"
                        : b->state == BATCH_FAILED  ? "the batch failed"
                                                    : "the batch has not been run");
    }
    if (batch_at(b, place)->taken) {
        return tug_fail(TUG_EMISUSE, "%s: result %zu was taken before", what, place);
    }
    return 0;
}

int tug_pg_batch_scan(tug_pg_batch *b, size_t place, size_t row, tug_out out)
{
    int rc = batch_check_result(b, place, "tug_pg_batch_scan");
    if (rc < 0) {
        return rc;
    }
    const tug__pg_item *item = b->wire.items[place];
    if (row >= (size_t)item->rows) {
        return tug_fail(TUG_ENOTFOUND, "tug_pg_batch_scan: no row %zu: result %zu has %d", row,
                        place, item->rows);
    }
    if (b->viewed != item->result) {
        rc = tug__pg_result_view(&b->view, &b->view_room, item->result);
        b->viewed = rc == 0 ? item->result : NULL;
    }
    return rc < 0 ? rc : tug_pg_scan(b->view, (size_t)item->row + row, out);
}

int tug_pg_batch_take(tug_pg_batch *b, size_t place, tug_pg_result **ret_result)
{
    int rc = batch_check_result(b, place, "tug_pg_batch_take");
    if (rc < 0) {
        return rc;
    }
    batch_item *item = batch_at(b, place);
    if (b->viewed == item->item.result) {
        b->viewed = NULL;
    }
    PGresult *res = tug__pg_item_take(&item->item);
    if (res == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a result");
    }
    item->taken = true;
    return tug__pg_result_new(res, ret_result);
}
