/* What:      the frame of all tests: TEST runs its body as it is, TASK_TEST as a task under the test clock,
 *            LIVE_TEST as a task under the real clock (real servers, other processes). Assertions are
 *            cmocka's. Each case is a process of its own under ctest: program CASE.
 * Ownership: a leak of memory, task, future or file descriptor fails the case (tug_test_run).
 * Errors:    a failed assertion inside a task prints its place and aborts the process: a longjmp from a
 *            task's stack to the runner's would leave the loop in pieces. */
#ifndef TUG_TESTS_HARNESS_TEST_H
#define TUG_TESTS_HARNESS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <tug/testing.h>

/* What the test is compiled with: a few cases cannot be what they are under a sanitizer. */
#if defined(__SANITIZE_ADDRESS__)
#define TEST_UNDER_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define TEST_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_UNDER_ASAN 1
#elif __has_feature(thread_sanitizer)
#define TEST_UNDER_TSAN 1
#endif
#endif

enum {
#if defined(TEST_UNDER_TSAN)
    TEST_MANY_TASKS = 1000 /* it ends the process beyond 8,128, and is slow with each */
#else
    TEST_MANY_TASKS = 10000
#endif
};

bool test_is_under_valgrind(void);
/* n rounds of the same; with torture, which runs the case once for each of its points, only so many: more of
 * the same code would only be passed again. What a case asserts about their number has to know it. */
int test_many(int n, int with_torture);
bool test_is_tortured(void);
/* Ends the case where Valgrind itself is different; the comment beside it says how. */
#define TEST_NOT_UNDER_VALGRIND()                                                                  \
    do {                                                                                           \
        if (test_is_under_valgrind()) {                                                            \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

enum {
    TEST_PLAIN,
    TEST_TASK,
    TEST_LIVE
};

typedef struct test_case {
    const char *name;
    int kind;
    void (*body)(void);
    struct test_case *next;
} test_case;

void test_register(test_case *c);

#define TEST__CASE(case_name, case_kind)                                                           \
    static void case_name(void);                                                                   \
    __attribute__((constructor)) static void case_name##__register(void)                           \
    {                                                                                              \
        static test_case c = {.name = #case_name, .kind = case_kind, .body = case_name};           \
        test_register(&c);                                                                         \
    }                                                                                              \
    static void case_name(void)

#define TEST(name) TEST__CASE(name, TEST_PLAIN)
#define TASK_TEST(name) TEST__CASE(name, TEST_TASK)
#define LIVE_TEST(name) TEST__CASE(name, TEST_LIVE)

/* rc == code, else prints both by name and the detail. */
void test_rc(int rc, int code, const char *what, const char *file, int line);
#define assert_rc(call, code) test_rc((call), (code), #call, __FILE__, __LINE__)
#define assert_ok(call) assert_rc((call), 0)
/* What comes about by itself, and then stays: looked at once a millisecond; the case fails if it takes longer
 * than any machine needs. Of the test's task. */
#define assert_soon(condition)                                                                     \
    do {                                                                                           \
        for (int soon__looks = 0; !(condition); soon__looks++) {                                   \
            test_look_again(soon__looks, #condition, __FILE__, __LINE__);                          \
        }                                                                                          \
    } while (0)
void test_look_again(int looks, const char *what, const char *file, int line);

/* How long this thread could have run and had no processor, ns, since it began; 0 where the system does not say.
 * What a bound on the time of a step leaves out: the machine's other work is not ours. */
int64_t test_held_up(void);

/* The detail's text contains this. */
void test_detail_has(const char *part, const char *file, int line);
#define assert_detail_has(part) test_detail_has((part), __FILE__, __LINE__)

/* The server's URL; the test fails if the variable is not set. */
const char *test_url(const char *variable);
/* "tug_<pid>_<n>": a name that no other test uses. Static storage, four at a time. */
const char *test_name(void);

#endif
