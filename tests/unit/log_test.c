#include "util/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/error.h>
#include <unistd.h>

#include "test.h"

struct kept {
    int count, level;
    char subsystem[32], task[64], text[4096];
};

static void keep(const tug_log_record *record, void *arg)
{
    struct kept *k = arg;
    k->count++;
    k->level = record->level;
    snprintf(k->subsystem, sizeof k->subsystem, "%s", record->subsystem);
    snprintf(k->task, sizeof k->task, "%s", record->task);
    snprintf(k->text, sizeof k->text, "%s", record->text);
}

TEST(silent_until_a_sink_is_set)
{
    struct kept k = {0};
    assert_false(tug_log_is_on(TUG_LOG_ERROR, "pg"));
    tug_log(TUG_LOG_ERROR, "pg", "nobody hears this");
    tug_log_set_sink(keep, &k);
    assert_true(tug_log_is_on(TUG_LOG_WARN, "pg"));
    assert_false(tug_log_is_on(TUG_LOG_INFO, "pg"));
    tug_log(TUG_LOG_INFO, "pg", "below the default level");
    assert_int_equal(k.count, 0);
    tug_log(TUG_LOG_WARN, "pg", "slow rows=%d", 7);
    assert_int_equal(k.count, 1);
    assert_int_equal(k.level, TUG_LOG_WARN);
    assert_string_equal(k.subsystem, "pg");
    assert_string_equal(k.task, "");
    assert_string_equal(k.text, "slow rows=7");
    tug_log_set_sink(NULL, NULL);
    assert_false(tug_log_is_on(TUG_LOG_ERROR, "pg"));
}

TEST(levels_are_per_subsystem)
{
    struct kept k = {0};
    tug_log_set_sink(keep, &k);
    assert_ok(tug_log_set_levels("pg=debug,amqp=error,info"));
    assert_true(tug_log_is_on(TUG_LOG_DEBUG, "pg"));
    assert_false(tug_log_is_on(TUG_LOG_TRACE, "pg"));
    assert_false(tug_log_is_on(TUG_LOG_WARN, "amqp"));
    assert_true(tug_log_is_on(TUG_LOG_ERROR, "amqp"));
    assert_true(tug_log_is_on(TUG_LOG_INFO, "redis"));
    assert_false(tug_log_is_on(TUG_LOG_DEBUG, "redis"));
    /* Names are compared whole. */
    assert_false(tug_log_is_on(TUG_LOG_DEBUG, "pgx"));
    assert_false(tug_log_is_on(TUG_LOG_DEBUG, "p"));
    /* A list replaces the one before it: what it does not name is at the default again. */
    assert_ok(tug_log_set_levels("amqp=trace"));
    assert_true(tug_log_is_on(TUG_LOG_TRACE, "amqp"));
    assert_false(tug_log_is_on(TUG_LOG_INFO, "pg"));
}

TEST(a_wrong_level_changes_nothing_and_is_named)
{
    struct kept k = {0};
    tug_log_set_sink(keep, &k);
    assert_ok(tug_log_set_levels("pg=debug"));
    static const struct {
        const char *levels, *part;
    } wrong[] = {
        {"loud", "\"loud\""},
        {"pg=loud,info", "\"loud\""},
        {"", "\"\""},
        {"info,", "\"\""},
        {"=info", "\"=info\""},
        {"INFO", "\"INFO\""},
        {"pg=debug=info", "debug="},
        {"a_name_of_16_byt=info", "16_byt"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_rc(tug_log_set_levels(wrong[i].levels), TUG_EINVAL);
        assert_detail_has(wrong[i].part);
        assert_true(tug_log_is_on(TUG_LOG_DEBUG, "pg"));
        assert_false(tug_log_is_on(TUG_LOG_INFO, "redis"));
    }
    assert_rc(tug_log_set_levels(NULL), TUG_EINVAL);
    assert_ok(tug_log_set_levels("a_name_of_15_by=info"));
    assert_true(tug_log_is_on(TUG_LOG_INFO, "a_name_of_15_by"));
}

TEST(seventeen_subsystems_are_too_many)
{
    char levels[256] = "s0=info";
    for (int i = 1; i < 16; i++) {
        size_t n = strlen(levels);
        snprintf(levels + n, sizeof levels - n, ",s%d=info", i);
    }
    assert_ok(tug_log_set_levels(levels));
    strcat(levels, ",s16=info");
    assert_rc(tug_log_set_levels(levels), TUG_EINVAL);
    assert_detail_has("more than 16");
}

TEST(a_record_is_one_line_whatever_is_in_it)
{
    struct kept k = {0};
    tug_log_set_sink(keep, &k);
    tug_log(TUG_LOG_ERROR, "pg", "server says: %s",
            "no\n2026 ERROR forged\r\t\x1b[2J\x7f \xc3\xa4");
    assert_string_equal(k.text, "server says: no\\n2026 ERROR forged\\r\\t\\x1b[2J\\x7f \xc3\xa4");
}

TEST(a_long_record_is_cut_at_a_character_and_marked)
{
    struct kept k = {0};
    char text[4000];
    tug_log_set_sink(keep, &k);
    for (size_t shift = 0; shift < 2; shift++) {
        memset(text, 'x', sizeof text);
        for (size_t i = shift; i + 2 < sizeof text; i += 2) {
            memcpy(text + i, "\xc3\xa4", 2);
        }
        text[sizeof text - 1] = 0;
        tug_log(TUG_LOG_ERROR, "pg", "%s", text);
        size_t n = strlen(k.text);
        assert_in_range(n, 2000, 2047);
        assert_string_equal(k.text + n - 3, "...");
        assert_int_equal((unsigned char)k.text[n - 4], 0xa4);
    }
    /* Control bytes grow fourfold: the bound is on what comes out. */
    memset(text, 1, 1000);
    text[1000] = 0;
    tug_log(TUG_LOG_ERROR, "pg", "%s", text);
    assert_in_range(strlen(k.text), 2000, 2047);
}

static const char *task_name(void)
{
    return "load\n7";
}

TEST(the_name_of_the_task_is_filled_in_and_escaped)
{
    struct kept k = {0};
    tug__log_task_name = task_name;
    tug_log_set_sink(keep, &k);
    tug_log(TUG_LOG_ERROR, "pg", "x");
    assert_string_equal(k.task, "load\\n7");
}

static void log_again(const tug_log_record *record, void *arg)
{
    (*(int *)arg)++;
    tug_log(record->level, record->subsystem, "from inside the sink");
}

TEST(a_sink_that_logs_is_not_called_again)
{
    int calls = 0;
    tug_log_set_sink(log_again, &calls);
    tug_log(TUG_LOG_ERROR, "pg", "once");
    tug_log(TUG_LOG_ERROR, "pg", "twice");
    assert_int_equal(calls, 2);
}

TEST(errno_and_the_detail_survive_a_record)
{
    struct kept k = {0};
    tug_log_set_sink(keep, &k);
    tug_fail(TUG_ERANGE, "kept");
    errno = 42;
    tug_log(TUG_LOG_ERROR, "pg", "x");
    assert_int_equal(errno, 42);
    assert_int_equal(tug_last_error()->code, TUG_ERANGE);
}

static char *captured_stderr(const tug_log_record *record)
{
    static char line[8192];
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    int saved = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    tug_log_stderr(record, NULL);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fds[1]);
    ssize_t n = read(fds[0], line, sizeof line - 1);
    close(fds[0]);
    assert_true(n > 0);
    line[n] = 0;
    return line;
}

TEST(stderr_lines_have_time_level_subsystem_and_task)
{
    tug_log_record record = {
        .level = TUG_LOG_WARN, .subsystem = "amqp", .task = "worker", .text = "slow"};
    char *line = captured_stderr(&record);
    int y, mo, d, h, mi, s, ms, end = 0;
    assert_int_equal(
        sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %n", &y, &mo, &d, &h, &mi, &s, &ms, &end), 7);
    assert_string_equal(line + end, "warn amqp [worker] slow\n");
    record.task = "";
    line = captured_stderr(&record);
    assert_string_equal(line + end, "warn amqp slow\n");
}

TEST(the_longest_record_is_one_whole_line_on_stderr)
{
    char text[2048];
    memset(text, 'y', sizeof text);
    text[sizeof text - 1] = 0;
    tug_log_record record = {.level = TUG_LOG_ERROR, .subsystem = "pg", .task = "t", .text = text};
    char *line = captured_stderr(&record);
    size_t n = strlen(line);
    assert_true(n > sizeof text);
    assert_ptr_equal(strchr(line, '\n'), line + n - 1);
}

static void count_only(const tug_log_record *record, void *arg)
{
    (void)record;
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_RELAXED);
}

static void *log_much(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        tug_log(TUG_LOG_ERROR, "pg", "%d", i);
        tug_log(TUG_LOG_DEBUG, "redis", "%d", i);
    }
    return NULL;
}

TEST(threads_log_while_levels_change)
{
    int count = 0;
    pthread_t threads[4];
    tug_log_set_sink(count_only, &count);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_much, NULL), 0);
    }
    for (int i = 0; i < 100; i++) {
        assert_ok(tug_log_set_levels(i % 2 == 0 ? "redis=info,pg=debug" : "pg=error"));
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_in_range(__atomic_load_n(&count, __ATOMIC_RELAXED), 4000, 8000);
}
