/* What:      what the benches of single statements share: the statement, the limit's bare connections to libpq,
 *            our handle beside them.
 * Ownership: a connection is the bench's (PQfinish), also after an error; a handle is closed by the bench.
 * Context:   the main task of a bench.
 * Callbacks: none.
 * Errors:    a negative code with the detail. */
#ifndef TUG_BENCH_PG_BARE_H
#define TUG_BENCH_PG_BARE_H

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <string.h>
#include <tug/pg.h>

#define PG_BARE_SQL "select $1::int4 + 1"
#define PG_BARE_NAME "bench" /* PG_BARE_SQL as prepared on a bare connection */

int pg_bare_wrong(int64_t asked, int64_t got) TUG_CHECK;
int pg_bare_failed(PGconn *bare, const char *what) TUG_CHECK;
/* Connects n of them, with the statement prepared; is_pipelined: not blocking, and in pipeline mode. */
TUG_SUSPENDS int pg_bare_open(const char *url, bool is_pipelined, PGconn **ret_bare,
                              size_t n) TUG_CHECK;
/* Opens ours with so many shared connections, and no further one. */
TUG_SUSPENDS int pg_bare_open_ours(const char *url, size_t shared, tug_pg **ret_db) TUG_CHECK;

/* The answer to n. In the header, so that the limit's loop calls nothing that it would not call elsewhere. */
static inline int pg_bare_check(PGconn *bare, const PGresult *res, int32_t n)
{
    uint32_t wire = 0;
    if (PQresultStatus(res) != PGRES_TUPLES_OK || PQgetlength(res, 0, 0) != (int)sizeof wire) {
        return pg_bare_failed(bare, "query");
    }
    memcpy(&wire, PQgetvalue(res, 0, 0), sizeof wire);
    return (int32_t)ntohl(wire) == n + 1 ? 0 : pg_bare_wrong(n, (int32_t)ntohl(wire));
}

#endif
