/* What:      the inside of tasks and of the runtime that runs them.
 * Ownership: a task's struct lies at the top of its own stack and goes with it.
 * Context:   the loop's thread. Callbacks: none. Errors: TUG_ENOMEM, TUG_ELIMIT, TUG_ECLOSED from spawn. */
#ifndef TUG_TASK_TASK_H
#define TUG_TASK_TASK_H

#include <tug/group.h>

#include "future/future.h"
#include "task/scope.h"
#include "task/stack.h"
#include "task/switch.h"

enum {
    TUG__CREDITS = 128, /* calls that need not wait, before a forced yield */
    TUG__NAME_SIZE = 32,
    TUG__COPY_MAX = 4096, /* bytes of an argument copied to the stack */
    TUG__ERRORS_KEPT = 9  /* of a group: the first and 8 more */
};

enum tug__task_state {
    TUG__TASK_READY,   /* in the run queue, or runs: then it is the loop's current */
    TUG__TASK_WAITING, /* in a list, and a cancel takes it out */
    TUG__TASK_HELD,    /* waiting where no cancel reaches: group leave, a running job */
    TUG__TASK_ENDED
};

struct tug__group {
    struct tug__scope scope;
    struct tug_task *first_child;
    struct tug__group *next_work; /* while a cancel walks */
    tug_error *errors;            /* up to TUG__ERRORS_KEPT */
    size_t running;
    size_t failures;
    size_t cut_short; /* children that ended because they were cancelled */
    tug_waiters leaving;
    int rc; /* of the first failure */
    uint8_t policy;
    uint8_t closed; /* no more spawns */
    uint8_t is_root;
    uint8_t sent;     /* of the first failure, like rc: there may be no memory for the rest */
    const char *name; /* of a root */
};
_Static_assert(sizeof(struct tug__group) <= sizeof(tug_group), "tug_group has room for its inside");

struct tug_task {
    /* What a switch touches. */
    struct tug__context context;
    int wake_code;
    uint16_t credits;
    uint8_t state;
    uint8_t interrupted;
    int saved_errno;
    struct tug__wait wait;
    struct tug__scope *scope; /* innermost */
    tug_time waiting_since;   /* the turn's clock when its last wait began */

    struct tug__scope base;
    struct tug__stack *stack;
    struct tug__group *group;
    struct tug_task *next, **at_prev; /* in the group */
    tug_task_fn fn;
    void *arg;
    tug_future *result; /* of start; this side of it */
    tug_future *owned;  /* what it waits for in tug_await_own, until that was asked to stop */
    struct tug__locals *locals; /* NULL: none */
    struct tug__hold *holds;    /* locks that it has to give back: hold.h */
    struct tug__timer sleep_timer;
    void *fake_stack; /* of AddressSanitizer */
    void *spawned_at;
    uint64_t number; /* of this loop's tasks, from 1: unlike the address never used twice */
    uint8_t within;  /* used entries of scopes */
    char name[TUG__NAME_SIZE];
    tug_error error;
    struct tug__scope scopes[TUG__WITHIN_MAX]; /* of TUG_WITHIN; lowest in memory last touched */
};

struct tug__runtime {
    struct tug__context context; /* of the loop's own stack */
    void *fake_stack;
    const void *stack_bottom; /* of the loop's own stack, as AddressSanitizer knows it */
    size_t stack_size;
    struct tug__stacks *stacks;
    struct tug__stack
        *ended; /* of tasks that have left: released from another stack than their own */
    struct tug__group user;    /* root of all tasks of the program */
    struct tug__group service; /* root of pools and connections: ends after it */
    size_t tasks;
    uint64_t spawned; /* in all */
    tug_waiters stop_waiters;
    struct tug__timer drain_timer;
    struct tug_task
        *stopping; /* their operations are asked to stop, see own.c; linked by wait.slot */
    tug_hooks hooks;
    bool pierce; /* a second signal: shields hold nothing back */
};

static inline struct tug__runtime *tug__runtime(const struct tug_loop *loop)
{
    return loop->slots[TUG__SLOT_TASKS].value;
}
static inline struct tug_task *tug__current(void)
{
    return tug__loop != NULL ? tug__loop->current : NULL;
}

int tug__runtime_open(struct tug_loop *loop);

/* A task in a group, not yet run. copy_size > 0: arg is copied to its stack. */
int tug__task_spawn(struct tug__group *g, tug_task_fn fn, const void *arg, size_t copy_size,
                    void *spawned_at, struct tug_task **ret);
/* Puts a waiting task into the run queue. */
void tug__task_wake(struct tug_task *t, int code, const tug_error *why);
/* Takes a waiting task out of its list with TUG_ECANCELED, if a cancel may; an operation that it owns
 * is asked to stop by tug__own_stop_all, which the caller calls once it has told all tasks. */
void tug__task_interrupt(struct tug_task *t);
void tug__own_stop_soon(struct tug_task *t);
void tug__own_stop_all(struct tug__runtime *rt);
/* Leaves the CPU; returns the wake code. The caller has put the task where it waits. */
int tug__suspend(struct tug_loop *loop, struct tug_task *t);
/* TUG_ECANCELED with its detail, for a task that is interrupted. */
int tug__canceled(void);
/* The running task, or TUG_EMISUSE with "what must be called in a task". */
struct tug_task *tug__need_task(const char *what);

/* It ends and holds locks: tells them. */
void tug__holds_abandon(struct tug_task *t);

void tug__group_init_root(struct tug__group *g, const char *name);
void tug__group_child_ended(struct tug__group *g, struct tug_task *t, int rc);
/* tug_group_spawn and _spawn_copy, but a refusal does not fail the group. */
int tug__group_spawn(tug_group *g, tug_task_fn fn, const void *arg, size_t copy_size, void *at,
                     struct tug_task **ret);
/* A task with a result has ended, rc <= 0: true if somebody waits for it to be ready, who has been told. */
bool tug__ready_child_ended(struct tug_task *t, int rc);

#endif
