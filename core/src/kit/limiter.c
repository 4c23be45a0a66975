/* What: two ways to say when the next permits are there, and one FIFO of those who wait for them. Nothing runs
 * while nobody waits: permits are counted from the clock when somebody asks. With waiters one timer
 * stands at the instant of the first one.
 *
 * The bucket is kept as the instant at which it will be full ("full_at"): n permits are there at t if, with n
 * more intervals, it would be full by t + the time that a whole burst takes. A window keeps the instants
 * of the last n permits: the next may go one window after the oldest of them. Both are exact in integers,
 * so the test clock meets the instant. */
#include <tug/limiter.h>

#include <assert.h>
#include <tug/sys/alloc.h>

#include "kit/sync.h"

#include "loop/loop.h"

/* An instant or a length in 2^-32 ns: intervals are no whole nanoseconds (three a second). */
struct fine {
    int64_t ns;
    uint32_t part;
};

struct tug_limiter {
    struct tug_loop *loop;
    size_t refs;
    size_t waiting;      /* calls of acquire that have not returned: the memory stays for them */
    size_t most;         /* permits that can be there at the same time */
    tug_waiters waiters; /* slot: size_t *, how many it wants */
    tug_timer timer;     /* runs while somebody waits */
    struct fine interval, full_at, whole; /* of the bucket; whole: from empty to full */
    tug_duration window;                  /* > 0: it is a window */
    size_t used, head;                    /* instants in the ring, and the oldest one */
    tug_time ring[];
};

enum {
    NS = 1000000000
};

/* --- fine time ------------------------------------------------------------------------------- */

static struct fine fine_add(struct fine a, struct fine b)
{
    uint64_t part = (uint64_t)a.part + b.part;
    return (struct fine){a.ns + b.ns + (int64_t)(part >> 32), (uint32_t)part};
}

static struct fine fine_times(struct fine a, size_t n)
{
    assert(n <= TUG_LIMITER_BURST_MAX && "the product fits");
    uint64_t part = (uint64_t)a.part * n;
    return (struct fine){a.ns * (int64_t)n + (int64_t)(part >> 32), (uint32_t)part};
}

/* The first whole nanosecond that is not before a - b. */
static tug_time fine_after(struct fine a, struct fine b)
{
    return a.ns - b.ns + (a.part > b.part);
}

/* Rounded down: so n intervals are never late by more than the nanosecond to which they are rounded up. Whole
 * rates are divided as integers, where a double would be a little off either way. */
static struct fine fine_interval(double per_second)
{
    int64_t whole_rate = (int64_t)per_second;
    if ((double)whole_rate == per_second) {
        return (struct fine){NS / whole_rate, (uint32_t)(((uint64_t)(NS % whole_rate) << 32) /
                                                         (uint64_t)whole_rate)};
    }
    double interval = NS / per_second;
    int64_t ns = (int64_t)interval;
    return (struct fine){ns, (uint32_t)((interval - (double)ns) * 4294967296.0)};
}

/* --- when, and using up ---------------------------------------------------------------------- */

/* The bucket once n more were taken at now. One that is full since less than a nanosecond is not cut off at now:
 * what is taken as soon as it is there would lose that part each time. */
static struct fine full_after(const tug_limiter *l, size_t n, tug_time now)
{
    bool was_full = l->full_at.ns + (l->full_at.part > 0) < now;
    struct fine from = was_full ? (struct fine){now, 0} : l->full_at;
    return fine_add(from, fine_times(l->interval, n));
}

/* The instant at which n are there, if no others are taken meanwhile. n <= most. */
static tug_time ready_at(const tug_limiter *l, size_t n, tug_time now)
{
    if (l->window == 0) {
        return fine_after(full_after(l, n, now), l->whole);
    }
    if (l->used + n <= l->most) {
        return now;
    }
    size_t oldest_in_the_way = l->head + (l->used + n - l->most) - 1;
    return tug_time_after(l->ring[oldest_in_the_way % l->most], l->window);
}

static void use_up(tug_limiter *l, size_t n, tug_time now)
{
    if (l->window == 0) {
        l->full_at = full_after(l, n, now);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (l->used < l->most) {
            l->ring[(l->head + l->used++) % l->most] = now;
        } else {
            l->ring[l->head] = now;
            l->head = l->head + 1 < l->most ? l->head + 1 : 0;
        }
    }
}

static void on_timer(tug_timer *timer, void *arg);

/* To all whose permits are there, in their order; the timer to the instant of the first who waits on. */
static void serve(tug_limiter *l)
{
    const size_t *n;
    tug_time now = tug_now();
    while ((n = tug_waiters_slot(&l->waiters)) != NULL) {
        tug_time at = ready_at(l, *n, now);
        if (at > now) {
            tug_timer_start(&l->timer, at, on_timer, l);
            return;
        }
        use_up(l, *n, now);
        tug_unpark_first(&l->waiters, 0, NULL);
    }
    tug_timer_stop(&l->timer);
}

static void on_timer(tug_timer *timer, void *arg)
{
    (void)timer;
    serve(arg);
}

/* --- its life -------------------------------------------------------------------------------- */

static int new (size_t ring, tug_limiter **ret_limiter)
{
    tug_limiter *l = tug_calloc(1, sizeof *l + ring * sizeof l->ring[0]);
    if (l == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a limiter");
    }
    l->loop = tug__loop;
    l->refs = 1;
    *ret_limiter = l;
    return 0;
}

int tug_limiter_new_rate(double per_second, size_t burst, tug_limiter **ret_limiter)
{
    if (!(per_second >= 1e-6 && per_second <= 1e9)) {
        return tug_fail(TUG_EINVAL, "a rate of %g a second is not between 1e-6 and 1e9",
                        per_second);
    }
    if (burst == 0 || burst > TUG_LIMITER_BURST_MAX) {
        return tug_fail(TUG_EINVAL, "a burst is 1 to %d, not %zu", TUG_LIMITER_BURST_MAX, burst);
    }
    double interval = NS / per_second; /* at most 1e15 ns, 11 days */
    if (interval * (double)burst > (double)(INT64_MAX / 4)) {
        return tug_fail(TUG_EINVAL, "a burst of %zu at %g a second takes more than 70 years", burst,
                        per_second);
    }
    int rc = new (0, ret_limiter);
    if (rc < 0) {
        return rc;
    }
    tug_limiter *l = *ret_limiter;
    l->most = burst;
    l->interval = fine_interval(per_second);
    l->whole = fine_times(l->interval, burst);
    return 0;
}

int tug_limiter_new_window(size_t n, tug_duration window, tug_limiter **ret_limiter)
{
    if (n == 0 || n > TUG_LIMITER_WINDOW_MAX) {
        return tug_fail(TUG_EINVAL, "a window is for 1 to %d permits, not %zu",
                        TUG_LIMITER_WINDOW_MAX, n);
    }
    if (window <= 0) {
        return tug_fail(TUG_EINVAL, "a window has a length");
    }
    int rc = new (n, ret_limiter);
    if (rc == 0) {
        (*ret_limiter)->most = n;
        (*ret_limiter)->window = window;
    }
    return rc;
}

tug_limiter *tug_limiter_ref(tug_limiter *l)
{
    l->refs++;
    return l;
}

static void free_if_unused(tug_limiter *l)
{
    if (l->refs == 0 && l->waiting == 0) {
        tug_free(l);
    }
}

tug_limiter *tug_limiter_unref(tug_limiter *l)
{
    if (l != NULL && !tug__is_here_or_adopts_void(&l->loop, "tug_limiter_unref")) {
        return NULL;
    }
    if (l != NULL && --l->refs == 0) {
        if (tug_timer_is_running(&l->timer)) {
            tug_timer_stop(&l->timer);
        }
        tug_unpark_all(&l->waiters, TUG_ECLOSED, NULL);
        free_if_unused(l);
    }
    return NULL;
}

/* --- asking ---------------------------------------------------------------------------------- */

static int wait_for(tug_limiter *l, size_t n)
{
    bool is_first = !tug_waiters_any(&l->waiters);
    if (is_first) {
        tug_timer_start(&l->timer, ready_at(l, n, tug_now()), on_timer, l);
    }
    l->waiting++;
    int rc = tug_park(&l->waiters, &n, "limiter.acquire");
    l->waiting--;
    if (rc == TUG_ECANCELED && l->refs > 0) {
        serve(l); /* the next one may want fewer, and have them earlier */
    }
    free_if_unused(l);
    return rc;
}

int tug_limiter_acquire(tug_limiter *l, size_t n)
{
    if (!tug__is_here_or_adopts(&l->loop, "tug_limiter_acquire")) {
        return TUG_EMISUSE;
    }
    struct tug_task *t = tug__need_task("tug_limiter_acquire");
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    if (n == 0 || n > l->most) {
        return tug_fail(TUG_EINVAL, "%zu permits at once can never be had: it has 1 to %zu", n,
                        l->most);
    }
    if (t->interrupted) {
        return tug__canceled();
    }
    if (!tug_limiter_try(l, n)) {
        return wait_for(l, n);
    }
    return tug__claimed(0);
}

bool tug_limiter_try(tug_limiter *l, size_t n)
{
    if (!tug__is_here_or_adopts_void(&l->loop, "tug_limiter_try")) {
        return false;
    }
    if (n == 0 || n > l->most || tug_waiters_any(&l->waiters)) {
        return false;
    }
    tug_time now = tug_now();
    if (ready_at(l, n, now) > now) {
        return false;
    }
    use_up(l, n, now);
    return true;
}

tug_duration tug_limiter_time_left(const tug_limiter *l, size_t n)
{
    if (n == 0 || n > l->most) {
        return TUG_FOREVER;
    }
    tug_time now = tug_now();
    tug_time at = ready_at(l, n, now);
    return at > now ? at - now : 0;
}
