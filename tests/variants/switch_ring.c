/* The ring of switch_check.c, in a unit of its own: as in the runtime, callers do not see the switch. */
#include <stdint.h>

#include "switch_check.h"
#include "task/sanitize.h"

#if defined(TUG__TSAN)
__thread void *tug__san_host;
#endif

static const void *host_bottom;
static size_t host_size;
/* By these a new context finds itself: stores right before the switch, that only the other side reads. */
static size_t entered;
static void (*body_of)(size_t me);

static void start(void)
{
    size_t me = entered;
    bool first = host_bottom == NULL;
    tug__san_arrive(NULL, first ? &host_bottom : NULL, first ? &host_size : NULL);
    body_of(me);
}

void host_is_here(void)
{
    tug__san_host_is_here();
}

void prepare(size_t side, char *memory, size_t size, void (*body)(size_t me))
{
    body_of = body;
    struct side *s = &sides[side];
    s->bottom = memory + TUG__SAN_RESERVE;
    s->size = size - TUG__SAN_RESERVE;
    tug__san_fresh(s->bottom, s->size);
    tug__context_init(&s->context, s->bottom, (char *)s->bottom + s->size, start);
}

void discard(size_t side)
{
    tug__san_unpoison(sides[side].bottom, sides[side].size);
    tug__san_forget(sides[side].bottom);
}

/* The side's number comes back by the context that the switch returns, as in the runtime. */
TUG__SWITCHES static struct side *hand_over(struct side *from, struct side *to)
{
    tug__san_leave(&from->fake_stack, to->bottom != NULL ? to->bottom : host_bottom,
                   to->bottom != NULL ? to->size : host_size);
    struct side *back = (struct side *)tug__switch(&from->context, &to->context);
    tug__san_arrive(back->fake_stack, NULL, NULL);
    return back;
}

void pass_on(size_t me)
{
    size_t next = (me + 1) % SIDES;
    entered = next;
    struct side *back = hand_over(&sides[me], &sides[next]);
    CHECK(back == &sides[me]);
}

/* For good, as a task that ends: nothing of this side is kept. */
TUG__SWITCHES void depart(size_t me)
{
    struct side *to = &sides[(me + 1) % SIDES];
    entered = (me + 1) % SIDES;
    tug__san_leave(NULL, to->bottom != NULL ? to->bottom : host_bottom,
                   to->bottom != NULL ? to->size : host_size);
    tug__switch_away(&to->context);
}

TUG__SWITCHES void check_red_zone(size_t me, unsigned seed)
{
    struct side *from = &sides[me];
    struct side *to = &sides[(me + 1) % SIDES];
    volatile unsigned a = seed, b = seed + 1, c = seed + 2, d = seed + 3;
    volatile uint64_t e = seed * (uint64_t)7, f = seed * (uint64_t)9;
    volatile double unit = 0.5;
    double x0 = unit, x1 = unit * 2, x2 = unit * 3, x3 = unit * 4, x4 = unit * 5, x5 = unit * 6;
    double x6 = unit * 7, x7 = unit * 8, x8 = unit * 9, x9 = unit * 10, x10 = unit * 11;
    long double wide = (long double)unit / 3;
    entered = (me + 1) % SIDES;
    tug__san_leave(&from->fake_stack, to->bottom != NULL ? to->bottom : host_bottom,
                   to->bottom != NULL ? to->size : host_size);
    struct side *back = (struct side *)tug__switch(&from->context, &to->context);
    tug__san_arrive(back->fake_stack, NULL, NULL);
    unsigned wrong = (a != seed) + (b != seed + 1) + (c != seed + 2) + (d != seed + 3) +
                     (e != seed * (uint64_t)7) + (f != seed * (uint64_t)9) + (back != from);
    wrong += x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9 + x10 != 33;
    wrong += wide != (long double)unit / 3;
    failures += (int)wrong;
}
