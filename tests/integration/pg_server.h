/* What:      PostgreSQL servers of one test's own: pg_server.sh behind a pipe.
 * Ownership: servers is yours until stop; if the test dies before, the script notices and cleans up.
 * Context:   in a test's task. Callbacks: none. Errors: fail the test. */
#ifndef TUG_TESTS_PG_SERVER_H
#define TUG_TESTS_PG_SERVER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/process.h>

#include "test.h"

typedef struct servers {
    tug_process *process;
    char folder[64];
} servers;

/* The rest of the answer behind "ok "; static storage. */
__attribute__((format(printf, 2, 3))) static inline const char *servers_say(servers *s,
                                                                            const char *format, ...)
{
    static char answer[600];
    char command[300];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(command, sizeof command - 1, format, args);
    va_end(args);
    strcpy(command + n, "\n");
    assert_ok(
        tug_stream_write(tug_process_in(s->process), (struct tug_bytes){command, (size_t)n + 1}));
    int size = tug_stream_read_until(tug_process_out(s->process), (struct tug_bytes){"\n", 1},
                                     answer, sizeof answer);
    assert_true(size > 0);
    answer[size - 1] = '\0';
    if (strncmp(answer, "ok", 2) != 0) {
        fail_msg("%s: %s", format, answer);
    }
    return answer + (answer[2] == ' ' ? 3 : 2);
}

static inline servers servers_begin(void)
{
    static const char *const argv[] = {TUG_PG_SERVER_SH, NULL};
    tug_process_options o = TUG_PROCESS_OPTIONS_INIT;
    servers s = {.process = NULL};
    o.in = o.out = TUG_PROCESS_PIPE;
    assert_ok(tug_process_start(argv, &o, &s.process));
    snprintf(s.folder, sizeof s.folder, "%s", servers_say(&s, "folder"));
    return s;
}

/* Starts it; its port. */
static inline int servers_start(servers *s, const char *name)
{
    return atoi(servers_say(s, "start %s", name));
}

static inline void servers_end(servers *s)
{
    tug_process_status status;
    assert_ok(tug_stream_shutdown(tug_process_in(s->process)));
    assert_ok(tug_process_wait(s->process, &status));
    assert_int_equal(status.code, 0);
    tug_process_close(s->process);
}

#endif
