/* The end of a run: outcomes corrected, everything that was read compared with the tables, what is
 * missing published again. */
#include "etl.h"

#include <string.h>

/* --- waiting for the workers ------------------------------------------------------------------ */

/* Until a counter says that all is done, or for half a second: then the table is asked. */
static int wait_moved(etl_run *r)
{
    tug_time until = tug_now() + TUG_MS(500);
    int rc = 0;
    do {
        tug_event_clear(r->moved);
        rc = TUG_WITHIN(until - tug_now(), tug_event_wait(r->moved));
    } while (rc == 0 && r->count.settled < r->count.read);
    return rc == TUG_ETIMEDOUT ? 0 : rc;
}

/* All entries of the manifest have their outcome, or the messages of those that have none are lost:
 * nothing moved for a while although the queue is empty and the workers are idle. What they have in
 * hand is not lost, however long the database lets them wait. */
static int wait_for_outcomes(etl_run *r)
{
    int64_t before = -1;
    tug_time moved_at = tug_now();
    for (;;) {
        int64_t settled = 0;
        uint64_t queued = 1;
        int rc = tug_pg_query_one(r->db, r->sql[SQL_SETTLED], TUG_ARGS(r->run), TUG_OUT(&settled));
        if (rc < 0 || settled == r->count.read) {
            return report_failed(rc, "counting outcomes");
        }
        if (settled + r->count.others != before || r->count.in_hand > 0) {
            before = settled + r->count.others;
            moved_at = tug_now();
        } else if (tug_now() - moved_at > TUG_SECONDS(ETL_LOST_SECONDS)) {
            rc = tug_amqp_queue_count(r->mq, r->options->queue, &queued);
            if (rc < 0 || queued == 0) {
                return report_failed(rc, "asking how long the queue is");
            }
        }
        rc = wait_moved(r);
        if (rc < 0) {
            return rc;
        }
    }
}

/* --- correcting and checking ------------------------------------------------------------------ */

static int correct_once(etl_run *r)
{
    TUG_AUTO(tug_pg) tx = NULL;
    int rc = tug_pg_begin(r->db, NULL, &tx);
    if (rc == 0) {
        rc = tug_pg_exec(tx, r->sql[SQL_CORRECT], TUG_ARGS(r->run), NULL);
    }
    if (rc == 0) {
        rc = tug_pg_exec(tx, r->sql[SQL_STAMP_KNOWN], TUG_ARGS(r->run), NULL);
    }
    return rc == 0 ? tug_pg_commit(tx) : rc;
}

int verify_tally(etl_run *r, etl_tally *ret_tally)
{
    etl_tally *t = ret_tally;
    /* With figures that know this run: without them these joins may be planned as loops. */
    int rc = tug_pg_exec(r->db, r->sql[SQL_ANALYZE], TUG_NO_ARGS, NULL);
    for (int attempt = 1; rc == 0; attempt++) {
        rc = correct_once(r);
        if (rc == 0 || !tug_last_error()->transient || attempt == ETL_ATTEMPTS) {
            break;
        }
        rc = tug_sleep(TUG_MS(20 * attempt));
    }
    if (rc == 0) {
        rc = tug_pg_query_one(r->db, r->sql[SQL_CHECK], TUG_ARGS(r->run),
                              TUG_OUT(&t->manifest, &t->outcomes, &t->loaded, &t->duplicates,
                                      &t->rejected, &t->missing));
    }
    return report_failed(rc, "checking the tables");
}

static bool is_complete(const etl_run *r, const etl_tally *t)
{
    return t->manifest == r->count.read && t->outcomes == r->count.read && t->missing == 0 &&
           t->loaded + t->duplicates + t->rejected == r->count.read;
}

/* --- reading again ---------------------------------------------------------------------------- */

/* The stanza that the manifest has at this place. */
static int reread(etl_run *r, int64_t number, int64_t offset, int64_t length, struct tug_bytes hash,
                  stanza_splitter **ret_splitter, stanza *ret_stanza)
{
    int rc = input_reread(r->input, offset, length, ret_splitter, ret_stanza);
    if (rc == 0 && (hash.size != sizeof ret_stanza->hash ||
                    memcmp(hash.data, ret_stanza->hash, sizeof ret_stanza->hash) != 0)) {
        rc = tug_fail(ETL_CHANGED, "the input has changed: stanza %lld is another one now",
                      (long long)number);
    }
    return rc;
}

/* Superseded stanzas go to the reject table like all rejects. Their raw text is not kept anywhere,
 * but it is still in the input. */
static int file_reject(etl_run *r, const tug_pg_result *rows, size_t row, int64_t *ret_number)
{
    int64_t number = 0, offset = 0, length = 0;
    const char *reason = NULL;
    struct tug_bytes hash = {NULL, 0};
    stanza_splitter *splitter = NULL;
    stanza s;
    int rc = tug_pg_scan(rows, row, TUG_OUT(&number, &offset, &length, &hash, &reason));
    if (rc == 0) {
        rc = reread(r, number, offset, length, hash, &splitter, &s);
    }
    if (rc == 0) {
        rc = tug_pg_exec(r->db, r->sql[SQL_REJECT],
                         TUG_ARGS(r->run, number, reason, tug_bytes(s.text, s.size)), NULL);
    }
    stanza_splitter_free(splitter);
    *ret_number = number;
    return rc;
}

/* From the manifest by offset, marked so that nobody asks Redis again. */
static int publish_again(etl_run *r, const tug_pg_result *rows, size_t row, int64_t *ret_number)
{
    int64_t number = 0, offset = 0, length = 0;
    struct tug_bytes hash = {NULL, 0};
    stanza_splitter *splitter = NULL;
    stanza s;
    int rc = tug_pg_scan(rows, row, TUG_OUT(&number, &offset, &length, &hash));
    if (rc == 0) {
        rc = reread(r, number, offset, length, hash, &splitter, &s);
    }
    if (rc == 0) {
        rc = extract_publish(r, number, true, tug_bytes(s.text, s.size));
    }
    stanza_splitter_free(splitter);
    *ret_number = number;
    return rc;
}

/* Calls fn for each row of a statement that lists a part of the run's entries from a number on. */
static int for_each_entry(etl_run *r, int statement,
                          int (*fn)(etl_run *, const tug_pg_result *, size_t, int64_t *))
{
    size_t n = 1;
    int rc = 0;
    for (int64_t after = 0; rc == 0 && n > 0;) {
        TUG_AUTO(tug_pg_result) rows = NULL;
        rc = tug_pg_query(r->db, r->sql[statement], TUG_ARGS(r->run, after), &rows);
        n = rc == 0 ? tug_pg_result_rows(rows) : 0;
        for (size_t i = 0; rc == 0 && i < n; i++) {
            rc = fn(r, rows, i, &after);
        }
    }
    return rc;
}

static int republish(etl_run *r, int64_t missing)
{
    int rc = tug_pg_exec(r->db, r->sql[SQL_FORGET_MISSING], TUG_ARGS(r->run), NULL);
    if (rc == 0) {
        r->count.handed = r->count.settled = r->count.read - missing;
        r->count.handed_bytes = r->count.settled_bytes = 0;
        rc = for_each_entry(r, SQL_MISSING, publish_again);
    }
    return rc == 0 ? extract_flush(r) : rc;
}

/* --- the whole -------------------------------------------------------------------------------- */

int verify_run(etl_run *r, etl_tally *ret_tally, bool *ret_is_verified)
{
    for (int round = 0;; round++) {
        int rc = wait_for_outcomes(r);
        if (rc == 0) {
            rc = verify_tally(r, ret_tally);
        }
        if (rc == 0) {
            rc = for_each_entry(r, SQL_SUPERSEDED, file_reject);
        }
        if (rc < 0) {
            return rc;
        }
        *ret_is_verified = is_complete(r, ret_tally);
        if (*ret_is_verified || round == ETL_ROUNDS) {
            return 0;
        }
        report_line("%lld of %lld stanzas are not in the tables: published again",
                    (long long)ret_tally->missing, (long long)r->count.read);
        rc = republish(r, ret_tally->missing);
        if (rc < 0) {
            return report_failed(rc, "publishing again");
        }
    }
}

int verify_end(etl_run *r, const etl_tally *t, const char *verdict)
{
    return tug_pg_exec(r->db, r->sql[SQL_RUN_END],
                       TUG_ARGS(r->run, verdict, r->count.read, r->count.published, t->loaded,
                                t->duplicates, t->rejected),
                       NULL);
}
