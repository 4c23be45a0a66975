/* What:      the frame of tug-bench: two sides measured against each other in slices of one run.
 * Ownership: states are the bench's own; the frame keeps nothing after bench_compare returned.
 * Context:   a bench runs as the main task of a loop of its own; see the two sides below.
 * Callbacks: the slices.
 * Errors:    as everywhere: a negative code, whose detail is printed as the reason.
 *
 * A new bench is a file with one `const struct bench`, and a line in registry.c. */
#ifndef TUG_BENCH_BENCH_H
#define TUG_BENCH_BENCH_H

#include <tug/task.h>

struct bench {
    const char *name; /* "pg.pipeline" */
    const char *what; /* ours, against which limit; one line, for people */
    int (*run)(void); /* a task */
};

/* Ends with NULL. */
extern const struct bench *const bench_registry[];

/* Works until bench_now() >= until, then ends what is under way, and says how many operations it
 * was. Small pieces: the clock is to be looked at every 10 to 100 us. */
typedef int (*bench_slice)(void *state, tug_time until, uint64_t *ret_done);

enum bench_kind {
    BENCH_TIME, /* wall-clock time of an operation: less is better */
    BENCH_RATE, /* operations a second: more is better */
    BENCH_CPU   /* CPU time of the calling thread for an operation: less is better */
};

struct bench_figure {
    const char *suffix; /* behind the bench's name; "" for the first, ".cpu" */
    enum bench_kind kind;
    const char *
        unit; /* "ns" and "us" are known by BENCH_TIME and BENCH_CPU; of a rate anything a second */
};

struct bench_compare {
    const char *name;
    bench_slice ours; /* called in the main task */
    bench_slice
        limit; /* called on the loop's own stack, and may block: nothing else runs meanwhile */
    void *state;
    /* What a slice of ours spent on what is measured, set by it: preparing and clearing away are not in
     * the figure then. NULL: all of its time. */
    const tug_duration *spent;
    const tug_duration *spent_limit; /* the same for the limit */
    struct bench_figure figures[4];  /* up to the first without a unit */
};

/* Runs both sides alternately, the order within a pair swapped from pair to pair, and prints a line
 * for each figure: medians of both sides, and the median of the ratios of the pairs. */
TUG_SUSPENDS int bench_compare(const struct bench_compare *c) TUG_CHECK;
/* NAME VALUE UNIT limit VALUE ratio R; limit < 0: there is none. */
void bench_print(const char *name, const char *suffix, double value, const char *unit, double limit,
                 double ratio);

/* --quick: a look whether it works, rather than a figure. */
bool bench_is_quick(void);

/* The clock of the slices, monotonic ns. Any context. */
tug_time bench_now(void);

/* The value of the variable, or TUG_EINVAL with a sentence. */
int bench_url(const char *variable, const char **ret_url) TUG_CHECK;

/* Pins this thread and those processes to the core that this thread is on, so that what is measured
 * is the work and not where the kernel put it. If the system refuses, stderr says so and nothing is
 * pinned. */
struct bench_pin {
    unsigned char before[128]; /* a cpu_set_t */
    bool is_set;
};
void bench_pin(struct bench_pin *pin, const char *name, const int *pids, size_t n);
/* Those processes to another core than this thread's, for NAME.2cores; pin this thread afterwards. If that
 * is not possible stderr says so: false. */
bool bench_put_apart(const char *name, const int *pids, size_t n);
/* This thread may run everywhere again. */
void bench_unpin(struct bench_pin *pin);

#endif
