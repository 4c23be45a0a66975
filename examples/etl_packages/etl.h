/* What:      what the stages of the worker share: options, one run, its counters, their entries.
 * Ownership: the run owns what it points to; main.c opens and closes all of it.
 * Context:   tasks of one loop; what waits is marked TUG_SUSPENDS.
 * Callbacks: none.
 * Errors:    as in tug: 0 or a negative code with a detail; ETL_* codes are this program's. */
#ifndef ETL_H
#define ETL_H

#include "stanza.h"

#include <stdio.h>
#include <tug/amqp.h>
#include <tug/group.h>
#include <tug/loop.h>
#include <tug/pg.h>
#include <tug/redis.h>
#include <tug/sync.h>

enum {
    ETL_UNVERIFIED = TUG_EUSER - 1, /* the final check did not agree */
    ETL_CHANGED = TUG_EUSER - 2,    /* the input is not what it was when it was first read */

    /* A manifest batch: one transaction, and one stretch of the input in memory. */
    ETL_MANIFEST_ROWS = 1000,
    ETL_MANIFEST_BYTES = 4 << 20,
    /* Publishes whose confirm is awaited; more gain nothing. */
    ETL_WINDOW = 1000,
    /* Published and not settled. Beyond it the input waits, so that neither the queue nor what the
     * workers hold grows with the input. */
    ETL_AHEAD_ROWS = 10000,
    ETL_AHEAD_BYTES = 32 << 20,
    /* A batch is loaded when it has --batch messages, or so many bytes, or is so old. */
    ETL_BATCH_BYTES = 2 << 20,
    ETL_BATCH_MS = 100,
    /* How often what is missing at the end is published again before the run gives up. */
    ETL_ROUNDS = 5,
    /* Nothing moved for so long, the queue is empty and no worker has anything in hand: the messages
     * that are missing are lost. */
    ETL_LOST_SECONDS = 5,
    /* From a signal to the cancel of what still waits, say for a server that hangs. The goodbyes
     * after it take some seconds more, and the whole has 25. */
    ETL_DRAIN_SECONDS = 15,
    /* A serialization failure or a deadlock this many times in a row is no accident. */
    ETL_ATTEMPTS = 10,
    ETL_REPORT_SECONDS = 2,
    /* What other processes settled is counted once a second, and more seldom when that takes long:
     * no more than one part in so many of the time. */
    ETL_REFRESH_MS = 1000,
    ETL_REFRESH_PART = 20,
    ETL_READ = 256 << 10
};

typedef struct etl_options {
    const char *input; /* a file, or "-" */
    const char *pg, *redis, *amqp;
    const char *queue, *schema;
    size_t workers, batch;
} etl_options;

/* --- SQL (schema.c) --------------------------------------------------------------------------- */

enum {
    /* a run: its beginning and end, its manifest */
    SQL_DATABASE_ID,
    SQL_RUN_BEGIN,
    SQL_RUN_END,
    SQL_MANIFEST_COPY,
    SQL_OVERSIZED_OUTCOME,
    SQL_REJECT,
    /* a batch */
    SQL_STAGE_COPY,
    SQL_STAGE_DEPENDENCY_COPY,
    SQL_LOCK,
    SQL_STAMP,
    SQL_UPSERT,
    SQL_DEPENDENCY_DELETE,
    SQL_DEPENDENCY_INSERT,
    SQL_OUTCOME_INSERT,
    SQL_REJECT_INSERT,
    /* the end of a run */
    SQL_SETTLED,
    SQL_ANALYZE,
    SQL_CORRECT,
    SQL_STAMP_KNOWN,
    SQL_CHECK,
    SQL_FORGET_MISSING,
    SQL_MISSING,
    SQL_SUPERSEDED,
    SQL_MAX
};

typedef struct etl_cache etl_cache;

/* Counters of this process. What is said at the end comes from the database instead. */
typedef struct etl_counters {
    int64_t read;                   /* stanzas in the manifest */
    int64_t published;              /* confirmed by the broker */
    int64_t handed, handed_bytes;   /* given to the broker, confirmed or not */
    int64_t settled, settled_bytes; /* of this run, outcome committed */
    int64_t rejected;               /* of those */
    int64_t others;                 /* messages of other runs that were worked: only logged */
    int64_t in_hand;                /* taken by the workers and neither acked nor given back */
} etl_counters;

typedef struct etl_run {
    const etl_options *options;
    tug_pg *db;
    tug_amqp *mq;
    etl_cache *cache;
    char *sql[SQL_MAX];
    char database[40]; /* made with the schema: tells a new database from the one before */
    int64_t run;       /* of this process; greater than those of all runs before */
    tug_amqp_consumer *consumer; /* the workers' */
    tug_group *group;            /* of the workers: a failure there ends the run */
    tug_scope *work;             /* what a signal cuts short: all but what is in hand */
    tug_event *moved;            /* set whenever a counter moved */
    tug_semaphore *window;       /* a permit for each publish that may await its confirm */
    int input;                   /* seekable: the file, or the spooled standard input */
    int64_t input_size, input_offset;
    bool is_read;        /* to its end */
    bool is_interrupted; /* by a signal */
    tug_time started;
    tug_time refresh_at; /* when the tables are asked again what other processes have settled */
    etl_counters count;
} etl_run;

/* What the tables say about a run. */
typedef struct etl_tally {
    int64_t manifest, outcomes, loaded, duplicates, rejected;
    /* Manifest entries without an outcome, or loaded or duplicate without a row of their hash. */
    int64_t missing;
} etl_tally;

/* The statements' texts, for tables in this schema. */
int schema_statements(const char *schema, char **ret_sql);
/* Makes what is not there; reads the database id; begins a run. */
TUG_SUSPENDS int schema_open(etl_run *r);
/* Staging tables of a worker's own session. */
TUG_SUSPENDS int schema_stage(tug_pg *session);

/* --- extract (input.c, extract.c) ------------------------------------------------------------- */

/* A seekable descriptor for the input: what is no regular file is spooled to an unlinked temporary
 * one. */
TUG_SUSPENDS int input_open(const char *name, int *ret_fd, int64_t *ret_size);
/* Reads one stanza again; borrowed from *ret_splitter, which is the caller's to free. */
TUG_SUSPENDS int input_reread(int fd, int64_t offset, int64_t length,
                              stanza_splitter **ret_splitter, stanza *ret_stanza);
/* The input from its beginning to its end: manifest, then messages. */
TUG_SUSPENDS int extract_run(etl_run *r);
/* One stanza as a message; fresh: Redis is not asked. Waits while the workers are too far
 * behind or the broker is slow to confirm. */
TUG_SUSPENDS int extract_publish(etl_run *r, int64_t number, bool is_fresh, struct tug_bytes text);
/* Waits until the broker has confirmed all that was published. */
TUG_SUSPENDS int extract_flush(etl_run *r);

/* --- transform and load (worker.c, load.c, cache.c) ------------------------------------------- */

enum {
    ITEM_LOAD,      /* goes to the tables */
    ITEM_DUPLICATE, /* its hash is known to Redis */
    ITEM_REJECTED   /* the reason says why */
};

/* A message on its way through a worker. */
typedef struct etl_item {
    tug_amqp_delivery *delivery;
    struct tug_bytes text; /* the delivery's */
    int64_t run, number;
    bool is_ours;  /* the run's manifest is in this database */
    bool is_fresh; /* Redis is not asked */
    bool has_package;
    int state;
    stanza_package package; /* if has_package */
    unsigned char hash[STANZA_HASH];
    char reason[STANZA_REASON];
} etl_item;

/* A worker's task; arg: etl_run. */
TUG_SUSPENDS int worker_run(void *arg);
/* Commits all n items, each with its outcome; data that the database refuses turns items into
 * rejects. */
TUG_SUSPENDS int load_batch(etl_run *r, tug_pg *session, etl_item *items, size_t n);

/* Fails if Redis cannot be reached: later it may get lost. */
TUG_SUSPENDS int cache_open(const char *url, etl_cache **ret_cache);
void cache_close(etl_cache *c);
/* Keys begin with it. */
void cache_set_database(etl_cache *c, const char *database);
/* Turns items whose hash is known into duplicates. Only a cancel is an error: a lost cache is
 * empty. */
TUG_SUSPENDS int cache_look_up(etl_cache *c, etl_item *items, size_t n);
/* Remembers what was committed. */
TUG_SUSPENDS int cache_store(etl_cache *c, const etl_item *items, size_t n);

/* --- verify and report (verify.c, report.c) --------------------------------------------------- */

/* Waits for the outcomes, corrects them, checks; publishes again what is missing. */
TUG_SUSPENDS int verify_run(etl_run *r, etl_tally *ret_tally, bool *ret_is_verified);
/* Corrects the outcomes that there are and counts; also for a run that ends early. */
TUG_SUSPENDS int verify_tally(etl_run *r, etl_tally *ret_tally);
/* Writes the counts into the run's own row. */
TUG_SUSPENDS int verify_end(etl_run *r, const etl_tally *t, const char *verdict);

/* The failure's detail with what was being done put before it. Returns rc. */
int report_failed(int rc, const char *doing);
/* A line on stderr every ETL_REPORT_SECONDS; a task of its own; arg: etl_run. */
TUG_SUSPENDS int report_run(void *arg);
void report_line(const char *format, ...) TUG_PRINTF(1, 2);
/* The last line of stdout; fails if it cannot be written. */
int report_summary(const etl_run *r, const etl_tally *t, const char *verdict);

#endif
