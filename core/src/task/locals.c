/* What: task-locals. A task has a list of values; a child begins with the list of who spawned it.
 *
 * Lists are shared and therefore never changed: to set is to make another list, of references to the
 * same values but one. So a spawn costs one reference however many values there are, and what a task
 * sets later is seen by no other. Only a list that no other task has is changed in place. */
#include "task/locals.h"

#include <tug/sys/alloc.h>

enum {
    LOCALS_MOST = 64, /* keys of one task: a list is searched from its front */
    END_ROUNDS =
        4 /* as PTHREAD_DESTRUCTOR_ITERATIONS: a destroy that sets its key again would never end */
};

/* A value, held by the lists that it is in. */
struct value {
    size_t refs;
    const tug_local *key;
    void *value;
};

struct tug__locals {
    size_t refs; /* tasks, and the list whose `passed_on` this is */
    size_t n;
    struct tug__locals *passed_on; /* what children get, where that is not all; else NULL */
    struct value *values[];
};

static void value_unref(struct value *v)
{
    if (--v->refs == 0) {
        if (v->key->destroy != NULL) {
            v->key->destroy(v->value);
        }
        tug_free(v);
    }
}

static void locals_unref(struct tug__locals *l)
{
    while (l != NULL && --l->refs == 0) {
        struct tug__locals *passed_on = l->passed_on;
        for (size_t i = 0; i < l->n; i++) {
            value_unref(l->values[i]);
        }
        tug_free(l);
        l = passed_on;
    }
}

static size_t find(const struct tug__locals *l, const tug_local *key)
{
    size_t i = 0;
    while (l != NULL && i < l->n && l->values[i]->key != key) {
        i++;
    }
    return i;
}

/* The values of `from` (NULL: none) without `key`, of those that are passed on only or of all, and v if it is not
 * NULL. References are taken, v's too. */
static struct tug__locals *copy(const struct tug__locals *from, const tug_local *key,
                                struct value *v, bool for_children)
{
    size_t n = from != NULL ? from->n : 0;
    struct tug__locals *l = tug_alloc(sizeof *l + (n + 1) * sizeof l->values[0]);
    if (l == NULL) {
        return NULL;
    }
    *l = (struct tug__locals){.refs = 1};
    for (size_t i = 0; i < n; i++) {
        if (from->values[i]->key != key && !(for_children && from->values[i]->key->is_private)) {
            l->values[l->n++] = from->values[i];
        }
    }
    if (v != NULL && !(for_children && v->key->is_private)) {
        l->values[l->n++] = v;
    }
    for (size_t i = 0; i < l->n; i++) {
        l->values[i]->refs++;
    }
    return l;
}

static bool has_private(const struct tug__locals *l)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->values[i]->key->is_private) {
            return true;
        }
    }
    return false;
}

/* The list that a task has after it has set key to v (NULL: to nothing). NULL: out of memory. */
static struct tug__locals *changed(const struct tug__locals *from, const tug_local *key,
                                   struct value *v)
{
    struct tug__locals *l = copy(from, key, v, false);
    if (l != NULL && has_private(l)) {
        l->passed_on = copy(from, key, v, true);
        if (l->passed_on == NULL) {
            locals_unref(l);
            return NULL;
        }
    }
    return l;
}

static int set(struct tug_task *t, const tug_local *key, struct value *v)
{
    struct tug__locals *before = t->locals;
    size_t at = find(before, key);
    if (v != NULL && at == LOCALS_MOST) {
        return tug_fail(TUG_ELIMIT, "a task has at most %d task-locals", LOCALS_MOST);
    }
    if (v != NULL && before != NULL && before->refs == 1 && before->passed_on == NULL &&
        at < before->n) { /* nobody else has this list: so it is not copied for each new value */
        struct value *old = before->values[at];
        before->values[at] = v;
        v->refs++;
        value_unref(old);
        return 0;
    }
    struct tug__locals *l = changed(before, key, v);
    if (l == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for task-local \"%s\"", key->name);
    }
    t->locals = l;
    locals_unref(before);
    return 0;
}

int tug_local_set(const tug_local *key, void *value)
{
    struct tug_task *t = tug__need_task("tug_local_set");
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    if (value == NULL) {
        return t->locals == NULL || find(t->locals, key) == t->locals->n ? 0 : set(t, key, NULL);
    }
    if (t->locals_closed) {
        return tug_fail(TUG_EMISUSE,
                        "task-local \"%s\": the task has ended, and its values set "
                        "others again and again",
                        key->name);
    }
    struct value *v = tug_alloc(sizeof *v);
    if (v == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for task-local \"%s\"", key->name);
    }
    *v = (struct value){.refs = 1, .key = key, .value = value};
    int rc = set(t, key, v);
    if (rc < 0) { /* the value stays the caller's */
        tug_free(v);
    } else {
        v->refs--;
    }
    return rc;
}

void *tug_local_get(const tug_local *key)
{
    const struct tug_task *t = tug__current();
    const struct tug__locals *l = t != NULL ? t->locals : NULL;
    size_t at = find(l, key);
    return l != NULL && at < l->n ? l->values[at]->value : NULL;
}

void tug__locals_share(struct tug_task *child, const struct tug_task *from)
{
    struct tug__locals *l = from->locals->passed_on != NULL ? from->locals->passed_on
                                                            : from->locals;
    if (l->n > 0) {
        l->refs++;
        child->locals = l;
    }
}

void tug__locals_end(struct tug_task *t)
{
    tug_error kept; /* the detail of what the task returns outlives what its values' ends say */
    tug__error_copy(&kept, &t->error);
    for (int round = 0; t->locals != NULL; round++) { /* a destroy may set another one */
        struct tug__locals *l = t->locals;
        t->locals_closed = round >= END_ROUNDS;
        t->locals = NULL;
        locals_unref(l);
    }
    t->locals_closed = false; /* the next task on this stack begins as it is */
    tug__error_copy(&t->error, &kept);
}
