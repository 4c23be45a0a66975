/* What:      calls that block, on threads of the loop's own pool; host name look-up and file reads on them.
 * Ownership: see each call.
 * Context:   task only; fn runs on another thread and may call no tug function but tug_fail, tug_fail_with,
 *            tug_last_error, tug_buffer_* and tug_log.
 * Callbacks: fn, peek and destroy.
 * Errors:    what fn returned, with the detail it left by tug_fail; TUG_ECANCELED, TUG_ENOMEM, TUG_ELIMIT
 *            (no thread could be made, or 4,096 calls wait for one already: 8 run at a time). */
#ifndef TUG_OFFLOAD_H
#define TUG_OFFLOAD_H

#include <tug/future.h>

#ifdef __cplusplus
extern "C" {
#endif

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

/* Reads up to size bytes (at most 256 KiB) at offset from a file descriptor, off the loop, abandonably:
 * fd is duplicated for the job. offset < 0: reads at the current position (a pipe, a terminal); when such
 * a read is cancelled while it runs, the bytes that it gets are lost.
 * > 0: bytes; 0: end; < 0: -errno, TUG_ECANCELED. */
TUG_SUSPENDS TUG_EXPORT int tug_read_at(int fd, int64_t offset, void *to, size_t size) TUG_CHECK;

#ifdef __cplusplus
}
#endif
#endif
