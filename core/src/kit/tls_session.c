/* What: the latest sessions of the servers that were connected to. Each is given out once, because a ticket
 * of TLS 1.3 that is used twice lets an onlooker link the two connections; each connection brings new
 * ones. A table that is searched from end to end: even a thousand names are nothing beside a handshake. */
#include <string.h>
#include <tug/sys/alloc.h>

#include "kit/tls.h"

enum {
    EACH = 4 /* of one server: a small pool that opens at once finds one for each */
};

struct server {
    char key[TUG__TLS_NAME + 8];
    SSL_SESSION *sessions[EACH]; /* the latest is the last */
    size_t count;
    uint64_t used; /* the higher, the later */
};

struct tug__tls_sessions {
    size_t most, count;
    uint64_t clock;
    struct server servers[];
};

int tug__tls_sessions_new(size_t most, struct tug__tls_sessions **ret_sessions)
{
    struct tug__tls_sessions *s = tug_calloc(1, sizeof *s + most * sizeof s->servers[0]);
    if (s == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for the sessions of %zu TLS servers", most);
    }
    s->most = most;
    *ret_sessions = s;
    return 0;
}

static void clear(struct server *server)
{
    while (server->count > 0) {
        SSL_SESSION_free(server->sessions[--server->count]);
    }
}

void tug__tls_sessions_free(struct tug__tls_sessions *s)
{
    for (size_t i = 0; s != NULL && i < s->count; i++) {
        clear(&s->servers[i]);
    }
    tug_free(s);
}

static struct server *find(struct tug__tls_sessions *s, const char *key)
{
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->servers[i].key, key) == 0) {
            return &s->servers[i];
        }
    }
    return NULL;
}

/* A new place, or that of the server that was used least recently. */
static struct server *make_place(struct tug__tls_sessions *s, const char *key)
{
    struct server *server = &s->servers[0];
    if (s->count < s->most) {
        server = &s->servers[s->count++];
    } else {
        for (size_t i = 1; i < s->count; i++) {
            server = s->servers[i].used < server->used ? &s->servers[i] : server;
        }
        clear(server);
    }
    strncpy(server->key, key, sizeof server->key - 1);
    return server;
}

bool tug__tls_sessions_put(struct tug__tls_sessions *s, const char *key, SSL_SESSION *session)
{
    if (*key == 0 || s->most == 0 || SSL_SESSION_is_resumable(session) != 1) {
        return false;
    }
    struct server *server = find(s, key);
    server = server != NULL ? server : make_place(s, key);
    if (server->count == EACH) {
        SSL_SESSION_free(server->sessions[0]);
        server->count--;
        memmove(server->sessions, server->sessions + 1, server->count * sizeof(SSL_SESSION *));
    }
    server->sessions[server->count++] = session;
    server->used = ++s->clock;
    return true;
}

SSL_SESSION *tug__tls_sessions_take(struct tug__tls_sessions *s, const char *key)
{
    struct server *server = find(s, key);
    if (server == NULL || server->count == 0) {
        return NULL;
    }
    server->used = ++s->clock;
    SSL_SESSION *session = server->sessions[server->count - 1];
    if (SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION) {
        /* Those of TLS 1.2 are made to be used again, and a resumed connection brings no new one. */
        SSL_SESSION_up_ref(session);
    } else {
        server->count--;
    }
    return session;
}
