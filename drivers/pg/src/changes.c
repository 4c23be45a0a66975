/* The public face of a change stream.
 *
 *     CONNECTING -- slot made --> HELD -- first next --> STREAMING
 *       |  ^  ^                     |                        |
 *    failed|  +--------- lost ------+------------------------+
 *       v  |
 *     RESTING      any of them -- cannot go on --> ENDED;  -- close --> CLOSED
 */
#include "changes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#define CONNECT_TIMEOUT TUG_SECONDS(10)
#define PUBLICATIONS_MAX 64

static const char *const state_names[TUG__PG_CHANGES_STATE_MAX] = {
    "CONNECTING", "HELD", "STREAMING", "RESTING", "ENDED", "CLOSED"};

#define ENDS (1u << TUG__PG_CHANGES_ENDED | 1u << TUG__PG_CHANGES_CLOSED)
/* One bit for each state that may follow. */
static const unsigned state_edges[TUG__PG_CHANGES_STATE_MAX] = {
    [TUG__PG_CHANGES_CONNECTING] = 1u << TUG__PG_CHANGES_HELD | 1u << TUG__PG_CHANGES_STREAMING |
                                   1u << TUG__PG_CHANGES_RESTING | ENDS,
    [TUG__PG_CHANGES_HELD] = 1u << TUG__PG_CHANGES_CONNECTING | 1u << TUG__PG_CHANGES_STREAMING |
                             ENDS,
    [TUG__PG_CHANGES_STREAMING] = 1u << TUG__PG_CHANGES_CONNECTING | ENDS,
    [TUG__PG_CHANGES_RESTING] = 1u << TUG__PG_CHANGES_CONNECTING | ENDS,
    [TUG__PG_CHANGES_ENDED] = 1u << TUG__PG_CHANGES_CLOSED,
    [TUG__PG_CHANGES_CLOSED] = 0,
};

void tug__pg_changes_set_state(tug_pg_changes *c, tug__pg_changes_state to)
{
    assert((state_edges[c->state] & 1u << to) != 0 &&
           "a change stream took an edge that does not exist");
    tug_log(TUG_LOG_TRACE, "pg", "changes %s -> %s", state_names[c->state], state_names[to]);
    c->state = to;
}

void tug__pg_changes_wake(tug_pg_changes *c)
{
    tug_unpark_all(&c->next, 1, NULL);
    tug_unpark_all(&c->changed, 0, NULL);
}

void tug__pg_changes_unref(tug_pg_changes *c)
{
    if (c == NULL || --c->references > 0) {
        return;
    }
    assert(c->wal == NULL && "the service task has closed the connection");
    tug__pg_record *r;
    while ((r = tug__pg_changes_take(c)) != NULL) {
        tug__pg_record_free(r);
    }
    tug__pg_record_free(c->current);
    tug__pg_pgoutput_free(&c->decoder);
    tug_free(c->snapshot);
    tug_free(c->publications);
    tug__pg_target_unref(c->target);
    tug_free(c);
}

static void changes_on_stop(void *arg)
{
    tug_pg_changes *c = arg;
    c->stopped = true;
    tug_unpark_all(&c->next, 1, NULL);
}

static void changes_on_end(void *arg)
{
    tug_pg_changes_close(arg);
}

static void show_lsn(tug_inspect_writer *w, const char *key, uint64_t lsn)
{
    char text[TUG_PG_LSN_TEXT];
    tug_pg_lsn_format(lsn, text);
    tug_inspect_text(w, key, text);
}

static void changes_show(tug_inspect_writer *w, void *arg)
{
    const tug_pg_changes *c = arg;
    tug_inspect_text(w, "server", c->target->info.description);
    tug_inspect_text(w, "slot", c->slot);
    tug_inspect_text(w, "state", state_names[c->state]);
    if (c->wal != NULL && c->wal->state != TUG__PG_WAL_LOST) {
        tug_inspect_number(w, "backend", PQbackendPID(c->wal->pq));
        tug_inspect_text(w, "connection", tug__pg_wal_state_name(c->wal->state));
        tug_inspect_bool(w, "paused", c->wal->paused);
    }
    tug_inspect_number(w, "queued_bytes", (int64_t)c->queued_bytes);
    show_lsn(w, "received", c->received_wal);
    show_lsn(w, "given", c->given_end);
    show_lsn(w, "confirmed", c->confirmed);
    show_lsn(w, "flushed", c->flushed);
    tug_inspect_number(w, "outages", (int64_t)c->outages);
    if (c->attempt.code != 0) {
        tug_inspect_text(w, "connect_error", c->attempt.text);
    }
}

/* --- open ------------------------------------------------------------------------------------- */

static int check_range(const char *name, uint64_t value, uint64_t least, uint64_t most)
{
    if (value < least || value > most) {
        return tug_fail(TUG_EINVAL, "tug_pg_changes_open: %s is %llu, not between %llu and %llu",
                        name, (unsigned long long)value, (unsigned long long)least,
                        (unsigned long long)most);
    }
    return 0;
}

static int check_time(const char *name, tug_duration value, tug_duration least)
{
    return check_range(name, (uint64_t)value, (uint64_t)least, TUG_FOREVER);
}

static int check_options(const tug_pg_changes_options *o)
{
    int rc = check_range("slot_mode", (uint64_t)o->slot_mode, TUG_PG_SLOT_EXISTS,
                         TUG_PG_SLOT_TEMPORARY);
    rc = rc < 0 ? rc : check_range("publications_n", o->publications_n, 1, PUBLICATIONS_MAX);
    rc = rc < 0 ? rc : check_range("max_queued_bytes", o->max_queued_bytes, 65536, 1u << 30);
    rc = rc < 0 ? rc
                : check_range("max_message_bytes", o->max_message_bytes, 65536, UINT64_C(1) << 40);
    rc = rc < 0 ? rc : check_time("status_interval (ns)", o->status_interval, TUG_MS(1));
    rc = rc < 0 ? rc : check_time("check_after (ns)", o->check_after, TUG_MS(1));
    rc = rc < 0 ? rc : check_time("check_timeout (ns)", o->check_timeout, TUG_MS(1));
    rc = rc < 0 ? rc : check_time("backoff_first (ns)", o->backoff_first, 1);
    rc = rc < 0 ? rc : check_time("backoff_most (ns)", o->backoff_most, o->backoff_first);
    rc = rc < 0 ? rc : check_time("patience (ns)", o->patience, 0);
    if (rc == 0 && o->connect_timeout != 0) {
        rc = check_range("connect_timeout (ns)", (uint64_t)o->connect_timeout, TUG_MS(1),
                         TUG_SECONDS(3600));
    }
    return rc;
}

static int copy_publications(tug_pg_changes *c, const tug_pg_changes_options *o)
{
    char *to = tug_alloc(o->publications_n * TUG__PG_QUOTED_MAX);
    if (to == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a change stream");
    }
    c->publications = to;
    int rc = 0;
    for (size_t i = 0; i < o->publications_n && rc == 0; i++) {
        if (i > 0) {
            *to++ = ',';
        }
        rc = tug__pg_quote_name("tug_pg_changes_open: a publication",
                                o->publications != NULL ? o->publications[i] : NULL, to);
        to += rc == 0 ? strlen(to) : 0;
    }
    return rc;
}

/* The same URL with one parameter more, which makes the server's end a walsender. Where the parameters
 * begin is decided as libpq decides it: the user ends at the first @, if it comes before any /. */
static char *replication_url(const char *url)
{
    const char *scheme = strstr(url, "://");
    bool is_url = scheme != NULL &&
                  (strncmp(url, "postgresql://", 13) == 0 || strncmp(url, "postgres://", 11) == 0);
    if (!is_url) {
        return tug_format("replication=database %s", url);
    }
    const char *rest = scheme + 3;
    const char *stop = strpbrk(rest, "@/");
    if (stop != NULL && *stop == '@') {
        rest = stop + 1;
    }
    return tug_format("%s%creplication=database", url, strchr(rest, '?') != NULL ? '&' : '?');
}

static int changes_target(tug_pg_changes *c, const char *url)
{
    char *more = replication_url(url != NULL ? url : "");
    if (more == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a change stream");
    }
    int rc = tug__pg_target_new(more, &c->target);
    tug_wipe(more, strlen(more));
    tug_free(more);
    return rc;
}

static int changes_new(const char *url, const tug_pg_changes_options *o,
                       tug_pg_changes **ret_changes)
{
    tug_pg_changes *c = tug_calloc(1, sizeof *c);
    if (c == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a change stream");
    }
    c->references = 1;
    c->loop = tug_loop_current();
    c->options = *o;
    c->options.slot = NULL;
    c->options.publications = NULL;
    c->confirmed = c->flushed = o->from;
    c->received_end = c->given_end = o->from;
    c->down_since = tug_now();
    int rc = tug__pg_quote_name("tug_pg_changes_open: the slot", o->slot, c->slot);
    rc = rc < 0 ? rc : copy_publications(c, o);
    rc = rc < 0 ? rc : changes_target(c, url);
    if (rc < 0) {
        tug__pg_changes_unref(c);
        return rc;
    }
    tug_duration given = c->target->info.connect_timeout;
    c->connect_timeout = o->connect_timeout != 0 ? o->connect_timeout
                         : given != 0            ? given
                                                 : CONNECT_TIMEOUT;
    tug_on_stop(&c->stop, changes_on_stop, c);
    tug_on_end(&c->end_hook, changes_on_end, c);
    tug_inspect_add(&c->source, "pg.changes", changes_show, c);
    *ret_changes = c;
    return 0;
}

static int changes_start(tug_pg_changes *c)
{
    c->references++;
    int rc = tug_service_spawn("pg.changes", tug__pg_changes_serve, c);
    if (rc < 0) {
        c->references--;
    }
    while (rc == 0 && !c->opened && c->attempts == 0 && c->state != TUG__PG_CHANGES_ENDED) {
        rc = tug_park(&c->changed, NULL, "pg.changes_open");
    }
    if (rc == 0 && !c->opened) {
        rc = tug_fail_with(c->state == TUG__PG_CHANGES_ENDED ? &c->end : &c->attempt);
    }
    return rc;
}

int tug_pg_changes_open(const char *url, const tug_pg_changes_options *o,
                        tug_pg_changes **ret_changes)
{
    tug_pg_changes_options all = TUG_PG_CHANGES_OPTIONS_INIT;
    tug_pg_changes *c = NULL;
    if (!tug_has_loop("tug_pg_changes_open")) {
        return TUG_EMISUSE;
    }
    if (o != NULL) {
        memcpy(&all, o, o->size < sizeof all ? o->size : sizeof all);
    }
    int rc = check_options(&all);
    rc = rc < 0 ? rc : tug_checkpoint();
    rc = rc < 0 ? rc : changes_new(url, &all, &c);
    rc = rc < 0 ? rc : changes_start(c);
    if (rc < 0) {
        tug_pg_changes_close(c);
        return rc;
    }
    *ret_changes = c;
    return 0;
}

/* --- the handle ------------------------------------------------------------------------------- */

static int changes_check(const tug_pg_changes *c, const char *what)
{
    if (c == NULL) {
        return tug_fail(TUG_EMISUSE, "%s: the change stream is NULL", what);
    }
    return tug_is_here(c->loop, what) ? 0 : TUG_EMISUSE;
}

const char *tug_pg_changes_snapshot(const tug_pg_changes *c)
{
    return c->state == TUG__PG_CHANGES_HELD ? c->snapshot : NULL;
}

uint64_t tug_pg_changes_confirmed(const tug_pg_changes *c)
{
    return c->confirmed;
}

static int next_restart(tug_pg_changes *c)
{
    c->restart_due = false;
    tug__pg_pgoutput_restart(&c->decoder);
    c->change = (tug_pg_change){.kind = TUG_PG_CHANGE_RESTART};
    return 1;
}

static int next_record(tug_pg_changes *c, tug__pg_record *r)
{
    c->current = r;
    int rc = tug__pg_pgoutput_decode(&c->decoder, r->data + TUG__PG_RECORD_HEADER,
                                     r->size - TUG__PG_RECORD_HEADER, tug__pg_record_lsn(r),
                                     &c->change);
    if (rc < 0) {
        tug_error why = *tug_last_error();
        tug__pg_changes_end(c, &why);
        return tug_fail_with(&why);
    }
    if (r->mark == TUG__PG_MARK_BEGIN) {
        c->given_open = true;
    } else if (r->mark == TUG__PG_MARK_END) {
        c->given_open = false;
        c->given_end = c->change.lsn > c->given_end ? c->change.lsn : c->given_end;
    }
    return 1;
}

/* What next has to say without waiting; *ret_waits: nothing. */
static int next_ready(tug_pg_changes *c, bool *ret_waits)
{
    if (c->state == TUG__PG_CHANGES_CLOSED) {
        return tug_fail(TUG_ECLOSED, "the change stream was closed");
    }
    if (c->stopped) {
        return 0;
    }
    if (c->restart_due && c->state != TUG__PG_CHANGES_ENDED) {
        return next_restart(c);
    }
    tug__pg_record *r = tug__pg_changes_take(c);
    if (r != NULL) {
        return next_record(c, r);
    }
    if (c->state == TUG__PG_CHANGES_ENDED) {
        return tug_fail_with(&c->end);
    }
    if (c->untold) {
        c->untold = false;
        return tug_fail_with(&c->attempt);
    }
    *ret_waits = true;
    return 0;
}

static int next_take(tug_pg_changes *c)
{
    bool waits = false;
    if (c->state != TUG__PG_CHANGES_CLOSED && c->read) {
        return tug_fail(TUG_EMISUSE, "tug_pg_changes_next: another task waits in it");
    }
    tug__pg_record_free(c->current);
    c->current = NULL;
    if (!c->begun) {
        c->begun = true;
        tug_unpark_all(&c->work, 0, NULL);
    }
    int rc = next_ready(c, &waits);
    while (waits) {
        waits = false;
        c->read = true;
        rc = tug_park(&c->next, NULL, "pg.changes_next");
        c->read = false;
        rc = rc < 0 ? rc : next_ready(c, &waits);
    }
    return rc;
}

int tug_pg_changes_next(tug_pg_changes *c, const tug_pg_change **ret_change)
{
    int rc = changes_check(c, "tug_pg_changes_next");
    if (rc < 0) {
        return rc;
    }
    c->references++;
    rc = tug_checkpoint();
    rc = rc < 0 ? rc : next_take(c);
    if (rc == 1) {
        *ret_change = &c->change;
    }
    tug__pg_changes_unref(c);
    return rc;
}

int tug_pg_changes_confirm(tug_pg_changes *c, uint64_t lsn)
{
    int rc = changes_check(c, "tug_pg_changes_confirm");
    if (rc < 0) {
        return rc;
    }
    if (lsn > c->given_end) {
        char text[TUG_PG_LSN_TEXT];
        tug_pg_lsn_format(lsn, text);
        return tug_fail(TUG_EINVAL, "tug_pg_changes_confirm: %s is beyond the latest commit given",
                        text);
    }
    if (lsn > c->confirmed) {
        c->confirmed = lsn;
        c->flushed = lsn > c->flushed ? lsn : c->flushed;
        if (c->state == TUG__PG_CHANGES_STREAMING) {
            tug_flush_later(&c->flush);
        }
    }
    return 0;
}

void tug_pg_changes_close(tug_pg_changes *c)
{
    if (c == NULL || !tug_is_here_void(c->loop, "tug_pg_changes_close")) {
        return;
    }
    tug__pg_changes_set_state(c, TUG__PG_CHANGES_CLOSED);
    tug_on_stop_forget(&c->stop);
    tug_on_end_forget(&c->end_hook);
    tug_inspect_remove(&c->source);
    tug__pg_changes_wake(c);
    if (c->scope != NULL) {
        tug_scope_cancel(c->scope);
    }
    tug__pg_changes_unref(c);
}

/* --- slots and places ------------------------------------------------------------------------- */

int tug_pg_slot_drop(tug_pg *db, const char *slot)
{
    int rc = tug__pg_check_name("tug_pg_slot_drop: the slot", slot);
    return rc < 0 ? rc
                  : tug_pg_exec(db, "select pg_drop_replication_slot($1)", TUG_ARGS(slot), NULL);
}

void tug_pg_lsn_format(uint64_t lsn, char ret_text[TUG_PG_LSN_TEXT])
{
    snprintf(ret_text, TUG_PG_LSN_TEXT, "%X/%X", (unsigned)(lsn >> 32), (unsigned)lsn);
}

/* 1 to 8 hexadecimal digits; NULL: something else. */
static const char *parse_half(const char *text, uint64_t *ret_half)
{
    char *end = NULL;
    size_t n = strspn(text, "0123456789ABCDEFabcdef");
    if (n < 1 || n > 8) {
        return NULL;
    }
    *ret_half = strtoull(text, &end, 16);
    return end;
}

int tug_pg_lsn_parse(const char *text, uint64_t *ret_lsn)
{
    uint64_t high = 0, low = 0;
    const char *at = text != NULL ? parse_half(text, &high) : NULL;
    at = at != NULL && *at == '/' ? parse_half(at + 1, &low) : NULL;
    if (at == NULL || *at != '\0') {
        return tug_fail(TUG_EINVAL, "\"%.20s\" is no place in a write-ahead log",
                        text != NULL ? text : "");
    }
    *ret_lsn = high << 32 | low;
    return 0;
}
