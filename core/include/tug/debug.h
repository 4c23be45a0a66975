/* What:      checks and reports that find bugs of the program: what TUG_DEBUG=1 turns on, one by one.
 * Ownership: none; the settings are the process's.
 * Context:   tug_debug_set before loops run. TUG_NO_SUSPEND in a task, in one function.
 * Callbacks: none.
 * Errors:    tug_debug_set: TUG_EINVAL. A check that fails ends the process with a sentence, or logs a
 *            warning, as stated; without a log sink the sentence goes to stderr. */
#ifndef TUG_DEBUG_H
#define TUG_DEBUG_H

#include <tug/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_debug_options {
    size_t size;
    /* What is nearly always a bug aborts: a pending future that is released and was never awaited,
     * watched, cancelled or detached; a call from the wrong thread that has no result. bool; true. */
    bool abort_on_misuse;
    /* A failed future that is released and whose error nobody has read is logged as a warning. bool; true. */
    bool unread_errors;
    /* A task that suspends inside TUG_NO_SUSPEND aborts. bool; true. */
    bool no_suspend;
    /* The stack of a task that has ended is filled with 0xdb, so that a pointer into it shows. (Under
     * AddressSanitizer it is poisoned for that as well.) bool; true. */
    bool poison_stacks;
    /* How deep the tasks of each spawn site used their stacks: a list in tug_inspect. bool; true. */
    bool stack_marks;
    /* A SIGSEGV handler, on an alternate stack for each loop's thread, that names the task whose stack is
     * full; tug_main has it in any case. bool; true. */
    bool overflow_report;
    /* A step that holds a loop longer than this is logged as a warning, with the task's name; ns,
     * 0 = never; 25 ms. Only a multiple of about a quarter is seen, so one may pass that is a quarter longer.
     * One thread of the process's watches. */
    tug_duration slow_step;
    /* The same with a backtrace, at most 5 a minute. It is taken by SIGURG in the thread that is stuck, if the
     * program does not handle that signal itself; a system call that the step waits in may then return
     * EINTR. bool; true. */
    bool slow_backtrace;
    /* A signal upon which each loop writes tug_inspect to stderr; 1 to 64, 0 = none; 0. */
    int dump_signal;
} tug_debug_options;
#define TUG_DEBUG_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(tug_debug_options), true, true, true, true, true, true, TUG_MS(25), true, 0         \
    }

/* Without a call the environment decides: TUG_DEBUG=1 is all of the above with SIGUSR1 as the dump signal;
 * else all is off. o NULL: back to that. */
TUG_EXPORT int tug_debug_set(const tug_debug_options *o);

/* TUG_NO_SUSPEND { ... }: the block relies on no other task running in between. With no_suspend on, a task
 * that suspends inside aborts with the place of the block and what it would wait for; else the block
 * costs one test. It may be left by break, return and goto. */
#define TUG_NO_SUSPEND TUG__NO_SUSPEND(TUG__NO_SUSPEND_NAME(__LINE__))
#define TUG__NO_SUSPEND_NAME(line) TUG__NO_SUSPEND_NAME_(line)
#define TUG__NO_SUSPEND_NAME_(line) tug__no_suspend_##line
#define TUG__NO_SUSPEND(name)                                                                      \
    for (struct tug__no_suspend name __attribute__((cleanup(tug__no_suspend_leave))) =             \
             tug__no_suspend_enter(__FILE__, __LINE__);                                            \
         !name.done; name.done = true)

struct tug__no_suspend {
    const char *outer_file;
    int outer_line;
    bool armed, done;
};
TUG_EXPORT struct tug__no_suspend tug__no_suspend_enter(const char *file, int line);
TUG_EXPORT void tug__no_suspend_leave(struct tug__no_suspend *block);

#ifdef __cplusplus
}
#endif
#endif
