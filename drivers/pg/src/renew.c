#include "renew.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is(const char *field, const char *value)
{
    return field != NULL && strcmp(field, value) == 0;
}

void tug__pg_complaint_of(tug__pg_complaint *to, const PGresult *res)
{
    to->state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    to->routine = PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION);
    to->message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    to->has_position = PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION) != NULL;
}

/* "cache lookup failed for type 16386", where the type is one of this statement's parameters or columns:
 * it was dropped, and the server finds out before it runs anything, when it reads the parameters or makes
 * ready for the rows. An internal message, which is never translated. */
static bool names_own_type(const char *message, const tug__pg_statement *st)
{
    static const char begins[] = "cache lookup failed for type ";
    if (st == NULL || message == NULL || strncmp(message, begins, sizeof begins - 1) != 0) {
        return false;
    }
    unsigned long type = strtoul(message + sizeof begins - 1, NULL, 10);
    for (int i = 0; i < st->types_n + st->columns_n; i++) {
        if (st->types[i] == type) {
            return true;
        }
    }
    return false;
}

/* A program may say EXECUTE and DEALLOCATE itself and be told the same: the name decides. */
static bool names_own_name(const char *message, const tug__pg_text *text)
{
    char name[40]; /* what all names of this text begin with */
    snprintf(name, sizeof name, "tug_%016" PRIx64 "_%zx", text->hash, text->size);
    return message != NULL && strstr(message, name) != NULL;
}

/* Of an argument for the type that the parameter had then; or of anything else. */
static bool is_wrong_value(const char *state)
{
    static const char *const states[] = {"22P02", "22P03", "22003", "22007", "22008"};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        if (is(state, states[i])) {
            return true;
        }
    }
    return false;
}

tug__pg_renewal tug__pg_renewal_for(const tug__pg_complaint *why, const tug__pg_text *text,
                                    const tug__pg_statement *st)
{
    /* "cached plan must not change result type", in whatever language: the code has other uses, the
     * server's function that raises it has not. */
    if (is(why->state, "0A000") && is(why->routine, "RevalidateCachedQuery")) {
        return TUG__PG_RENEW_AGAIN;
    }
    if (is(why->state, "26000") && names_own_name(why->message, text)) {
        return TUG__PG_RENEW_LOST;
    }
    if (is(why->state, "XX000") && names_own_type(why->message, st)) {
        return TUG__PG_RENEW_AGAIN;
    }
    /* The text was analysed again and does not fit with the parameters' types of then. It may fit
     * with others, or it may never fit again. */
    if (why->state != NULL && strncmp(why->state, "42", 2) == 0 && why->has_position) {
        return TUG__PG_RENEW_NEXT;
    }
    return is_wrong_value(why->state) ? TUG__PG_RENEW_DOUBT : TUG__PG_RENEW_NOT;
}
