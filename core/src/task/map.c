/* What: one function over many items, so many tasks at a time. A fixed set of runner tasks takes item after
 * item, so that a million items cost in_flight stacks and no allocation each. */
#include <string.h>
#include <tug/group.h>

#include "task/task.h"

struct map {
    tug_task_fn fn;
    char *items;
    size_t n;
    size_t item_size;
    size_t next;
    tug_duration each;
    tug_outcome *outcomes; /* NULL: fail fast */
    size_t failed;
};

static int run_item(struct map *m, size_t i)
{
    void *item = m->items + i * m->item_size;
    int rc = m->each == TUG_FOREVER ? m->fn(item) : TUG_WITHIN(m->each, m->fn(item));
    return rc > 0 ? 0 : rc;
}

static void record(struct map *m, size_t i, int rc)
{
    tug_outcome *o = &m->outcomes[i];
    o->rc = rc;
    if (rc < 0) {
        m->failed++;
        const tug_error *last = tug__error_current();
        if (last->code == rc) {
            tug__error_copy(&o->error, last);
        } else {
            tug__error_plain(&o->error, rc);
        }
    } else {
        tug__error_plain(&o->error, 0);
        o->error.text[0] = 0;
    }
}

static int runner(void *arg)
{
    struct map *m = arg;
    struct tug_task *t = tug__current();
    int rc = 0;
    bool is_cut = false;
    while (rc == 0 && !is_cut && m->next < m->n && !t->interrupted) {
        size_t i = m->next++;
        rc = run_item(m, i);
        if (m->outcomes != NULL) {
            record(m, i, rc);
            is_cut = rc == TUG_ECANCELED && t->interrupted;
            rc = 0;
        }
    }
    /* A cancel that comes when all is done changes nothing: it waits for the next wait. */
    is_cut = is_cut || (t->interrupted && m->next < m->n);
    return rc == 0 && is_cut ? tug__canceled() : rc;
}

/* With fewer runners, if there are no more to be had: at most in_flight. */
static int spawn_runners(struct map *m, tug_group *g, size_t n)
{
    struct tug_task *t;
    int rc = 0;
    size_t i = 0;
    while (i < n && rc == 0) {
        rc = tug__group_spawn(g, runner, m, 0, (void *)(uintptr_t)m->fn, &t);
        i += rc == 0;
    }
    return i > 0 ? 0 : rc;
}

static int run_map(struct map *m, const tug_map_options *given)
{
    tug_map_options o = TUG_MAP_OPTIONS_INIT;
    if (given != NULL) {
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    }
    if (o.in_flight < 1 || o.in_flight > 1000000) {
        return tug_fail(TUG_EINVAL, "in_flight is %zu, it must be 1 to 1,000,000", o.in_flight);
    }
    int rc = tug__need_task("tug_map") == NULL ? TUG_EMISUSE : tug_checkpoint();
    if (rc < 0) {
        return rc;
    }
    m->each = o.each;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    rc = spawn_runners(m, &g, o.in_flight < m->n ? o.in_flight : m->n);
    return tug_group_leave(&g, rc);
}

int tug_map(tug_task_fn fn, void *items, size_t n, size_t item_size, const tug_map_options *o)
{
    struct map m = {.fn = fn, .items = items, .n = n, .item_size = item_size};
    return run_map(&m, o);
}

int tug_map_settled(tug_task_fn fn, void *items, size_t n, size_t item_size,
                    const tug_map_options *o, tug_outcome *ret_outcomes, size_t *ret_failed)
{
    struct map m = {
        .fn = fn, .items = items, .n = n, .item_size = item_size, .outcomes = ret_outcomes};
    int rc = run_map(&m, o);
    for (size_t i = m.next; i < n; i++) { /* never started */
        ret_outcomes[i].rc = TUG_ECANCELED;
        tug__error_plain(&ret_outcomes[i].error, TUG_ECANCELED);
        m.failed++;
    }
    *ret_failed = m.failed;
    return rc;
}
