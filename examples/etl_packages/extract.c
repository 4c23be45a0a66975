/* The file to stanzas, the stanzas to the manifest, and only then to the queue. */
#include "etl.h"

#include <stdlib.h>
#include <string.h>
#include <tug/offload.h>

struct entry {
    stanza s;
    size_t at; /* of its text in the batch */
};

/* A stretch of the input: in the manifest first, published after. */
struct batch {
    struct entry entries[ETL_MANIFEST_ROWS];
    size_t n;
    int64_t first; /* number of the first entry */
    char *text;
    size_t size, capacity;
};

/* --- published, settled ----------------------------------------------------------------------- */

/* Other processes may work messages of this run: the table says how many have their outcome. What
 * the workers here have in hand may be among them and is counted when it is acked. */
static int refresh_settled(etl_run *r)
{
    etl_counters *c = &r->count;
    tug_time began = tug_now();
    int64_t settled = 0;
    int rc = tug_pg_query_one(r->db, r->sql[SQL_SETTLED], TUG_ARGS(r->run), TUG_OUT(&settled));
    if (rc < 0) {
        return report_failed(rc, "counting outcomes");
    }
    int64_t more = settled - c->settled - c->in_hand;
    if (more > 0 && c->handed > 0) {
        c->settled += more;
        c->settled_bytes += (int64_t)((double)c->handed_bytes / (double)c->handed * (double)more);
    }
    tug_duration pause = (tug_now() - began) * ETL_REFRESH_PART;
    r->refresh_at = tug_now() + (pause > TUG_MS(ETL_REFRESH_MS) ? pause : TUG_MS(ETL_REFRESH_MS));
    return 0;
}

static bool is_too_far_ahead(const etl_run *r)
{
    int64_t rows = r->count.handed - r->count.settled;
    int64_t bytes = r->count.handed_bytes - r->count.settled_bytes;
    return rows > ETL_AHEAD_ROWS || (rows > 0 && bytes > ETL_AHEAD_BYTES);
}

/* Waits until the workers have caught up. They may be another process's: so the table is asked too,
 * and not only when nothing moves here, since a few messages settled here would then hide the many
 * settled elsewhere. */
static int wait_for_workers(etl_run *r)
{
    int rc = 0;
    while (rc == 0 && is_too_far_ahead(r)) {
        tug_duration left = r->refresh_at - tug_now();
        if (left <= 0) {
            rc = refresh_settled(r);
            continue;
        }
        tug_event_clear(r->moved);
        rc = TUG_WITHIN(left, tug_event_wait(r->moved));
        rc = rc == TUG_ETIMEDOUT ? 0 : rc;
    }
    return rc;
}

/* --- publishing ------------------------------------------------------------------------------- */

static void on_confirm(tug_future *f, void *arg)
{
    etl_run *r = arg;
    const tug_error *e = tug_future_error(f);
    tug_semaphore_release(r->window);
    tug_event_set(r->moved);
    if (e->code == 0) {
        r->count.published++;
    } else if (r->group != NULL) { /* else the run has ended, and the broker's handle after it */
        int rc = tug_fail_with(e);
        tug_group_fail(r->group, report_failed(rc, "publishing"));
    }
}

int extract_publish(etl_run *r, int64_t number, bool is_fresh, struct tug_bytes text)
{
    int rc = wait_for_workers(r);
    if (rc == 0) {
        rc = tug_semaphore_acquire(r->window);
    }
    if (rc < 0) {
        return rc;
    }
    const tug_amqp_field headers[] = {
        {"run", tug_int64(r->run)},
        {"number", tug_int64(number)},
        {"database", tug_text(r->database)},
        {"fresh", tug_bool(is_fresh)},
    };
    tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
    m.body = text;
    m.mandatory = true;
    m.headers = tug_amqp_table(headers, sizeof headers / sizeof *headers);
    tug_future_on_settled(tug_amqp_publish_start(r->mq, "", r->options->queue, &m), on_confirm, r);
    r->count.handed++;
    r->count.handed_bytes += (int64_t)text.size;
    return 0;
}

int extract_flush(etl_run *r)
{
    int rc = 0;
    while (rc == 0 && tug_semaphore_permits(r->window) < ETL_WINDOW) {
        tug_event_clear(r->moved);
        rc = tug_event_wait(r->moved);
    }
    return rc;
}

/* --- the manifest ----------------------------------------------------------------------------- */

static int copy_manifest(etl_run *r, tug_pg *tx, const struct batch *b)
{
    TUG_AUTO(tug_pg_copy) copy = NULL;
    int rc = tug_pg_copy_in(tx, r->sql[SQL_MANIFEST_COPY], &copy);
    for (size_t i = 0; rc == 0 && i < b->n; i++) {
        const stanza *s = &b->entries[i].s;
        rc = tug_pg_copy_row(copy, TUG_ARGS(r->run, b->first + (int64_t)i, s->offset, s->length,
                                            tug_bytes(s->hash, sizeof s->hash)));
    }
    return rc == 0 ? tug_pg_copy_finish(copy, NULL) : rc;
}

/* A stanza that is too long for a message has its outcome here. */
static int reject_oversized(etl_run *r, tug_pg *tx, const struct batch *b)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < b->n; i++) {
        const stanza *s = &b->entries[i].s;
        int64_t number = b->first + (int64_t)i;
        char reason[STANZA_REASON];
        if (!s->is_oversized) {
            continue;
        }
        snprintf(
            reason, sizeof reason,
            "%lld bytes, more than %d: the first %d are kept, all are at byte %lld of the input",
            (long long)s->total, STANZA_MAX, STANZA_KEPT, (long long)s->offset);
        rc = tug_pg_exec(tx, r->sql[SQL_OVERSIZED_OUTCOME], TUG_ARGS(r->run, number, reason), NULL);
        if (rc == 0) {
            struct tug_bytes raw = tug_bytes(b->text + b->entries[i].at, s->size);
            rc = tug_pg_exec(tx, r->sql[SQL_REJECT], TUG_ARGS(r->run, number, reason, raw), NULL);
        }
    }
    return rc;
}

static int commit_manifest(etl_run *r, const struct batch *b)
{
    TUG_AUTO(tug_pg) tx = NULL;
    int rc = tug_pg_begin(r->db, NULL, &tx);
    if (rc == 0) {
        rc = copy_manifest(r, tx, b);
    }
    if (rc == 0) {
        rc = reject_oversized(r, tx, b);
    }
    if (rc == 0) {
        rc = tug_pg_commit(tx);
    }
    return report_failed(rc, "writing the manifest");
}

static int publish_batch(etl_run *r, const struct batch *b)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < b->n; i++) {
        const struct entry *e = &b->entries[i];
        if (e->s.is_oversized) {
            r->count.rejected++;
            r->count.handed++;
            r->count.settled++;
            continue;
        }
        rc = extract_publish(r, b->first + (int64_t)i, false,
                             tug_bytes(b->text + e->at, e->s.size));
    }
    return rc;
}

static int send_batch(etl_run *r, struct batch *b)
{
    if (b->n == 0) {
        return 0;
    }
    int rc = commit_manifest(r, b);
    if (rc == 0) {
        r->count.read += (int64_t)b->n;
        rc = publish_batch(r, b);
    }
    b->first += (int64_t)b->n;
    b->n = b->size = 0;
    return rc;
}

/* --- reading ---------------------------------------------------------------------------------- */

static int add_entry(struct batch *b, const stanza *s)
{
    if (b->text == NULL || b->size + s->size > b->capacity) {
        size_t capacity = b->size + s->size + ETL_READ;
        char *text = realloc(b->text, capacity);
        if (text == NULL) {
            return tug_fail(TUG_ENOMEM, "out of memory for %zu bytes of the input", capacity);
        }
        b->text = text;
        b->capacity = capacity;
    }
    memcpy(b->text + b->size, s->text, s->size);
    b->entries[b->n++] = (struct entry){*s, b->size};
    b->size += s->size;
    return 0;
}

static int take_stanzas(etl_run *r, struct batch *b, stanza_splitter *splitter)
{
    stanza s;
    int rc;
    while ((rc = stanza_splitter_next(splitter, &s)) > 0) {
        rc = add_entry(b, &s);
        if (rc == 0 && (b->n == ETL_MANIFEST_ROWS || b->size >= ETL_MANIFEST_BYTES)) {
            rc = send_batch(r, b);
        }
        if (rc < 0) {
            break;
        }
    }
    return rc;
}

static int read_all(etl_run *r, struct batch *b, stanza_splitter *splitter, char *data)
{
    int rc;
    while ((rc = tug_read_at(r->input, r->input_offset, data, ETL_READ)) > 0) {
        r->input_offset += rc;
        stanza_splitter_feed(splitter, data, (size_t)rc);
        rc = take_stanzas(r, b, splitter);
        if (rc < 0) {
            return rc;
        }
    }
    if (rc == 0 && r->input_offset < r->input_size) { /* the last stanza may be half of one */
        rc = tug_fail(ETL_CHANGED, "it ended at byte %lld, and had %lld when it was opened",
                      (long long)r->input_offset, (long long)r->input_size);
    }
    if (rc < 0) {
        return report_failed(rc, "reading the input");
    }
    stanza_splitter_finish(splitter);
    rc = take_stanzas(r, b, splitter);
    return rc == 0 ? send_batch(r, b) : rc;
}

int extract_run(etl_run *r)
{
    stanza_splitter *splitter = NULL;
    struct batch *b = calloc(1, sizeof *b);
    char *data = malloc(ETL_READ);
    int rc = b != NULL && data != NULL ? stanza_splitter_new(0, &splitter)
                                       : tug_fail(TUG_ENOMEM, "out of memory for the input");
    if (rc == 0 && b != NULL) {
        b->first = 1;
        rc = read_all(r, b, splitter, data);
    }
    if (rc == 0) {
        r->is_read = true;
        rc = extract_flush(r);
    }
    stanza_splitter_free(splitter);
    free(data);
    if (b != NULL) {
        free(b->text);
        free(b);
    }
    return rc;
}
