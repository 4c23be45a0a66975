/* What:      other programs: started without a shell, with pipes as streams, waited for without blocking, ended
 *            and reaped when their handle goes.
 * Ownership: tug_process is yours until close; its streams belong to it. argv, environment and folder are
 *            borrowed until start returns.
 * Context:   start, wait, run: task only. The rest: any context of the loop.
 * Callbacks: none.
 * Errors:    -errno with the program's name from start (-ENOENT: no such program or folder), TUG_ECANCELED,
 *            TUG_ECLOSED from a wait on a handle that is closed meanwhile, TUG_ELIMIT, TUG_ENOMEM. */
#ifndef TUG_PROCESS_H
#define TUG_PROCESS_H

#include <tug/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_process tug_process;

enum {
    TUG_PROCESS_NULL,    /* /dev/null */
    TUG_PROCESS_INHERIT, /* this process's own */
    TUG_PROCESS_PIPE,    /* a stream: tug_process_in, _out, _err */
    TUG_PROCESS_FD,      /* the descriptor in in_fd, out_fd or err_fd, which stays yours */
    TUG_PROCESS_OUT      /* err only: where out goes */
};

typedef struct tug_process_options {
    size_t size;
    /* "NAME=value" strings, the last one NULL: the whole environment. NULL: this process's. */
    const char *const *environment;
    const char *folder;        /* to work in; NULL: this process's */
    int in, out, err;          /* of the above; NULL, INHERIT, INHERIT */
    int in_fd, out_fd, err_fd; /* for FD; -1 */
    /* In a process group of its own, so that its end takes what it has started along; true. A program that
     * talks to the terminal needs false. */
    bool own_group;
    tug_duration grace; /* from the SIGTERM of close to SIGKILL, ns, 0: SIGKILL at once; 5 s */
} tug_process_options;
#define TUG_PROCESS_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(tug_process_options), NULL, NULL, TUG_PROCESS_NULL, TUG_PROCESS_INHERIT,            \
            TUG_PROCESS_INHERIT, -1, -1, -1, true, TUG_SECONDS(5)                                  \
    }

/* How it ended: one of the two is >= 0. */
typedef struct tug_process_status {
    int code;   /* what it returned, 0 to 255; -1: it was ended by a signal */
    int signal; /* that signal; -1 */
} tug_process_status;

/* argv[0] is looked up in PATH unless it has a slash; the last one is NULL. The new process has no descriptors
 * but the three, no blocked signals and none ignored. o NULL: the defaults. */
TUG_SUSPENDS TUG_EXPORT int tug_process_start(const char *const *argv, const tug_process_options *o,
                                              tug_process **ret_process) TUG_CHECK;
/* The pipes; NULL for what is none. Shut in down (tug_stream_shutdown) to end its input. Borrowed until close. */
TUG_EXPORT tug_stream *tug_process_in(tug_process *p);
TUG_EXPORT tug_stream *tug_process_out(tug_process *p);
TUG_EXPORT tug_stream *tug_process_err(tug_process *p);
TUG_EXPORT int tug_process_id(const tug_process *p);
/* Waits for its end. Any number of tasks may, and again after it. A cancelled wait leaves the process alone. */
TUG_SUSPENDS TUG_EXPORT int tug_process_wait(tug_process *p,
                                             tug_process_status *ret_status) TUG_CHECK;
/* Sends a signal to it (not to its group): 0, -ESRCH when it has ended. */
TUG_EXPORT int tug_process_signal(tug_process *p, int number);
/* Never suspends. If it still runs, it (with own_group: its group) gets SIGTERM, and SIGKILL after the grace, what is left
 * of its group as soon as it has ended itself; it is reaped in the background, and the end of the loop waits for that. NULL is fine. */
TUG_EXPORT void tug_process_close(tug_process *p);
TUG_AUTO_FN(tug_process, tug_process_close)

/* All in one: starts it, gives it input (none: its input is as o says), collects what it writes to its output,
 * at most limit bytes (else TUG_ELIMIT), and waits for its end. Whatever cuts this short ends the process. A
 * status other than 0 is no failure of this call. ret_output NULL: its output is as o says. */
TUG_SUSPENDS TUG_EXPORT int tug_process_run(const char *const *argv, const tug_process_options *o,
                                            struct tug_bytes input, size_t limit,
                                            tug_buffer **ret_output,
                                            tug_process_status *ret_status) TUG_CHECK;

#ifdef __cplusplus
}
#endif
#endif
