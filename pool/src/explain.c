/* What an acquire that fails says: who waited and how long, what the pool is doing, who has what, and why opens
 * fail. */
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

enum {
    HOLDERS_NAMED = 3, /* a detail is a line */
    CAUSE_SHOWN = 150  /* bytes: a longer one would leave no room; tug_pool_open_error has all */
};

struct line {
    char text[sizeof((tug_error *)NULL)->text];
    size_t used;
};

static void add(struct line *l, const char *format, ...) TUG_PRINTF(2, 3);
static void add(struct line *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->text + l->used, sizeof l->text - l->used, format, args);
    va_end(args);
    size_t room = sizeof l->text - l->used - 1;
    l->used += n < 0 ? 0 : (size_t)n > room ? room : (size_t)n;
}

static const char *name_of(const struct borrower *b)
{
    return b->name[0] != 0 ? b->name : "a task without a name";
}

static long long ms_since(tug_time t)
{
    return (long long)((tug_turn_time() - t) / TUG_MS(1));
}

/* Those that have had theirs longest: the leaks come first. */
static void add_holders(struct line *l, const tug_pool *p)
{
    const struct ring *const rings[] = {&p->leaks, &p->lent};
    size_t named = 0;
    for (size_t i = 0; i < 2; i++) {
        for (const struct ring *r = rings[i]->next; r != rings[i] && named < HOLDERS_NAMED;
             r = r->next) {
            const tug_lease *s = RING_OF(r, tug_lease, link);
            add(l, "%s%s %lld ms", named++ == 0 ? "; held by " : ", ", name_of(&s->by),
                ms_since(s->lent));
        }
    }
    if (p->n[SLOT_BUSY] > named && named > 0) {
        add(l, " +%zu", p->n[SLOT_BUSY] - named);
    }
}

void tug__pool_explain(const tug_pool *p, const struct acquire *a, const tug_error *why,
                       tug_error *e)
{
    bool is_open_error = why == &p->open_error;
    size_t open = p->n[SLOT_IDLE] + p->n[SLOT_BUSY] + p->n[SLOT_CHECKING] + p->n[SLOT_RESETTING];
    struct line l = {.used = 0};
    add(&l,
        "pool %s: %.*s; %s waited %lld ms; %zu of %zu open (%zu busy), %zu opening, %zu waiting",
        p->name, CAUSE_SHOWN, why->text, name_of(&a->by), ms_since(a->since), open, p->o.max,
        p->n[SLOT_BUSY], p->n[SLOT_OPENING], p->n_waiting);
    if (tug__pool_breaker_is_open(p)) {
        add(&l, "; breaker open after %u failed opens", p->attempt);
    }
    /* Not at once: a full pool is as it should be. */
    if (why->code != TUG_ECLOSED) {
        add_holders(&l, p);
    }
    if (p->open_error.code != 0 && !is_open_error) {
        add(&l, "; last open error: %s", p->open_error.text);
    }
    tug_error_set(e, why->code, why->origin, TUG_NOT_SENT, why->native, "%s", l.text);
    e->transient = why->transient;
}
