/* What: tug_offload_start: a job whose result is a future's. The job is on the heap, for it may outlive the
 * future. */
#include <tug/offload.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "kit/offload_run.h"
#include "loop/offload.h"
#include "util/error.h"

struct started {
    struct tug__job base; /* first: a job is its started */
    int (*fn)(void *arg);
    void (*destroy)(void *arg);
    void *arg;
    int rc;
    tug_error error;
    tug_future *future; /* NULL: nobody waits any more */
    tug_end_hook end;
};

static void started_free(struct started *s)
{
    if (s->destroy != NULL) {
        s->destroy(s->arg);
    }
    tug_free(s);
}

/* On the thread. */
static void started_run(struct tug__job *job)
{
    struct started *s = (struct started *)job;
    s->rc = tug__offload_run(s->fn, s->arg, &s->error);
}

static void started_done(struct tug__job *job)
{
    struct started *s = (struct started *)job;
    tug_future *f = s->future;
    tug_on_end_forget(&s->end);
    if (f != NULL && s->rc < 0) {
        tug_future_fail(f, &s->error);
    } else if (f != NULL) {
        tug_future_settle(f, (void *)(intptr_t)s->rc);
    }
    started_free(s);
}

static void started_orphan(struct tug__job *job)
{
    started_free((struct started *)job);
}

static struct started *of(tug_future *f)
{
    return *(struct started **)tug_future_payload(f);
}

static int started_abort(tug_future *f)
{
    struct started *s = of(f);
    bool never_ran = tug__offload_cancel(&s->base);
    if (!never_ran && s->destroy == NULL) {
        return TUG_ABORT_LATER; /* it has the caller's arg in hand */
    }
    s->future = NULL;
    tug_on_end_forget(&s->end);
    if (never_ran) {
        started_free(s);
    } else {
        tug__offload_abandon(&s->base);
    }
    return TUG_ABORT_DONE;
}

static const tug_future_class offload_class = {.size = sizeof(tug_future_class),
                                               .name = "offload",
                                               .payload = sizeof(struct started *),
                                               .abort = started_abort};

/* The loop ends: it waits for what runs and must be waited for, nothing else. */
static void on_end(void *arg)
{
    struct started *s = arg;
    tug_future_cancel(s->future);
}

static tug_future *no_memory(void (*destroy)(void *arg), void *arg)
{
    if (destroy != NULL) {
        destroy(arg);
    }
    return tug_future_no_memory();
}

tug_future *tug_offload_start(int (*fn)(void *arg), void (*destroy)(void *arg), void *arg)
{
    if (!tug_has_loop("tug_offload_start")) {
        tug_error why = *tug_last_error();
        if (destroy != NULL) {
            destroy(arg);
        }
        return tug_future_failed(&why);
    }
    tug_future *f = tug_future_new(&offload_class);
    if (f == NULL) {
        return no_memory(destroy, arg);
    }
    struct started *s = tug_calloc(1, sizeof *s);
    int rc = s == NULL ? tug_fail(TUG_ENOMEM, "out of memory for a blocking call") : 0;
    if (rc == 0) {
        *s = (struct started){
            .base = {.run = started_run, .done = started_done, .orphan = started_orphan},
            .fn = fn,
            .destroy = destroy,
            .arg = arg,
            .future = f};
        *(struct started **)tug_future_payload(f) = s;
        rc = tug__offload_submit(&s->base);
    }
    if (rc < 0) {
        tug_error why = *tug_last_error();
        if (destroy != NULL) {
            destroy(arg);
        }
        tug_free(s);
        tug_future_fail(f, &why);
        return f;
    }
    tug_on_end(&s->end, on_end, s);
    return f;
}

int tug_offload_take(tug_future *f, int *ret_result)
{
    void *value = NULL;
    int rc = tug_future_take(f, &offload_class, &value);
    if (rc == 0) {
        *ret_result = (int)(intptr_t)value;
    }
    return rc;
}
