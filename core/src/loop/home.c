/* What: whose an object is. Each remembers its loop and compares it with the calling thread's, which costs two
 * instructions; all that follows a mismatch is here. */
#include <pthread.h>
#include <tug/log.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "loop/loop.h"
#include "util/debug.h"

#define WRONG_LOOP "%s: it belongs to the loop of another thread; post to that by a tug_remote"

/* Loops that have not ended. Those that a detach left behind stay: what belongs to them must not be used. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
struct tug_loop *tug__loops;

void tug__loops_lock(void)
{
    pthread_mutex_lock(&lock);
}

void tug__loops_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void tug__loop_register(struct tug_loop *loop)
{
    loop->thread_id = gettid();
    tug__loop_set_idle(loop, true);
    pthread_mutex_lock(&lock);
    loop->next = tug__loops;
    loop->at_prev = &tug__loops;
    if (loop->next != NULL) {
        loop->next->at_prev = &loop->next;
    }
    tug__loops = loop;
    pthread_mutex_unlock(&lock);
}

void tug__loop_unregister(struct tug_loop *loop)
{
    pthread_mutex_lock(&lock);
    if (loop->at_prev != NULL) {
        *loop->at_prev = loop->next;
        if (loop->next != NULL) {
            loop->next->at_prev = loop->at_prev;
        }
    }
    pthread_mutex_unlock(&lock);
}

bool tug__adopt(struct tug_loop **at)
{
    const struct tug_loop *l = NULL;
    if (*at != NULL) {
        pthread_mutex_lock(&lock);
        for (l = tug__loops; l != NULL && l != *at; l = l->next) {
        }
        pthread_mutex_unlock(&lock);
    }
    if (l != NULL) {
        return false;
    }
    *at = tug__loop;
    return true;
}

bool tug__refuse_loop(const char *what)
{
    tug_fail(TUG_EMISUSE, WRONG_LOOP, what);
    return false;
}

bool tug__refuse_loop_void(const char *what)
{
    tug__debug_violation(WRONG_LOOP, what);
    tug_log(TUG_LOG_ERROR, "loop", WRONG_LOOP, what);
    return false;
}

tug_loop *tug_loop_current(void)
{
    return tug__loop;
}

bool tug_is_here(const tug_loop *loop, const char *what)
{
    return tug__is_here(loop, what);
}

bool tug_is_here_void(const tug_loop *loop, const char *what)
{
    return tug__is_here_void(loop, what);
}
