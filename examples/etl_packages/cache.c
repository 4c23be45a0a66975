/* Redis: which hash of a key was committed last. It saves work and decides nothing: what it claims
 * is checked against the tables at the end, and when it is lost the run goes on as with an empty
 * cache. */
#include "etl.h"

#include <stdlib.h>
#include <string.h>

enum {
    CACHE_EXPIRY = 7 * 24 * 3600, /* s: a package that was not seen for a week is compared again */
    CACHE_CALL_MS = 1000,         /* a cache that is slower costs more than it saves */
    CACHE_RETRY_MS = 250,         /* first pause after a loss; doubles */
    CACHE_RETRY_MAX_MS = 10000,
    CACHE_KEY = 3 * STANZA_KEY_MAX + 100,
    CACHE_HEX = 2 * STANZA_HASH
};

struct etl_cache {
    const char *url;
    tug_redis *redis; /* NULL: lost */
    bool is_opening;  /* by another worker */
    tug_time retry_at;
    tug_duration pause;
    char database[40];
};

int cache_open(const char *url, etl_cache **ret_cache)
{
    etl_cache *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for the cache");
    }
    c->url = url;
    c->pause = TUG_MS(CACHE_RETRY_MS);
    /* At the start a Redis that cannot be reached is a mistake in the URL as likely as not: said at
     * once. */
    int rc = tug_redis_open(url, NULL, &c->redis);
    if (rc == 0) {
        rc = tug_redis_ready(c->redis);
    }
    if (rc < 0) {
        cache_close(c);
        return rc;
    }
    *ret_cache = c;
    return 0;
}

void cache_close(etl_cache *c)
{
    if (c != NULL) {
        tug_redis_close(c->redis);
        free(c);
    }
}

void cache_set_database(etl_cache *c, const char *database)
{
    snprintf(c->database, sizeof c->database, "%s", database);
}

/* used: the handle whose call failed with rc; another task may have noticed before. */
static void cache_lose(etl_cache *c, tug_redis *used, int rc)
{
    if (c->redis != used) {
        return;
    }
    const tug_error *e = tug_last_error();
    report_line("redis is lost, going on without: %s",
                e->code == rc ? e->text : tug_error_text(rc));
    tug_redis_close(c->redis);
    c->redis = NULL;
    c->retry_at = tug_now() + c->pause;
}

static int cache_reopen(etl_cache *c)
{
    tug_redis *redis = NULL;
    c->is_opening = true;
    int rc = tug_redis_open(c->url, NULL, &redis);
    if (rc == 0) {
        rc = TUG_WITHIN(TUG_MS(CACHE_CALL_MS), tug_redis_ready(redis));
    }
    c->is_opening = false;
    if (rc == 0) {
        report_line("redis is back");
        c->redis = redis;
        c->pause = TUG_MS(CACHE_RETRY_MS);
        return 0;
    }
    tug_redis_close(redis);
    c->pause = c->pause * 2 < TUG_MS(CACHE_RETRY_MAX_MS) ? c->pause * 2
                                                         : TUG_MS(CACHE_RETRY_MAX_MS);
    c->retry_at = tug_now() + c->pause;
    return rc == TUG_ECANCELED ? rc : 0;
}

/* *ret_redis NULL: there is no cache at present. */
static int cache_use(etl_cache *c, tug_redis **ret_redis)
{
    int rc = 0;
    if (c->redis == NULL && !c->is_opening && tug_now() >= c->retry_at) {
        rc = cache_reopen(c);
    }
    *ret_redis = c->redis;
    return rc;
}

/* An error of the cache is none of the run's; a cancel is. */
static int cache_result(etl_cache *c, tug_redis *used, int rc)
{
    if (rc == TUG_ECANCELED) {
        return rc;
    }
    if (rc < 0) {
        cache_lose(c, used, rc);
    }
    return 0;
}

/* Bars between the parts: a part that holds one has no key, since two could be written alike. */
static bool cache_key(const etl_cache *c, const etl_item *item, char *ret_key)
{
    const stanza_package *p = &item->package;
    if (!item->has_package || strchr(p->name, '|') != NULL || strchr(p->version, '|') != NULL ||
        strchr(p->architecture, '|') != NULL) {
        return false;
    }
    snprintf(ret_key, CACHE_KEY, "etl_packages:%s:%s|%s|%s", c->database, p->name, p->version,
             p->architecture);
    return true;
}

static void hex(const unsigned char *hash, char *ret_hex)
{
    for (int i = 0; i < STANZA_HASH; i++) {
        static const char digits[] = "0123456789abcdef";
        *ret_hex++ = digits[hash[i] >> 4];
        *ret_hex++ = digits[hash[i] & 15];
    }
}

/* A question or an order for one item, on its way. */
struct request {
    size_t item;
    tug_future *future;
};

static void take_answer(struct request *q, etl_item *item)
{
    TUG_AUTO(tug_redis_reply) reply = NULL;
    char expected[CACHE_HEX];
    if (tug_redis_reply_take(q->future, &reply) < 0) {
        return;
    }
    struct tug_bytes known = tug_redis_reply_bytes(reply);
    hex(item->hash, expected);
    if (known.size == CACHE_HEX && memcmp(known.data, expected, CACHE_HEX) == 0) {
        item->state = ITEM_DUPLICATE;
    }
}

/* Waits for all of them: they left in one write. The first failure is the answer. */
static int cache_gather(struct request *requests, size_t n)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = tug_await(requests[i].future);
    }
    return rc;
}

static int cache_finish(etl_cache *c, tug_redis *redis, struct request *requests, size_t n)
{
    int rc = TUG_WITHIN(TUG_MS(CACHE_CALL_MS), cache_gather(requests, n));
    return cache_result(c, redis, rc);
}

int cache_look_up(etl_cache *c, etl_item *items, size_t n)
{
    tug_redis *redis = NULL;
    int rc = cache_use(c, &redis);
    struct request *requests = redis != NULL ? calloc(n, sizeof *requests) : NULL;
    if (requests == NULL) {
        return rc;
    }
    size_t asked = 0;
    char key[CACHE_KEY];
    for (size_t i = 0; i < n; i++) {
        if (items[i].state == ITEM_LOAD && !items[i].is_fresh && cache_key(c, &items[i], key)) {
            requests[asked++] = (struct request){i,
                                                 tug_redis_call_start(redis, TUG_ARGS("GET", key))};
        }
    }
    rc = cache_finish(c, redis, requests, asked);
    for (size_t i = 0; i < asked; i++) {
        if (rc == 0 && tug_future_is_settled(requests[i].future)) {
            take_answer(&requests[i], &items[requests[i].item]);
        }
        tug_future_drop(requests[i].future);
    }
    free(requests);
    return rc;
}

int cache_store(etl_cache *c, const etl_item *items, size_t n)
{
    tug_redis *redis = NULL;
    int rc = cache_use(c, &redis);
    struct request *requests = redis != NULL ? calloc(n, sizeof *requests) : NULL;
    if (requests == NULL) {
        return rc;
    }
    size_t asked = 0;
    char key[CACHE_KEY], value[CACHE_HEX];
    for (size_t i = 0; i < n; i++) {
        if (items[i].state == ITEM_LOAD && cache_key(c, &items[i], key)) {
            hex(items[i].hash, value);
            requests[asked++] = (struct request){
                i, tug_redis_call_start(redis, TUG_ARGS("SET", key, tug_text_n(value, CACHE_HEX),
                                                        "EX", CACHE_EXPIRY))};
        }
    }
    rc = cache_finish(c, redis, requests, asked);
    for (size_t i = 0; i < asked; i++) {
        tug_future_drop(requests[i].future);
    }
    free(requests);
    return rc;
}
