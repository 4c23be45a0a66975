#include "task/switch.h"

#if defined(TUG__SWITCH_UCONTEXT)

void tug__context_init(struct tug__context *c, void *bottom, void *top, void (*entry)(void))
{
    getcontext(&c->uc);
    c->uc.uc_stack.ss_sp = bottom;
    c->uc.uc_stack.ss_size = (size_t)((char *)top - (char *)bottom);
    c->uc.uc_link = NULL;
    makecontext(&c->uc, entry, 0);
}

#else

typedef int tug__switch_is_inline; /* ISO C wants something in each file */

#endif
