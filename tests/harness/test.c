#include "test.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tug/error.h>
#include <tug/task.h>
#include <unistd.h>

#include "torture.h"

static test_case *cases;

void test_register(test_case *c)
{
    c->next = cases;
    cases = c;
}

static int in_task(void *arg)
{
    torture_begins();
    ((test_case *)arg)->body();
    return 0;
}

static void run_case(void **state)
{
    test_case *c = *state;
    if (c->kind == TEST_PLAIN) {
        c->body();
        return;
    }
    tug_test_options o = TUG_TEST_OPTIONS_INIT;
    o.real_clock = c->kind == TEST_LIVE;
    if (o.real_clock) {
        o.bound = TUG_SECONDS(110); /* a busy machine; and ctest gives up after 120 */
    }
    o.bound *= test_is_under_valgrind() ? 5 : 1; /* it is twenty times slower */
    int rc = tug_test_run(in_task, c, &o);
    if (rc != 0) {
        if (rc == TUG_EMISUSE && strstr(tug_last_error()->text, "behind") != NULL) {
            torture_left_behind();
        }
        fail_msg("%s ended with %s: %s", c->name, tug_error_name(rc), tug_last_error()->text);
    }
}

static int run_one(test_case *c)
{
    const struct CMUnitTest test = {.name = c->name, .test_func = run_case, .initial_state = c};
    return _cmocka_run_group_tests(c->name, &test, 1, NULL, NULL);
}

/* In a process of its own: no case sees what another one has left in the program's variables. */
static int run_apart(test_case *c)
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        exit(run_one(c) != 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror(c->name);
        return 1;
    }
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "%s: %s\n", c->name, strsignal(WTERMSIG(status)));
    }
    return status != 0;
}

int main(int argc, char **argv)
{
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    int failed = 0, ran = 0, status = 0;
    if (torture_main(cases, argc > 1 ? argv[1] : NULL, run_one, &status)) {
        return status;
    }
    for (test_case *c = cases; c != NULL; c = c->next) {
        if (argc < 2) {
            failed += run_apart(c);
            ran++;
        } else if (strcmp(argv[1], c->name) == 0) {
            failed += run_one(c);
            ran++;
        }
    }
    if (ran == 0) {
        fprintf(stderr, "%s: no case %s\n", argv[0], argc > 1 ? argv[1] : "");
        return 2;
    }
    return failed != 0;
}

void test_rc(int rc, int code, const char *what, const char *file, int line)
{
    if (rc == code) {
        return;
    }
    torture_met(rc);
    const tug_error *e = tug_last_error();
    print_error("%s = %s, expected %s%s%s\n", what, rc == 0 ? "0" : tug_error_name(rc),
                code == 0 ? "0" : tug_error_name(code), e->code == rc ? ": " : "",
                e->code == rc ? e->text : "");
    _fail(file, line);
}

void test_detail_has(const char *part, const char *file, int line)
{
    if (strstr(tug_last_error()->text, part) == NULL) {
        print_error("detail \"%s\" has no \"%s\"\n", tug_last_error()->text, part);
        _fail(file, line);
    }
}

void test_look_again(int looks, const char *what, const char *file, int line)
{
    /* Of the loop's clock, which under the test clock jumps from one look to the next. */
    static tug_time until;
    if (looks == 0) {
        until = tug_now() + TUG_SECONDS(45);
    } else if (tug_now() > until) {
        print_error("not within 45 s: %s\n", what);
        _fail(file, line);
    }
    assert_ok(tug_sleep(TUG_MS(1)));
}

int64_t test_held_up(void)
{
    char text[80];
    int64_t ran = 0, waited = 0;
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        close(fd);
    }
    text[n > 0 ? n : 0] = 0;
    return sscanf(text, "%" SCNd64 " %" SCNd64, &ran, &waited) == 2 ? waited : 0;
}

bool test_is_under_valgrind(void)
{
    const char *preloaded = getenv("LD_PRELOAD");
    return preloaded != NULL && strstr(preloaded, "vgpreload") != NULL;
}

bool test_is_tortured(void)
{
    return torture_is_on();
}

int test_many(int n, int with_torture)
{
    return torture_is_on() ? with_torture : n;
}

const char *test_url(const char *variable)
{
    const char *url = getenv(variable);
    if (url == NULL || *url == 0) {
        fail_msg("%s is not set: run the tests through scripts/test.sh", variable);
    }
    return url;
}

const char *test_name(void)
{
    static char names[4][48];
    static unsigned n;
    char *name = names[n % 4];
    snprintf(name, sizeof names[0], "tug_%ld_%u", (long)getpid(), n++);
    return name;
}
