#include "task/switch.h"

#include <stdint.h>
#include <string.h>

/* noipa: with noinline alone gcc 12 dropped a static store around the call and tasks started with NULL. */
#if defined(__clang__)
#define SWITCH_ATTRIBUTES __attribute__((noinline))
#else
#define SWITCH_ATTRIBUTES __attribute__((noinline, noipa))
#endif

#if defined(TUG__SWITCH_UCONTEXT)

SWITCH_ATTRIBUTES void tug__switch(struct tug__context *from, struct tug__context *to)
{
    swapcontext(&from->uc, &to->uc);
}

void tug__context_init(struct tug__context *c, void *bottom, void *top, void (*entry)(void))
{
    getcontext(&c->uc);
    c->uc.uc_stack.ss_sp = bottom;
    c->uc.uc_stack.ss_size = (size_t)((char *)top - (char *)bottom);
    c->uc.uc_link = NULL;
    makecontext(&c->uc, entry, 0);
}

#elif defined(__x86_64__)

#if defined(__AVX512F__)
#define WIDE_REGISTERS                                                                             \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",    \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6",  \
        "k7"
#else
#define WIDE_REGISTERS
#endif

SWITCH_ATTRIBUTES void tug__switch(struct tug__context *from, struct tug__context *to)
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
                       "st(7)" WIDE_REGISTERS);
}

void tug__context_init(struct tug__context *c, void *bottom, void *top, void (*entry)(void))
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

#else /* aarch64 */

SWITCH_ATTRIBUTES void tug__switch(struct tug__context *from, struct tug__context *to)
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
}

void tug__context_init(struct tug__context *c, void *bottom, void *top, void (*entry)(void))
{
    (void)bottom;
    c->sp = (void *)((uintptr_t)top & ~(uintptr_t)15);
    c->fp = NULL;
    c->saved = NULL;
    memcpy(&c->pc, &entry, sizeof c->pc);
}

#endif
