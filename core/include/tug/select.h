/* What:      waiting for the first of several things: to get from a queue or put into one, a future, an event,
 *            a permit. Exactly one of them happens.
 * Ownership: the cases and what they name are yours; the things must live until the call returns. An item
 *            that was put is the queue's, one that was got is yours.
 * Context:   task only.
 * Callbacks: none.
 * Errors:    TUG_ECANCELED: none of them happened. TUG_EINVAL, TUG_ENOMEM (more than 16 cases),
 *            TUG_EMISUSE. What came out of the case itself is in its rc. */
#ifndef TUG_SELECT_H
#define TUG_SELECT_H

#include <tug/future.h>
#include <tug/queue.h>
#include <tug/sync.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TUG_SELECT_GET,
    TUG_SELECT_PUT,
    TUG_SELECT_FUTURE,
    TUG_SELECT_EVENT,
    TUG_SELECT_SEMAPHORE
};

/* Make it with the functions below. */
typedef struct tug_select_case {
    int kind;
    int rc;     /* of the case that happened; see below */
    void *of;   /* the queue, future, event, semaphore */
    void *item; /* to put; what was got */
} tug_select_case;

/* Waits until one of n >= 1 cases can happen, lets it happen and says which. Of several that can, each has the
 * same chance. What is handed over while a cancelled task has not run yet is returned, not lost.
 * rc of the case: get 1 with item, 0 at the end of the queue; put 0, TUG_ECLOSED; future its code (the
 * value is still there to take, its detail in tug_future_error); event, semaphore 0, or TUG_ECLOSED when
 * it has gone. */
TUG_SUSPENDS TUG_EXPORT int tug_select(tug_select_case *cases, size_t n,
                                       size_t *ret_index) TUG_CHECK;

static inline tug_select_case tug__select_case(int kind, void *of, void *item)
{
    tug_select_case c;
    c.kind = kind;
    c.rc = 0;
    c.of = of;
    c.item = item;
    return c;
}
static inline tug_select_case tug_select_get(tug_queue *q)
{
    return tug__select_case(TUG_SELECT_GET, q, NULL);
}
static inline tug_select_case tug_select_put(tug_queue *q, void *item)
{
    return tug__select_case(TUG_SELECT_PUT, q, item);
}
static inline tug_select_case tug_select_future(tug_future *f)
{
    return tug__select_case(TUG_SELECT_FUTURE, f, NULL);
}
static inline tug_select_case tug_select_event(tug_event *e)
{
    return tug__select_case(TUG_SELECT_EVENT, e, NULL);
}
static inline tug_select_case tug_select_semaphore(tug_semaphore *s)
{
    return tug__select_case(TUG_SELECT_SEMAPHORE, s, NULL);
}

#ifdef __cplusplus
}
#endif
#endif
