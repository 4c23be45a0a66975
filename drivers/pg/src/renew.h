/* What:      statements that the server's tables and types have outgrown: which failures say so, and
 *            which of them say as well that nothing has run.
 * Ownership: nothing is kept. Context: the loop's thread. Callbacks: none. Errors: none. */
#ifndef TUG_PG_RENEW_H
#define TUG_PG_RENEW_H

#include "statement.h"

typedef enum tug__pg_renewal {
    TUG__PG_RENEW_NOT,   /* no fault of the prepared statement */
    TUG__PG_RENEW_DOUBT, /* may be, or the argument is wrong: as NEXT, but not each time */
    TUG__PG_RENEW_NEXT,  /* may be: the next one of this text is prepared anew */
    TUG__PG_RENEW_AGAIN, /* it is, and it failed before anything of it ran: the same again is safe */
    TUG__PG_RENEW_LOST /* the same, and the server does not know the name: on this connection only */
} tug__pg_renewal;

/* Fields of the server's message; each may be NULL. has_position: it points into the text. */
typedef struct tug__pg_complaint {
    const char *state, *routine, *message;
    bool has_position;
} tug__pg_complaint;

void tug__pg_complaint_of(tug__pg_complaint *to, const PGresult *res);
/* st: what was executed, NULL if it is not known any more. */
tug__pg_renewal tug__pg_renewal_for(const tug__pg_complaint *why, const tug__pg_text *text,
                                    const tug__pg_statement *st);

#endif
