/* What: tug_inspect: the tree of a loop's groups and tasks, and what pools and connections say.
 *
 * The tree is walked by its own pointers: from a task along its scopes to the groups that it has entered,
 * down into their tasks, and back through the group's owner. So it costs no stack and no memory, however
 * deep groups nest, and can be asked for when memory is what is wrong. */
#include <tug/inspect.h>

#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

#include "task/describe.h"
#include "task/inspect.h"
#include "task/inspect_writer.h"
#include "util/debug.h"

enum {
    GROUPS_MOST = 48 /* groups in groups that are shown: readers of JSON limit the depth */
};

/* --- sources ------------------------------------------------------------------------------------ */

static tug_inspect_source *first_source(void)
{
    return *tug__loop_slot(TUG__SLOT_INSPECT);
}

/* The loop goes, and some of its objects stay for a while: a lease that is out keeps its pool. */
static void forget_sources(void *value)
{
    tug_inspect_source *next;
    for (tug_inspect_source *s = value; s != NULL; s = next) {
        next = s->next;
        s->next = s->prev = NULL;
    }
}

/* The first one's prev is the last, so that they are shown in the order in which they came. */
void tug_inspect_add(tug_inspect_source *s, const char *kind,
                     void (*fn)(tug_inspect_writer *w, void *arg), void *arg)
{
    tug_inspect_source *first = first_source();
    s->kind = kind;
    s->fn = fn;
    s->arg = arg;
    s->next = NULL;
    if (first == NULL) {
        s->prev = s;
        tug__loop_slot_set(TUG__SLOT_INSPECT, s, forget_sources);
    } else {
        s->prev = first->prev;
        first->prev->next = s;
        first->prev = s;
    }
}

void tug_inspect_remove(tug_inspect_source *s)
{
    if (s->prev == NULL) {
        return;
    }
    tug_inspect_source *first = first_source();
    if (s == first) {
        tug__loop_slot_set(TUG__SLOT_INSPECT, s->next, forget_sources);
    } else {
        s->prev->next = s->next;
    }
    if (s->next != NULL) {
        s->next->prev = s->prev;
    } else if (s != first) {
        first->prev = s->prev;
    }
    s->next = s->prev = NULL;
}

static void show_sources(tug_inspect_writer *w)
{
    tug_inspect_list(w, "sources");
    for (tug_inspect_source *s = first_source(); s != NULL; s = s->next) {
        tug__inspect_item_called(w, s->kind);
        if (w->is_json) {
            tug_inspect_text(w, "kind", s->kind);
        }
        s->fn(w, s->arg);
        tug_inspect_item_end(w);
    }
    tug_inspect_list_end(w);
}

/* --- scopes and groups -------------------------------------------------------------------------- */

static void show_fired(tug_inspect_writer *w, const struct tug__scope *s)
{
    static const struct {
        uint8_t bit;
        const char *key;
    } flags[] = {{TUG__SCOPE_CANCELLED, "cancelled"},
                 {TUG__SCOPE_EXPIRED, "expired"},
                 {TUG__SCOPE_PIERCED, "pierced"}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if ((s->fired & flags[i].bit) != 0) {
            tug_inspect_bool(w, flags[i].key, true);
        }
    }
    tug_inspect_text(w, "reason", s->reason);
}

static void group_fields(tug_inspect_writer *w, const struct tug__group *g)
{
    tug_inspect_text(w, "policy", g->policy == TUG_KEEP_GOING ? "keep going" : "fail fast");
    tug_inspect_number(w, "running", (int64_t)g->running);
    tug_inspect_number(w, "failures", (int64_t)g->failures);
    if (g->errors != NULL && g->failures > 0) {
        tug_inspect_text(w, "first_error", g->errors[0].text);
    }
}

static void open_scope(tug_inspect_writer *w, const struct tug__scope *s, tug_time now)
{
    static const char *const kinds[] = {"scope", "shield", "group", "task"};
    tug__inspect_item_called(w, kinds[s->kind]);
    if (w->is_json) {
        tug_inspect_text(w, "kind", kinds[s->kind]);
    }
    tug_inspect_duration(w, s->kind == TUG__SCOPE_SHIELD ? "grace_left" : "left",
                         tug__scope_time_left(s, now));
    if (s->kind == TUG__SCOPE_SHIELD) {
        tug_inspect_duration(w, "grace", s->grace);
    }
    show_fired(w, s);
    if (s->kind == TUG__SCOPE_GROUP) {
        group_fields(w, (const struct tug__group *)s);
    }
}

/* --- tasks -------------------------------------------------------------------------------------- */

static void open_task(tug_inspect_writer *w, const tug_task *t, tug_time now)
{
    tug__inspect_item_called(w, "");
    if (!w->is_json) {
        char line[TUG__DESCRIBE_SIZE];
        tug__task_describe(t, line, sizeof line);
        tug__inspect_say(w, line);
        return;
    }
    const char *what = tug__task_waits_for(t);
    tug_inspect_number(w, "number", (int64_t)t->number);
    tug_inspect_text(w, "name", t->name);
    tug_inspect_text(w, "state", tug__task_state_name(t));
    tug_inspect_text(w, "waits_for", what);
    if (what != NULL) {
        tug_inspect_duration(w, "since", now > t->waiting_since ? now - t->waiting_since : 0);
    }
    tug_inspect_bool(w, "cancelled", t->interrupted);
    tug_inspect_duration(w, "left", tug__task_time_left(t, now));
    tug_inspect_place(w, "spawned_at", t->spawned_at);
}

struct walk {
    const struct tug__group *group;
    const tug_task *task;           /* NULL: all of the group's have been shown */
    const struct tug__scope *scope; /* the next one of the task */
    unsigned depth;
};

/* The task's scopes from the innermost outwards, up to its first group: that is open then and returned.
 * NULL: none is left. */
static const struct tug__group *show_scopes(tug_inspect_writer *w, struct walk *at, tug_time now)
{
    const struct tug__scope *end = at->task->base.parent;
    while (at->scope != end) {
        const struct tug__scope *s = at->scope;
        at->scope = s->parent;
        if (s == &at->task->base && s->fired == 0) {
            continue; /* every task has one; it says something only after a cancel of just this task */
        }
        open_scope(w, s, now);
        if (s->kind == TUG__SCOPE_GROUP) {
            return (const struct tug__group *)s;
        }
        tug_inspect_item_end(w);
    }
    return NULL;
}

/* Where the walk goes on after the last task of a group: in the scopes of its owner. */
static void ascend(tug_inspect_writer *w, struct walk *at)
{
    tug_inspect_list_end(w);
    tug_inspect_item_end(w);
    at->task = at->group->scope.task;
    at->scope = at->group->scope.parent;
    at->group = at->task->group;
    at->depth--;
}

static void show_tasks(tug_inspect_writer *w, const struct tug__group *root, tug_time now)
{
    struct walk at = {.group = root, .task = root->first_child};
    tug_inspect_list(w, "tasks");
    while (at.task != NULL || at.group != root) {
        if (at.task == NULL) {
            ascend(w, &at);
        } else {
            open_task(w, at.task, now);
            tug_inspect_list(w, "scopes");
            at.scope = at.task->scope;
        }
        const struct tug__group *inner = show_scopes(w, &at, now);
        while (inner != NULL && at.depth == GROUPS_MOST) {
            tug_inspect_bool(w, "tasks_left_out", true);
            tug_inspect_item_end(w);
            inner = show_scopes(w, &at, now);
        }
        if (inner != NULL) {
            tug_inspect_list(w, "tasks");
            at.group = inner;
            at.task = inner->first_child;
            at.depth++;
        } else {
            tug_inspect_list_end(w);
            tug_inspect_item_end(w);
            at.task = at.task->next;
        }
    }
    tug_inspect_list_end(w);
}

/* --- stacks ------------------------------------------------------------------------------------- */

/* How deep the tasks of each spawn site went; only with stack_marks. */
static void show_stacks(tug_inspect_writer *w, const struct tug__runtime *rt)
{
    if (rt->debugging.sites == NULL) {
        return;
    }
    tug_inspect_list(w, "stacks");
    for (size_t i = 0; i < TUG__SITES; i++) {
        const struct tug__site *s = &rt->debugging.sites[i];
        if (s->place != NULL) {
            tug__inspect_item_called(w, "stack");
            tug_inspect_place(w, "spawned_at", s->place);
            tug_inspect_number(w, "ended_tasks", (int64_t)s->tasks);
            tug_inspect_number(w, "most_bytes", (int64_t)s->most);
            tug_inspect_number(w, "of_bytes", (int64_t)s->of);
            tug_inspect_item_end(w);
        }
    }
    tug_inspect_list_end(w);
}

/* --- the loop ----------------------------------------------------------------------------------- */

static void show_root(tug_inspect_writer *w, const struct tug__group *g, tug_time now)
{
    tug__inspect_object(w, g->name);
    tug__inspect_say(w, " tasks:");
    tug_inspect_number(w, "running", (int64_t)g->running);
    tug_inspect_number(w, "failures", (int64_t)g->failures);
    show_fired(w, &g->scope);
    show_tasks(w, g, now);
    tug__inspect_object_end(w);
}

void tug__inspect_write(tug_inspect_writer *w)
{
    struct tug_loop *loop = tug__loop;
    struct tug__runtime *rt = loop != NULL ? tug__runtime(loop) : NULL;
    tug__inspect_begin(w, "tug:");
    if (rt == NULL) {
        tug_inspect_text(w, "error", "this thread has no loop");
        tug__inspect_end(w);
        return;
    }
    tug_time now = loop->clock(loop);
    tug_inspect_number(w, "tasks", (int64_t)rt->tasks);
    tug_inspect_number(w, "spawned", (int64_t)rt->spawned);
    tug_inspect_number(w, "futures", (int64_t)tug__futures_live());
    tug_inspect_number(w, "ready", (int64_t)(loop->tail - loop->head));
    tug_inspect_number(w, "jobs_on_threads", (int64_t)loop->outside);
    tug_inspect_bool(w, "stopping", loop->stopping);
    show_root(w, &rt->user, now);
    show_root(w, &rt->service, now);
    show_sources(w);
    show_stacks(w, rt);
    tug__inspect_end(w);
}

static void to_file(FILE *to, bool is_json)
{
    tug_inspect_writer w = {.is_json = is_json, .file = to};
    tug__inspect_write(&w);
    fflush(to);
}

void tug_inspect(FILE *to)
{
    to_file(to, false);
}

void tug_inspect_json(FILE *to)
{
    to_file(to, true);
}

enum {
    DUMP_MOST = 64 << 20
};

/* As one piece, so that those of several loops do not mix; if there is memory for it. */
void tug__inspect_dump(void)
{
    tug_inspect_writer w = {.most = DUMP_MOST};
    tug__inspect_write(&w);
    if (w.code == 0) {
        fwrite(w.memory, 1, w.size, stderr);
        fflush(stderr);
    } else {
        tug_inspect(stderr);
    }
    tug_free(w.memory);
}

int tug_inspect_buffer(int form, size_t most, tug_buffer **ret_buffer)
{
    tug_inspect_writer w = {.is_json = form == TUG_INSPECT_JSON, .most = most};
    tug__inspect_write(&w);
    int rc = w.code;
    if (rc == TUG_ELIMIT) {
        rc = tug_fail(rc, "tug_inspect_buffer: it would be longer than %zu bytes", most);
    } else if (rc < 0) {
        rc = tug_fail(rc, "tug_inspect_buffer: out of memory after %zu bytes", w.size);
    } else {
        rc = tug_buffer_new(w.memory, w.size, ret_buffer);
    }
    tug_free(w.memory);
    return rc;
}
