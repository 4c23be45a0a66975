/* What:      is a failed connect of the kind that waiting alone does not cure? As the pool's own rule
 *            says (<tug/pool.h>): what connects again by itself tells its user of these at once.
 * Ownership: none. Context: any. Callbacks: none. Errors: none. */
#ifndef TUG_PG_VAIN_H
#define TUG_PG_VAIN_H

#include <tug/error.h>

static inline bool tug__pg_waiting_is_vain(const tug_error *e)
{
    return e->code == TUG_EAUTH ||
           (!e->transient && (e->code == TUG_ESERVER || e->code == TUG_EINVAL ||
                              e->code == TUG_EPROTO || e->origin == TUG_ORIGIN_TLS));
}

#endif
