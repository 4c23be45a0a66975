/* Batches on a connection: several prepared statements and one Sync behind them, so that the server
 * takes them for one transaction and the first error skips the rest. All texts are prepared before
 * anything of the batch is sent, each with a Sync of its own: a batch goes out in one piece or not at
 * all. */
#include <assert.h>
#include <string.h>

#include "connection.h"

/* How often a batch has statements prepared before it gives up. Twice is enough when it is alone: what
 * was just prepared stays in the cache, which grows for it. Neighbours may push it out again. */
#define BATCH_ROUNDS 8
/* A result larger than this is kept as it came: copying it would cost more than its memory. */
#define SHEET_RESULT_MOST 8192
/* Rows of results that share one. */
#define SHEET_ROWS 4096
/* What a statement costs beside its parameters: Bind, Describe and Execute with a name in them. */
#define BYTES_AN_ITEM 90

void tug__pg_batch_refuse(tug__pg_batch *b, size_t at, const tug_error *why)
{
    tug__pg_request *r = &b->request;
    if (r->in != NULL) {
        tug__pg_requests_remove(r);
    }
    r->connection = NULL;
    b->failed = at;
    r->done(r, NULL, why);
}

tug__pg_text *tug__pg_batch_text(const tug__pg_batch *b)
{
    return b->failed < b->n ? b->items[b->failed]->text : NULL;
}

/* --- results ------------------------------------------------------------------------------------ */

void tug__pg_item_clear(tug__pg_item *item)
{
    if (item->owns) {
        PQclear(item->result);
    }
    item->result = NULL;
    item->owns = item->shared = false;
}

/* One row behind the others. False: out of memory. */
static bool sheet_add_row(PGresult *sheet, const PGresult *from, int row)
{
    int to = PQntuples(sheet);
    for (int i = 0; i < PQnfields(from); i++) {
        int size = PQgetisnull(from, row, i) ? -1 : PQgetlength(from, row, i);
        if (!PQsetvalue(sheet, to, i, PQgetvalue(from, row, i), size)) {
            return false;
        }
    }
    return true;
}

/* Puts a small result into that of the item before, if it is alike. False: not possible. */
static bool batch_share(tug__pg_batch *b, PGresult *res)
{
    if (b->answered == 0 || PQntuples(res) > 1 || PQresultMemorySize(res) > SHEET_RESULT_MOST) {
        return false;
    }
    tug__pg_item *item = b->items[b->answered];
    tug__pg_item *before = b->items[b->answered - 1];
    PGresult *sheet = before->result;
    if (before->text != item->text || before->rows != PQntuples(res) ||
        PQntuples(sheet) >= SHEET_ROWS || strcmp(PQcmdStatus(sheet), PQcmdStatus(res)) != 0) {
        return false;
    }
    item->row = PQntuples(sheet);
    item->rows = PQntuples(res);
    if (item->rows > 0 && !sheet_add_row(sheet, res, 0)) {
        return false;
    }
    item->result = sheet;
    item->owns = false;
    item->shared = before->shared = true;
    return true;
}

PGresult *tug__pg_item_take(tug__pg_item *item)
{
    PGresult *res = item->result;
    if (item->shared) {
        PGresult *copy = PQcopyResult(res, PG_COPYRES_ATTRS);
        for (int i = 0; copy != NULL && i < item->rows; i++) {
            if (!sheet_add_row(copy, res, item->row + i)) {
                PQclear(copy);
                copy = NULL;
            }
        }
        return copy;
    }
    item->result = NULL;
    item->owns = false;
    return res;
}

bool tug__pg_batch_take(tug__pg_batch *b, PGresult *res)
{
    ExecStatusType status = PQresultStatus(res);
    bool good = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ||
                status == PGRES_EMPTY_QUERY;
    if (!good || b->answered == b->n) {
        /* All answered and an error nevertheless: it is the end that was refused. */
        b->failed = b->answered;
        return false;
    }
    if (batch_share(b, res)) {
        PQclear(res);
    } else {
        tug__pg_item *item = b->items[b->answered];
        item->result = res;
        item->row = 0;
        item->rows = PQntuples(res);
        item->owns = true;
        item->shared = false;
    }
    b->answered++;
    return true;
}

bool tug__pg_batch_is_answered(const tug__pg_connection *c, const tug__pg_batch *b)
{
    for (size_t i = 0; i < b->answered && c->statements.unnamed; i++) {
        tug__pg_pipeline_renew_format(c, b->items[i]->text, b->items[i]->result);
    }
    return b->answered == b->n;
}

void tug__pg_batch_rewind(tug__pg_batch *b)
{
    for (size_t i = 0; i < b->answered; i++) {
        tug__pg_item_clear(b->items[i]);
    }
    b->answered = 0;
    b->failed = b->n;
}

/* --- sending ------------------------------------------------------------------------------------ */

static void batch_refuse_rounds(const tug__pg_connection *c, tug__pg_batch *b)
{
    tug_error why;
    tug_error_set(&why, TUG_ELIMIT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                  "the statements of this batch are pushed out of the cache again and again: "
                  "max_statements (%zu) is too low",
                  c->limits.statements);
    tug__pg_batch_refuse(b, b->awaited, &why);
}

/* Looks up one item's statement; a new one is prepared. 0, or as tug__pg_pipeline_look_up. */
static int batch_look_up(tug__pg_connection *c, tug__pg_batch *b, size_t at, bool *ret_new)
{
    tug__pg_item *item = b->items[at];
    if (at > 0 && b->items[at - 1]->text == item->text) {
        item->statement = b->items[at - 1]->statement;
        return 0;
    }
    int rc = tug__pg_pipeline_look_up(c, item->text, &item->statement, ret_new);
    if (rc == TUG_ENOMEM) {
        tug_error why;
        tug_error_set(&why, rc, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "out of memory for a statement");
        tug__pg_batch_refuse(b, at, &why);
    }
    return rc;
}

/* It waits for the first statement that is not described, and then for the next: so the first that the
 * server refuses is the one that is reported. */
static void batch_wait(tug__pg_connection *c, tug__pg_batch *b, size_t at, bool prepared)
{
    tug__pg_statement *missing = b->items[at]->statement;
    b->awaited = at;
    if (prepared && b->rounds++ >= BATCH_ROUNDS) {
        batch_refuse_rounds(c, b);
        return;
    }
    tug__pg_pipeline_wait(c, missing, &b->request);
}

/* 1: all statements are described. 0: it waits, or it has ended. TUG_ECLOSED: libpq could not. */
static int batch_look_up_all(tug__pg_connection *c, tug__pg_batch *b)
{
    bool prepared = false;
    size_t missing = b->n;
    for (size_t i = 0; i < b->n; i++) {
        int rc = batch_look_up(c, b, i, &prepared);
        if (rc < 0) {
            return rc == TUG_ECLOSED ? rc : 0;
        }
        if (missing == b->n && !b->items[i]->statement->described) {
            missing = i;
        }
    }
    if (missing == b->n) {
        return 1;
    }
    batch_wait(c, b, missing, prepared);
    return 0;
}

static int batch_encode(tug__pg_connection *c, const tug__pg_item *item)
{
    const tug__pg_statement *st = item->statement;
    return tug__pg_args_encode(&item->args, st->types, (size_t)st->types_n, &c->params);
}

/* Arguments that do not fit are found before the first statement is handed to libpq, which could not be
 * told to forget it. 1: all fit; 0: not now, or not at all. TUG_ECLOSED: libpq could not. */
static int batch_measure(tug__pg_connection *c, tug__pg_batch *b, size_t *ret_bytes)
{
    size_t bytes = 0;
    for (size_t i = 0; i < b->n; i++) {
        tug__pg_statement *st = b->items[i]->statement;
        bool again = false;
        if (batch_encode(c, b->items[i]) < 0) {
            tug_error why = *tug_last_error();
            bool ok = tug__pg_pipeline_refused(c, st, &b->request, &again);
            if (ok && !again) {
                tug__pg_batch_refuse(b, i, &why);
            }
            return ok ? 0 : TUG_ECLOSED;
        }
        for (int k = 0; k < c->params.n; k++) {
            bytes += c->params.values[k] != NULL ? (size_t)c->params.lengths[k] : 0;
        }
        bytes += BYTES_AN_ITEM + (st->unnamed ? st->text->size : 0);
    }
    *ret_bytes = bytes;
    return 1;
}

static bool batch_send_item(tug__pg_connection *c, const tug__pg_item *item)
{
    const tug__pg_statement *st = item->statement;
    const tug__pg_params *p = &c->params;
    if (batch_encode(c, item) < 0) {
        return false;
    }
    if (st->unnamed) {
        return PQsendQueryParams(c->pq, st->text->sql, p->n, st->types, p->values, p->lengths,
                                 p->formats, st->format) == 1;
    }
    return PQsendQueryPrepared(c->pq, st->name, p->n, p->values, p->lengths, p->formats,
                               st->format) == 1;
}

/* Texts that are too long to be kept. */
static void batch_forget_long(tug__pg_connection *c, const tug__pg_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        bool seen = i > 0 && b->items[i - 1]->text == b->items[i]->text;
        tug__pg_statement *st = seen ? NULL
                                     : tug__pg_statements_find(&c->statements, b->items[i]->text);
        if (st != NULL && st->once && st->waiting.first == NULL) {
            tug__pg_statements_remove(&c->statements, st);
        }
    }
}

bool tug__pg_batch_send(tug__pg_connection *c, tug__pg_batch *b)
{
    size_t bytes = 0;
    bool any_once = false;
    assert(b->n > 0 && "an empty batch has nothing to send");
    int rc = batch_look_up_all(c, b);
    rc = rc <= 0 ? rc : batch_measure(c, b, &bytes);
    if (rc <= 0) {
        return rc == 0;
    }
    tug__pg_pipeline_begin(c, &b->request, bytes);
    for (size_t i = 0; i < b->n; i++) {
        any_once = any_once || b->items[i]->statement->once;
        if (!batch_send_item(c, b->items[i])) {
            return false;
        }
    }
    if (any_once) {
        batch_forget_long(c, b);
    }
    return tug__pg_pipeline_end(c);
}
