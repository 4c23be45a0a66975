#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "task/sanitize.h"
#include "task/stack.h"
#include "test.h"

/* Both ways to guard: the kernel of the machine at hand would show us only one. */
static void check_guards(enum tug__guard_kind kind)
{
    struct tug__stacks *s = NULL;
    struct tug__stack *stack = NULL;
    assert_ok(tug__stacks_new(kind, &s));
    assert_ok(tug__stack_obtain(s, &stack));
    assert_true(tug__stacks_kind(s) != TUG__GUARD_PROBE);
    assert_true(stack->top - stack->bottom > TUG__STACK_SIZE - TUG__STACK_GUARD - 2048);
    memset(stack->bottom, 1, 64); /* all of it can be used */
    assert_ptr_equal(tug__stack_guarding(s, stack->bottom - 1), stack);
    assert_ptr_equal(tug__stack_guarding(s, stack->bottom - TUG__STACK_GUARD), stack);
    assert_null(tug__stack_guarding(s, stack->bottom));
    assert_null(tug__stack_guarding(s, &stack));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        /* The bottom may lie some bytes above the guard. */
        uintptr_t end_of_guard = (uintptr_t)stack->bottom & ~(uintptr_t)4095;
        *(volatile char *)(end_of_guard - 1) = 1;
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    tug__stack_release(s, stack);
    tug__stacks_free(s);
}

TEST(a_guard_by_mprotect_faults)
{
    check_guards(TUG__GUARD_MPROTECT);
}

TEST(the_guard_that_the_kernel_has_faults)
{
    check_guards(TUG__GUARD_PROBE);
}

TEST(a_large_stack_has_a_guard_and_goes_when_it_is_released)
{
    struct tug__stacks *s = NULL;
    struct tug__stack *usual = NULL, *large = NULL, *other = NULL;
    enum {
        LARGE = 5 * 1024 * 1024 + 1
    };
    assert_ok(tug__stacks_new(TUG__GUARD_PROBE, &s));
    assert_ok(tug__stack_obtain_large(s, LARGE, &large));
    assert_ok(tug__stack_obtain(s, &usual));
    assert_ok(tug__stack_obtain_large(s, LARGE, &other));
    assert_true(large->top - large->bottom >= LARGE);
    memset(large->bottom, 1, LARGE);
    assert_ptr_equal(tug__stack_guarding(s, large->bottom - 1), large);
    assert_null(tug__stack_guarding(s, large->bottom));
    assert_ptr_equal(tug__stack_guarding(s, usual->bottom - 1), usual);
    const char *page = (const char *)((uintptr_t)large->bottom & ~(uintptr_t)4095) + 4096;
    unsigned char resident = 0;
    assert_int_equal(mincore((void *)page, 4096, &resident), 0);
    tug__stack_release(s, large);
    assert_int_equal(mincore((void *)page, 4096, &resident), -1);
    assert_int_equal(errno, ENOMEM);
    tug__stack_release(s, usual);
    tug__stacks_free(s); /* with other in use */
}

TEST(stacks_are_reused_last_in_first_out)
{
    struct tug__stacks *s = NULL;
    struct tug__stack *a = NULL, *b = NULL, *again = NULL;
    assert_ok(tug__stacks_new(TUG__GUARD_PROBE, &s));
    assert_ok(tug__stack_obtain(s, &a));
    assert_ok(tug__stack_obtain(s, &b));
    assert_ptr_not_equal(a, b);
    assert_int_not_equal((uintptr_t)a->top % 4096, (uintptr_t)b->top % 4096); /* coloured */
    tug__stack_release(s, a);
    tug__stack_release(s, b);
    assert_ok(tug__stack_obtain(s, &again));
    assert_ptr_equal(again, b);
    tug__stacks_free(s);
}

static size_t resident_pages(const struct tug__stack *stack)
{
    unsigned char map[TUG__STACK_SIZE / 4096];
    size_t n = 0, size = TUG__STACK_SIZE - TUG__STACK_GUARD;
    void *low = (void *)((uintptr_t)stack->bottom & ~(uintptr_t)4095);
    assert_int_equal(mincore(low, size, map), 0);
    for (size_t i = 0; i < size / 4096; i++) {
        n += map[i] & 1;
    }
    return n;
}

TEST(most_deep_stacks_give_their_pages_back)
{
    enum {
        N = 2 * TUG__STACK_KEEP_DEEP
    };
    static struct tug__stack *stacks[N];
    struct tug__stacks *s = NULL;
    assert_ok(tug__stacks_new(TUG__GUARD_PROBE, &s));
    for (int i = 0; i < N; i++) {
        assert_ok(tug__stack_obtain(s, &stacks[i]));
        memset(stacks[i]->bottom, 1, (size_t)(stacks[i]->top - stacks[i]->bottom));
        assert_true(resident_pages(stacks[i]) > 40);
    }
    size_t large = 0;
    for (int i = 0; i < N; i++) {
        tug__stack_release(s, stacks[i]);
        large += resident_pages(stacks[i]) > 2;
    }
    assert_int_equal(large, TUG__STACK_KEEP_DEEP);
    tug__stacks_free(s);
}

TEST(tops_have_sixteen_colours_within_the_first_page)
{
    struct tug__stacks *s = NULL;
    struct tug__stack *stack = NULL;
    unsigned seen = 0;
    assert_ok(tug__stacks_new(TUG__GUARD_PROBE, &s));
    for (int i = 0; i < TUG__SLAB_SLOTS; i++) {
        assert_ok(tug__stack_obtain(s, &stack));
        uintptr_t below = -(uintptr_t)stack->top & 4095;
        assert_int_equal(below % TUG__STACK_COLOUR, 0);
        assert_true(below / TUG__STACK_COLOUR < TUG__STACK_COLOURS);
        seen |= 1U << (below / TUG__STACK_COLOUR);
    }
    assert_int_equal(seen, (1U << TUG__STACK_COLOURS) - 1);
    tug__stacks_free(s);
}

TEST(a_stack_used_within_its_first_page_stays_as_it_is)
{
    struct tug__stacks *s = NULL;
    struct tug__stack *stack = NULL;
    assert_ok(tug__stacks_new(TUG__GUARD_PROBE, &s));
    assert_ok(tug__stack_obtain(s, &stack));
    memset(stack->top - 2048, 1, 2048);
    tug__stack_release(s, stack);
    assert_false(stack->deep);
    assert_int_equal(resident_pages(stack), 1 + (TUG__SAN_RESERVE > 0));
    tug__stacks_free(s);
}

/* --- limits ------------------------------------------------------------------------------------- */

static size_t mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    size_t n = 0;
    assert_non_null(f);
    for (int c; (c = getc(f)) != EOF;) {
        n += c == '\n';
    }
    fclose(f);
    return n;
}

static void obtain_many(struct tug__stacks *s, int n)
{
    struct tug__stack *stack = NULL;
    for (int i = 0; i < n; i++) {
        assert_ok(tug__stack_obtain(s, &stack));
    }
}

/* ThreadSanitizer and Valgrind need mappings of their own for each stack, and die without. */
static void needs_the_mappings(void)
{
#if defined(TEST_UNDER_TSAN)
    skip();
#endif
    if (test_is_under_valgrind()) {
        skip();
    }
}

TEST(lightweight_guards_take_no_mapping)
{
    needs_the_mappings();
    struct tug__stacks *s = NULL;
    assert_ok(tug__stacks_new(TUG__GUARD_PROBE, &s));
    obtain_many(s, 1);
    size_t before = mappings();
    obtain_many(s, 20 * TUG__SLAB_SLOTS);
    size_t more = mappings() - before;
    if (tug__stacks_kind(s) == TUG__GUARD_INSTALL) {
        assert_true(more < 30); /* slabs, at most */
    } else {
        assert_true(more >= 20 * TUG__SLAB_SLOTS);
    }
    tug__stacks_free(s);
}

/* The limit is the machine's (65,530); all but some of it is used up first. */
TEST(guards_by_mprotect_end_at_the_limit_of_mappings_which_is_named)
{
    enum {
        PAGES = 1 << 18,
        LEFT = 400 /* of stacks, about */
    };
    struct tug__stacks *s = NULL;
    struct tug__stack *stack = NULL;
    needs_the_mappings();
#if defined(__SANITIZE_ADDRESS__) && __GNUC__ >= 14
    skip(); /* its runtime makes a mapping for the shadow in each mmap and munmap, and ends where it gets none */
#endif
    char *area = mmap(NULL, (size_t)PAGES * 4096, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(area, MAP_FAILED);
    assert_ok(tug__stacks_new(TUG__GUARD_MPROTECT, &s));
    assert_ok(tug__stack_obtain(s, &stack)); /* what else takes mappings does it now */
    int used = 0;
    while (used < PAGES / 2 && mprotect(area + (size_t)used * 2 * 4096, 4096, PROT_READ) == 0) {
        used++;
    }
    if (used == PAGES / 2) { /* a machine with a larger limit than a test should use up */
        tug__stacks_free(s);
        munmap(area, (size_t)PAGES * 4096);
        skip();
    }
    assert_int_equal(munmap(area, (size_t)LEFT * 2 * 4096), 0);
    int rc = 0, got = 0;
    while (rc == 0 && got < 2 * LEFT) {
        rc = tug__stack_obtain(s, &stack);
        got += rc == 0;
    }
    munmap(area, (size_t)PAGES * 4096);
    assert_rc(rc, TUG_ELIMIT);
    assert_detail_has("vm.max_map_count");
    assert_in_range(got, LEFT / 2, LEFT + 2 * TUG__SLAB_SLOTS);
    tug__stack_release(s, stack); /* the pool is as usable as before */
    assert_ok(tug__stack_obtain(s, &stack));
    tug__stacks_free(s);
}

/* --- locked memory: in a process of its own, whose every mapping is locked from there on ---------- */

static void in_child(void (*body)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* For a child: no assertion of the parent's runner is to be left by a jump. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: " #condition "\n", __LINE__);                                \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void use_locked_stacks(void)
{
    enum {
        N = 2 * TUG__STACK_KEEP_DEEP
    };
    static struct tug__stack *stacks[N];
    struct tug__stacks *s = NULL;
    CHECK(tug__stacks_new(TUG__GUARD_PROBE, &s) == 0);
    CHECK(tug__stack_obtain(s, &stacks[0]) == 0); /* a slab from before */
    CHECK(mlockall(MCL_FUTURE) == 0);
    for (int i = 1; i < N; i++) {
        CHECK(tug__stack_obtain(s, &stacks[i]) == 0);
    }
    for (int i = 0; i < TUG__SLAB_SLOTS; i++) { /* use up the slab from before */
        struct tug__stack *more = NULL;
        CHECK(tug__stack_obtain(s, &more) == 0);
        memset(more->bottom, 1, (size_t)(more->top - more->bottom));
        CHECK(tug__stack_guarding(s, more->bottom - TUG__STACK_GUARD) == more);
        stacks[i % N] = more;
    }
    errno = EXDEV;
    for (int i = 0; i < N; i++) {
        tug__stack_release(s, stacks[i]);
    }
    CHECK(errno == EXDEV); /* the refusal to give back is nobody's error */
    size_t kept = 0;
    for (int i = 0; i < N; i++) {
        kept += stacks[i]->deep;
    }
    CHECK(kept == N); /* what is locked stays */
    for (int i = 0; i < N; i++) {
        CHECK(tug__stack_obtain(s, &stacks[i]) == 0);
    }
    CHECK(munlockall() == 0);
    tug__stacks_free(s);
}

/* The sanitizers make mlockall do nothing. The Release build is the one that tests these two. */
static void needs_mlockall(void)
{
#if defined(TEST_UNDER_ASAN) || defined(TEST_UNDER_TSAN)
    skip();
#endif
}

TEST(in_locked_memory_stacks_have_guards_and_keep_their_pages)
{
    struct rlimit limit = {0};
    needs_mlockall();
    /* An ordinary user may lock 8 MiB, which is less than this takes. */
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (geteuid() != 0 && limit.rlim_max < (rlim_t)64 << 20) {
        skip();
    }
    in_child(use_locked_stacks);
}

static void run_into_the_limit(void)
{
    const struct rlimit limit = {8 << 20, 8 << 20};
    struct tug__stacks *s = NULL;
    struct tug__stack *stack = NULL;
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    CHECK(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0); /* root has no such limit */
    CHECK(tug__stacks_new(TUG__GUARD_PROBE, &s) == 0);
    CHECK(mlockall(MCL_FUTURE) == 0);
    int rc = 0, got = 0;
    while (rc == 0 && got < 64) {
        rc = tug__stack_obtain(s, &stack);
        got += rc == 0;
    }
    CHECK(rc == TUG_ELIMIT);
    CHECK(strstr(tug_last_error()->text, "RLIMIT_MEMLOCK") != NULL);
    CHECK(got >= 16); /* slabs become smaller before they fail */
    tug__stacks_free(s);
}

TEST(a_limit_of_locked_memory_is_named_and_used_up_to_the_last_stack)
{
    needs_mlockall();
    in_child(run_into_the_limit);
}
