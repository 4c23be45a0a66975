/* What: the files behind TLS settings, read on a thread: a key may lie on a network file system. All that
 * is trusted is read at once; OpenSSL's own way, to look into a directory when a certificate comes, would
 * read files on the loop's thread in the middle of a handshake. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tug/sys/alloc.h>
#include <unistd.h>

#include "kit/tls.h"

enum {
    KEY_BYTES = 1024 * 1024,     /* of a certificate or key file: a chain has a few KiB */
    CA_BYTES = 16 * 1024 * 1024, /* of all authorities: the bundle of a browser has 0.3 MiB */
    CA_FILES = 16384,            /* looked at in a directory */
    PATH_BYTES = 4096
};

struct pem {
    char *data;
    size_t size;
    BIO *bio; /* over the two */
};

/* --- reading ---------------------------------------------------------------------------------- */

static int os_failed(const char *option, const char *path, int error)
{
    tug_error e;
    char native[12];
    snprintf(native, sizeof native, "%d", error);
    tug_error_set(&e, tug_error_from_errno(error), TUG_ORIGIN_OS, TUG_NOT_SENT, native,
                  "%s \"%.120s\": %s", option, path, strerrordesc_np(error));
    return tug_fail_with(&e);
}

static int no_memory(void)
{
    return tug_fail(TUG_ENOMEM, "out of memory for TLS settings");
}

static int bad(const char *option, const char *path, const char *why)
{
    tug_error e;
    tug_error_set(&e, TUG_EINVAL, TUG_ORIGIN_TLS, TUG_NOT_SENT, NULL, "%s \"%.120s\": %s", option,
                  path, why);
    return tug_fail_with(&e);
}

/* 0 or errno. Reads to the end, whatever the size was: a file may grow meanwhile. */
static int read_all(int fd, char *to, size_t room, size_t *ret_size)
{
    size_t size = 0;
    while (size < room) {
        ssize_t n = read(fd, to + size, room - size);
        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        size += n > 0 ? (size_t)n : 0;
    }
    *ret_size = size;
    return 0;
}

static void pem_close(struct pem *p)
{
    BIO_free(p->bio);
    if (p->data != NULL) {
        tug_wipe(p->data, p->size); /* it may have been a key */
    }
    tug_free(p->data);
    *p = (struct pem){.data = NULL};
}

static int pem_open(const char *option, const char *path, size_t most, struct pem *ret_pem)
{
    /* Not to hang in a FIFO; it is refused below. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        return os_failed(option, path, error);
    }
    int rc = 0, error = 0;
    struct pem p = {.data = NULL};
    if (!S_ISREG(st.st_mode)) {
        rc = bad(option, path, "no plain file");
    } else if ((size_t)st.st_size > most) {
        rc = tug_fail(TUG_ELIMIT, "%s \"%.120s\" has more than %zu bytes", option, path, most);
    } else if ((p.data = tug_alloc((size_t)st.st_size + 1)) == NULL) {
        rc = no_memory();
    } else if ((error = read_all(fd, p.data, (size_t)st.st_size, &p.size)) != 0) {
        rc = os_failed(option, path, error);
    } else if ((p.bio = BIO_new_mem_buf(p.data, (int)p.size)) == NULL) {
        rc = no_memory();
    }
    close(fd);
    if (rc < 0) {
        pem_close(&p);
        return rc;
    }
    *ret_pem = p;
    return 0;
}

/* Without a callback OpenSSL would ask at the terminal. */
static int on_no_password(char *to, int room, int writing, void *arg)
{
    (void)to;
    (void)room;
    (void)writing;
    (void)arg;
    return -1;
}

/* --- authorities ------------------------------------------------------------------------------ */

/* The file's certificates become trusted: how many, or < 0. tell_clients: a server also says whose
 * certificates it takes. */
static int add_certificates(struct tug__tls_build *b, struct pem *p, bool tell_clients)
{
    X509_STORE *store = SSL_CTX_get_cert_store(b->ctx);
    int count = 0;
    for (;;) {
        ERR_clear_error();
        X509 *x = PEM_read_bio_X509_AUX(p->bio, NULL, on_no_password, NULL);
        if (x == NULL) {
            break;
        }
        int ok = X509_STORE_add_cert(store, x) == 1 &&
                 (!tell_clients || SSL_CTX_add_client_CA(b->ctx, x) == 1);
        X509_free(x);
        if (!ok) {
            return no_memory();
        }
        count++;
    }
    return count;
}

/* True if the reading stopped at the end, not at something broken. */
static bool at_end(void)
{
    unsigned long error = ERR_peek_last_error();
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

static int add_file(struct tug__tls_build *b, const char *option, const char *path, bool is_strict)
{
    struct pem p = {.data = NULL};
    int rc = pem_open(option, path, CA_BYTES - b->bytes, &p);
    if (rc < 0) {
        return rc;
    }
    b->bytes += p.size;
    rc = add_certificates(b, &p, b->clients != TUG_TLS_CLIENTS_ANY);
    if (rc >= 0 && is_strict && (rc == 0 || !at_end())) {
        rc = bad(option, path, rc == 0 ? "no certificate in it (PEM)" : tug__tls_words());
    }
    pem_close(&p);
    ERR_clear_error();
    return rc;
}

/* "12ab34cd.0": what `openssl rehash` makes. */
static bool is_hash(const char *name)
{
    size_t n = strspn(name, "0123456789abcdef");
    return n == 8 && name[8] == '.' && name[9] != 0 &&
           strspn(name + 9, "0123456789") == strlen(name + 9);
}

static bool is_certificate_name(const char *name)
{
    const char *end = strrchr(name, '.');
    return is_hash(name) || (end != NULL && (strcmp(end, ".pem") == 0 || strcmp(end, ".crt") == 0 ||
                                             strcmp(end, ".cer") == 0));
}

/* Files that are broken or vanish are left out, as OpenSSL does: how many certificates. */
static int add_folder(struct tug__tls_build *b, DIR *d, const char *option, const char *path,
                      bool (*wanted)(const char *name))
{
    char name[PATH_BYTES];
    int count = 0;
    for (int i = 0; i < CA_FILES; i++) {
        const struct dirent *entry = readdir(d);
        if (entry == NULL) {
            break;
        }
        if (!wanted(entry->d_name) ||
            (size_t)snprintf(name, sizeof name, "%s/%s", path, entry->d_name) >= sizeof name) {
            continue;
        }
        int rc = add_file(b, option, name, false);
        if (rc == TUG_ENOMEM || rc == TUG_ELIMIT) {
            return rc;
        }
        count += rc > 0 ? rc : 0;
    }
    return count;
}

static int add_dir(struct tug__tls_build *b, const char *path)
{
    DIR *d = opendir(path);
    if (d == NULL) {
        return os_failed("ca_dir", path, errno);
    }
    int rc = add_folder(b, d, "ca_dir", path, is_certificate_name);
    closedir(d);
    if (rc == 0) {
        return bad("ca_dir", path, "no certificate in it (*.pem, *.crt, *.cer or rehashed)");
    }
    return rc < 0 ? rc : 0;
}

/* Where this OpenSSL was built to look, or where the environment says. None is no failure: a server needs
 * none, and a client will say that it trusts nobody. */
static int add_system(struct tug__tls_build *b)
{
    const char *file = getenv(X509_get_default_cert_file_env());
    const char *dir = getenv(X509_get_default_cert_dir_env());
    file = file != NULL ? file : X509_get_default_cert_file();
    dir = dir != NULL ? dir : X509_get_default_cert_dir();
    int rc = access(file, R_OK) == 0 ? add_file(b, "system authorities", file, false) : 0;
    DIR *d = rc >= 0 ? opendir(dir) : NULL;
    if (d != NULL) {
        rc = add_folder(b, d, "system authorities", dir, is_hash);
        closedir(d);
    }
    return rc == TUG_ENOMEM || rc == TUG_ELIMIT ? rc : 0;
}

static int add_authorities(struct tug__tls_build *b)
{
    int rc = b->ca_file != NULL ? add_file(b, "ca_file", b->ca_file, true) : 0;
    if (rc >= 0 && b->ca_dir != NULL) {
        rc = add_dir(b, b->ca_dir);
    }
    if (rc >= 0 && b->system_authorities) {
        rc = add_system(b);
    }
    return rc < 0 ? rc : 0;
}

/* --- our own certificate ---------------------------------------------------------------------- */

static int use_chain(struct tug__tls_build *b, struct pem *p)
{
    X509 *x = PEM_read_bio_X509_AUX(p->bio, NULL, on_no_password, NULL);
    if (x == NULL) {
        return bad("certificate_file", b->certificate_file, "no certificate in it (PEM)");
    }
    int ok = SSL_CTX_use_certificate(b->ctx, x);
    X509_free(x);
    while (ok == 1) {
        ERR_clear_error();
        x = PEM_read_bio_X509(p->bio, NULL, on_no_password, NULL);
        if (x == NULL) {
            return at_end() ? 0 : bad("certificate_file", b->certificate_file, tug__tls_words());
        }
        ok = (int)SSL_CTX_add0_chain_cert(b->ctx, x);
        if (ok != 1) {
            X509_free(x);
        }
    }
    return bad("certificate_file", b->certificate_file, tug__tls_words());
}

static int on_password(char *to, int room, int writing, void *arg)
{
    struct tug__tls_build *b = arg;
    size_t n = b->key_password != NULL ? strlen(b->key_password) : 0;
    (void)writing;
    b->asked_password = true;
    if (n == 0 || n > (size_t)room) {
        return -1;
    }
    memcpy(to, b->key_password, n);
    return (int)n;
}

static int use_key(struct tug__tls_build *b, struct pem *p, const char *option, const char *path)
{
    ERR_clear_error();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(p->bio, NULL, on_password, b);
    if (key == NULL && b->asked_password) {
        return bad(option, path,
                   b->key_password != NULL ? "the key cannot be decrypted by key_password"
                                           : "the key is encrypted, and there is no key_password");
    }
    if (key == NULL) {
        return bad(option, path, "no private key in it (PEM)");
    }
    ERR_clear_error();
    int ok = SSL_CTX_use_PrivateKey(b->ctx, key) == 1 && SSL_CTX_check_private_key(b->ctx) == 1;
    EVP_PKEY_free(key);
    return ok ? 0 : bad(option, path, "this is not the key of the certificate");
}

static int add_own(struct tug__tls_build *b)
{
    struct pem p = {.data = NULL};
    int rc = pem_open("certificate_file", b->certificate_file, KEY_BYTES, &p);
    if (rc < 0) {
        return rc;
    }
    rc = use_chain(b, &p);
    pem_close(&p);
    if (rc < 0) {
        return rc;
    }
    const char *option = b->key_file != NULL ? "key_file" : "certificate_file";
    const char *path = b->key_file != NULL ? b->key_file : b->certificate_file;
    rc = pem_open(option, path, KEY_BYTES, &p);
    if (rc == 0) {
        rc = use_key(b, &p, option, path);
        pem_close(&p);
    }
    return rc;
}

/* --- all together ----------------------------------------------------------------------------- */

static int set_protocol(struct tug__tls_build *b)
{
    static const unsigned char id[] = "tug";
    b->ctx = SSL_CTX_new(TLS_method());
    if (b->ctx == NULL || SSL_CTX_set_min_proto_version(b->ctx, b->min_version) != 1 ||
        /* Without it a server that verifies clients could resume none of their sessions. */
        SSL_CTX_set_session_id_context(b->ctx, id, sizeof id - 1) != 1) {
        tug_error e;
        tug_error_set(&e, TUG_ENOMEM, TUG_ORIGIN_TLS, TUG_NOT_SENT, NULL,
                      "OpenSSL gives no TLS settings: %s", tug__tls_words());
        return tug_fail_with(&e);
    }
    SSL_CTX_set_options(b->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_clear_options(b->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* Ten thousand idle connections hold no record buffers. */
    SSL_CTX_set_mode(b->ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(b->ctx, 0); /* our BIO does, and knows what it holds */
    return 0;
}

int tug__tls_build(struct tug__tls_build *b)
{
    ERR_clear_error();
    int rc = set_protocol(b);
    if (rc == 0) {
        rc = add_authorities(b);
    }
    if (rc == 0 && b->certificate_file != NULL) {
        rc = add_own(b);
    }
    if (rc < 0) {
        SSL_CTX_free(b->ctx);
        b->ctx = NULL;
    }
    ERR_clear_error();
    return rc;
}
