/* What: tug_remote_run. Everything lies on the stack of the calling thread, which is blocked meanwhile: the
 * post to the loop, and what the task leaves. The semaphore is the last thing that the loop touches. */
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <tug/remote.h>
#include <tug/sys/driver.h>

#include "task/task.h"

struct tug__remote_run {
    tug_post post;
    struct tug__remote_run *next, **at_prev; /* of the loop's, while its task runs */
    tug_task_fn fn;
    void *arg;
    void *called_at;
    int rc;
    tug_error error;
    sem_t ended;
};

static void keep_result(struct tug__remote_run *r, int rc)
{
    const tug_error *why = tug__error_current();
    r->rc = rc;
    if (rc < 0 && why->code == rc) {
        tug__error_copy(&r->error, why);
    } else {
        tug__error_plain(&r->error, rc < 0 ? rc : 0);
    }
}

static int body(void *arg)
{
    struct tug__remote_run *r = arg;
    keep_result(r, r->fn(r->arg));
    *r->at_prev = r->next;
    if (r->next != NULL) {
        r->next->at_prev = r->at_prev;
    }
    sem_post(&r->ended);
    return 0; /* the caller gets it, not the root group */
}

static void start(void *arg)
{
    struct tug__remote_run *r = arg;
    struct tug_task *t;
    int rc = tug__task_spawn(&tug__runtime(tug__loop)->user, body, r, 0, r->called_at, &t);
    if (rc < 0) {
        keep_result(r, rc);
        sem_post(&r->ended);
    } else {
        struct tug__runtime *rt = tug__runtime(tug__loop);
        t->is_marked = true;
        snprintf(t->name, sizeof t->name, "remote");
        r->next = rt->remote_runs;
        r->at_prev = &rt->remote_runs;
        if (r->next != NULL) {
            r->next->at_prev = &r->next;
        }
        rt->remote_runs = r;
    }
}

void tug__remote_runs_abandon(struct tug__runtime *rt)
{
    while (rt->remote_runs != NULL) {
        struct tug__remote_run *r = rt->remote_runs;
        rt->remote_runs = r->next;
        r->rc = TUG_ECLOSED;
        tug_error_set(&r->error, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_IN_FLIGHT, NULL,
                      "the loop was detached, and the task did not end");
        sem_post(&r->ended);
    }
}

int tug_remote_run(tug_remote *remote, tug_task_fn fn, void *arg)
{
    if (tug__loop != NULL) {
        return tug_fail(
            TUG_EMISUSE,
            "tug_remote_run blocks its thread, and this one runs a loop: post, or spawn");
    }
    struct tug__remote_run r = {.fn = fn, .arg = arg, .called_at = __builtin_return_address(0)};
    r.post = (tug_post){.fn = start, .arg = &r};
    sem_init(&r.ended, 0, 0);
    int rc = tug_remote_post_own(remote, &r.post);
    if (rc == 0) {
        while (sem_wait(&r.ended) < 0) { /* a signal that this thread took */
        }
        rc = r.rc < 0 ? tug_fail_with(&r.error) : r.rc;
    }
    sem_destroy(&r.ended);
    return rc;
}
