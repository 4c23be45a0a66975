/* What the context switch must not disturb, as a program of its own: switch.sh builds and runs it in all
 * the ways that compilers and flags offer. Ends with 0, or with a line for what went wrong.
 *
 * The policy for what belongs to the thread and not to the task: errno, the rounding mode and the masks of
 * the x87 and of MXCSR/FPCR are not switched here. The runtime keeps errno; who changes the rounding mode
 * changes it back before it waits. */
#include "switch_check.h"

#include <alloca.h>
#include <errno.h>
#include <fenv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int failures;

void fail(const char *what, int line)
{
    printf("switch_check: line %d: %s\n", line, what);
    failures++;
}

struct side sides[SIDES];

/* --- the ring: 0 is the thread's own stack, the others are contexts ------------------------------- */

static volatile unsigned spun; /* so that the work is done */

/* Puts something else into every register that a careless switch would leave to the other side. */
static __attribute__((noinline)) uint64_t churn(uint64_t seed)
{
    uint64_t a = seed, b = seed * 3, c = seed * 5, d = seed * 7, e = seed * 11, f = seed * 13;
    double x = (double)(seed & 1023), y = x * 1.5, z = x * 2.5, w = x * 3.5;
    for (int i = 0; i < 20; i++) {
        a += b ^ d;
        b = (b << 7 | b >> 57) + c;
        c ^= e;
        d += f;
        e = (e << 3 | e >> 61) ^ a;
        f += b;
        x = x * 0.5 + y;
        y = y * 0.25 + z;
        z = z * 0.125 + w;
        w = w * 0.5 + x;
    }
    return a ^ b ^ c ^ d ^ e ^ f ^ (uint64_t)(x + y + z + w);
}

static void check_registers(size_t me)
{
    volatile uint64_t seed = 0x9e3779b97f4a7c15u * (me + 1);
    uint64_t a = seed, b = seed + 1, c = seed + 2, d = seed + 3, e = seed + 4, f = seed + 5;
    uint64_t g = seed + 6, h = seed + 7, i = seed + 8, j = seed + 9, k = seed + 10, l = seed + 11;
    volatile double real = 1.5 + (double)me;
    double p = real, q = real * 2, r = real * 3, s = real * 4, t = real * 5;
    long double wide = (long double)real / 3;
    pass_on(me);
    CHECK(a == seed && b == seed + 1 && c == seed + 2 && d == seed + 3 && e == seed + 4);
    CHECK(f == seed + 5 && g == seed + 6 && h == seed + 7 && i == seed + 8 && j == seed + 9);
    CHECK(k == seed + 10 && l == seed + 11);
    CHECK(p == real && q == real * 2 && r == real * 3 && s == real * 4 && t == real * 5);
    CHECK(wide == (long double)real / 3);
}

/* gcc dropped such stores where the switch was not kept apart from what is around it. */
static unsigned latest, handed_over;
static void check_statics(size_t me)
{
    unsigned before = handed_over;
    latest = (unsigned)me;
    handed_over++;
    pass_on(me);
    CHECK(latest == SIDES - 1); /* all have stored, the last one last */
    CHECK(handed_over == before + SIDES - me);
}

static __attribute__((noinline)) uint64_t deep(size_t me, int depth, uint64_t sum)
{
    volatile uint64_t here[4] = {sum, sum + 1, sum + 2, sum + 3};
    if (depth == 0) {
        pass_on(me);
    } else {
        sum = deep(me, depth - 1, sum + 1);
    }
    CHECK(here[3] - here[0] == 3);
    return sum + here[1] - here[0];
}

static __attribute__((noinline)) void check_alloca(size_t me, size_t n)
{
    unsigned char *room = alloca(n);
    memset(room, (int)(n & 255), n);
    pass_on(me);
    size_t good = 0;
    for (size_t i = 0; i < n; i++) {
        good += room[i] == (n & 255);
    }
    CHECK(good == n);
}

/* An aligned local, as vector code has them: the entry must keep the ABI's alignment. */
static __attribute__((noinline)) void check_alignment(size_t me)
{
    _Alignas(16) volatile double lanes[4] = {1, 2, 3, 4};
    _Alignas(64) volatile unsigned char line[64] = {(unsigned char)me};
    CHECK(((uintptr_t)lanes & 15) == 0 && ((uintptr_t)line & 63) == 0);
    pass_on(me);
    CHECK(lanes[0] + lanes[3] == 5 && line[0] == (unsigned char)me);
}

static void check_threads_own(size_t me)
{
    if (me == 1) { /* the others see it: it is the thread's */
        fesetround(FE_UPWARD);
        errno = ERANGE;
    }
    pass_on(me);
#if defined(TUG__SWITCH_UCONTEXT)
    CHECK(fegetround() == (me == 1 ? FE_UPWARD : FE_TONEAREST)); /* there glibc keeps it */
#else
    CHECK(fegetround() == FE_UPWARD);
#endif
    CHECK(errno == ERANGE);
    pass_on(me);
}

static void check_all(size_t me)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        check_registers(me);
        spun += (unsigned)churn(round + me);
        check_statics(me);
        check_red_zone(me, round);
        spun += (unsigned)deep(me, (int)(round * 7 % 50), round);
        check_alloca(me, 16 + round * 137 % 3000);
        check_alignment(me);
    }
    if (me != 0) { /* all in step: the first context sets what the others look at */
        check_threads_own(me);
    }
}

static void live(size_t me)
{
    check_all(me);
    sides[me].is_over = 1;
    depart(me);
}

static char memory[SIDES][STACK] __attribute__((aligned(4096)));

int main(void)
{
    host_is_here();
    for (size_t i = 1; i < SIDES; i++) {
        prepare(i, memory[i], STACK - i * 64, live);
    }
    check_all(0);
    while (!sides[1].is_over) { /* the others depart in the same round */
        pass_on(0);
    }
    CHECK(sides[SIDES - 1].is_over);
    fesetround(FE_TONEAREST);
    for (size_t i = 1; i < SIDES; i++) {
        discard(i);
    }
    if (failures == 0) {
        puts("switch_check: passed");
    }
    return failures != 0;
}
