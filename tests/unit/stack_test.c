#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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
        *(volatile char *)(stack->bottom - 1) = 1;
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
    assert_int_equal(mincore(stack->bottom, size, map), 0);
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
