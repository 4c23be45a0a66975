#include "tls_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <tug/group.h>
#include <unistd.h>

enum {
    TRIES = 1000 /* to hand bytes to a socket that is full; one that is read takes them at once */
};

/* --- files ------------------------------------------------------------------------------------- */

/* Made and removed by the process that ctest starts. Under torture each run is a child of it, which may end
 * at any place, and has a folder of its own inside. */
static char directory[64];
static pid_t creator;

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
    (void)st;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void remove_directory(void)
{
    if (getpid() == creator) {
        nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    }
}

__attribute__((constructor)) static void make_directory(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%.40s/tug_tls_XXXXXX", base != NULL ? base : P_tmpdir);
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        _exit(1);
    }
    creator = getpid();
    atexit(remove_directory);
}

const char *rig_path(const char *file)
{
    static char paths[64][400];
    static unsigned n;
    static pid_t made_for;
    char *path = paths[n++ % 64];
    if (made_for != getpid()) {
        made_for = getpid();
        snprintf(path, sizeof paths[0], "%s/%ld", directory, (long)made_for);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    snprintf(path, sizeof paths[0], "%s/%ld/%s", directory, (long)made_for, file);
    return path;
}

void rig_write(const char *file, const void *data, size_t size)
{
    FILE *f = fopen(rig_path(file), "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    fclose(f);
}

/* --- certificates ------------------------------------------------------------------------------ */

static void extend(X509 *x, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(e);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

static void load(const char *file, X509 **ret_x, EVP_PKEY **ret_key)
{
    FILE *f = fopen(rig_path(file), "r");
    assert_non_null(f);
    *ret_x = PEM_read_X509(f, NULL, NULL, NULL);
    *ret_key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    assert_true(*ret_x != NULL && *ret_key != NULL);
}

static void sign(X509 *x, EVP_PKEY *key, const char *issuer)
{
    X509 *authority = NULL;
    EVP_PKEY *authority_key = NULL;
    if (issuer != NULL) {
        load(issuer, &authority, &authority_key);
    }
    X509_set_issuer_name(x, X509_get_subject_name(authority != NULL ? authority : x));
    assert_true(X509_sign(x, authority_key != NULL ? authority_key : key, EVP_sha256()) > 0);
    X509_free(authority);
    EVP_PKEY_free(authority_key);
}

void rig_make(const rig_certificate *c)
{
    static long serial = 1;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), c->from);
    X509_gmtime_adj(X509_getm_notAfter(x), c->to);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                               (const unsigned char *)c->subject, -1, -1, 0);
    X509_set_pubkey(x, key);
    extend(x, NID_basic_constraints, c->is_authority ? "critical,CA:TRUE" : "CA:FALSE");
    if (c->names != NULL) {
        extend(x, NID_subject_alt_name, c->names);
    }
    sign(x, key, c->issuer);
    FILE *f = fopen(rig_path(c->file), "w");
    assert_non_null(f);
    PEM_write_X509(f, x);
    PEM_write_PrivateKey(f, key, c->password != NULL ? EVP_aes_256_cbc() : NULL,
                         (const unsigned char *)c->password,
                         c->password != NULL ? (int)strlen(c->password) : 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

void rig_make_all(void)
{
    const char *here = "DNS:localhost,DNS:*.wild.example,IP:127.0.0.1,IP:::1";
    const rig_certificate all[] = {
        {"ca.pem", "Test Authority", NULL, NULL, true, -RIG_DAY, RIG_DAY, NULL},
        {"other_ca.pem", "Other Authority", NULL, NULL, true, -RIG_DAY, RIG_DAY, NULL},
        {"server.pem", "server", here, "ca.pem", false, -RIG_DAY, RIG_DAY, NULL},
        {"client.pem", "joe", NULL, "ca.pem", false, -RIG_DAY, RIG_DAY, NULL},
        {"expired.pem", "old", here, "ca.pem", false, -2 * RIG_DAY, -RIG_DAY, NULL},
        {"early.pem", "young", here, "ca.pem", false, RIG_DAY, 2 * RIG_DAY, NULL},
        {"stranger.pem", "stranger", here, "other_ca.pem", false, -RIG_DAY, RIG_DAY, NULL},
        {"selfsigned.pem", "self", here, NULL, false, -RIG_DAY, RIG_DAY, NULL},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        rig_make(&all[i]);
    }
}

tug_tls_options rig_client_options(void)
{
    tug_tls_options o = TUG_TLS_OPTIONS_INIT;
    o.ca_file = rig_path("ca.pem");
    return o;
}

tug_tls_options rig_server_options(void)
{
    tug_tls_options o = TUG_TLS_OPTIONS_INIT;
    o.certificate_file = rig_path("server.pem");
    o.ca_file = rig_path("ca.pem");
    return o;
}

tug_tls *rig_tls(const tug_tls_options *o)
{
    tug_tls *tls = NULL;
    assert_ok(tug_tls_new(o, &tls));
    return tls;
}

/* --- a pair ------------------------------------------------------------------------------------ */

static void on_data(void *arg, const uint8_t *data, size_t size)
{
    rig_end *e = arg;
    if (e->size + size > e->room) {
        e->room = 2 * (e->size + size);
        e->data = realloc(e->data, e->room);
        assert_non_null(e->data);
    }
    memcpy(e->data + e->size, data, size);
    e->size += size;
}

static void on_room(void *arg)
{
    ((rig_end *)arg)->rooms++;
}

static void on_eof(void *arg)
{
    rig_end *e = arg;
    assert_false(e->eof || e->ended);
    e->eof = true;
}

static void on_end(void *arg, const tug_error *why)
{
    rig_end *e = arg;
    assert_false(e->ended);
    e->ended = true;
    e->why = *why;
}

void rig_start(rig_end *e)
{
    static const tug_transport_ops ops = {.size = sizeof ops,
                                          .on_data = on_data,
                                          .on_room = on_room,
                                          .on_eof = on_eof,
                                          .on_end = on_end};
    assert_ok(tug_transport_start(e->t, &ops, e));
}

void rig_open(rig_pair *p, tug_tls *client, tug_tls *server, const char *name)
{
    int fds[2];
    (void)client;
    (void)name;
    memset(p, 0, sizeof *p);
    assert_ok(tug_test_socketpair(fds));
    assert_ok(tug_transport_from_fd(fds[0], &p->client.t));
    p->client_wire = fds[1];
    assert_ok(tug_test_socketpair(fds));
    assert_ok(tug_transport_from_fd(fds[0], &p->server.t));
    p->server_wire = fds[1];
    assert_ok(tug_transport_secure_server(p->server.t, server));
    rig_start(&p->server);
}

/* Counts the records of application data that pass. */
static void look(rig_pair *p, const uint8_t *data, size_t size)
{
    while (size > 0) {
        if (p->skip > 0) {
            size_t n = p->skip < size ? p->skip : size;
            p->skip -= n;
            data += n;
            size -= n;
            continue;
        }
        p->header[p->header_size++] = *data++;
        size--;
        if (p->header_size == sizeof p->header) {
            p->header_size = 0;
            p->skip = (size_t)p->header[3] << 8 | p->header[4];
            p->data_records += p->header[0] == SSL3_RT_APPLICATION_DATA;
        }
    }
}

static size_t move(rig_pair *p, int from, int to, size_t step)
{
    uint8_t data[16384];
    if (from < 0 || to < 0) {
        return 0;
    }
    ssize_t n = recv(from, data, step < sizeof data ? step : sizeof data, MSG_DONTWAIT);
    if (n <= 0) {
        if (n == 0) {
            shutdown(to, SHUT_WR);
        }
        return 0;
    }
    size_t done = 0;
    for (int tries = 0; done < (size_t)n; tries++) {
        if (tries == TRIES) { /* whoever should read has failed: nothing more will come */
            shutdown(to, SHUT_WR);
            return 0;
        }
        ssize_t sent = send(to, data + done, (size_t)n - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            return 0;
        }
        done += sent > 0 ? (size_t)sent : 0;
        if (done < (size_t)n) {
            tug_test_settle();
        }
    }
    if (from == p->client_wire) {
        p->to_server += (size_t)n;
        look(p, data, (size_t)n);
    } else {
        p->to_client += (size_t)n;
    }
    return (size_t)n;
}

void rig_pump(rig_pair *p, size_t step, size_t most)
{
    size_t moved;
    tug_test_settle();
    do {
        moved = 0;
        size_t n = step < most ? step : most;
        if (n > 0) {
            moved = move(p, p->client_wire, p->server_wire, n);
            most -= moved;
        }
        n = step < most ? step : most;
        if (n > 0) {
            size_t back = move(p, p->server_wire, p->client_wire, n);
            moved += back;
            most -= back;
        }
        tug_test_settle();
    } while (moved > 0);
}

struct shaking {
    rig_pair *p;
    tug_tls *tls;
    const char *name;
};

static int run_shake(void *arg)
{
    const struct shaking *s = arg;
    int rc = tug_transport_secure(s->p->client.t, s->tls, s->name);
    if (rc == 0) {
        rig_start(&s->p->client);
    }
    return rc;
}

int rig_shake(rig_pair *p, tug_tls *client, const char *name, size_t step, size_t most)
{
    struct shaking s = {p, client, name};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
    tug_future *f = tug_group_start(&g, run_shake, &s);
    rig_pump(p, step, most);
    if (!tug_future_is_settled(f)) {
        /* Nothing more will come. */
        close(p->client_wire);
        close(p->server_wire);
        p->client_wire = p->server_wire = -1;
    }
    int rc = tug_await(f);
    tug_future_unref(f);
    assert_ok(tug_group_leave(&g, 0));
    return rc;
}

void rig_say(rig_end *e, const char *text)
{
    assert_ok(tug_transport_write(e->t, tug_bytes(text, strlen(text))));
}

void rig_heard(rig_end *e, const char *text)
{
    assert_int_equal(e->size, strlen(text));
    assert_memory_equal(e->data, text, e->size);
    e->size = 0;
}

void rig_connect(rig_pair *p, tug_tls *client, tug_tls *server, const char *name)
{
    rig_open(p, client, server, name);
    assert_ok(rig_shake(p, client, name, SIZE_MAX, SIZE_MAX));
    rig_say(&p->client, "?");
    rig_pump(p, SIZE_MAX, SIZE_MAX);
    rig_heard(&p->server, "?");
    rig_say(&p->server, "!");
    rig_pump(p, SIZE_MAX, SIZE_MAX);
    rig_heard(&p->client, "!");
}

void rig_close(rig_pair *p)
{
    tug_transport_close(p->client.t);
    tug_transport_close(p->server.t);
    free(p->client.data);
    free(p->server.data);
    if (p->client_wire >= 0) {
        close(p->client_wire);
    }
    if (p->server_wire >= 0) {
        close(p->server_wire);
    }
}

/* --- a peer on a thread ------------------------------------------------------------------------ */

SSL_CTX *rig_context(const rig_peer *p)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    static const unsigned char id[] = "rig";
    assert_non_null(ctx);
    SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1);
    if (p->max_version != 0) {
        /* The system's settings forbid what is older than TLS 1.2. */
        SSL_CTX_set_cipher_list(ctx, "DEFAULT:@SECLEVEL=0");
        SSL_CTX_set_min_proto_version(ctx, 0);
        SSL_CTX_set_max_proto_version(ctx, p->max_version);
    }
    if (p->certificate != NULL) {
        assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, rig_path(p->certificate)), 1);
        assert_int_equal(
            SSL_CTX_use_PrivateKey_file(ctx, rig_path(p->certificate), SSL_FILETYPE_PEM), 1);
    }
    if (p->ca != NULL) {
        assert_int_equal(SSL_CTX_load_verify_file(ctx, rig_path(p->ca)), 1);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return ctx;
}

static void *peer_main(void *arg)
{
    rig_peer *p = arg;
    SSL *ssl = SSL_new(p->ctx);
    SSL_set_fd(ssl, p->fd);
    if (p->is_server) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
    }
    p->handshake = SSL_do_handshake(ssl);
    if (p->script != NULL) {
        p->script(ssl, p);
    }
    SSL_set_quiet_shutdown(ssl, 1);
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(p->fd);
    return NULL;
}

int rig_peer_run(rig_peer *p)
{
    int fds[2];
    signal(SIGPIPE, SIG_IGN); /* OpenSSL's own socket BIO would die of it */
    if (p->ctx == NULL) {
        p->ctx = rig_context(p);
    } else {
        SSL_CTX_up_ref(p->ctx);
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    p->fd = fds[1];
    assert_int_equal(pthread_create(&p->thread, NULL, peer_main, p), 0);
    return fds[0];
}

void rig_peer_join(rig_peer *p)
{
    pthread_join(p->thread, NULL);
    SSL_CTX_free(p->ctx);
    p->ctx = NULL;
}
