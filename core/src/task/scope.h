/* What:      the inside of scopes: a chain from the innermost of a task outwards, through its group's
 *            scope, to the root.
 * Ownership: on stacks, in tasks and groups. Context: the loop's thread. Callbacks: timers. Errors: none.
 *
 * A task has one flag, `interrupted`: whether its next wait returns TUG_ECANCELED. It is set by a walk
 * from a scope that fires down to the tasks inside, and recomputed when a scope is left or a shield is
 * entered; so the check on each wait is one byte. */
#ifndef TUG_TASK_SCOPE_H
#define TUG_TASK_SCOPE_H

#include <tug/scope.h>

#include "loop/timer.h"

enum tug__scope_kind {
    TUG__SCOPE_PLAIN,
    TUG__SCOPE_SHIELD, /* its timer is the grace: stops what comes from outside until then */
    TUG__SCOPE_GROUP,  /* has child tasks */
    TUG__SCOPE_BASE    /* the outermost of a task: what cancels just this task */
};

enum {
    TUG__SCOPE_CANCELLED = 1,
    TUG__SCOPE_EXPIRED = 2,
    TUG__SCOPE_PIERCED = 4 /* a shield whose grace is over */
};

struct tug__scope {
    struct tug__scope *parent;
    struct tug_task *task; /* who entered it; NULL: a root group's */
    uint8_t kind;
    uint8_t fired; /* TUG__SCOPE_* */
    uint16_t magic;
    char *reason; /* of a cancel, its own; NULL: none was given */
    tug_duration grace;
    struct tug__timer timer; /* last: rarely touched */
};
_Static_assert(sizeof(struct tug__scope) <= sizeof(tug_scope), "tug_scope has room for its inside");

enum {
    TUG__SCOPE_MAGIC = 0x5c0e,
    TUG__WITHIN_MAX = 16,
    TUG__REASON_MAX =
        160 /* bytes with the final 0; it becomes the text of a detail, which has 240 */
};

void tug__scope_enter(struct tug__scope *s, int kind, tug_duration timeout);
/* Unlinks it from the running task; the timer is stopped. */
void tug__scope_exit(struct tug__scope *s);
/* What a leave returns for rc (see tug_scope_leave). */
int tug__scope_result(struct tug__scope *s, int rc);
/* False once it has been left: then it is in no chain, and its task may have ended. */
static inline bool tug__scope_is_entered(const struct tug__scope *s)
{
    return s->magic == TUG__SCOPE_MAGIC;
}
/* The same for one that a task has entered, and that on this thread: else what is refused is logged. */
bool tug__scope_is_entered_here(const struct tug__scope *s, const char *what);
/* Marks it and tells all tasks inside. */
void tug__scope_fire(struct tug__scope *s, int how);
/* From s outwards: cancelled or expired, and no shield in between. */
bool tug__scope_interrupted(const struct tug__scope *s);
/* Why: of the innermost of these for which a reason was given. NULL: none was. */
const char *tug__scope_reason(const struct tug__scope *s);
/* TUG_ECANCELED and, as its text, the reason why t is interrupted. */
void tug__scope_describe_cancel(const struct tug_task *t, tug_error *e);
/* Aborts if t's innermost scope lies on t's own stack below frame, so in one that has returned. */
void tug__scope_check_frame(const struct tug_task *t, uintptr_t frame);

#endif
