/* What goes to and fro while changes stream. All of it happens in the loop, whether the consumer
 * calls or not: a slow one must not cost the connection (the server gives up on a client that is silent
 * for wal_sender_timeout).
 *
 * The confirmed place moves on by itself where nothing came for us: the server's log grows with what
 * other databases and tables do, and a slot that stayed behind would keep all of it. */
#include <string.h>
#include <time.h>
#include <tug/sys/alloc.h>

#include "changes.h"

#define KEEPALIVE_SIZE 18 /* tag, end, time, reply */
#define STATUS_SIZE 34    /* tag, written, flushed, applied, time, reply */
/* 1970-01-01 to 2000-01-01. */
#define EPOCH_SECONDS INT64_C(946684800)

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool is_full(const tug_pg_changes *c)
{
    return c->queued_bytes >= c->options.max_queued_bytes;
}

void tug__pg_record_free(tug__pg_record *r)
{
    if (r != NULL) {
        PQfreemem(r->data);
        tug_free(r);
    }
}

/* --- out -------------------------------------------------------------------------------------- */

void tug__pg_changes_status(tug_pg_changes *c, bool ask)
{
    char m[STATUS_SIZE] = "r";
    struct timespec now;
    if (c->wal == NULL || c->wal->state != TUG__PG_WAL_STREAMING || c->wal->unsent) {
        return; /* what is unsent says nearly the same */
    }
    clock_gettime(CLOCK_REALTIME, &now);
    tug__pg_put64(m + 1, larger(c->received_wal, c->flushed));
    tug__pg_put64(m + 9, c->flushed);
    tug__pg_put64(m + 17, c->flushed);
    tug__pg_put64(m + 25, (uint64_t)((now.tv_sec - EPOCH_SECONDS) * 1000000 + now.tv_nsec / 1000));
    m[33] = ask ? 1 : 0;
    tug__pg_wal_put(c->wal, m, sizeof m);
}

static void changes_turn_end(tug_flush *f)
{
    tug_pg_changes *c = (tug_pg_changes *)((char *)f - offsetof(tug_pg_changes, flush));
    tug__pg_changes_status(c, false);
}

/* A server that is gone without a word is found out by asking. Not while we do not read. */
static bool ask_is_due(tug_pg_changes *c, tug_time now)
{
    if (c->wal->paused || c->options.check_after == TUG_FOREVER) {
        c->heard_at = now;
    }
    if (c->heard_at >= c->asked_at) {
        c->asked_at = 0;
    }
    return c->asked_at == 0 && now >= tug_time_after(c->heard_at, c->options.check_after);
}

static void changes_tick(tug_timer *t, void *arg)
{
    tug_pg_changes *c = arg;
    tug_time now = tug_now();
    bool ask = ask_is_due(c, now);
    if (c->asked_at != 0 && now >= tug_time_after(c->asked_at, c->options.check_timeout)) {
        tug_error why;
        tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "replication from %.60s lost: no word within %lld ms",
                      c->target->info.description, (long long)(c->options.check_timeout / 1000000));
        tug__pg_wal_lose(c->wal, &why);
        return;
    }
    if (ask) {
        c->asked_at = now;
    }
    tug_timer_start(t, tug_time_after(now, c->interval), changes_tick, c);
    tug__pg_changes_status(c, ask);
}

void tug__pg_changes_feed(tug_pg_changes *c)
{
    c->flush.fn = changes_turn_end;
    c->heard_at = tug_now();
    c->asked_at = 0;
    tug_timer_start(&c->timer, tug_time_after(c->heard_at, c->interval), changes_tick, c);
    tug__pg_changes_status(c, false);
}

void tug__pg_changes_starve(tug_pg_changes *c)
{
    tug_timer_stop(&c->timer);
    tug_flush_forget(&c->flush);
}

/* --- in --------------------------------------------------------------------------------------- */

static void lose_protocol(tug__pg_wal *w, int code, const char *text)
{
    tug_error why;
    tug_error_set(&why, code, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                  "replication from %.60s ended: %s", w->where, text);
    tug__pg_wal_lose(w, &why);
}

static void take_keepalive(tug_pg_changes *c, const char *data)
{
    uint64_t end = tug__pg_get64(data + 1);
    c->received_wal = larger(c->received_wal, end);
    bool idle = !c->received_open && c->first == NULL && c->confirmed >= c->received_end;
    if (idle) {
        c->flushed = larger(c->flushed, end);
    }
    if (data[17] != 0) {
        tug__pg_changes_status(c, false);
    }
}

static bool take_change(tug_pg_changes *c, tug__pg_wal *w, char *data, size_t n)
{
    uint64_t end = 0;
    tug__pg_record *r = tug_calloc(1, sizeof *r);
    if (r == NULL) {
        PQfreemem(data);
        /* Not for good: it comes again over the next connection. */
        lose_protocol(w, TUG_ECLOSED, "out of memory for a change");
        return false;
    }
    r->data = data;
    r->size = n;
    r->mark = tug__pg_pgoutput_look(data + TUG__PG_RECORD_HEADER, n - TUG__PG_RECORD_HEADER, &end);
    c->received_wal = larger(c->received_wal, tug__pg_record_lsn(r));
    if (r->mark == TUG__PG_MARK_BEGIN) {
        c->received_open = true;
    } else if (r->mark == TUG__PG_MARK_END) {
        c->received_open = false;
        c->received_end = larger(c->received_end, end);
    }
    *(c->last != NULL ? &c->last->next : &c->first) = r;
    c->last = r;
    c->queued_bytes += n;
    tug_unpark_first(&c->next, 1, NULL);
    return !is_full(c);
}

bool tug__pg_changes_message(tug__pg_wal *w, char *data, size_t n, void *arg)
{
    tug_pg_changes *c = arg;
    c->heard_at = tug_turn_time();
    if (n >= TUG__PG_RECORD_HEADER && data[0] == 'w') {
        return take_change(c, w, data, n);
    }
    if (n >= KEEPALIVE_SIZE && data[0] == 'k') {
        take_keepalive(c, data);
    } else {
        lose_protocol(w, TUG_EPROTO, "a message that is none of replication");
    }
    PQfreemem(data);
    return true;
}

tug__pg_record *tug__pg_changes_take(tug_pg_changes *c)
{
    tug__pg_record *r = c->first;
    if (r == NULL) {
        return NULL;
    }
    c->first = r->next;
    if (c->first == NULL) {
        c->last = NULL;
    }
    c->queued_bytes -= r->size;
    if (c->wal != NULL && c->queued_bytes <= c->options.max_queued_bytes / 2) {
        tug__pg_wal_resume(c->wal);
    }
    return r;
}

void tug__pg_changes_cut(tug_pg_changes *c)
{
    tug__pg_record *whole = NULL;
    for (tug__pg_record *r = c->first; r != NULL; r = r->next) {
        whole = r->mark == TUG__PG_MARK_END ? r : whole;
    }
    tug__pg_record *r = whole != NULL ? whole->next : c->first;
    *(whole != NULL ? &whole->next : &c->first) = NULL;
    c->last = whole;
    while (r != NULL) {
        tug__pg_record *next = r->next;
        c->queued_bytes -= r->size;
        tug__pg_record_free(r);
        r = next;
    }
    c->received_open = false;
    if (whole == NULL && c->given_open) {
        c->given_open = false;
        c->restart_due = true;
    }
}
