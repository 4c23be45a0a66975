/* What: a process from its start to its end in one call: a task writes, the caller reads and then waits. */
#include <errno.h>
#include <string.h>
#include <tug/group.h>
#include <tug/process.h>

struct exchange {
    tug_process *process;
    struct tug_bytes input;
    size_t limit;
};

static int give(void *arg)
{
    struct exchange *e = arg;
    tug_stream *in = tug_process_in(e->process);
    int rc = tug_stream_write(in, e->input);
    if (rc == 0) {
        rc = tug_stream_flush(in);
    }
    TUG_IGNORE(tug_stream_shutdown(in));
    /* It need not read all of its input: how it ends says whether that was well. */
    return rc == TUG_ECANCELED ? rc : 0;
}

static int run_it(struct exchange *e, tug_buffer **output, tug_process_status *status)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    int rc = e->input.size > 0 ? tug_group_spawn(&g, give, e) : 0;
    if (rc == 0 && output != NULL) {
        rc = tug_stream_read_all(tug_process_out(e->process), e->limit, output);
    }
    if (rc == 0) {
        rc = tug_process_wait(e->process, status);
    }
    return tug_group_leave(&g, rc);
}

int tug_process_run(const char *const *argv, const tug_process_options *given,
                    struct tug_bytes input, size_t limit, tug_buffer **ret_output,
                    tug_process_status *ret_status)
{
    tug_process_options o = TUG_PROCESS_OPTIONS_INIT;
    if (given != NULL) {
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    }
    o.in = input.size > 0 ? TUG_PROCESS_PIPE : o.in;
    o.out = ret_output != NULL ? TUG_PROCESS_PIPE : o.out;
    struct exchange e = {.input = input, .limit = limit};
    tug_process_status status = {-1, -1};
    tug_buffer *output = NULL;
    int rc = tug_process_start(argv, &o, &e.process);
    if (rc == 0) {
        rc = run_it(&e, ret_output != NULL ? &output : NULL, &status);
    }
    tug_process_close(e.process);
    if (rc < 0) {
        tug_buffer_unref(output);
        return rc;
    }
    if (ret_output != NULL) {
        *ret_output = output;
    }
    *ret_status = status;
    return 0;
}
