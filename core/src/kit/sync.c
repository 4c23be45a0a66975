/* What: event and semaphore. What a waiter waits for is handed over by the side that has it (a
 * permit never lies about while somebody waits), so a newcomer cannot overtake and a cancel cannot
 * lose it. */
#include <tug/sync.h>

#include <assert.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

/* --- event ----------------------------------------------------------------------------------- */

struct tug_event {
    size_t refs;
    tug_waiters waiters;
    bool is_set;
};

int tug_event_new(tug_event **ret_event)
{
    tug_event *e = tug_calloc(1, sizeof *e);
    if (e == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for an event");
    }
    e->refs = 1;
    *ret_event = e;
    return 0;
}

tug_event *tug_event_ref(tug_event *e)
{
    e->refs++;
    return e;
}

tug_event *tug_event_unref(tug_event *e)
{
    if (e != NULL && --e->refs == 0) {
        tug_unpark_all(&e->waiters, TUG_ECLOSED, NULL);
        tug_free(e);
    }
    return NULL;
}

void tug_event_set(tug_event *e)
{
    e->is_set = true;
    tug_unpark_all(&e->waiters, 0, NULL);
}

void tug_event_clear(tug_event *e)
{
    e->is_set = false;
}

bool tug_event_is_set(const tug_event *e)
{
    return e->is_set;
}

int tug_event_wait(tug_event *e)
{
    return e->is_set ? tug_checkpoint() : tug_park(&e->waiters, NULL, "event.wait");
}

/* --- semaphore ------------------------------------------------------------------------------- */

struct tug_semaphore {
    size_t refs;
    size_t permits; /* 0 while anybody waits */
    tug_waiters waiters;
};

int tug_semaphore_new(size_t permits, tug_semaphore **ret_semaphore)
{
    tug_semaphore *s = tug_calloc(1, sizeof *s);
    if (s == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a semaphore");
    }
    s->refs = 1;
    s->permits = permits;
    *ret_semaphore = s;
    return 0;
}

tug_semaphore *tug_semaphore_ref(tug_semaphore *s)
{
    s->refs++;
    return s;
}

tug_semaphore *tug_semaphore_unref(tug_semaphore *s)
{
    if (s != NULL && --s->refs == 0) {
        tug_unpark_all(&s->waiters, TUG_ECLOSED, NULL);
        tug_free(s);
    }
    return NULL;
}

bool tug_semaphore_try(tug_semaphore *s)
{
    assert((s->permits == 0 || !tug_waiters_any(&s->waiters)) &&
           "a permit lies about while a task waits");
    if (s->permits == 0) {
        return false;
    }
    s->permits--;
    return true;
}

int tug_semaphore_acquire(tug_semaphore *s)
{
    if (s->permits == 0) {
        return tug_park(&s->waiters, NULL, "semaphore.acquire");
    }
    /* The checkpoint may yield: others may take the permits then, or let go of the semaphore. */
    tug_semaphore_ref(s);
    int rc = tug_checkpoint();
    bool is_taken = rc == 0 && tug_semaphore_try(s);
    bool is_last = s->refs == 1;
    tug_semaphore_unref(s);
    if (rc < 0 || is_taken) {
        return rc;
    }
    return is_last ? tug_fail(TUG_ECLOSED, "closed")
                   : tug_park(&s->waiters, NULL, "semaphore.acquire");
}

void tug_semaphore_release(tug_semaphore *s)
{
    if (!tug_unpark_first(&s->waiters, 0, NULL)) {
        s->permits++;
    }
}

size_t tug_semaphore_permits(const tug_semaphore *s)
{
    return s->permits;
}
