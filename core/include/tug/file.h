/* What:      regular files without blocking the loop: each call is made on a thread of the loop's own.
 * Ownership: tug_file is yours until close. Data is borrowed for the call.
 * Context:   task only, but for close. Calls with a position of their own (_at) may run side by side; of those
 *            that use the file's position one at a time (TUG_EMISUSE).
 * Callbacks: none.
 * Errors:    -errno with path and reason; TUG_ECLOSED after close; TUG_ELIMIT; TUG_ECANCELED. A cancelled read
 *            has not moved the position. A write that has begun is waited for, and then told as it
 *            came out; a cancelled write may have written its first part, tug_file_position says how much. */
#ifndef TUG_FILE_H
#define TUG_FILE_H

#include <tug/value.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_file tug_file;

enum {
    TUG_FILE_READ = 1,
    TUG_FILE_WRITE = 2,
    TUG_FILE_CREATE = 4,    /* if it is not there */
    TUG_FILE_EXCLUSIVE = 8, /* with CREATE: -EEXIST if it is there */
    TUG_FILE_TRUNCATE = 16,
    TUG_FILE_APPEND = 32 /* all writes go to the end, the position is not looked at */
};

/* flags: of the above, at least READ or WRITE. mode: permissions of a new file (0644 and the like), under the
 * process's umask. A folder, a socket or a device is refused: -EISDIR, TUG_EINVAL. Close-on-exec. */
TUG_SUSPENDS TUG_EXPORT int tug_file_open(const char *path, unsigned flags, unsigned mode,
                                          tug_file **ret_file) TUG_CHECK;
/* > 0: bytes, at most size and at most 1 MiB; 0: the end. */
TUG_SUSPENDS TUG_EXPORT int tug_file_read(tug_file *f, void *to, size_t size) TUG_CHECK;
TUG_SUSPENDS TUG_EXPORT int tug_file_read_at(tug_file *f, int64_t offset, void *to,
                                             size_t size) TUG_CHECK;
/* All of data, in portions of 1 MiB: 0. */
TUG_SUSPENDS TUG_EXPORT int tug_file_write(tug_file *f, struct tug_bytes data) TUG_CHECK;
TUG_SUSPENDS TUG_EXPORT int tug_file_write_at(tug_file *f, int64_t offset,
                                              struct tug_bytes data) TUG_CHECK;
/* Returns when what was written is on the disk (fdatasync). An error that only close would tell comes here
 * too: call it before close if it matters. */
TUG_SUSPENDS TUG_EXPORT int tug_file_sync(tug_file *f) TUG_CHECK;
TUG_SUSPENDS TUG_EXPORT int tug_file_truncate(tug_file *f, int64_t size) TUG_CHECK;
TUG_SUSPENDS TUG_EXPORT int tug_file_size(tug_file *f, int64_t *ret_size) TUG_CHECK;
/* The position of the next read or write, in bytes from the beginning. These two do not suspend. */
TUG_EXPORT int64_t tug_file_position(const tug_file *f);
TUG_EXPORT int tug_file_seek(tug_file *f, int64_t position) TUG_CHECK;
/* Never suspends; the descriptor is closed on a thread, after the calls that run. Whoever waits for a read gets
 * TUG_ECLOSED. Any context of the loop. NULL is fine. */
TUG_EXPORT void tug_file_close(tug_file *f);
TUG_AUTO_FN(tug_file, tug_file_close)

/* The whole of a file that has at most limit bytes, else TUG_ELIMIT. */
TUG_SUSPENDS TUG_EXPORT int tug_file_load(const char *path, size_t limit,
                                          tug_buffer **ret_content) TUG_CHECK;
/* Replaces path by data, or makes it: readers see the old content or the new one, also after a loss of power
 * (a new file beside it, synced, renamed over it, its folder synced). Not cut short once it runs. */
TUG_SUSPENDS TUG_EXPORT int tug_file_save(const char *path, struct tug_bytes data,
                                          unsigned mode) TUG_CHECK;
/* rename(2), then the target's folder is synced. */
TUG_SUSPENDS TUG_EXPORT int tug_file_rename(const char *from, const char *to) TUG_CHECK;
/* unlink(2). */
TUG_SUSPENDS TUG_EXPORT int tug_file_remove(const char *path) TUG_CHECK;

#ifdef __cplusplus
}
#endif
#endif
