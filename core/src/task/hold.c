#include "task/hold.h"

void tug__holds_abandon(struct tug_task *t)
{
    while (t->holds != NULL) {
        struct tug__hold *h = t->holds;
        tug__hold_drop(h);
        h->abandoned(h, t);
    }
}
