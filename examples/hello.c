#include <stdio.h>
#include <stdlib.h>
#include <tug/tug.h>

static int hello(void *arg)
{
    (void)arg;
    int64_t answer = 0;
    TUG_AUTO(tug_pg) db = NULL; /* closed on every path */
    int rc = tug_pg_open(getenv("TUG_PG_URL"), NULL, &db);
    if (rc == 0) { /* suspends this task, not the thread */
        rc = tug_pg_query_one(db, "select $1::int4 + 1", TUG_ARGS(41), TUG_OUT(&answer));
    }
    if (rc == 0) {
        printf("%lld\n", (long long)answer);
    }
    return rc; /* < 0: one line on stderr says what and why, exit status 1 */
}

int main(void)
{
    return tug_main(hello, NULL);
}
