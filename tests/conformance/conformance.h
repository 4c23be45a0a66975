/* What:      what every driver must do when the network, the server or the caller does not, stated once (cases.c)
 *            and stamped on each: a program is cases.c and one file that fills in this table.
 * Ownership: a handle is closed by the case that opened it. Context: in a test's task.
 * Callbacks: none.
 * Errors:    the cases fail the test. */
#ifndef TUG_TESTS_CONFORMANCE_H
#define TUG_TESTS_CONFORMANCE_H

#include <tug/future.h>

/* What a case asks of a handle; 0: the driver's default. */
typedef struct conformance_setup {
    tug_duration connect_timeout;
    size_t in_flight;    /* requests on a connection */
    size_t waiting;      /* requests that have no place on a connection yet */
    size_t answer_bytes; /* of one answer; 64 KiB or more */
} conformance_setup;

typedef struct conformance_driver {
    /* Of the environment: the server's URL, scheme://user:password@host:port/path. */
    const char *variable;
    /* Opens a handle that sends all its requests over one connection. url: the server's, behind the proxy. */
    int (*open)(const char *url, const conformance_setup *setup, void **ret_handle);
    int (*ready)(void *handle);
    /* One round trip whose answer depends on the question: number + 1. */
    tug_future *(*ask_start)(void *handle, int32_t number);
    int (*ask_take)(tug_future *f, int32_t *ret_answer);
    int (*ask)(void *handle, int32_t number, int32_t *ret_answer);
    /* One whose answer has at least size bytes. */
    int (*ask_large)(void *handle, size_t size);
    void (*close)(void *handle);
} conformance_driver;

/* Defined by the driver's file. */
extern const conformance_driver conformance_subject;

#endif
