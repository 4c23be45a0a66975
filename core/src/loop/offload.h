/* What:      jobs on threads of the loop's own pool, made on demand (tug_offload_configure).
 * Ownership: a job is embedded in whatever its owner allocates; the pool has it from submit until done, orphan
 *            or a cancel that returned true.
 * Context:   the loop's thread, but for run and orphan. Callbacks: done on the loop stack.
 * Errors:    TUG_ELIMIT, TUG_ENOMEM, TUG_EMISUSE, -errno from submit. */
#ifndef TUG_LOOP_OFFLOAD_H
#define TUG_LOOP_OFFLOAD_H

#include <tug/remote.h>

struct tug__job {
    void (*run)(struct tug__job *job);  /* on a thread */
    void (*done)(struct tug__job *job); /* on the loop's thread, after run */
    /* Instead of done when the loop has ended meanwhile, on whichever thread holds the job then; it
     * frees and touches no loop. NULL: somebody waits for this job, so that the loop cannot end
     * before it. */
    void (*orphan)(struct tug__job *job);
    tug_post post; /* how it comes back */
    struct tug__job *next, *prev;
    uint8_t state; /* guarded by the pool's lock */
    bool is_abandoned;
    bool may_hang; /* such jobs get half of the threads at most, so that the others go on */
};

/* The job runs soon, or waits for a free thread. */
int tug__offload_submit(struct tug__job *job);
/* True: it was still waiting for a thread, never runs, and is the caller's again. */
bool tug__offload_cancel(struct tug__job *job);
/* Nobody waits for it any more (the test clock neither). done is called all the same. */
void tug__offload_abandon(struct tug__job *job);

#endif
