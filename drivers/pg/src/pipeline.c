/* Statements in pipeline mode. Each has a Sync of its own, so that one that fails neither skips nor
 * rolls back its neighbours, and it settles at the answer to that Sync, never at its result: a
 * deferred constraint is checked at the Sync, after the server has said INSERT 0 1.
 *
 * libpq does not say which request a result belongs to: the ring does. A text that the connection
 * does not know is prepared and described first, and its request waits for the description, because
 * the parameters' types decide how the arguments are encoded and the columns' types which format is
 * asked for. On a shared connection others go ahead meanwhile; on a session all wait, because their
 * order is part of the deal. */
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <tug/sys/alloc.h>

#include "connection.h"
#include "failure.h"
#include "renew.h"
#include "result.h"

/* NULL separates the results of two commands; more of them in a row than this, and the Sync that is
 * expected will not come (a server that ended, or a pooler that answered twice). */
#define NULLS_MAX 3
/* What one statement may take in the ring: Close of a stale one, Prepare, Close of a surplus one,
 * Execute. */
#define ENTRIES_A_STATEMENT 4
/* Arguments that do not fit have the text described anew, at most this often. */
#define LEARN_AGAIN TUG_SECONDS(1)
/* What a statement costs beside its parameters: Bind, Describe, Execute and Sync with a name in
 * them. */
#define BYTES_A_STATEMENT 96

/* From libpq 17 on a Sync does not flush by itself: the end of the turn does, or this many
 * bytes. */
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
#define PIPELINE_SYNC_WAITS 1
#else
#define PIPELINE_SYNC_WAITS 0
#endif
#define PIPELINE_FLUSH_BYTES 65536
/* So many statements that are sent in one turn leave in one packet. A few leave one by one: on two cores the
 * server begins with the first while the second is written, which is worth 6 % of pg.pipeline. */
#define PIPELINE_CORK_MOST 16
#define PIPELINE_CORK_LEAST 12

/* A full socket must be noticed in time, or libpq's buffer would take all that is queued. Before 17
 * each Sync has flushed already, and then another flush costs nothing. */
static bool pipeline_flush_is_due(size_t bytes)
{
    return !PIPELINE_SYNC_WAITS || bytes >= PIPELINE_FLUSH_BYTES;
}

static bool pipeline_reserve(tug__pg_connection *c)
{
    if (c->n + ENTRIES_A_STATEMENT <= c->mask + 1) {
        return true;
    }
    size_t capacity = (c->mask + 1) * 2;
    tug__pg_entry *entries = tug_calloc(capacity, sizeof *entries);
    if (entries == NULL) {
        return false;
    }
    for (uint64_t place = c->first; place < c->first + c->n; place++) {
        entries[place & (capacity - 1)] = c->entries[place & c->mask];
    }
    tug_free(c->entries);
    c->entries = entries;
    c->mask = capacity - 1;
    return true;
}

/* pipeline_reserve was true. Returns the place. */
static uint64_t pipeline_push(tug__pg_connection *c, tug__pg_entry_kind kind, void *owner,
                              size_t bytes)
{
    assert(c->n <= c->mask && "room in the ring was made before");
    uint64_t place = c->first + c->n;
    c->entries[place & c->mask] = (tug__pg_entry){.owner = owner, .bytes = bytes, .kind = kind};
    if (c->n++ == 0) {
        c->head_since = tug_turn_time();
    }
    c->bytes += bytes;
    return place;
}

static bool pipeline_sync(tug__pg_connection *c)
{
#if PIPELINE_SYNC_WAITS
    return PQsendPipelineSync(c->pq) == 1;
#else
    return PQpipelineSync(c->pq) == 1;
#endif
}

bool tug__pg_pipeline_send_sync(tug__pg_connection *c)
{
    assert(c->n == 0 && "a Sync alone goes where nothing is in flight");
    if (!pipeline_sync(c)) {
        return false;
    }
    pipeline_push(c, TUG__PG_ENTRY_SYNC, NULL, BYTES_A_STATEMENT);
    tug_flush_later(&c->flush);
    return true;
}

/* --- sending ---------------------------------------------------------------------------------- */

static bool send_describe(tug__pg_connection *c, tug__pg_statement *st)
{
    if (PQsendDescribePrepared(c->pq, st->name) != 1 || !pipeline_sync(c)) {
        return false;
    }
    st->place = pipeline_push(c, TUG__PG_ENTRY_DESCRIBE, st, BYTES_A_STATEMENT);
    return true;
}

static bool send_prepare(tug__pg_connection *c, tug__pg_statement *st)
{
    if (PQsendPrepare(c->pq, st->name, st->text->sql, 0, NULL) != 1 ||
        PQsendDescribePrepared(c->pq, st->name) != 1 || !pipeline_sync(c)) {
        return false;
    }
    st->place = pipeline_push(c, TUG__PG_ENTRY_PREPARE, st, BYTES_A_STATEMENT + st->text->size);
    return true;
}

/* The statement goes, here and on the server. */
static bool send_close(tug__pg_connection *c, tug__pg_statement *st)
{
    if (st->unnamed) {
        tug__pg_statements_remove(&c->statements, st);
        return true;
    }
#ifdef LIBPQ_HAS_CLOSE_PREPARED
    bool sent = PQsendClosePrepared(c->pq, st->name) == 1;
#else
    char sql[TUG__PG_STATEMENT_NAME + 16] = "DEALLOCATE ";
    strcat(sql, st->name); /* no quoting: the name is letters, digits and '_' */
    bool sent = PQsendQueryParams(c->pq, sql, 0, NULL, NULL, NULL, NULL, 0) == 1;
#endif
    if (!sent || !pipeline_sync(c)) {
        return false;
    }
    pipeline_push(c, TUG__PG_ENTRY_CLOSE, NULL, BYTES_A_STATEMENT);
    tug__pg_statements_remove(&c->statements, st);
    return true;
}

static bool send_plain(tug__pg_connection *c, tug__pg_request *r)
{
    if (PQsendQueryParams(c->pq, r->plain, 0, NULL, NULL, NULL, NULL, 0) != 1) {
        return false;
    }
    tug__pg_requests_remove(r);
    r->sent = true;
    r->place = pipeline_push(c, TUG__PG_ENTRY_REQUEST, r, BYTES_A_STATEMENT);
    return pipeline_sync(c);
}

/* NULL: gone already. */
static bool is_due(const tug__pg_statement *st)
{
    return st != NULL && tug_turn_time() - st->learned > LEARN_AGAIN;
}

/* Without a name on the server: the text goes along, with the types that were learned. */
static bool send_unnamed(tug__pg_connection *c, tug__pg_statement *st, tug__pg_request *r,
                         size_t bytes)
{
    const tug__pg_params *p = &c->params;
    if (PQsendQueryParams(c->pq, st->text->sql, p->n, st->types, p->values, p->lengths, p->formats,
                          st->format) != 1 ||
        (r->streamer != NULL && !tug__pg_stream_begin(c, st))) {
        tug__pg_requests_push_first(&c->queue, r);
        return false;
    }
    r->sent = true;
    r->place = pipeline_push(c, TUG__PG_ENTRY_REQUEST, r, bytes + st->text->size);
    if (st->once && st->waiting.first == NULL) {
        tug__pg_statements_remove(&c->statements, st);
    }
    return pipeline_sync(c);
}

/* The arguments do not fit, which is no fault of the connection. A parameter may have got another type:
 * then the old one would refuse for ever what is right now. */
static bool refuse(tug__pg_connection *c, tug__pg_statement *st, tug__pg_request *r)
{
    if (!r->again && is_due(st)) {
        r->again = true;
        tug__pg_requests_push_first(&c->queue, r);
        return send_close(c, st);
    }
    r->connection = NULL;
    r->done(r, NULL, tug_last_error());
    return true;
}

/* Encodes and sends. */
static bool send_statement(tug__pg_connection *c, tug__pg_statement *st, tug__pg_request *r)
{
    tug__pg_params *p = &c->params;
    tug__pg_requests_remove(r);
    int rc = tug__pg_args_encode(r->args, st->types, (size_t)st->types_n, p);
    if (rc < 0) {
        return refuse(c, st, r);
    }
    size_t bytes = BYTES_A_STATEMENT;
    for (int i = 0; i < p->n; i++) {
        bytes += p->values[i] != NULL ? (size_t)p->lengths[i] : 0;
    }
    if (st->unnamed) {
        return send_unnamed(c, st, r, bytes);
    }
    if (PQsendQueryPrepared(c->pq, st->name, p->n, p->values, p->lengths, p->formats, st->format) !=
            1 ||
        (r->streamer != NULL && !tug__pg_stream_begin(c, st))) {
        tug__pg_requests_push_first(&c->queue, r);
        return false;
    }
    r->sent = true;
    r->place = pipeline_push(c, TUG__PG_ENTRY_REQUEST, r, bytes);
    return pipeline_sync(c);
}

static void wait_with(tug__pg_connection *c, tug__pg_statement *st, tug__pg_request *r)
{
    tug__pg_requests_remove(r);
    tug__pg_requests_push(&st->waiting, r);
    c->undescribed++;
}

/* Those that waited with it go to the front of to. */
static void wait_no_more(tug__pg_connection *c, tug__pg_statement *st, tug__pg_requests *to)
{
    c->undescribed -= st->waiting.n;
    tug__pg_requests_move_first(to, &st->waiting);
}

/* The first use of a text on this connection. The request waits with the statement. */
static bool send_first(tug__pg_connection *c, tug__pg_request *r)
{
    tug__pg_statement *st = tug__pg_statements_add(&c->statements, r->text);
    if (st == NULL) {
        tug_error why;
        tug_error_set(&why, TUG_ENOMEM, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "out of memory for a statement");
        tug__pg_requests_remove(r);
        r->connection = NULL;
        r->done(r, NULL, &why);
        return true;
    }
    if (!send_prepare(c, st)) {
        return false;
    }
    wait_with(c, st, r);
    c->awaited = c->ordered ? st : NULL;
    tug__pg_statement *surplus = tug__pg_statements_surplus(&c->statements);
    return surplus == NULL || send_close(c, surplus);
}

int tug__pg_pipeline_look_up(tug__pg_connection *c, tug__pg_text *text,
                             tug__pg_statement **ret_statement, bool *ret_new)
{
    tug__pg_statement *st = tug__pg_statements_find(&c->statements, text);
    *ret_statement = st;
    if (st != NULL && (!st->described || !tug__pg_statement_is_stale(st))) {
        return 0;
    }
    if (!pipeline_reserve(c)) {
        return TUG_ELIMIT;
    }
    if (st != NULL && !send_close(c, st)) {
        return TUG_ECLOSED;
    }
    st = tug__pg_statements_add(&c->statements, text);
    if (st == NULL) {
        return TUG_ENOMEM;
    }
    if (!send_prepare(c, st)) {
        return TUG_ECLOSED;
    }
    *ret_statement = st;
    *ret_new = true;
    tug__pg_statement *surplus = tug__pg_statements_surplus(&c->statements);
    return surplus == NULL || send_close(c, surplus) ? 0 : TUG_ECLOSED;
}

void tug__pg_pipeline_wait(tug__pg_connection *c, tug__pg_statement *st, tug__pg_request *r)
{
    wait_with(c, st, r);
    c->awaited = c->ordered ? st : NULL;
}

bool tug__pg_pipeline_refused(tug__pg_connection *c, tug__pg_statement *st, tug__pg_request *r,
                              bool *ret_again)
{
    *ret_again = !r->again && is_due(st);
    r->again = r->again || *ret_again;
    return !*ret_again || send_close(c, st);
}

void tug__pg_pipeline_begin(tug__pg_connection *c, tug__pg_request *r, size_t bytes)
{
    tug__pg_requests_remove(r);
    r->sent = true;
    r->place = pipeline_push(c, TUG__PG_ENTRY_REQUEST, r, bytes + BYTES_A_STATEMENT);
}

bool tug__pg_pipeline_end(tug__pg_connection *c)
{
    return pipeline_sync(c);
}

/* All text is UTF-8 here, in and out: a session that was told otherwise would store, and read, other
 * characters. What resets it passes. */
static bool is_understood(const tug__pg_connection *c, const tug__pg_request *r)
{
    return !c->ordered || PQclientEncoding(c->pq) == c->encoding ||
           (r->text != NULL && r->text->gate != NULL);
}

static bool refuse_encoding(tug__pg_connection *c, tug__pg_request *r)
{
    tug_error why;
    const char *encoding = PQparameterStatus(c->pq, "client_encoding");
    tug_error_set(&why, TUG_EMISUSE, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                  "client_encoding of this session is %.20s, and all text is UTF-8 here: reset it "
                  "first",
                  encoding != NULL ? encoding : "another one");
    if (r->kind == TUG__PG_BATCH) {
        tug__pg_batch_refuse((tug__pg_batch *)r, 0, &why);
        return true;
    }
    tug__pg_requests_remove(r);
    r->connection = NULL;
    r->done(r, NULL, &why);
    return true;
}

/* Sends the first of the queue; false: the connection is broken. */
static bool send_one(tug__pg_connection *c, tug__pg_request *r)
{
    if (r->kind == TUG__PG_PLAIN) {
        return send_plain(c, r);
    }
    if (!is_understood(c, r)) {
        return refuse_encoding(c, r);
    }
    if (r->kind == TUG__PG_BATCH) {
        return tug__pg_batch_send(c, (tug__pg_batch *)r);
    }
    tug__pg_statement *st = tug__pg_statements_find(&c->statements, r->text);
    if (st == NULL) {
        return send_first(c, r);
    }
    if (!st->described) {
        wait_with(c, st, r);
        return true;
    }
    if (tug__pg_statement_is_stale(st)) {
        return send_close(c, st) && send_first(c, r);
    }
    return send_statement(c, st, r);
}

/* Before libpq 17 each Sync is a send of its own. The socket is told to gather them: a packet for each
 * costs the kernel three times what copying it does, and the server a wake-up. Sixteen at a time, so that
 * the server has something to do meanwhile. False for a Unix socket, which gathers nothing. */
static bool pipeline_cork(tug__pg_connection *c, int on)
{
    if (PIPELINE_SYNC_WAITS || c->cannot_cork) {
        return false;
    }
    c->cannot_cork = setsockopt(PQsocket(c->pq), IPPROTO_TCP, TCP_CORK, &on, sizeof on) < 0 && on;
    return !c->cannot_cork;
}

static void pipeline_send_all(tug__pg_connection *c, bool corked)
{
    tug__pg_request *r;
    size_t flushed_at = c->bytes;
    unsigned gathered = 0;
    while (c->state == TUG__PG_PIPELINE && (r = c->queue.first) != NULL && c->awaited == NULL &&
           c->cancel.state == TUG__PG_CANCEL_NONE && c->n < c->limits.requests &&
           c->bytes < c->limits.bytes && !c->unsent) {
        if (c->n > 0 && tug__pg_connection_sends_alone(c, r)) {
            return;
        }
        if (r->kind == TUG__PG_COPY) {
            tug__pg_copy_start(c, r);
            return;
        }
        if (r->kind == TUG__PG_SCRIPT) {
            if (c->n == 0) {
                tug__pg_script_start(c, r);
            }
            return;
        }
        if (!pipeline_reserve(c)) {
            return; /* out of memory: goes on when an answer has made room */
        }
        if (!send_one(c, r)) {
            tug__pg_connection_lose_libpq(c);
            return;
        }
        if (pipeline_flush_is_due(c->bytes - flushed_at)) {
            c->unsent = PQflush(c->pq) == 1;
            flushed_at = c->bytes;
        }
        if (corked && ++gathered % PIPELINE_CORK_MOST == 0) {
            pipeline_cork(c, 0);
            pipeline_cork(c, 1);
        }
    }
}

void tug__pg_pipeline_send(tug__pg_connection *c)
{
    bool corked = c->queue.n >= PIPELINE_CORK_LEAST && pipeline_cork(c, 1);
    pipeline_send_all(c, corked);
    if (corked && c->state != TUG__PG_LOST) {
        pipeline_cork(c, 0);
    }
}

/* --- receiving -------------------------------------------------------------------------------- */

/* The statement that failed; NULL: none that is prepared. */
static tug__pg_text *request_text(const tug__pg_request *r)
{
    return r->kind == TUG__PG_BATCH ? tug__pg_batch_text((const tug__pg_batch *)r) : r->text;
}

/* A statement that was prepared is not known: it may not always be the same server. */
static void hint_at_pooler(tug_error *why)
{
    if (strcmp(why->native, "26000") == 0 && strstr(why->text, "tug_") != NULL) {
        size_t n = strlen(why->text);
        snprintf(why->text + n, sizeof why->text - n, "; behind a pooler use TUG_PG_UNNAMED");
    }
}

/* Nothing of it has run, and it is nobody's turn but its own: on a session what was sent behind it has
 * been answered or will be, and would be overtaken. Inside of a transaction all has failed. */
static bool may_go_again(const tug__pg_connection *c, const tug__pg_request *r)
{
    return !r->again && (!c->ordered || (c->n == 0 && PQtransactionStatus(c->pq) == PQTRANS_IDLE));
}

static void send_again(tug__pg_connection *c, tug__pg_request *r)
{
    r->again = true;
    r->sent = false;
    r->connection = c;
    if (r->kind == TUG__PG_BATCH) {
        tug__pg_batch_rewind((tug__pg_batch *)r);
    }
    tug__pg_requests_push_first(&c->queue, r);
    tug_flush_later(&c->flush);
}

/* A statement failed. If that was its plan's fault, the text is prepared anew when it is used next, on
 * all connections. True: the request is sent again. */
static bool renew_after(tug__pg_connection *c, tug__pg_request *r, const PGresult *res)
{
    tug__pg_complaint why;
    tug__pg_text *text = request_text(r);
    if (text == NULL) {
        return false;
    }
    tug__pg_statement *st = tug__pg_statements_find(&c->statements, text);
    if (st != NULL && r->place < st->place) {
        st = NULL; /* prepared anew since it was sent */
    }
    tug__pg_complaint_of(&why, res);
    tug__pg_renewal renewal = tug__pg_renewal_for(&why, text, st);
    if (renewal == TUG__PG_RENEW_NOT || (renewal == TUG__PG_RENEW_DOUBT && !is_due(st))) {
        return false;
    }
    if (st != NULL && renewal == TUG__PG_RENEW_LOST) {
        tug__pg_statements_remove(&c->statements, st);
    } else if (st != NULL && !tug__pg_statement_is_stale(st)) {
        text->generation++;
    }
    bool again = renewal >= TUG__PG_RENEW_AGAIN && may_go_again(c, r);
    if (again) {
        send_again(c, r);
    }
    return again;
}

/* Without a plan on the server nothing complains when a column has got another type: if the format that
 * was asked for is not right any more, the next one learns the types anew. */
void tug__pg_pipeline_renew_format(const tug__pg_connection *c, tug__pg_text *text,
                                   const PGresult *res)
{
    if (!c->statements.unnamed || text == NULL) {
        return;
    }
    for (int i = 0; i < PQnfields(res); i++) {
        Oid type = PQftype(res, i);
        if (PQfformat(res, i) == 1 && tug__pg_result_format(&type, 1) == 0) {
            text->generation++;
            return;
        }
    }
}

static void finish_request(tug__pg_connection *c, tug__pg_request *r, PGresult *res)
{
    tug_error why;
    r->connection = NULL;
    ExecStatusType status = PQresultStatus(res);
    if (r->kind == TUG__PG_BATCH && res == NULL &&
        tug__pg_batch_is_answered(c, (tug__pg_batch *)r)) {
        r->done(r, NULL, NULL);
        return;
    }
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) {
        tug__pg_pipeline_renew_format(c, r->text, res);
        if (c->ordered) {
            tug__pg_statements_heed(&c->statements, PQcmdStatus(res));
        }
        r->done(r, res, NULL);
        return;
    }
    if (res != NULL && PQresultErrorField(res, PG_DIAG_SQLSTATE) != NULL) {
        if (renew_after(c, r, res)) {
            PQclear(res);
            return;
        }
        tug__pg_failure_answer(&why, res);
        hint_at_pooler(&why);
    } else {
        char text[160];
        tug__pg_failure_one_line(text, sizeof text,
                                 res != NULL ? PQresultErrorMessage(res) : "no result");
        tug_error_set(&why, TUG_EPROTO, TUG_ORIGIN_LIBPQ, TUG_IN_FLIGHT, NULL, "libpq: %s", text);
    }
    PQclear(res);
    r->done(r, NULL, &why);
}

static void fail_waiting(tug__pg_connection *c, tug__pg_statement *st, const tug_error *why)
{
    tug__pg_requests failed = {0};
    wait_no_more(c, st, &failed);
    tug__pg_statements_remove(&c->statements, st);
    tug__pg_request *r;
    while ((r = tug__pg_requests_pop(&failed)) != NULL) {
        if (r->kind == TUG__PG_BATCH) {
            tug__pg_batch_refuse((tug__pg_batch *)r, ((tug__pg_batch *)r)->awaited, why);
            continue;
        }
        r->connection = NULL;
        r->done(r, NULL, why);
    }
}

/* A name that the server knew stood for a stale plan (somebody else's, behind a pooler), or it does not
 * know it any more. Those that wait try once more, with a new name. */
static bool describe_anew(tug__pg_connection *c, tug__pg_statement *st, const PGresult *res)
{
    tug__pg_complaint why;
    tug__pg_complaint_of(&why, res);
    if (tug__pg_renewal_for(&why, st->text, st) < TUG__PG_RENEW_AGAIN ||
        st->waiting.first == NULL || st->waiting.first->again) {
        return false;
    }
    if (!tug__pg_statement_is_stale(st)) {
        st->text->generation++;
    }
    for (tug__pg_request *r = st->waiting.first; r != NULL; r = r->next) {
        r->again = true;
    }
    wait_no_more(c, st, &c->queue);
    tug__pg_statements_remove(&c->statements, st);
    tug_flush_later(&c->flush);
    return true;
}

static void finish_statement(tug__pg_connection *c, const tug__pg_entry *e)
{
    tug__pg_statement *st = e->owner;
    tug_error why;
    if (c->awaited == st) {
        c->awaited = NULL;
    }
    if (PQresultStatus(e->result) != PGRES_COMMAND_OK) {
        if (e->kind == TUG__PG_ENTRY_DESCRIBE && describe_anew(c, st, e->result)) {
            return;
        }
        tug__pg_failure_answer(&why, e->result);
        bool known = e->kind == TUG__PG_ENTRY_PREPARE && strcmp(why.native, "42P05") == 0;
        if (known && pipeline_reserve(c)) {
            /* Same name, same text: a Prepare whose answer was never seen. Its description is
             * missing. */
            c->awaited = c->ordered ? st : NULL;
            if (send_describe(c, st)) {
                tug_flush_later(&c->flush);
            } else {
                tug__pg_connection_lose_libpq(c);
            }
            return;
        }
        fail_waiting(c, st, &why);
        return;
    }
    if (tug__pg_statement_describe(st, e->result) < 0) {
        tug_error_set(&why, TUG_ENOMEM, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "out of memory for a statement");
        fail_waiting(c, st, &why);
        return;
    }
    st->learned = tug_turn_time();
    wait_no_more(c, st, &c->queue);
}

/* In a failed transaction, or hit by a cancel request, a Close that is a DEALLOCATE is refused, and the
 * name stays taken: from now on this connection uses others, because to find that out at the Prepare
 * would cost a transaction. */
static void finish_close(tug__pg_connection *c, const PGresult *res)
{
    const char *state = res != NULL ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
    if (state != NULL && strcmp(state, "26000") != 0) {
        c->statements.generation++;
    }
}

/* The statements behind the head will most likely be answered in the same turn. With hundreds in flight
 * each of them, its future and the task that waits for it have left the cache since they were sent. */
static inline tug__pg_request *pipeline_behind(const tug__pg_connection *c, size_t places)
{
    if (c->n <= places) {
        return NULL;
    }
    const tug__pg_entry *e = &c->entries[(c->first + places) & c->mask];
    return e->kind == TUG__PG_ENTRY_REQUEST ? e->owner : NULL;
}

static void pipeline_look_ahead(const tug__pg_connection *c)
{
    tug__pg_request *r = pipeline_behind(c, 6);
    if (r != NULL) {
        __builtin_prefetch(r, 1);
        __builtin_prefetch((char *)r + 64, 1);
    }
    r = pipeline_behind(c, 4);
    if (r != NULL && r->is_future) {
        tug_future_fetch(r->owner);
    }
    r = pipeline_behind(c, 2);
    if (r != NULL && r->is_future) {
        tug_future_fetch_waiter(r->owner);
    }
}

/* The Sync of the head has come. */
static void pipeline_pop(tug__pg_connection *c)
{
    pipeline_look_ahead(c);
    tug__pg_entry e = c->entries[c->first & c->mask];
    c->first++;
    c->n--;
    c->bytes -= e.bytes;
    c->head_since = tug_turn_time();
    tug__pg_meter_reset(&c->meter);
    switch (e.kind) {
    case TUG__PG_ENTRY_REQUEST:
        if (e.owner != NULL) {
            finish_request(c, e.owner, e.result);
            return; /* it took the result over */
        }
        break;
    case TUG__PG_ENTRY_PREPARE:
    case TUG__PG_ENTRY_DESCRIBE:
        finish_statement(c, &e);
        break;
    case TUG__PG_ENTRY_CLOSE:
        finish_close(c, e.result);
        break;
    case TUG__PG_ENTRY_SYNC:
        break;
    }
    PQclear(e.result);
}

static bool result_is_error(const PGresult *res)
{
    ExecStatusType status = PQresultStatus(res);
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE ||
           status == PGRES_NONFATAL_ERROR;
}

/* A result of the head, before its Sync: the first error stays, else the last result (of Prepare
 * and Describe, the description). */
static void pipeline_result(tug__pg_connection *c, PGresult *res)
{
    tug__pg_entry *e = &c->entries[c->first & c->mask];
    bool tombstone = e->kind == TUG__PG_ENTRY_REQUEST && e->owner == NULL && !result_is_error(res);
    if (tombstone || (e->result != NULL && result_is_error(e->result))) {
        PQclear(res);
        return;
    }
    tug__pg_request *r = e->kind == TUG__PG_ENTRY_REQUEST ? e->owner : NULL;
    if (r != NULL && r->kind == TUG__PG_BATCH && tug__pg_batch_take((tug__pg_batch *)r, res)) {
        return;
    }
    PQclear(e->result);
    e->result = res;
    /* The last read may have brought more at once than the meter had allowed for. */
    if (PQresultMemorySize(res) > c->limits.result_bytes) {
        tug__pg_connection_lose_too_large(c);
    }
}

static void pipeline_take(tug__pg_connection *c, PGresult *res)
{
    tug_error why;
    switch (PQresultStatus(res)) {
    case PGRES_PIPELINE_SYNC:
        PQclear(res);
        pipeline_pop(c);
        return;
    case PGRES_PIPELINE_ABORTED:
        PQclear(res);
        return;
    case PGRES_SINGLE_TUPLE:
#ifdef LIBPQ_HAS_CHUNK_MODE
    case PGRES_TUPLES_CHUNK:
#endif
        res = tug__pg_stream_rows(c, res);
        if (res != NULL) {
            pipeline_take(c, res);
        }
        return;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        /* The gate refuses COPY, so this is a server that plays by other rules; libpq cannot go
         * on. */
        PQclear(res);
        tug_error_set(&why, TUG_EPROTO, TUG_ORIGIN_LIBPQ, TUG_IN_FLIGHT, NULL,
                      "connection to %.60s closed: COPY began inside of a pipeline", c->where);
        tug__pg_connection_lose(c, &why);
        return;
    default:
        pipeline_result(c, res);
        return;
    }
}

void tug__pg_pipeline_receive(tug__pg_connection *c)
{
    unsigned nulls = 0;
    while (c->state == TUG__PG_PIPELINE && c->n > 0 && !tug__pg_stream_is_held(c)) {
        if (PQisBusy(c->pq)) {
            return;
        }
        PGresult *res = PQgetResult(c->pq);
        if (res != NULL) {
            nulls = 0;
            pipeline_take(c, res);
        } else if (++nulls > NULLS_MAX) {
            tug__pg_connection_lose_libpq(c);
        }
    }
}

void tug__pg_pipeline_lost(tug__pg_connection *c)
{
    /* Told apart before anybody hears of it: done may add requests to other connections. */
    tug__pg_requests unsent = {0};
    c->awaited = NULL;
    while (c->n > 0) {
        tug__pg_entry e = c->entries[c->first & c->mask];
        c->first++;
        c->n--;
        PQclear(e.result);
        if (e.kind == TUG__PG_ENTRY_REQUEST && e.owner != NULL) {
            tug__pg_request *r = e.owner;
            tug_error why = c->why;
            why.sent = TUG_IN_FLIGHT;
            r->connection = NULL;
            r->done(r, NULL, &why);
        } else if (e.kind == TUG__PG_ENTRY_PREPARE || e.kind == TUG__PG_ENTRY_DESCRIBE) {
            tug__pg_statement *st = e.owner;
            while (st->waiting.first != NULL) {
                tug__pg_requests_push(&unsent, tug__pg_requests_pop(&st->waiting));
            }
        }
    }
    c->bytes = 0;
    c->undescribed = 0;
    tug__pg_requests_move_first(&c->queue, &unsent);
}
