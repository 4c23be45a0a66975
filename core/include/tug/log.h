/* What:      log lines with a level, a subsystem and key=value fields. Silent until a sink is set.
 * Ownership: the record is borrowed during the sink's call.
 * Context:   any thread; the sink may be called from any thread and must not wait.
 * Callbacks: the sink; what it logs itself is dropped.
 * Errors:    none: logging never fails. */
#ifndef TUG_LOG_H
#define TUG_LOG_H

#include <tug/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TUG_LOG_ERROR,
    TUG_LOG_WARN,
    TUG_LOG_INFO,
    TUG_LOG_DEBUG,
    TUG_LOG_TRACE
};

typedef struct tug_log_record {
    int level;
    const char *subsystem; /* "pg", "amqp", "loop" ... */
    const char *task;      /* name of the task that logs, "" outside tasks */
    const char
        *text; /* the sentence, then " key=value" fields; one line: control bytes are escaped,
                              more than 2 KiB is cut and ends with "..." */
} tug_log_record;

typedef void (*tug_log_sink)(const tug_log_record *record, void *arg);

/* NULL: silent again. Set it before loops run. */
TUG_EXPORT void tug_log_set_sink(tug_log_sink sink, void *arg);
/* "info", "pg=debug,info", "amqp=trace": levels by subsystem, the bare word for all others. TUG_EINVAL
 * names the part that is wrong and changes nothing. Up to 16 subsystems of up to 15 bytes. Default: warn. */
TUG_EXPORT int tug_log_set_levels(const char *levels);
/* A ready-made sink: "time level subsystem [task] text" on stderr. */
TUG_EXPORT void tug_log_stderr(const tug_log_record *record, void *arg);
/* Cheap when the level is off: the arguments are not formatted. */
TUG_EXPORT bool tug_log_is_on(int level, const char *subsystem);
TUG_EXPORT void tug_log(int level, const char *subsystem, const char *format, ...) TUG_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
