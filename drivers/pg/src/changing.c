/* The service task of a change stream: connects, makes the slot where it is to be made, starts the
 * stream behind what came whole, waits until the connection is lost, and begins anew. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "changes.h"
#include "failure.h"
#include "vain.h"

/* A connection that lived shorter than this is followed by a pause. */
#define LIFE_LEAST TUG_SECONDS(1)
/* For the last word about what was confirmed. */
#define END_GRACE TUG_SECONDS(2)
/* So often in the server's wal_sender_timeout it hears of us, though one message be late. */
#define STATUS_TIMES 3

void tug__pg_changes_end(tug_pg_changes *c, const tug_error *why)
{
    if (c->state == TUG__PG_CHANGES_ENDED || c->state == TUG__PG_CHANGES_CLOSED) {
        return;
    }
    c->end = *why;
    tug_log(TUG_LOG_ERROR, "pg", "changes of slot %s: %s", c->slot, why->text);
    tug__pg_changes_set_state(c, TUG__PG_CHANGES_ENDED);
    tug__pg_changes_wake(c);
    tug_unpark_all(&c->work, 0, NULL);
}

/* The owner may have closed it while this task waited for something else, and next may have met the
 * end. */
static void go(tug_pg_changes *c, tug__pg_changes_state to)
{
    if (c->state != to && c->state != TUG__PG_CHANGES_ENDED && c->state != TUG__PG_CHANGES_CLOSED) {
        tug__pg_changes_set_state(c, to);
    }
}

/* --- a connection ----------------------------------------------------------------------------- */

static void on_lost(tug__pg_wal *w, void *arg)
{
    tug_pg_changes *c = arg;
    (void)w;
    tug__pg_changes_starve(c);
    tug_unpark_all(&c->work, 0, NULL);
}

struct new_wal {
    tug_pg_changes *changes;
    PGconn *pq;
    int rc;
    tug_error error;
};

static void make_wal(void *arg)
{
    struct new_wal *n = arg;
    tug_pg_changes *c = n->changes;
    n->rc = tug__pg_wal_new(n->pq, c->options.max_message_bytes, c->target->info.description,
                            &c->wal);
    if (n->rc < 0) {
        n->error = *tug_last_error();
        PQfinish(n->pq);
        return;
    }
    c->wal->hooks = (tug__pg_wal_hooks){
        .message = tug__pg_changes_message, .lost = on_lost, .arg = c};
}

static void free_wal(void *arg)
{
    tug__pg_wal_free(arg);
}

static void disconnect(tug_pg_changes *c)
{
    tug__pg_wal *w = c->wal;
    c->wal = NULL;
    tug__pg_changes_starve(c);
    if (w != NULL) {
        tug_on_loop_stack(free_wal, w);
    }
    tug__pg_changes_cut(c);
}

/* --- commands --------------------------------------------------------------------------------- */

/* The first row's text into ret; "" for none. */
static int ask(tug_pg_changes *c, const char *sql, char *ret, size_t size)
{
    PGresult *res = NULL;
    int rc = tug__pg_wal_command(c->wal, sql, &res);
    ret[0] = '\0';
    if (rc == 0 && PQntuples(res) > 0) {
        snprintf(ret, size, "%s", PQgetvalue(res, 0, 0));
    }
    PQclear(res);
    return rc;
}

/* How often the server wants to hear of us. On the way: values come as text, and with all their digits. */
static int ask_timeout(tug_pg_changes *c)
{
    char text[32];
    int rc = ask(c,
                 "select setting, " TUG__PG_STYLES
                 ", pg_catalog.set_config('extra_float_digits', '3', false) "
                 "from pg_catalog.pg_settings where name = 'wal_sender_timeout'",
                 text, sizeof text);
    long long ms = strtoll(text, NULL, 10);
    c->interval = c->options.status_interval;
    if (ms > 0 && TUG_MS(ms) / STATUS_TIMES < c->interval) {
        c->interval = TUG_MS(ms) / STATUS_TIMES;
    }
    const tug_duration checks[] = {c->options.check_after, c->options.check_timeout};
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        c->interval = checks[i] < c->interval ? checks[i] : c->interval;
    }
    return rc;
}

static int slot_made(tug_pg_changes *c, PGresult *res)
{
    uint64_t lsn = 0;
    if (PQntuples(res) != 1 || PQnfields(res) < 3 ||
        tug_pg_lsn_parse(PQgetvalue(res, 0, 1), &lsn) < 0) {
        return tug_fail(TUG_EPROTO, "replication from %.60s: the answer about a new slot is none",
                        c->target->info.description);
    }
    c->snapshot = PQgetisnull(res, 0, 2) ? NULL : tug_strdup(PQgetvalue(res, 0, 2));
    if (!PQgetisnull(res, 0, 2) && c->snapshot == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a change stream");
    }
    c->confirmed = c->flushed = c->received_end = c->given_end = lsn;
    return 0;
}

static int make_slot(tug_pg_changes *c)
{
    char sql[TUG__PG_QUOTED_MAX + 80];
    PGresult *res = NULL;
    snprintf(sql, sizeof sql, "CREATE_REPLICATION_SLOT %s%s LOGICAL pgoutput", c->slot,
             c->options.slot_mode == TUG_PG_SLOT_TEMPORARY ? " TEMPORARY" : "");
    int rc = tug__pg_wal_command(c->wal, sql, &res);
    if (rc == TUG_ESERVER && c->options.slot_mode == TUG_PG_SLOT_CREATE_IF_MISSING &&
        strcmp(tug_last_error()->native, "42710") == 0) {
        c->made = true;
        return 0;
    }
    if (rc == 0) {
        rc = slot_made(c, res);
        c->made = rc == 0;
    }
    PQclear(res);
    return rc;
}

/* Waits for the first next, while the snapshot is good for others. */
static int hold(tug_pg_changes *c)
{
    int rc = 0;
    go(c, TUG__PG_CHANGES_HELD);
    c->opened = true;
    tug__pg_changes_wake(c);
    while (rc == 0 && !c->begun && c->wal->state != TUG__PG_WAL_LOST) {
        rc = tug_park(&c->work, NULL, "pg.changes");
    }
    if (rc == 0 && c->wal->state == TUG__PG_WAL_LOST) {
        rc = tug_fail_with(&c->wal->why);
    }
    return rc;
}

/* Where the server thinks we are. Between our connections nobody else may have moved it. */
static int look_at_slot(tug_pg_changes *c)
{
    char text[32];
    char sql[3 * TUG__PG_QUOTED_MAX] =
        "select confirmed_flush_lsn from pg_catalog.pg_replication_slots where slot_name = ";
    char name[TUG__PG_QUOTED_MAX];
    size_t at = strlen(sql);
    uint64_t lsn = 0;
    /* Without its quotes. It has none inside: the server allows letters, digits and _ only. */
    snprintf(name, sizeof name, "%.*s", (int)strlen(c->slot) - 2, c->slot + 1);
    bool fits = tug__pg_quote_literal(sql, sizeof sql, &at, name);
    assert(fits && "a name is not longer than its quoted form");
    (void)fits;
    int rc = ask(c, sql, text, sizeof text);
    if (rc < 0 || text[0] == '\0') {
        return rc; /* START_REPLICATION says what is wrong with the slot */
    }
    rc = tug_pg_lsn_parse(text, &lsn);
    if (rc == 0 && c->opened && lsn > c->flushed) {
        tug_error why;
        tug_error_set(&why, TUG_EPROTO, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "slot %.70s was moved on to %s by somebody else while the connection was "
                      "down: changes are missing",
                      c->slot, text);
        tug__pg_changes_end(c, &why);
        return tug_fail_with(&why);
    }
    if (rc == 0 && !c->opened && lsn > c->confirmed) {
        c->confirmed = c->flushed = c->received_end = c->given_end = lsn;
    }
    return rc;
}

static int start_stream(tug_pg_changes *c)
{
    char lsn[TUG_PG_LSN_TEXT];
    size_t list = strlen(c->publications);
    size_t size = 2 * list + TUG__PG_QUOTED_MAX + 200;
    char *sql = tug_alloc(size);
    if (sql == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a change stream");
    }
    uint64_t from = c->received_end > c->flushed ? c->received_end : c->flushed;
    tug_pg_lsn_format(from, lsn);
    size_t at = (size_t)snprintf(
        sql, size, "START_REPLICATION SLOT %s LOGICAL %s (proto_version '1', publication_names ",
        c->slot, lsn);
    bool fits = tug__pg_quote_literal(sql, size, &at, c->publications);
    assert(fits && "each byte of a literal is written twice at most");
    (void)fits;
    snprintf(sql + at, size - at, "%s%s)", c->options.binary ? ", binary 'true'" : "",
             c->options.messages ? ", messages 'true'" : "");
    int rc = tug__pg_wal_command(c->wal, sql, NULL);
    tug_free(sql);
    if (rc == 0 && c->wal->state == TUG__PG_WAL_LOST) {
        return tug_fail_with(&c->wal->why); /* began, and ended in the same read */
    }
    if (rc == 0 && c->wal->state != TUG__PG_WAL_STREAMING) {
        rc = tug_fail(TUG_EPROTO, "replication from %.60s: the server does not stream",
                      c->target->info.description);
    }
    return rc;
}

/* A server that says no to this slot or these publications will not change its mind; but it will when
 * it is short of something (53), stopped by somebody (57) or by its disk (58), or when the other end
 * of our lost connection still has the slot (55006). */
static bool is_final(const tug_error *why)
{
    const char *state = why->native;
    return why->code == TUG_ESERVER && !why->transient && strcmp(state, "55006") != 0 &&
           strncmp(state, "53", 2) != 0 && strncmp(state, "57", 2) != 0 &&
           strncmp(state, "58", 2) != 0;
}

static void start_refused(tug_pg_changes *c)
{
    tug_error why = *tug_last_error();
    if (c->opened && is_final(&why)) {
        tug__pg_changes_end(c, &why);
    }
}

static int connect_once(tug_pg_changes *c)
{
    struct new_wal n = {.changes = c};
    int rc = tug__pg_login(c->target, c->connect_timeout, &n.pq);
    if (rc < 0) {
        return rc;
    }
    tug_on_loop_stack(make_wal, &n);
    if (n.rc < 0) {
        return tug_fail_with(&n.error);
    }
    rc = ask_timeout(c);
    if (rc == 0 && !c->made && c->options.slot_mode != TUG_PG_SLOT_EXISTS) {
        rc = make_slot(c);
        rc = rc == 0 && c->snapshot != NULL ? hold(c) : rc;
    }
    c->made = c->made || rc == 0;
    rc = rc < 0 ? rc : look_at_slot(c);
    if (rc == 0) {
        rc = start_stream(c);
        if (rc < 0) {
            start_refused(c);
        }
    }
    return rc;
}

/* --- over and over ---------------------------------------------------------------------------- */

static void attempted(tug_pg_changes *c, const tug_error *why)
{
    c->attempts++;
    c->attempt = why != NULL ? *why : (tug_error){0};
    tug_duration down = tug_now() - c->down_since;
    bool late = c->options.patience != TUG_FOREVER && down >= c->options.patience;
    c->untold = why != NULL &&
                (late || (tug__pg_waiting_is_vain(why) && strcmp(why->native, "55006") != 0));
    tug__pg_changes_wake(c);
}

static int attend(tug_pg_changes *c)
{
    int rc = 0;
    go(c, TUG__PG_CHANGES_STREAMING);
    c->opened = true;
    attempted(c, NULL);
    while (rc == 0 && c->wal->state != TUG__PG_WAL_LOST && c->state != TUG__PG_CHANGES_ENDED) {
        rc = tug_park(&c->work, NULL, "pg.changes");
    }
    return rc;
}

/* The connection was lost: what is not to be healed by another one is the end. */
static void went_down(tug_pg_changes *c, const tug_error *why)
{
    c->outages++;
    c->down_since = tug_now();
    if (c->state == TUG__PG_CHANGES_ENDED) {
        return;
    }
    if (c->options.slot_mode == TUG_PG_SLOT_TEMPORARY || why->code == TUG_EPROTO ||
        why->code == TUG_ELIMIT || is_final(why)) {
        tug__pg_changes_end(c, why);
        return;
    }
    tug_log(TUG_LOG_WARN, "pg", "%s", why->text);
    go(c, TUG__PG_CHANGES_CONNECTING);
}

static int rest(tug_pg_changes *c, unsigned attempt)
{
    go(c, TUG__PG_CHANGES_RESTING);
    int rc = tug_sleep(tug_backoff(attempt, c->options.backoff_first, c->options.backoff_most));
    if (rc == 0) {
        go(c, TUG__PG_CHANGES_CONNECTING);
    }
    return rc;
}

static void feed(void *arg)
{
    tug__pg_changes_feed(arg);
}

/* One connection from its begin to its end. *ret_life: how long it streamed. */
static int serve_once(tug_pg_changes *c, tug_duration *ret_life)
{
    int rc = connect_once(c);
    *ret_life = 0;
    if (rc == 0) {
        tug_on_loop_stack(feed, c);
        tug_time since = tug_now();
        rc = attend(c);
        *ret_life = tug_now() - since;
        if (rc == 0) {
            tug_error why = c->wal->why;
            went_down(c, &why);
        }
        return rc;
    }
    if (rc != TUG_ECANCELED) {
        tug_error why = *tug_last_error();
        tug_log(TUG_LOG_INFO, "pg", "%s", why.text);
        go(c, TUG__PG_CHANGES_CONNECTING); /* it may have been held */
        if (c->opened && c->options.slot_mode == TUG_PG_SLOT_TEMPORARY) {
            tug__pg_changes_end(c, &why);
        } else if (c->state != TUG__PG_CHANGES_ENDED) {
            attempted(c, &why);
        }
        rc = 0;
    }
    return rc;
}

static int serve(tug_pg_changes *c)
{
    unsigned attempt = 0;
    int rc = 0;
    while (rc == 0 && c->state != TUG__PG_CHANGES_ENDED) {
        tug_duration life = 0;
        rc = serve_once(c, &life);
        if (rc < 0 || c->state == TUG__PG_CHANGES_ENDED) {
            break;
        }
        disconnect(c);
        if (life >= LIFE_LEAST) {
            attempt = 0;
            continue;
        }
        rc = rest(c, attempt++);
    }
    return rc;
}

static void last_status(void *arg)
{
    tug__pg_changes_status(arg, false);
}

/* What was confirmed reaches the server before the connection ends, or it would send that again. */
static void say_goodbye(tug_pg_changes *c)
{
    if (c->wal == NULL || c->wal->state != TUG__PG_WAL_STREAMING) {
        return;
    }
    tug_scope shield;
    tug_shield_enter(&shield, END_GRACE);
    tug_on_loop_stack(last_status, c);
    TUG_IGNORE(tug_scope_leave(&shield, tug__pg_wal_end(c->wal)));
}

int tug__pg_changes_serve(void *arg)
{
    tug_pg_changes *c = arg;
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    c->scope = &s;
    if (c->state == TUG__PG_CHANGES_CLOSED) {
        tug_scope_cancel(&s);
    }
    int rc = serve(c);
    c->scope = NULL;
    say_goodbye(c);
    TUG_IGNORE(tug_scope_leave(&s, rc));
    disconnect(c);
    tug__pg_changes_unref(c);
    return 0;
}
