/* What:      deadlines and cancellation for everything that runs between enter and leave.
 * Ownership: tug_scope is yours, on the stack; leave it in the function that entered it.
 * Context:   task only. Scopes nest; the nearest deadline wins.
 * Callbacks: none.
 * Errors:    inside a cancelled or expired scope each wait returns TUG_ECANCELED, again and again,
 *            until it is left; leaving the scope that expired turns that into TUG_ETIMEDOUT. */
#ifndef TUG_SCOPE_H
#define TUG_SCOPE_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_scope {
    uint64_t reserved[12]; /* private */
} tug_scope;

/* All waits until the leave share this much time. TUG_FOREVER: no deadline, only a handle to cancel. */
TUG_EXPORT void tug_scope_enter(tug_scope *s, tug_duration timeout);
TUG_EXPORT void tug_scope_enter_at(tug_scope *s, tug_time deadline);
/* A region that a cancel or an expiry from outside reaches only after grace, counted from the later of
 * its arrival and this entry. For a ROLLBACK, an ack, a goodbye. */
TUG_EXPORT void tug_shield_enter(tug_scope *s, tug_duration grace);
/* Returns rc, but TUG_ETIMEDOUT for TUG_ECANCELED if it was this scope that expired and no enclosing
 * one is cancelled or expired. The detail's text is kept. Scopes are left in the reverse order. */
TUG_EXPORT int tug_scope_leave(tug_scope *s, int rc) TUG_CHECK;
/* Everything inside is told to stop. Any context of the loop. Once s has been left, by whoever entered it,
 * nothing happens: where its memory still is, others may cancel it without asking. */
TUG_EXPORT void tug_scope_cancel(tug_scope *s);
/* The same with the reason, one line of at most 159 bytes: it is the text of the TUG_ECANCELED that the
 * waits inside return. Of several cancels the first counts. */
TUG_EXPORT void tug_scope_cancel_why(tug_scope *s, const char *reason_format, ...) TUG_PRINTF(2, 3);
/* Moves the deadline of an entered scope that has not fired. Of a cancel and a deadline of the same scope the
 * first to come is the cause. */
TUG_EXPORT void tug_scope_set_deadline(tug_scope *s, tug_time deadline);
TUG_EXPORT bool tug_scope_is_expired(const tug_scope *s);
TUG_EXPORT bool tug_scope_is_cancelled(const tug_scope *s);
/* Time left until the calling task's next wait may return TUG_ECANCELED for a deadline, the grace of
 * shields counted in; TUG_FOREVER if it has none. */
TUG_EXPORT tug_duration tug_time_left(void);
/* True if the next wait of the calling task would return TUG_ECANCELED. */
TUG_EXPORT bool tug_is_cancelled(void);
/* The reason that was given then, of the innermost scope if there are several; NULL if none was. Borrowed
 * until that scope is left. */
TUG_EXPORT const char *tug_cancel_reason(void);

/* rc = TUG_WITHIN(TUG_MS(250), call): the call under a scope of its own. Nests. The call must not jump
 * out. At most 16 of one task nest. */
#define TUG_WITHIN(duration, call) tug__within_leave((tug__within_enter(duration), (call)))
TUG_EXPORT int tug__within_enter(tug_duration d);
TUG_EXPORT int tug__within_leave(int rc) TUG_CHECK;

#ifdef __cplusplus
}
#endif
#endif
