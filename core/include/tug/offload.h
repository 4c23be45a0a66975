/* What:      calls that block, on threads of the loop's own pool; file reads on them.
 * Ownership: see each call.
 * Context:   task only, unless said otherwise; fn runs on another thread and may call no tug function but
 *            tug_fail, tug_fail_with, tug_last_error, tug_buffer_*, tug_log and tug_remote_*.
 * Callbacks: fn, peek and destroy.
 * Errors:    what fn returned, with the detail it left by tug_fail; TUG_ECANCELED, TUG_ENOMEM, TUG_ELIMIT
 *            (no thread could be made, or max_queued calls wait for one already). */
#ifndef TUG_OFFLOAD_H
#define TUG_OFFLOAD_H

#include <tug/future.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Threads are made on demand. A call that may hang for long, a look-up of a host name, gets half of them at
 * most. */
typedef struct tug_offload_options {
    size_t size;
    size_t min_threads; /* kept although idle, and made by configure; 0 to max_threads; 0 */
    size_t max_threads; /* 1 to 256; 8 */
    size_t max_queued;  /* calls that wait for a thread, 1 to 1,000,000; 4,096 */
    tug_duration idle;  /* without work for this long a thread above min_threads ends, ns; 10 s */
} tug_offload_options;
#define TUG_OFFLOAD_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(tug_offload_options), 0, 8, 4096, TUG_SECONDS(10)                                   \
    }
/* For the calling thread's loop, at any time: threads that are too many end when their call has. NULL: the
 * defaults. TUG_EINVAL, TUG_EMISUSE without a loop, TUG_ELIMIT (min_threads cannot be made). Any context of
 * the loop. */
TUG_EXPORT int tug_offload_configure(const tug_offload_options *o);

/* Runs fn(arg) on a thread and returns what it returned. Cancelled while it waits for a thread: it never
 * runs. A running fn is always waited for, whatever is cancelled: arg may be on the stack. */
TUG_SUSPENDS TUG_EXPORT int tug_offload(int (*fn)(void *arg), void *arg) TUG_CHECK;
/* The same, but the wait may be cut short; fn then runs on by itself, and keeps its thread. So arg is on the
 * heap and belongs to the job: destroy(arg) is called once in every case, on the loop's thread when both
 * fn has returned and the wait has ended, at once if fn could not be started, or, when the loop has ended
 * meanwhile, on the job's thread. peek, if not NULL, is called on the loop's thread
 * just before, only when the wait was not cut short: it moves results out of arg. */
TUG_SUSPENDS TUG_EXPORT int tug_offload_abandonable(int (*fn)(void *arg),
                                                    void (*peek)(void *arg, void *to),
                                                    void (*destroy)(void *arg), void *arg,
                                                    void *to) TUG_CHECK;

/* The started form, for any context of the loop. destroy NULL: arg must live until the future is settled, which
 * after a cancel is when fn has returned. Else arg belongs to the job, as above: a cancel settles the
 * future at once (TUG_EDROPPED), and destroy(arg) comes once in every case. */
TUG_EXPORT tug_future *tug_offload_start(int (*fn)(void *arg), void (*destroy)(void *arg),
                                         void *arg);
/* What fn returned, >= 0, once. */
TUG_EXPORT int tug_offload_take(tug_future *f, int *ret_result) TUG_CHECK;

/* Reads up to size bytes (at most 256 KiB) at offset from a file descriptor, off the loop, abandonably:
 * fd is duplicated for the job. offset < 0: reads at the current position (a pipe, a terminal); when such
 * a read is cancelled while it runs, the bytes that it gets are lost.
 * > 0: bytes; 0: end; < 0: -errno, TUG_ECANCELED. */
TUG_SUSPENDS TUG_EXPORT int tug_read_at(int fd, int64_t offset, void *to, size_t size) TUG_CHECK;

#ifdef __cplusplus
}
#endif
#endif
