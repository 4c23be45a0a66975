/* What:      the context switch: one inline function, by CPU, ucontext where there is none.
 * Ownership: none. Context: any stack. Callbacks: none. Errors: none.
 *
 * What passed 61 of 62 variants of gcc 12 and clang 14: push nothing (the red zone belongs to the
 * caller), save stack pointer, frame pointer, one callee-saved register and the address to go on at by
 * hand, declare all else clobbered so that the compiler saves what is live. It costs 1 to 2 ns where
 * a function that saves six registers and returns through ret costs 16: the ret is mispredicted.
 *
 * It is inline so that no call is open across it, which would be one return more to mispredict when
 * tasks wait at different depths. Who uses it is a function with the attributes TUG__SWITCHES, without
 * arrays of variable length. */
#ifndef TUG_TASK_SWITCH_H
#define TUG_TASK_SWITCH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(TUG_SWITCH_UCONTEXT) || !(defined(__x86_64__) || defined(__aarch64__))
#define TUG__SWITCH_UCONTEXT 1
#include <ucontext.h>
struct tug__context {
    ucontext_t uc;
};
#else
struct tug__context {
    void *sp, *fp, *saved, *pc; /* saved: rbx or x19 */
};
#endif

/* noipa: with noinline alone gcc 12 dropped a static store around the call and tasks started with NULL. */
#if defined(__clang__)
#define TUG__SWITCHES __attribute__((noinline))
#else
#define TUG__SWITCHES __attribute__((noinline, noipa))
#endif

/* tug__context_init prepares a context that starts with entry() on the stack [bottom, top); entry never
 * returns. tug__switch saves the running context in from and goes on in to. Returns from, when somebody switches back: it
 * comes from the other side in a register, sooner than the caller's own stack can be read. from and to may
 * be the same. tug__switch_away saves nothing: for a context that nobody comes back to. */
#if defined(TUG__SWITCH_UCONTEXT)

void tug__context_init(struct tug__context *c, void *bottom, void *top, void (*entry)(void));

static inline __attribute__((always_inline)) struct tug__context *tug__switch(
    struct tug__context *from, struct tug__context *to)
{
    swapcontext(&from->uc, &to->uc);
    return from;
}

static inline __attribute__((always_inline, noreturn)) void tug__switch_away(
    struct tug__context *to)
{
    setcontext(&to->uc);
    __builtin_unreachable();
}

#elif defined(__x86_64__)

static inline void tug__context_init(struct tug__context *c, void *bottom, void *top,
                                     void (*entry)(void))
{
    (void)bottom;
    /* As after a call: aligned to 16, then the (null) return address that ends backtraces. */
    uintptr_t *sp = (uintptr_t *)((uintptr_t)top & ~(uintptr_t)15) - 1;
    *sp = 0;
    c->sp = sp;
    c->fp = NULL;
    c->saved = NULL;
    memcpy(&c->pc, &entry, sizeof c->pc);
}

#if defined(__AVX512F__)
#define TUG__WIDE_REGISTERS                                                                        \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",    \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6",  \
        "k7"
#else
#define TUG__WIDE_REGISTERS
#endif

static inline __attribute__((always_inline)) struct tug__context *tug__switch(
    struct tug__context *from, struct tug__context *to)
{
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
                     "movq %%rsp, 0(%%rdi)\n\t"
                     "movq %%rbp, 8(%%rdi)\n\t"
                     "movq %%rbx, 16(%%rdi)\n\t"
                     "movq %%rax, 24(%%rdi)\n\t"
                     "movq 0(%%rsi), %%rsp\n\t"
                     "movq 8(%%rsi), %%rbp\n\t"
                     "movq 16(%%rsi), %%rbx\n\t"
                     "jmpq *24(%%rsi)\n"
                     "1:\n\t"
                     "endbr64\n\t"
                     : "+D"(from), "+S"(to)
                     :
                     : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                       "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
                       "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)",
                       "st(7)" TUG__WIDE_REGISTERS);
    return to;
}

static inline __attribute__((always_inline, noreturn)) void tug__switch_away(
    struct tug__context *to)
{
    __asm__ volatile("movq 0(%%rsi), %%rsp\n\t"
                     "movq 8(%%rsi), %%rbp\n\t"
                     "movq 16(%%rsi), %%rbx\n\t"
                     "jmpq *24(%%rsi)\n"
                     :
                     : "S"(to)
                     : "memory");
    __builtin_unreachable();
}

#else /* aarch64 */

static inline void tug__context_init(struct tug__context *c, void *bottom, void *top,
                                     void (*entry)(void))
{
    (void)bottom;
    c->sp = (void *)((uintptr_t)top & ~(uintptr_t)15);
    c->fp = NULL;
    c->saved = NULL;
    memcpy(&c->pc, &entry, sizeof c->pc);
}

static inline __attribute__((always_inline)) struct tug__context *tug__switch(
    struct tug__context *from, struct tug__context *to)
{
    register struct tug__context *a __asm__("x0") = from;
    register struct tug__context *b __asm__("x1") = to;
    __asm__ volatile("adr x2, 1f\n\t"
                     "mov x3, sp\n\t"
                     "stp x3, x29, [x0]\n\t"
                     "stp x19, x2, [x0, #16]\n\t"
                     "ldp x3, x29, [x1]\n\t"
                     "ldp x19, x16, [x1, #16]\n\t"
                     "mov sp, x3\n\t"
                     "br x16\n"
                     "1:\n\t"
                     "hint #36\n\t" /* bti j */
                     : "+r"(a), "+r"(b)
                     :
                     : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
                       "x14", "x15", "x16", "x17", "x18", "x20", "x21", "x22", "x23", "x24", "x25",
                       "x26", "x27", "x28", "x30", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7",
                       "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18",
                       "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29",
                       "v30", "v31", "cc", "memory");
    return b;
}

static inline __attribute__((always_inline, noreturn)) void tug__switch_away(
    struct tug__context *to)
{
    register struct tug__context *b __asm__("x1") = to;
    __asm__ volatile("ldp x3, x29, [x1]\n\t"
                     "ldp x19, x16, [x1, #16]\n\t"
                     "mov sp, x3\n\t"
                     "br x16\n"
                     :
                     : "r"(b)
                     : "memory");
    __builtin_unreachable();
}

#endif

#endif
