#include "task/switch.h"

#include <stdint.h>
#include <string.h>

#if defined(TUG__SWITCH_UCONTEXT)

void tug__context_init(struct tug__context *c, void *bottom, void *top, void (*entry)(void))
{
    getcontext(&c->uc);
    c->uc.uc_stack.ss_sp = bottom;
    c->uc.uc_stack.ss_size = (size_t)((char *)top - (char *)bottom);
    c->uc.uc_link = NULL;
    makecontext(&c->uc, entry, 0);
}

#elif defined(__x86_64__)

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

void tug__context_init(struct tug__context *c, void *bottom, void *top, void (*entry)(void))
{
    (void)bottom;
    c->sp = (void *)((uintptr_t)top & ~(uintptr_t)15);
    c->fp = NULL;
    c->saved = NULL;
    memcpy(&c->pc, &entry, sizeof c->pc);
}

#endif
