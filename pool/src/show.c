/* What tug_inspect says of a pool: its counters, who has what and since when, who waits, why opens fail. */
#include "internal.h"

enum {
    SHOWN_MOST = 1000 /* borrowers, and those that wait: a report has an end */
};

static void show_borrower(tug_inspect_writer *w, const struct borrower *b, tug_time since,
                          bool is_leak)
{
    tug_inspect_item(w);
    tug_inspect_text(w, "by", b->name);
    tug_inspect_number(w, "task", (int64_t)b->number);
    tug_inspect_duration(w, "since", tug_turn_time() - since);
    tug_inspect_place(w, "place", b->place);
    if (is_leak) {
        tug_inspect_bool(w, "leak", true);
    }
    tug_inspect_item_end(w);
}

/* Those that have had theirs longest come first. */
static void show_lent(tug_inspect_writer *w, const tug_pool *p)
{
    const struct ring *const rings[] = {&p->leaks, &p->lent};
    size_t n = 0;
    tug_inspect_list(w, "lent");
    for (size_t i = 0; i < 2; i++) {
        for (const struct ring *r = rings[i]->next; r != rings[i] && n < SHOWN_MOST; r = r->next) {
            const tug_lease *s = RING_OF(r, tug_lease, link);
            show_borrower(w, &s->by, s->lent, i == 0);
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
        show_borrower(w, &a->by, a->since, false);
        n++;
    }
    tug_inspect_list_end(w);
}

static void show_time(tug_inspect_writer *w, const struct histogram *h, const char *half,
                      const char *most_of)
{
    if (h->count > 0) {
        tug_inspect_duration(w, half, tug__histogram_percentile(h, 50));
        tug_inspect_duration(w, most_of, tug__histogram_percentile(h, 99));
    }
}

static void show_counters(tug_inspect_writer *w, const tug_pool *p)
{
    const struct {
        const char *key;
        uint64_t n;
    } counters[] = {
        {"acquired", p->acquired},
        {"opened", p->opened},
        {"failed", p->failed},
        {"discarded", p->discarded},
        {"retired_idle", p->retired[RETIRED_IDLE]},
        {"retired_lifetime", p->retired[RETIRED_LIFETIME]},
        {"retired_uses", p->retired[RETIRED_USES]},
        {"retired_surplus", p->retired[RETIRED_SURPLUS]},
        {"given_up", p->given_up},
        {"refused", p->refused},
        {"leaked", p->leaked},
    };
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        if (counters[i].n > 0) {
            tug_inspect_number(w, counters[i].key, (int64_t)counters[i].n);
        }
    }
    show_time(w, &p->times[TUG_POOL_WAIT], "wait_p50", "wait_p99");
    show_time(w, &p->times[TUG_POOL_CONNECT], "connect_p50", "connect_p99");
    show_time(w, &p->times[TUG_POOL_BUSY], "busy_p50", "busy_p99");
}

void tug__pool_show(tug_inspect_writer *w, void *arg)
{
    static const char *const states[] = {"open", "draining", "closing", "abandoned"};
    const tug_pool *p = arg;
    tug_inspect_text(w, "name", p->name);
    tug_inspect_text(w, "state", states[p->state]);
    tug_inspect_number(w, "size", (int64_t)p->total);
    tug_inspect_number(w, "min", (int64_t)p->o.min);
    tug_inspect_number(w, "max", (int64_t)p->o.max);
    tug_inspect_number(w, "idle", (int64_t)p->n[SLOT_IDLE]);
    tug_inspect_number(w, "out", (int64_t)(p->n[SLOT_BUSY] + p->n[SLOT_LOST]));
    tug_inspect_number(w, "preparing", (int64_t)(p->n[SLOT_CHECKING] + p->n[SLOT_RESETTING]));
    tug_inspect_number(w, "opening", (int64_t)p->n[SLOT_OPENING]);
    tug_inspect_number(w, "closing", (int64_t)p->n[SLOT_CLOSING]);
    tug_inspect_number(w, "waiting", (int64_t)p->n_waiting);
    show_counters(w, p);
    if (p->open_error.code != 0) {
        tug_inspect_text(w, "open_error", p->open_error.text);
        tug_inspect_duration(w, "open_failed_since", tug_turn_time() - p->failing_since);
        tug_inspect_number(w, "attempt", (int64_t)p->attempt);
        tug_inspect_duration(w, "retry_in",
                             p->retry_at > tug_turn_time() ? p->retry_at - tug_turn_time() : 0);
        tug_inspect_bool(w, "breaker_open", tug__pool_breaker_is_open(p));
    }
    show_lent(w, p);
    show_waiting(w, p);
}
