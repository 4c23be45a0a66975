/* What tug_inspect says of a pool: its counters, who has what and since when, who waits, why opens fail. */
#include "internal.h"

enum {
    SHOWN_MOST = 1000 /* borrowers, and those that wait: a report has an end */
};

static void show_borrower(tug_inspect_writer *w, const struct borrower *b, tug_time since)
{
    tug_inspect_item(w);
    tug_inspect_text(w, "by", b->name);
    tug_inspect_number(w, "task", (int64_t)b->number);
    tug_inspect_duration(w, "since", tug_turn_time() - since);
    tug_inspect_place(w, "place", b->place);
    tug_inspect_item_end(w);
}

static void show_lent(tug_inspect_writer *w, const tug_pool *p)
{
    size_t n = 0;
    tug_inspect_list(w, "lent");
    for (struct ring *r = p->all.next; r != &p->all && n < SHOWN_MOST; r = r->next) {
        const tug_lease *s = RING_OF(r, tug_lease, all);
        if (s->state == SLOT_BUSY || s->state == SLOT_LOST) {
            show_borrower(w, &s->by, s->lent);
            n++;
        }
    }
    tug_inspect_list_end(w);
}

static void show_waiting(tug_inspect_writer *w, const tug_pool *p)
{
    size_t n = 0;
    tug_inspect_list(w, "waiter");
    for (struct ring *r = p->waiting.next; r != &p->waiting && n < SHOWN_MOST; r = r->next) {
        const struct acquire *a = RING_OF(r, struct acquire, link);
        show_borrower(w, &a->by, a->since);
        n++;
    }
    tug_inspect_list_end(w);
}

void tug__pool_show(tug_inspect_writer *w, void *arg)
{
    static const char *const states[] = {"open", "closing", "abandoned"};
    const tug_pool *p = arg;
    tug_inspect_text(w, "name", p->name);
    tug_inspect_text(w, "state", states[p->state]);
    tug_inspect_number(w, "size", (int64_t)p->total);
    tug_inspect_number(w, "max", (int64_t)p->o.max);
    tug_inspect_number(w, "idle", (int64_t)p->n[SLOT_IDLE]);
    tug_inspect_number(w, "out", (int64_t)(p->n[SLOT_BUSY] + p->n[SLOT_LOST]));
    tug_inspect_number(w, "preparing", (int64_t)(p->n[SLOT_CHECKING] + p->n[SLOT_RESETTING]));
    tug_inspect_number(w, "opening", (int64_t)p->n[SLOT_OPENING]);
    tug_inspect_number(w, "closing", (int64_t)p->n[SLOT_CLOSING]);
    tug_inspect_number(w, "waiting", (int64_t)p->n_waiting);
    if (p->open_error.code != 0) {
        tug_inspect_text(w, "open_error", p->open_error.text);
        tug_inspect_duration(w, "open_failed_since", tug_turn_time() - p->failing_since);
    }
    show_lent(w, p);
    show_waiting(w, p);
}
