/* What:      the inside of tasks and of the runtime that runs them.
 * Ownership: a task's struct lies at the top of its own stack and goes with it.
 * Context:   the loop's thread. Callbacks: none. Errors: TUG_ENOMEM, TUG_ELIMIT, TUG_ECLOSED from spawn. */
#ifndef TUG_TASK_TASK_H
#define TUG_TASK_TASK_H

#include <tug/group.h>

#include "future/future.h"
#include "task/debugging.h"
#include "task/scope.h"
#include "task/stack.h"
#include "task/switch.h"

enum {
    TUG__CREDITS = 128, /* calls that need not wait, before a forced yield */
    TUG__NAME_SIZE = 32,
    TUG__COPY_MAX = 4096, /* bytes of an argument copied to the stack */
    TUG__WARM = 128,      /* ended tasks kept as they are, a page each */
    TUG__WARM_AHEAD =
        6, /* of them prefetched: with 2 a spawn of 100 costs 3 % more, with 3 to 6 the same */
    TUG__ERRORS_KEPT = 9 /* of a group: the first and 8 more */
};

enum tug__task_state {
    TUG__TASK_READY,   /* in the run queue, or runs: then it is the loop's current */
    TUG__TASK_WAITING, /* in a list, and a cancel takes it out */
    TUG__TASK_HELD,    /* waiting where no cancel reaches: group leave, a running job */
    TUG__TASK_ENDED
};

struct tug__group {
    struct tug__scope scope;
    struct tug_loop *loop;
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

/* In lines of the cache: a yield touches the first, a wait the second, a spawn and an end those that say
 * so. It starts at a multiple of 64. */
struct tug_task {
    struct tug__context context; /* first: a context is its task */
    int wake_code;
    int saved_errno;
    union {
        struct {
            uint16_t credits;
            uint8_t state;
            uint8_t interrupted;
        };
        uint32_t credits_if_well; /* little-endian: small while the other two are 0 */
    };
    uint8_t within;           /* used entries of scopes */
    bool locals_closed;       /* it ends, and takes no further task-local */
    bool is_marked;           /* name or error may have been written: else both are empty */
    struct tug__scope *scope; /* innermost */
    struct tug__group *group;

    struct tug__wait wait;
    tug_time waiting_since; /* the turn's clock when it began to wait */

    /* Spawn and end, with the first words of base. */
    struct tug_task *next, **at_prev; /* in the group */
    tug_task_fn fn;
    void *arg;
    tug_future *result; /* of start; this side of it */
    struct tug__stack *stack;
    void *spawned_at;
    uint64_t number; /* of this loop's tasks, from 1: unlike the address never used twice */
    struct tug__locals *locals; /* NULL: none */
    struct tug__hold *holds;    /* locks that it has to give back: hold.h */
    tug_future *owned; /* what it waits for in tug_await_own, until that was asked to stop */
    struct tug__scope base;

    struct tug__timer sleep_timer;
    void *fake_stack; /* of AddressSanitizer */

    /* Spawn, again: one line up to the first byte of the error's text. */
    _Alignas(64) char name[TUG__NAME_SIZE];
    tug_error error;
    struct tug__scope scopes[TUG__WITHIN_MAX]; /* of TUG_WITHIN; lowest in memory last touched */
};

_Static_assert(TUG__TASK_READY == 0, "credits_if_well counts on it");

struct tug__runtime {
    void *memory;                 /* what to free */
    struct tug_task host;         /* the loop's own stack, of which a switch needs the first line */
    struct tug__stack host_stack; /* as AddressSanitizer knows it */
    struct tug__stacks *stacks;
    /* Tasks that have left, on stacks that nobody stands on any more: the next spawns take them as they
     * are. An array, not a list, whose links would be one cache miss after the other. Those below
     * warm_checked are known not to have used their stack deep. */
    struct tug_task *warm[TUG__WARM];
    uint32_t warm_count, warm_checked;
    uint32_t warm_most; /* 0: each stack is released and obtained (who wants to look at it then) */
    struct tug_task *ended; /* those beyond: released from the loop's own stack */
    struct tug_loop *loop;
    struct tug__remote_run *remote_runs; /* other threads that wait for tasks here */
    struct tug__debugging debugging;
    struct tug__group user;    /* root of all tasks of the program */
    struct tug__group service; /* root of pools and connections: ends after it */
    size_t tasks;
    uint64_t spawned; /* in all */
    tug_waiters stop_waiters;
    struct tug__timer drain_timer;
    struct tug__timer patience_timer; /* see end.c */
    tug_duration patience;
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
/* The tasks will never run again: who waits for them in tug_remote_run gets TUG_ECLOSED. */
void tug__remote_runs_abandon(struct tug__runtime *rt);

/* A task in a group, not yet run. copy_size > 0: arg is copied to its stack. */
static inline int tug__task_spawn(struct tug__group *g, tug_task_fn fn, const void *arg,
                                  size_t copy_size, void *spawned_at, struct tug_task **ret);
/* The same; NULL: the code is in the detail. */
struct tug_task *tug__task_new(struct tug__group *g, tug_task_fn fn, const void *arg,
                               size_t copy_size, void *spawned_at);
/* The same on a stack of at least so many bytes, for itself alone. */
struct tug_task *tug__task_new_large(struct tug__group *g, tug_task_fn fn, void *arg,
                                     size_t stack_size, void *spawned_at);
void tug__task_set_name(struct tug_task *t, const char *name);
/* Puts a waiting task into the run queue. */
void tug__task_wake(struct tug_task *t, int code, const tug_error *why);
/* Takes a waiting task out of its list with TUG_ECANCELED, if a cancel may; an operation that it owns
 * is asked to stop by tug__own_stop_all, which the caller calls once it has told all tasks. */
void tug__task_interrupt(struct tug_task *t);
void tug__own_stop_soon(struct tug_task *t);
void tug__own_stop_all(struct tug__runtime *rt);
/* TUG_ECANCELED with its detail, for a task that is interrupted. */
int tug__canceled(void);
/* The running task, or TUG_EMISUSE with "what must be called in a task". */
struct tug_task *tug__need_task(const char *what);

static inline int tug__task_spawn(struct tug__group *g, tug_task_fn fn, const void *arg,
                                  size_t copy_size, void *spawned_at, struct tug_task **ret)
{
    struct tug_task *t = tug__task_new(g, fn, arg, copy_size, spawned_at);
    if (t == NULL) {
        int rc = tug__error_current()->code;
        return rc < 0 ? rc : TUG_ENOMEM;
    }
    *ret = t;
    return 0;
}

/* It ends and holds locks: tells them. */
void tug__holds_abandon(struct tug_task *t);

void tug__group_init_root(struct tug__group *g, struct tug_loop *loop, const char *name);
/* The part of a child's end that is rare: it has a result, or failed. The child has been unlinked. */
void tug__group_child_result(struct tug__group *g, struct tug_task *t, int rc);
/* tug_group_spawn and _spawn_copy, but a refusal does not fail the group. */
int tug__group_spawn(tug_group *g, tug_task_fn fn, const void *arg, size_t copy_size, void *at,
                     struct tug_task **ret);
/* A task with a result has ended, rc <= 0: true if somebody waits for it to be ready, who has been told. */
bool tug__ready_child_ended(struct tug_task *t, int rc);

#endif
