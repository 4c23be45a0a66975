/* A batch into the tables, in one transaction; what the database refuses is found by halves. */
#include "etl.h"

#include <stdlib.h>
#include <string.h>

static tug_value optional_text(const char *text)
{
    return text != NULL ? tug_text(text) : tug_null();
}

static tug_value optional_number(bool has, int64_t number)
{
    return has ? tug_int64(number) : tug_null();
}

/* One row for each message: all columns of etl_stage, in order. What is a duplicate already has
 * only its key, what is rejected only its raw text. */
static int copy_item(tug_pg_copy *copy, const etl_item *item, int i)
{
    static const char *const outcomes[] = {NULL, "duplicate", "rejected"};
    static const stanza_package none;
    const stanza_package *p = item->state == ITEM_REJECTED ? &none : &item->package;
    bool is_load = item->state == ITEM_LOAD;
    tug_value row[] = {
        tug_int64(i),
        tug_int64(item->run),
        tug_int64(item->number),
        tug_bool(item->is_ours),
        optional_text(outcomes[item->state]),
        optional_text(item->state == ITEM_REJECTED ? item->reason : NULL),
        optional_text(p->name),
        optional_text(p->version),
        optional_text(p->architecture),
        optional_text(is_load ? p->section : NULL),
        optional_number(is_load && p->has_size, p->size),
        optional_number(is_load && p->has_installed_size, p->installed_size),
        optional_text(is_load ? p->maintainer_name : NULL),
        optional_text(is_load ? p->maintainer_address : NULL),
        item->state == ITEM_DUPLICATE ? tug_null() : tug_blob(item->text),
        tug_blob(tug_bytes(item->hash, sizeof item->hash)),
    };
    return tug_pg_copy_row(copy, (tug_args){row, sizeof row / sizeof *row});
}

static int stage_items(etl_run *r, tug_pg *tx, const etl_item *items, size_t n)
{
    TUG_AUTO(tug_pg_copy) copy = NULL;
    int rc = tug_pg_copy_in(tx, r->sql[SQL_STAGE_COPY], &copy);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = copy_item(copy, &items[i], (int)i);
    }
    return rc == 0 ? tug_pg_copy_finish(copy, NULL) : rc;
}

static int copy_dependencies(tug_pg_copy *copy, const stanza_package *p, int i)
{
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < p->n_dependencies; k++) {
        const stanza_dependency *d = &p->dependencies[k];
        rc = tug_pg_copy_row(copy, TUG_ARGS(i, d->name, optional_text(d->qualifier),
                                            optional_text(d->constraint),
                                            optional_text(d->restrictions), d->group, d->position));
    }
    return rc;
}

static int stage_dependencies(etl_run *r, tug_pg *tx, const etl_item *items, size_t n)
{
    TUG_AUTO(tug_pg_copy) copy = NULL;
    int rc = tug_pg_copy_in(tx, r->sql[SQL_STAGE_DEPENDENCY_COPY], &copy);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (items[i].state == ITEM_LOAD) {
            rc = copy_dependencies(copy, &items[i].package, (int)i);
        }
    }
    return rc == 0 ? tug_pg_copy_finish(copy, NULL) : rc;
}

static int load_once(etl_run *r, tug_pg *session, const etl_item *items, size_t n)
{
    static const int steps[] = {SQL_LOCK, SQL_STAMP, SQL_UPSERT, SQL_DEPENDENCY_DELETE,
                                SQL_DEPENDENCY_INSERT};
    bool has_load = false;
    for (size_t i = 0; i < n; i++) {
        has_load |= items[i].state == ITEM_LOAD;
    }
    TUG_AUTO(tug_pg) tx = NULL; /* rolled back unless committed */
    int rc = tug_pg_begin(session, NULL, &tx);
    if (rc == 0) {
        rc = stage_items(r, tx, items, n);
    }
    if (rc == 0 && has_load) {
        rc = stage_dependencies(r, tx, items, n);
    }
    for (size_t i = 0; rc == 0 && has_load && i < sizeof steps / sizeof *steps; i++) {
        rc = tug_pg_exec(tx, r->sql[steps[i]], TUG_ARGS((int64_t)n), NULL);
    }
    if (rc == 0) {
        rc = tug_pg_exec(tx, r->sql[SQL_OUTCOME_INSERT], TUG_ARGS((int64_t)n), NULL);
    }
    if (rc == 0) {
        rc = tug_pg_exec(tx, r->sql[SQL_REJECT_INSERT], TUG_ARGS((int64_t)n), NULL);
    }
    return rc == 0 ? tug_pg_commit(tx) : rc;
}

/* Serialization failures and deadlocks are nobody's fault: again, after a pause that differs
 * between the two who met. */
static int load_retrying(etl_run *r, tug_pg *session, const etl_item *items, size_t n)
{
    int rc = 0;
    for (int attempt = 1;; attempt++) {
        rc = load_once(r, session, items, n);
        const char *state = rc == TUG_ESERVER ? tug_last_error()->native : "";
        bool is_transient = strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0;
        if (!is_transient || attempt == ETL_ATTEMPTS) {
            return rc;
        }
        rc = tug_sleep(TUG_MS(attempt * (5 + random() % 20)));
        if (rc < 0) {
            return rc;
        }
    }
}

/* Class 22, data exception, and 23, integrity constraint violation: some stanza's own fault. */
static bool is_data_error(int rc)
{
    const char *state = tug_last_error()->native;
    return rc == TUG_ESERVER && state[0] == '2' && (state[1] == '2' || state[1] == '3');
}

int load_batch(etl_run *r, tug_pg *session, etl_item *items, size_t n)
{
    int rc = load_retrying(r, session, items, n);
    if (rc == 0 || !is_data_error(rc)) {
        return rc;
    }
    if (n == 1 && items->state != ITEM_REJECTED) {
        snprintf(items->reason, sizeof items->reason, "%s", tug_last_error()->text);
        stanza_clean_text(items->reason);
        items->state = ITEM_REJECTED;
        return load_batch(r, session, items, 1);
    }
    if (n == 1) { /* not even the reject table takes it: that is no bad stanza */
        return rc;
    }
    rc = load_batch(r, session, items, n / 2);
    return rc == 0 ? load_batch(r, session, items + n / 2, n - n / 2) : rc;
}
