/* What: what a transport tells about itself. */
#include <string.h>
#include <tug/sys/alloc.h>

#include "kit/transport_inside.h"

size_t tug_transport_unsent(const tug_transport *t)
{
    return tug__transport_unsent(t);
}

uint64_t tug_transport_sent(const tug_transport *t)
{
    return t->sent;
}

tug_time tug_transport_last_received(const tug_transport *t)
{
    return t->last_received;
}

const char *tug_transport_peer(const tug_transport *t)
{
    return t->peer;
}

bool tug_transport_is_full(const tug_transport *t)
{
    return tug__transport_unsent(t) > t->high;
}

const tug_error *tug__transport_why(const tug_transport *t)
{
    return &t->why;
}

unsigned tug__transport_directions(const tug_transport *t)
{
    return t->directions;
}

int tug__transport_fd(const tug_transport *t)
{
    return t->wire.fd;
}

const char *tug__transport_local(tug_transport *t)
{
    char text[TUG__PEER_BYTES];
    if (t->local == NULL && t->wire.fd >= 0) {
        tug__socket_local(t->wire.fd, text, sizeof text);
        t->local = tug_strdup(text);
    }
    return t->local != NULL ? t->local : "";
}

struct tug__wire *tug__transport_wire(tug_transport *t)
{
    return &t->wire;
}
