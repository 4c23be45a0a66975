#include "meter.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* Reads of one answer before the looking begins. From then on each is looked at: a single one takes
 * whatever the server sends meanwhile, once libpq has made room for a large row. */
#define METER_FREE 4
/* From then on every fourth read of a TCP socket, which counts by itself: a result of a million rows is
 * two thousand reads, and a look costs as much as a hundred rows. */
#define METER_EVERY 4
/* What one read of libpq takes at least, when so much is there: its buffer. */
#define METER_BUFFER 16384

static int meter_waiting(int fd)
{
    int waiting = 0;
    return ioctl(fd, FIONREAD, &waiting) < 0 ? 0 : waiting;
}

/* Bytes that a TCP socket has got since it was opened; 0: not to be had. */
static uint64_t meter_tcp(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ? 0 : info.tcpi_bytes_received;
}

/* What has been read of it is what it got less what waits in it. Bytes come in between the two questions
 * too, as many as its buffer takes; they are asked in the order that lets the answer seem smaller by them
 * for once, never larger. */
static uint64_t meter_begin(int fd)
{
    uint64_t waiting = (uint64_t)meter_waiting(fd);
    uint64_t got = meter_tcp(fd);
    return got > waiting ? got - waiting : 0;
}

static size_t meter_since(uint64_t begin, int fd)
{
    uint64_t got = meter_tcp(fd);
    uint64_t waiting = (uint64_t)meter_waiting(fd);
    return got > waiting + begin ? (size_t)(got - waiting - begin) : 0;
}

void tug__pg_meter_before(tug__pg_meter *m, int fd)
{
    if (m->reads >= METER_FREE && m->socket_at == 0) {
        m->waiting = meter_waiting(fd);
    }
}

void tug__pg_meter_after(tug__pg_meter *m, int fd)
{
    if (++m->reads < METER_FREE) {
        return;
    }
    if (m->reads == METER_FREE) {
        m->socket_at = meter_begin(fd);
        m->bytes = METER_FREE * (size_t)METER_BUFFER;
        return;
    }
    if (m->socket_at != 0) {
        if (m->reads % METER_EVERY != 0) {
            return;
        }
        size_t seen = METER_FREE * (size_t)METER_BUFFER + meter_since(m->socket_at, fd);
        m->bytes = seen > m->bytes ? seen : m->bytes;
        return;
    }
    /* A Unix socket counts nothing. Rows larger than libpq's buffer are underrated while the server
     * refills the socket faster than it is read, by as much as the socket's buffer is larger: a
     * bound all the same. */
    int taken = m->waiting - meter_waiting(fd);
    int least = m->waiting < METER_BUFFER ? m->waiting : METER_BUFFER;
    m->bytes += (size_t)(taken > least ? taken : least);
}
