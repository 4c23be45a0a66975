/* redis.get: GET by 128 tasks over one connection, against a loop of read, redisReader and write on
 * a socket of its own that keeps as many commands, and as many bytes, in flight. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <tug/group.h>
#include <tug/redis.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include <hiredis.h>

#include "bench.h"
#include "secret.h"
#include "url.h"

enum {
    DEPTH = 128,
    INPUT = 64 * 1024
};

static const char VALUE[] = "sixteen bytes ..";

struct get {
    tug_redis *redis;
    int fd;
    redisReader *reader;
    char key[48];
    char command[128]; /* GET key, as it goes over the wire */
    size_t command_size;
    char batch[DEPTH * 128]; /* DEPTH of them */
    tug_time until;
    uint64_t done;
};

/* --- ours ----------------------------------------------------------------------------------- */

static int ask(void *arg)
{
    struct get *g = arg;
    while (tug_turn_time() < g->until) {
        tug_redis_reply *reply = NULL;
        int rc = tug_redis_call(g->redis, TUG_ARGS("GET", g->key), &reply);
        if (rc < 0) {
            return rc;
        }
        bool ok = tug_redis_reply_bytes(reply).size == sizeof VALUE - 1;
        tug_redis_reply_unref(reply);
        if (!ok) {
            return tug_fail(TUG_EPROTO, "GET %s gave something else than was set", g->key);
        }
        g->done++;
    }
    return 0;
}

static int ours(void *state, tug_time until, uint64_t *ret_done)
{
    struct get *get = state;
    tug_group g;
    get->until = until;
    get->done = 0;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < DEPTH; i++) {
        tug_group_spawn(&g, ask, get);
    }
    int rc = tug_group_leave(&g, 0);
    *ret_done = get->done;
    return rc;
}

/* --- the limit ------------------------------------------------------------------------------ */

static int bare_failed(const char *what)
{
    return tug_fail(TUG_ECLOSED, "the bare loop: %s: %m", what);
}

static int bare_write(struct get *g, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(g->fd, data, size, MSG_NOSIGNAL);
        if (n < 0) {
            return bare_failed("send");
        }
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

/* One read, and what has come whole with it. */
static int bare_read(struct get *g, uint64_t *ret_replies)
{
    char input[INPUT];
    ssize_t n = recv(g->fd, input, sizeof input, 0);
    if (n <= 0) {
        return bare_failed("recv");
    }
    redisReaderFeed(g->reader, input, (size_t)n);
    for (;;) {
        void *reply = NULL;
        if (redisReaderGetReply(g->reader, &reply) != REDIS_OK) {
            return tug_fail(TUG_EPROTO, "the bare loop: %s", g->reader->errstr);
        }
        if (reply == NULL) {
            return 0;
        }
        const redisReply *r = reply;
        bool ok = r->type == REDIS_REPLY_STRING && r->len == sizeof VALUE - 1;
        freeReplyObject(reply);
        if (!ok) {
            return tug_fail(TUG_EPROTO, "the bare loop: GET gave something else than was set");
        }
        ++*ret_replies;
    }
}

static int bare(void *state, tug_time until, uint64_t *ret_done)
{
    struct get *g = state;
    uint64_t in_flight = DEPTH;
    int rc = bare_write(g, g->batch, DEPTH * g->command_size);
    while (rc == 0 && in_flight > 0) {
        uint64_t replies = 0;
        rc = bare_read(g, &replies);
        *ret_done += replies;
        if (rc == 0 && bench_now() < until) {
            rc = bare_write(g, g->batch, replies * g->command_size);
        } else {
            in_flight -= replies;
        }
    }
    return rc;
}

/* --- both connections ----------------------------------------------------------------------- */

static int bare_connect(struct get *g, const tug__url *url)
{
    const char *host = url->host != NULL ? url->host : "127.0.0.1";
    char port[8];
    snprintf(port, sizeof port, "%u", url->port != 0 ? url->port : 6379u);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *all = NULL;
    if (getaddrinfo(host, port, &hints, &all) != 0) {
        return tug_fail(TUG_ECONNECT, "the bare loop: %s is not known", host);
    }
    g->fd = socket(all->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = g->fd < 0 || connect(g->fd, all->ai_addr, all->ai_addrlen) < 0 ? bare_failed("connect")
                                                                            : 0;
    freeaddrinfo(all);
    const int one = 1;
    if (rc == 0 && setsockopt(g->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) {
        rc = bare_failed("TCP_NODELAY");
    }
    return rc;
}

/* A command of which only the success matters. */
static int bare_command(struct get *g, int argc, const char **argv)
{
    char *line = NULL;
    void *reply = NULL;
    int size = redisFormatCommandArgv(&line, argc, argv, NULL);
    int rc = size > 0 ? bare_write(g, line, (size_t)size) : tug_fail(TUG_ENOMEM, "out of memory");
    redisFreeCommand(line);
    while (rc == 0 && reply == NULL) {
        char input[512];
        ssize_t n = recv(g->fd, input, sizeof input, 0);
        if (n <= 0) {
            return bare_failed("recv");
        }
        redisReaderFeed(g->reader, input, (size_t)n);
        if (redisReaderGetReply(g->reader, &reply) != REDIS_OK) {
            rc = tug_fail(TUG_EPROTO, "the bare loop: %s", g->reader->errstr);
        }
    }
    if (reply != NULL) {
        const redisReply *r = reply;
        if (r->type == REDIS_REPLY_ERROR) {
            rc = tug_fail(TUG_EAUTH, "the bare loop: %s", r->str);
        }
        freeReplyObject(reply);
    }
    return rc;
}

static int bare_login(struct get *g, const tug__url *url)
{
    int rc = 0;
    if (url->password != NULL) {
        const char *password = tug__secret_reveal(url->password).data;
        bool named = url->user != NULL && *url->user != 0;
        const char *argv[] = {"AUTH", named ? url->user : password, password};
        rc = bare_command(g, named ? 3 : 2, argv);
    }
    if (rc == 0 && url->path != NULL && url->path[1] != 0) {
        const char *argv[] = {"SELECT", url->path + 1};
        rc = bare_command(g, 2, argv);
    }
    return rc;
}

static int bare_open(struct get *g, const char *text)
{
    tug__url *url = NULL;
    g->reader = redisReaderCreate();
    if (g->reader == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a reader");
    }
    int rc = tug__url_parse(text, &url);
    if (rc == 0 && strcmp(url->scheme, "redis") != 0) {
        rc = tug_fail(TUG_EINVAL, "the bare loop knows redis:// only");
    }
    if (rc == 0) {
        rc = bare_connect(g, url);
    }
    if (rc == 0) {
        rc = bare_login(g, url);
    }
    tug__url_free(url);
    return rc;
}

static void write_batch(struct get *g)
{
    snprintf(g->key, sizeof g->key, "tug-bench:%ld", (long)getpid());
    int n = snprintf(g->command, sizeof g->command, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n",
                     strlen(g->key), g->key);
    g->command_size = (size_t)n;
    for (size_t i = 0; i < DEPTH; i++) {
        memcpy(g->batch + i * g->command_size, g->command, g->command_size);
    }
}

static int compare(struct get *g)
{
    write_batch(g);
    int rc = tug_redis_call(g->redis, TUG_ARGS("SET", g->key, VALUE, "EX", 600), NULL);
    if (rc == 0) {
        const struct bench_compare c = {
            .name = "redis.get",
            .ours = ours,
            .limit = bare,
            .state = g,
            .figures = {{"", BENCH_RATE, "commands/s"}, {".cpu", BENCH_CPU, "ns"}}};
        rc = bench_compare(&c);
        TUG_IGNORE(tug_redis_call(g->redis, TUG_ARGS("DEL", g->key), NULL));
    }
    return rc;
}

static int run(void)
{
    static struct get g; /* too large for a task's stack */
    const char *url;
    g = (struct get){.fd = -1};
    int rc = bench_url("TUG_REDIS_URL", &url);
    if (rc == 0) {
        rc = tug_redis_open(url, NULL, &g.redis);
    }
    if (rc == 0) {
        rc = tug_redis_ready(g.redis);
    }
    if (rc == 0) {
        rc = bare_open(&g, url);
    }
    if (rc == 0) {
        rc = compare(&g);
    }
    if (g.fd >= 0) {
        close(g.fd);
    }
    if (g.reader != NULL) {
        redisReaderFree(g.reader);
    }
    tug_redis_close(g.redis);
    return rc;
}

const struct bench bench_redis_get = {
    .name = "redis.get",
    .what = "GET, 128 tasks on one connection; limit: a loop over redisReader",
    .run = run,
};
