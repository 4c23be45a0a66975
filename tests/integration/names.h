/* What:      getaddrinfo of the test's own, before the C library's, for the program and for libpq: names below .test
 * are answered here, and who asks on which thread is watched.
 * Ownership: none. Context: any thread. Callbacks: none. Errors: none. */
#ifndef TUG_TESTS_NAMES_H
#define TUG_TESTS_NAMES_H

/* Included by one file of a program, for it defines the function. The feature-test macro is the project's. */
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/task.h>

#include "test.h"

/* *.test is 127.0.0.1, but:
 *   held.test     is not answered before names_release()
 *   two.test      is 127.0.0.1 and 127.0.0.2
 *   none.test     is not known */
static pthread_mutex_t names_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t names_released = PTHREAD_COND_INITIALIZER;
static int names_are_released;
/* Calls on this thread are counted: there must be none, for numbers neither, which libpq asks for in each step of a
 * connect that goes to the next address. */
static pthread_t names_loop;
static atomic_int names_on_loop, names_held, names_inside;

static inline void names_watch(void)
{
    names_loop = pthread_self();
}

static inline void names_release(void)
{
    pthread_mutex_lock(&names_mutex);
    names_are_released = 1;
    pthread_cond_broadcast(&names_released);
    pthread_mutex_unlock(&names_mutex);
}

static inline void names_hold(void)
{
    atomic_fetch_add(&names_held, 1);
    atomic_fetch_add(&names_inside, 1);
    pthread_mutex_lock(&names_mutex);
    while (!names_are_released) {
        pthread_cond_wait(&names_released, &names_mutex);
    }
    pthread_mutex_unlock(&names_mutex);
    atomic_fetch_sub(&names_inside, 1);
}

/* A look-up that nobody waits for any more has memory of its own until its thread is back: the end of the test would
 * take that for a leak. */
static inline void names_end(void)
{
    names_release();
    while (names_inside > 0) {
        assert_ok(tug_sleep(TUG_MS(1)));
    }
    assert_ok(tug_sleep(TUG_MS(100))); /* from there to the end of the job no test can see */
}

typedef int names_function(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* Visible, so that libpq finds it too. */
__attribute__((visibility("default"))) int getaddrinfo(const char *host, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **ret_list)
{
    names_function *real = (names_function *)dlsym(RTLD_NEXT, "getaddrinfo");
    size_t n = host != NULL ? strlen(host) : 0;
    int numeric = hints != NULL && (hints->ai_flags & AI_NUMERICHOST) != 0;
    if (pthread_equal(pthread_self(), names_loop)) {
        atomic_fetch_add(&names_on_loop, 1);
    }
    if (n < 5 || strcmp(host + n - 5, ".test") != 0 || numeric) {
        return real(host, service, hints, ret_list);
    }
    if (strcmp(host, "held.test") == 0) {
        names_hold();
    }
    if (strcmp(host, "none.test") == 0) {
        return EAI_NONAME;
    }
    int rc = real("127.0.0.1", service, hints, ret_list);
    if (rc == 0 && strcmp(host, "two.test") == 0) {
        /* The C library frees the list as a chain, however it came to be one. */
        struct addrinfo *last = *ret_list;
        while (last->ai_next != NULL) {
            last = last->ai_next;
        }
        rc = real("127.0.0.2", service, hints, &last->ai_next);
    }
    return rc;
}

#endif
