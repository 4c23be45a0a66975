/* What the worker says: lines on stderr while it runs, one line on stdout at the end. */
#include "etl.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

void report_line(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "etl: %s\n", text);
}

int report_failed(int rc, const char *doing)
{
    if (rc >= 0 || rc == TUG_ECANCELED) {
        return rc;
    }
    tug_error e = *tug_last_error();
    if (e.code != rc) {
        return tug_fail(rc, "%s: %s", doing, tug_error_text(rc));
    }
    char text[sizeof e.text];
    snprintf(text, sizeof text, "%s: %.*s", doing, (int)sizeof text / 2 + 100, e.text);
    snprintf(e.text, sizeof e.text, "%s", text);
    return tug_fail_with(&e);
}

/* All there are once the input is read; before, what its size lets expect. */
static int64_t expected_total(const etl_run *r)
{
    if (r->is_read || r->input_offset == 0) {
        return r->count.read;
    }
    return (int64_t)((double)r->count.read * (double)r->input_size / (double)r->input_offset);
}

int report_run(void *arg)
{
    const etl_run *r = arg;
    const etl_counters *c = &r->count;
    int64_t before = 0;
    int rc = 0;
    while ((rc = tug_sleep(TUG_SECONDS(ETL_REPORT_SECONDS))) == 0) {
        int64_t waiting = c->published > c->settled ? c->published - c->settled : 0;
        int64_t more = c->settled > before ? c->settled - before : 0;
        report_line("done %lld of %s%lld, %lld/s, %lld in queue, %lld rejected, %lld of other runs",
                    (long long)c->settled, r->is_read ? "" : "about ", (long long)expected_total(r),
                    (long long)more / ETL_REPORT_SECONDS, (long long)waiting,
                    (long long)c->rejected, (long long)c->others);
        before = c->settled;
    }
    return rc;
}

int report_summary(const etl_run *r, const etl_tally *t, const char *verdict)
{
    double seconds = (double)(tug_now() - r->started) / 1e9;
    printf("etl: read=%lld published=%lld loaded=%lld duplicates=%lld rejected=%lld seconds=%.2f"
           " rows_per_second=%.0f verified=%s\n",
           (long long)r->count.read, (long long)r->count.published, (long long)t->loaded,
           (long long)t->duplicates, (long long)t->rejected, seconds,
           seconds > 0 ? (double)r->count.read / seconds : 0.0, verdict);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        int error = errno;
        return tug_fail(-error, "writing the summary to standard output: %s", strerror(error));
    }
    return 0;
}
