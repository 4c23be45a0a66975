/* What gdb is to show: three tasks that wait, each in a function with a name, and one that runs. */
#include <stdio.h>
#include <tug/group.h>
#include <tug/loop.h>
#include <tug/queue.h>
#include <tug/scope.h>
#include <tug/task.h>

__attribute__((noinline)) void stop_here(int spawned);
__attribute__((noinline)) void stop_here(int spawned)
{
    __asm__ volatile("" ::"r"(spawned));
}

static __attribute__((noinline)) int sleep_in_here(int secret_number)
{
    volatile int local_secret = secret_number + 1;
    int rc = tug_sleep(TUG_SECONDS(1000));
    return rc + local_secret - local_secret;
}

static int sleeper(void *arg)
{
    (void)arg;
    tug_task_set_name("sleeper");
    int rc = sleep_in_here(4711);
    return rc;
}

static __attribute__((noinline)) int wait_for_an_item(tug_queue *q)
{
    void *item = NULL;
    int rc = tug_queue_next(q, &item);
    return rc;
}

static int taker(void *arg)
{
    tug_task_set_name("taker");
    int rc = wait_for_an_item(arg);
    return rc;
}

static int family(void *arg)
{
    tug_task_set_name("family");
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    TUG_IGNORE(tug_group_spawn(&g, taker, arg));
    int rc = tug_group_leave(&g, 0);
    return rc;
}

static int work(void *arg)
{
    (void)arg;
    TUG_AUTO(tug_queue) q = NULL;
    int rc = tug_queue_new(1, NULL, &q);
    if (rc < 0) {
        return rc;
    }
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    TUG_IGNORE(tug_group_spawn(&g, sleeper, NULL));
    TUG_IGNORE(tug_group_spawn(&g, family, q));
    rc = tug_sleep(TUG_MS(20));
    stop_here(4);
    tug_group_cancel(&g);
    return tug_group_leave(&g, rc);
}

int main(void)
{
    return tug_main(work, NULL);
}
