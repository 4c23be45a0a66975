/* What:      what the log needs from higher rooms.
 * Ownership: none. Context: any thread. Callbacks: the task's name. Errors: none. */
#ifndef TUG_UTIL_LOG_H
#define TUG_UTIL_LOG_H

#include <tug/log.h>

/* The name of the task that runs on the calling thread, "" if there is none. Set once by the room
 * that knows tasks, before any loop runs; NULL: no names. The text needs to live for one record
 * only. */
extern const char *(*tug__log_task_name)(void);

#endif
