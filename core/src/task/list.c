/* What: all tasks of a loop, for whoever wants to look. Groups are worked off a list, not by recursion:
 * they nest as deep as the program likes. */
#include <string.h>

#include "task/task.h"

struct listing {
    tug_task_info *to;
    size_t max;
    size_t n;
    bool is_service;
    struct tug__group *work, **work_end; /* first in, first out: parents before children */
};

static int state_of(const struct tug_task *t)
{
    switch (t->state) {
    case TUG__TASK_WAITING:
        return TUG_TASK_WAITS;
    case TUG__TASK_HELD:
        return TUG_TASK_HELD;
    default:
        return t == tug__current() ? TUG_TASK_RUNS : TUG_TASK_READY;
    }
}

static void fill(tug_task_info *i, const struct tug_task *t, bool is_service)
{
    int state = state_of(t);
    bool waits = state == TUG_TASK_WAITS || state == TUG_TASK_HELD;
    const struct tug_task *parent = t->group->scope.task;
    memset(i, 0, sizeof *i);
    i->number = t->number;
    i->parent = parent != NULL ? parent->number : 0;
    memcpy(i->name, t->name, sizeof i->name);
    i->state = state;
    i->is_service = is_service;
    i->is_cancelled = t->interrupted;
    i->waits_for = waits ? t->wait.what : NULL;
    i->since = waits ? t->waiting_since : 0;
    i->spawned_at = t->spawned_at;
}

static void add_work(struct listing *l, struct tug__group *g)
{
    g->next_work = NULL;
    *l->work_end = g;
    l->work_end = &g->next_work;
}

static void visit_task(struct listing *l, const struct tug_task *t)
{
    if (l->n < l->max) {
        fill(&l->to[l->n], t, l->is_service);
    }
    l->n++;
    for (struct tug__scope *s = t->scope; s != &t->base; s = s->parent) {
        if (s->kind == TUG__SCOPE_GROUP) {
            add_work(l, (struct tug__group *)s);
        }
    }
}

static void visit_root(struct listing *l, struct tug__group *root)
{
    l->work = NULL;
    l->work_end = &l->work;
    add_work(l, root);
    while (l->work != NULL) {
        struct tug__group *g = l->work;
        for (const struct tug_task *t = g->first_child; t != NULL; t = t->next) {
            visit_task(l, t);
        }
        l->work = g->next_work;
    }
}

size_t tug_task_list(tug_task_info *ret_infos, size_t max)
{
    struct listing l = {.to = ret_infos, .max = max};
    struct tug__runtime *rt = tug__loop != NULL ? tug__runtime(tug__loop) : NULL;
    if (rt != NULL) {
        visit_root(&l, &rt->user);
        l.is_service = true;
        visit_root(&l, &rt->service);
    }
    return l.n;
}
