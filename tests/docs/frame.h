/* What:      what stands around the examples of docs/ that are no whole programs: extract.sh puts it there.
 * Ownership, Context, Callbacks: of the example's main.
 * Errors:    frame_run prints them and gives an exit status. */
#ifndef TUG_TESTS_DOCS_FRAME_H
#define TUG_TESTS_DOCS_FRAME_H

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/testing.h>
#include <tug/tug.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wunused-function" /* what is only built is called by nobody */

static inline int frame_run(tug_task_fn fn)
{
    tug_log_set_sink(tug_log_stderr, NULL);
    int rc = tug_test_run(fn, NULL, NULL);
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", tug_error_name(rc), tug_last_error()->text);
    }
    return rc < 0;
}

#endif
