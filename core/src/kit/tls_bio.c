/* What: the socket as OpenSSL sees it. Writing never fails and never waits: records are gathered in the
 * settings' buffer and leave with one send when the call into OpenSSL has returned; what the socket
 * does not take is held. So no record is ever half written inside OpenSSL, and reading never has to
 * wait for writing. Reading serves what one receive brought, headers and records alike; only
 * during the handshake it takes from the socket just what is asked for, so that what follows it
 * stays there. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <tug/sys/alloc.h>

#include "kit/tls.h"

/* --- writing --------------------------------------------------------------------------------- */

static size_t send_some(struct tug__tls *c, const uint8_t *data, size_t size)
{
    size_t done = 0;
    while (done < size && c->send_error == 0) {
        /* Without the flag a peer that went away would kill the process by SIGPIPE. */
        ssize_t n = send(c->fd, data + done, size - done, MSG_NOSIGNAL);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (errno != EINTR) {
            c->send_error = errno;
        }
    }
    return done;
}

static void drop_held(struct tug__tls *c)
{
    tug_free(c->held);
    c->held = NULL;
    c->held_start = c->held_end = c->held_size = 0;
}

/* Behind what is held already. */
static void hold(struct tug__tls *c, const uint8_t *data, size_t size)
{
    size_t used = tug__tls_held(c);
    if (used + size > TUG__TLS_HELD_MAX) {
        c->send_error = ENOBUFS;
        return;
    }
    if (c->held == NULL || c->held_end + size > c->held_size) {
        uint8_t *grown = tug_alloc(used + size);
        if (grown == NULL) {
            c->send_error = ENOMEM;
            return;
        }
        if (c->held != NULL) {
            memcpy(grown, c->held + c->held_start, used);
        }
        tug_free(c->held);
        c->held = grown;
        c->held_size = used + size;
        c->held_start = 0;
        c->held_end = used;
    }
    memcpy(c->held + c->held_end, data, size);
    c->held_end += size;
}

void tug__tls_push(struct tug__tls *c)
{
    if (tug__tls_held(c) > 0) {
        c->held_start += send_some(c, c->held + c->held_start, tug__tls_held(c));
        if (tug__tls_held(c) == 0) {
            drop_held(c);
        }
    }
    size_t done = tug__tls_held(c) == 0 ? send_some(c, c->tls->out, c->out_used) : 0;
    if (done < c->out_used && c->send_error == 0) {
        hold(c, c->tls->out + done, c->out_used - done);
    }
    c->out_used = 0;
    if (c->send_error != 0) {
        drop_held(c); /* it leads nowhere, and keeps nobody waiting for the socket */
    }
    if (c->wire != NULL) {
        c->wire->held = tug__tls_held(c);
    }
}

static int bio_write(BIO *bio, const char *data, size_t size, size_t *ret_done)
{
    struct tug__tls *c = BIO_get_data(bio);
    size_t left = size;
    while (left > 0) {
        if (c->out_used == TUG__TLS_OUT) {
            tug__tls_push(c);
        }
        size_t n = TUG__TLS_OUT - c->out_used < left ? TUG__TLS_OUT - c->out_used : left;
        memcpy(c->tls->out + c->out_used, data, n);
        c->out_used += n;
        data += n;
        left -= n;
    }
    *ret_done = size;
    return 1;
}

/* --- reading --------------------------------------------------------------------------------- */

static int take_from_socket(struct tug__tls *c, char *to, size_t size, size_t *ret_done)
{
    ssize_t n;
    do {
        n = recv(c->fd, to, size, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        if (c->first_byte == 0) {
            c->first_byte = (uint8_t)*to;
        }
        *ret_done = (size_t)n;
        return 1;
    }
    if (n == 0) {
        c->saw_eof = true;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
        c->receive_error = errno;
    }
    return 0;
}

static int bio_read(BIO *bio, char *to, size_t size, size_t *ret_done)
{
    struct tug__tls *c = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (c->in_left > 0) {
        size_t n = c->in_left < size ? c->in_left : size;
        memcpy(to, c->in, n);
        c->in += n;
        c->in_left -= n;
        *ret_done = n;
        return 1;
    }
    if (!c->is_done && !c->saw_eof && take_from_socket(c, to, size, ret_done) > 0) {
        return 1;
    }
    if (!c->saw_eof && c->receive_error == 0) {
        BIO_set_retry_read(bio);
    }
    *ret_done = 0;
    return 0;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    const struct tug__tls *c = BIO_get_data(bio);
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_EOF:
        return c->saw_eof;
    case BIO_CTRL_FLUSH: /* at the end of each flight: it goes when OpenSSL has returned */
    case BIO_CTRL_DUP:
        return 1;
    default:
        return 0;
    }
}

/* Made once a process; whoever comes second at the same moment frees its own. */
static BIO_METHOD *method(void)
{
    static BIO_METHOD *made;
    BIO_METHOD *m = __atomic_load_n(&made, __ATOMIC_ACQUIRE);
    if (m != NULL) {
        return m;
    }
    int type = BIO_get_new_index();
    m = type >= 0 ? BIO_meth_new(type | BIO_TYPE_SOURCE_SINK, "tug") : NULL;
    if (m == NULL) {
        return NULL;
    }
    BIO_meth_set_write_ex(m, bio_write);
    BIO_meth_set_read_ex(m, bio_read);
    BIO_meth_set_ctrl(m, bio_ctrl);
    BIO_METHOD *other = NULL;
    if (!__atomic_compare_exchange_n(&made, &other, m, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        BIO_meth_free(m);
        return other;
    }
    return m;
}

BIO *tug__tls_bio_new(struct tug__tls *c)
{
    const BIO_METHOD *m = method();
    BIO *bio = m != NULL ? BIO_new(m) : NULL;
    if (bio != NULL) {
        BIO_set_data(bio, c);
        BIO_set_init(bio, 1);
    }
    return bio;
}
