/* tug_pg_transact: a function in a transaction, again after a serialization failure. */
#include <string.h>
#include <tug/sys/driver.h>
#include <tug/task.h>

#include "handle.h"

#define ATTEMPTS_MOST 1000

static int transact_check(const tug_pg *db, tug_pg_transact_fn fn, const tug_pg_transact_options *o)
{
    int rc = tug__pg_check(db, "tug_pg_transact");
    if (rc < 0) {
        return rc;
    }
    if (fn == NULL) {
        return tug_fail(TUG_EINVAL, "tug_pg_transact: fn is NULL");
    }
    if (o->attempts < 1 || o->attempts > ATTEMPTS_MOST) {
        return tug_fail(TUG_EINVAL, "tug_pg_transact: attempts is %u, not between 1 and %d",
                        o->attempts, ATTEMPTS_MOST);
    }
    if (o->backoff_first <= 0 || o->backoff_most < o->backoff_first) {
        return tug_fail(
            TUG_EINVAL,
            "tug_pg_transact: backoff_first (%lld ns) must be more than 0 and not above "
            "backoff_most (%lld ns)",
            (long long)o->backoff_first, (long long)o->backoff_most);
    }
    return 0;
}

/* The server said so: nothing of this transaction has happened, and the same again may succeed. An
 * answer that never came is another matter. */
static bool may_try_again(int rc)
{
    const tug_error *e = tug_last_error();
    return rc == TUG_ESERVER && e->code == rc && e->sent == TUG_ANSWERED &&
           (strcmp(e->native, "40001") == 0 || strcmp(e->native, "40P01") == 0);
}

static int transact_once(tug_pg *db, tug_pg_transact_fn fn, void *arg,
                         const tug_pg_transact_options *o, const void *place)
{
    tug_pg_begin_options begin = TUG_PG_BEGIN_OPTIONS_INIT;
    tug_pg *tx = NULL;
    begin.isolation = o->isolation;
    begin.read_only = o->read_only;
    begin.deferrable = o->deferrable;
    int rc = tug__pg_begin_from(db, &begin, place, &tx);
    if (rc < 0) {
        return rc;
    }
    tx->managed = true;
    rc = fn(tx, arg);
    tx->managed = false;
    if (rc > 0) {
        rc = tug_fail(TUG_EMISUSE,
                      "tug_pg_transact: fn returned %d, neither 0 nor an error: rolled back", rc);
    }
    if (rc == 0) {
        rc = tug_pg_commit(tx);
    }
    /* Without a commit this rolls back, in a cancelled scope too: it does not wait. */
    tug_pg_close(tx);
    return rc;
}

int tug_pg_transact(tug_pg *db, tug_pg_transact_fn fn, void *arg, const tug_pg_transact_options *o)
{
    tug_pg_transact_options all = TUG_PG_TRANSACT_OPTIONS_INIT;
    if (o != NULL) {
        memcpy(&all, o, o->size < sizeof all ? o->size : sizeof all);
    }
    int rc = transact_check(db, fn, &all);
    if (rc < 0) {
        return rc;
    }
    unsigned attempts = db->kind == TUG__PG_TRANSACTION ? 1 : all.attempts;
    for (unsigned attempt = 0;; attempt++) {
        rc = transact_once(db, fn, arg, &all, __builtin_return_address(0));
        if (attempt + 1 >= attempts || !may_try_again(rc)) {
            return rc;
        }
        rc = tug_sleep(tug_backoff(attempt, all.backoff_first, all.backoff_most));
        if (rc < 0) {
            return rc;
        }
    }
}
