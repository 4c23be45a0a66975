/* From an address to a connection that lets us in: what the service task does. AUTH and SELECT leave in one
 * write; the user's commands wait until both are answered, since behind a SELECT that failed they would
 * hit another database. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "handle.h"

/* Connect and login have failed with the calling task's latest detail. */
static void login_failed(tug_redis *r, int rc)
{
    tug_error why;
    const tug_error *cause = tug_last_error();
    double seconds = (double)r->config.options.connect_timeout / 1e9;
    if (rc == TUG_ETIMEDOUT && r->state == REDIS_CONNECTING) {
        tug_error_set(&why, TUG_ECONNECT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "redis: cannot connect to %s within %g s (connect_timeout)", r->where,
                      seconds);
    } else if (rc == TUG_ETIMEDOUT) {
        tug_error_set(
            &why, TUG_ECONNECT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
            "redis: %s accepts connections, but no login was answered within %g s (connect_timeout)",
            r->where, seconds);
    } else if (rc == TUG_ECANCELED) {
        tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "redis: connecting to %s was cut off by the end of the loop", r->where);
    } else {
        tug_error_set(&why, rc, cause->origin, TUG_NOT_SENT, cause->native, "redis: %s",
                      cause->text);
    }
    why.transient = rc == TUG_ETIMEDOUT || (rc != TUG_ECANCELED && cause->transient);
    tug__redis_fail(r, &why, NULL);
}

static int login_write(tug_redis *r, tug_args command, redis_login_step step)
{
    tug_error why;
    size_t room = 0;
    if (tug__redis_command_measure(command, &room, &why) < 0) {
        return tug_fail_with(&why);
    }
    uint8_t *to = tug_transport_reserve(r->transport, room);
    if (to == NULL) {
        return tug_last_error()->code;
    }
    size_t size = (size_t)(tug__redis_command_write(command, to) - to);
    tug_transport_commit(r->transport, size);
    r->written += size;
    r->steps[r->n_steps++] = step;
    return 0;
}

static int login_auth(tug_redis *r)
{
    const tug__url *url = r->config.url;
    if (url->password == NULL) {
        return 0;
    }
    struct tug_bytes password = tug__secret_reveal(url->password);
    if (url->user[0] != 0) {
        return login_write(r, TUG_ARGS("AUTH", url->user, password), LOGIN_AUTH);
    }
    return password.size > 0 ? login_write(r, TUG_ARGS("AUTH", password), LOGIN_AUTH) : 0;
}

static int login_send(tug_redis *r)
{
    tug__redis_set_state(r, REDIS_LOGIN);
    int rc = login_auth(r);
    if (rc == 0 && r->config.database != 0) {
        rc = login_write(r, TUG_ARGS("SELECT", r->config.database), LOGIN_SELECT);
    }
    if (rc == 0 && r->n_steps == 0) {
        rc = login_write(r, TUG_ARGS("PING"), LOGIN_PING);
    }
    return rc;
}

static int login_run(tug_redis *r)
{
    tug_transport *t = NULL;
    int rc = 0;
    if (r->transport == NULL) {
        rc = tug_transport_dial(r->config.host, r->config.port, &t);
        if (rc == 0 && r->state == REDIS_CLOSED) {
            tug_transport_close(t);
            return 0;
        }
        if (rc == 0) {
            rc = tug__redis_start(r, t);
        }
        if (rc < 0) {
            tug_transport_close(t);
            return rc;
        }
    }
    rc = login_send(r);
    return rc == 0 ? tug_park(&r->login, NULL, "redis.login") : rc;
}

int tug__redis_connect_task(void *arg)
{
    tug_redis *r = arg;
    tug_scope limit;
    int rc = 0;
    tug_scope_enter(&limit, r->config.options.connect_timeout);
    r->connecting = &limit;
    if (r->state == REDIS_CONNECTING) {
        rc = login_run(r);
    }
    rc = tug_scope_leave(&limit, rc);
    r->connecting = NULL;
    if (rc < 0 && (r->state == REDIS_CONNECTING || r->state == REDIS_LOGIN)) {
        login_failed(r, rc);
    }
    tug__redis_unref(r);
    return 0; /* a handle that failed has told everybody who cares */
}

/* --- replies ------------------------------------------------------------------------------------ */

/* What of a refusal may be shown. A server or proxy that does not take AUTH quotes its arguments, the
 * password among them: of the catch-all ERR only the texts that are known are passed on. */
static const char *login_text(redis_login_step step, const char *text, const char *word)
{
    static const char *const known[] = {
        "ERR invalid password",          "ERR invalid username", "ERR max number of clients",
        "ERR wrong number of arguments", "ERR Client sent AUTH", "ERR AUTH <password> called"};
    bool is_shown = step != LOGIN_AUTH || (word[0] != 0 && strcmp(word, "ERR") != 0);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        is_shown = is_shown || strncmp(text, known[i], strlen(known[i])) == 0;
    }
    return is_shown ? text
                    : "AUTH failed (the server's text is not shown: it may repeat the password)";
}

static int login_code(redis_login_step step, const tug_error *said)
{
    if (said->code == TUG_EAUTH || step == LOGIN_AUTH) {
        return TUG_EAUTH;
    }
    return step == LOGIN_PING ? TUG_ECONNECT : said->code;
}

static void login_refused(tug_redis *r, redis_login_step step, const tug_redis_reply *reply)
{
    tug_error said, why;
    tug__redis_server_error(r, reply, &said);
    const char *text = tug_redis_reply_text(reply);
    const char *shown = login_text(step, text, said.native);
    int code = login_code(step, &said);
    if (strstr(text, "max number of clients") != NULL || strcmp(said.native, "LOADING") == 0 ||
        strcmp(said.native, "DENIED") == 0) {
        code = TUG_ECONNECT; /* whatever was asked, the answer is that nobody gets in (now) */
        said.transient = strcmp(said.native, "DENIED") != 0;
    }
    if (step == LOGIN_SELECT && code == said.code && code != TUG_EAUTH) {
        tug_error_set(&why, code, TUG_ORIGIN_SERVER, TUG_NOT_SENT, said.native,
                      "redis: database %llu at %s refused: %.100s",
                      (unsigned long long)r->config.database, r->where, shown);
    } else {
        const char *hint = code == TUG_EAUTH && step != LOGIN_AUTH ? " (the URL has no password)"
                                                                   : "";
        tug_error_set(&why, code, TUG_ORIGIN_SERVER, TUG_NOT_SENT, said.native,
                      "redis: login at %s refused: %.100s%s", r->where, shown, hint);
    }
    /* Not sent: the login was answered, nobody's command was. */
    why.transient = said.transient;
    tug__redis_fail(r, &why, NULL);
}

static void login_done(tug_redis *r)
{
    tug__redis_set_state(r, REDIS_READY);
    if (!tug__redis_send_early(r)) {
        tug_error why;
        tug_error_set(&why, TUG_ENOMEM, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "redis: no memory for the commands to %s", r->where);
        tug__redis_fail(r, &why, NULL);
        return;
    }
    tug_unpark_all(&r->ready, 0, NULL);
    tug_unpark_all(&r->login, 0, NULL);
    tug__redis_wake_room(r);
}

void tug__redis_login_reply(tug_redis *r, const tug_redis_reply *reply)
{
    if (r->state != REDIS_LOGIN || r->step == r->n_steps) {
        /* Before anything was asked: a server that turns everybody away says so. */
        static const tug_redis_reply strange = {.type = TUG_REDIS_ERROR,
                                                .u.text = "a reply before any question"};
        login_refused(r, LOGIN_PING, reply->type == TUG_REDIS_ERROR ? reply : &strange);
        return;
    }
    redis_login_step step = r->steps[r->step++];
    if (reply->type == TUG_REDIS_ERROR) {
        /* A user without the right to PING is logged in all the same. */
        bool is_in = step == LOGIN_PING && strncmp(tug_redis_reply_text(reply), "NOPERM", 6) == 0;
        if (!is_in) {
            login_refused(r, step, reply);
            return;
        }
    }
    if (r->step == r->n_steps) {
        login_done(r);
    }
}
