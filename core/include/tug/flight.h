/* What:      keyed single flight: of all who ask for a key at the same time, one load is made, and all get what
 *            it gave.
 * Ownership: new/ref/unref. key and arg are copied. The value is shared: each asker gets a reference.
 * Context:   run and wait_idle: task only. The rest: any context of the loop.
 * Callbacks: the loader, in a task of its own of the background group: it may wait and use every handle; it has
 *            no deadline but those it sets itself, and a cancelled asker does not end it. It may outlive
 *            the asker: what arg points to must live until tug_flight_wait_idle has returned.
 * Errors:    the loader's, with its detail, to all who ask; its TUG_ECANCELED becomes TUG_EDROPPED. TUG_ELIMIT
 *            beyond the bounds, TUG_ECANCELED, TUG_ECLOSED, TUG_EMISUSE, TUG_ENOMEM. */
#ifndef TUG_FLIGHT_H
#define TUG_FLIGHT_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TUG_FLIGHT_KEY_MAX = 4096, /* bytes of a key, and of an argument */
    TUG_FLIGHT_ARG_MAX = 4096
};

typedef struct tug_flight_options {
    size_t size;
    size_t max_loads; /* at the same time, each a task; 1 to 1,000,000; 1,000 */
} tug_flight_options;
#define TUG_FLIGHT_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(tug_flight_options), 1000                                                           \
    }

typedef struct tug_flight tug_flight;

/* With the defaults. TUG_ENOMEM. */
TUG_EXPORT int tug_flight_new(tug_flight **ret_flight);
/* o NULL: the defaults. */
TUG_EXPORT int tug_flight_new_with(const tug_flight_options *o, tug_flight **ret_flight);
TUG_EXPORT tug_flight *tug_flight_ref(tug_flight *f);
/* The last unref cancels the loads and does not wait for them; who still asks gets TUG_ECLOSED. */
TUG_EXPORT tug_flight *tug_flight_unref(tug_flight *f);
TUG_AUTO_FN(tug_flight, tug_flight_unref)

/* Waits for the load of key, which is started with a copy of arg if none is under way. fn gives a value, which
 * may be NULL, or a negative code. */
TUG_SUSPENDS TUG_EXPORT int tug_flight_run(tug_flight *f, struct tug_bytes key,
                                           int (*fn)(void *arg, tug_buffer **ret_value),
                                           const void *arg, size_t arg_size,
                                           tug_buffer **ret_value) TUG_CHECK;
/* Waits until no load is under way: before what they use goes away. Never cut short: a cancel of the caller
 * goes to the loads instead. NULL is fine. */
TUG_SUSPENDS TUG_EXPORT void tug_flight_wait_idle(tug_flight *f);
/* Loads under way. */
TUG_EXPORT size_t tug_flight_loads(const tug_flight *f);

#ifdef __cplusplus
}
#endif
#endif
