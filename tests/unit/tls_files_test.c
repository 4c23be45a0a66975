/* The files and options behind TLS settings. */
#include "tls_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tug/group.h>
#include <unistd.h>

static void assert_new(const tug_tls_options *o)
{
    tug_tls *tls = NULL;
    assert_ok(tug_tls_new(o, &tls));
    assert_null(tug_tls_unref(tls));
}

static void assert_bad(const tug_tls_options *o, int code, const char *line)
{
    tug_tls *tls = NULL;
    assert_rc(tug_tls_new(o, &tls), code);
    assert_detail_has(line);
    assert_null(tls);
}

TASK_TEST(defaults_trust_the_system)
{
    tug_tls *one = NULL, *two = NULL;
    assert_new(NULL);
    assert_ok(tug_tls_default(&one));
    assert_ok(tug_tls_default(&two));
    assert_ptr_equal(one, two);
    tug_tls_unref(one);
    tug_tls_unref(two);
    assert_null(tug_tls_unref(NULL));
}

/* The system's directory is read at once, not in the middle of a handshake. */
TASK_TEST(the_environment_names_the_system_authorities)
{
    rig_pair p;
    rig_make_all();
    tug_tls_options co = TUG_TLS_OPTIONS_INIT, so = rig_server_options();
    setenv("SSL_CERT_FILE", rig_path("ca.pem"), 1);
    setenv("SSL_CERT_DIR", rig_path("none"), 1);
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    rig_close(&p);
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
}

TASK_TEST(options_are_checked)
{
    tug_tls_options o = TUG_TLS_OPTIONS_INIT;
    rig_make_all();
    o.verify = 3;
    assert_bad(&o, TUG_EINVAL, "TUG_TLS_VERIFY_");
    o = (tug_tls_options)TUG_TLS_OPTIONS_INIT;
    o.clients = -1;
    assert_bad(&o, TUG_EINVAL, "TUG_TLS_CLIENTS_");
    o.clients = TUG_TLS_CLIENTS_VERIFIED;
    assert_bad(&o, TUG_EINVAL, "name the authorities by ca_file or ca_dir");
    o = (tug_tls_options)TUG_TLS_OPTIONS_INIT;
    o.min_version = 11;
    assert_bad(&o, TUG_EINVAL, "min_version");
    o = (tug_tls_options)TUG_TLS_OPTIONS_INIT;
    o.key_file = rig_path("server.pem");
    assert_bad(&o, TUG_EINVAL, "key_file without certificate_file");
    o = (tug_tls_options)TUG_TLS_OPTIONS_INIT;
    o.sessions = 1025;
    assert_bad(&o, TUG_EINVAL, "sessions");
    o = (tug_tls_options)TUG_TLS_OPTIONS_INIT;
    o.handshake_timeout = 0;
    assert_bad(&o, TUG_EINVAL, "handshake_timeout");
    o = (tug_tls_options)TUG_TLS_OPTIONS_INIT;
    o.server_name = "";
    assert_bad(&o, TUG_EINVAL, "server_name");
    o = (tug_tls_options)TUG_TLS_OPTIONS_INIT;
    static const char *const wrong[] = {
        "",
        ",",
        "h2,",
        ",h2",
        "h2,,http/1.1",
        "0123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        o.alpn = wrong[i];
        assert_bad(&o, TUG_EINVAL, "alpn");
    }
}

TEST(it_waits_and_so_needs_a_task)
{
    tug_tls *tls = NULL;
    assert_int_equal(tug_tls_new(NULL, &tls), TUG_EMISUSE);
    assert_int_equal(tug_tls_default(&tls), TUG_EMISUSE);
}

/* An older program, whose options were shorter. */
TASK_TEST(shorter_options_have_the_defaults_behind_them)
{
    tug_tls_options o = TUG_TLS_OPTIONS_INIT;
    rig_make_all();
    o.ca_file = rig_path("ca.pem");
    o.size = offsetof(tug_tls_options, verify);
    o.verify = 99;
    o.min_version = 0;
    assert_new(&o);
}

/* --- authorities ------------------------------------------------------------------------------- */

TASK_TEST(ca_file_is_read)
{
    tug_tls_options o = TUG_TLS_OPTIONS_INIT;
    rig_make_all();
    o.ca_file = rig_path("none.pem");
    assert_bad(&o, -ENOENT, "ca_file \"");
    assert_detail_has("none.pem\": No such file or directory");
    rig_write("text.pem", "no certificate", 14);
    o.ca_file = rig_path("text.pem");
    assert_bad(&o, TUG_EINVAL, "no certificate in it (PEM)");
    static const char broken[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    rig_write("broken.pem", broken, sizeof broken - 1);
    o.ca_file = rig_path("broken.pem");
    assert_bad(&o, TUG_EINVAL, "broken.pem");
    o.ca_file = rig_path(".");
    assert_bad(&o, TUG_EINVAL, "no plain file");
    assert_int_equal(mkfifo(rig_path("fifo.pem"), 0600), 0);
    o.ca_file = rig_path("fifo.pem");
    assert_bad(&o, TUG_EINVAL, "no plain file");
    assert_int_equal(truncate(rig_path("text.pem"), 17 * 1024 * 1024), 0);
    o.ca_file = rig_path("text.pem");
    assert_bad(&o, TUG_ELIMIT, "more than");
}

static void copy(const char *from, const char *to)
{
    char data[8192];
    FILE *f = fopen(rig_path(from), "r");
    assert_non_null(f);
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    rig_write(to, data, n);
}

TASK_TEST(ca_dir_is_read)
{
    rig_pair p;
    tug_tls_options o = TUG_TLS_OPTIONS_INIT, so;
    rig_make_all();
    so = rig_server_options();
    o.ca_dir = rig_path("none");
    assert_bad(&o, -ENOENT, "ca_dir \"");
    assert_int_equal(mkdir(rig_path("dir"), 0700), 0);
    o.ca_dir = rig_path("dir");
    assert_bad(&o, TUG_EINVAL, "no certificate in it (*.pem");
    copy("ca.pem", "dir/readme");
    assert_bad(&o, TUG_EINVAL, "no certificate in it (*.pem");
    static const char *const names[] = {"dir/a.pem", "dir/a.crt", "dir/a.cer", "dir/12ab34cd.0"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        copy("ca.pem", names[i]);
        TUG_AUTO(tug_tls) client = rig_tls(&o);
        TUG_AUTO(tug_tls) server = rig_tls(&so);
        rig_connect(&p, client, server, "localhost");
        rig_close(&p);
        unlink(rig_path(names[i]));
    }
    unlink(rig_path("dir/readme"));
}

/* --- our own ----------------------------------------------------------------------------------- */

TASK_TEST(certificate_and_key_are_read)
{
    tug_tls_options o = TUG_TLS_OPTIONS_INIT;
    rig_make_all();
    o.ca_file = rig_path("ca.pem");
    o.certificate_file = rig_path("server.pem");
    assert_new(&o);
    o.key_file = rig_path("server.pem");
    assert_new(&o);
    o.key_file = rig_path("client.pem");
    assert_bad(&o, TUG_EINVAL, "this is not the key of the certificate");
    o.key_file = rig_path("none.pem");
    assert_bad(&o, -ENOENT, "key_file \"");
    rig_write("text.pem", "nothing", 7);
    o.key_file = rig_path("text.pem");
    assert_bad(&o, TUG_EINVAL, "no private key in it (PEM)");
    o.key_file = NULL;
    o.certificate_file = rig_path("text.pem");
    assert_bad(&o, TUG_EINVAL, "certificate_file \"");
    assert_detail_has("no certificate in it (PEM)");
    assert_int_equal(truncate(rig_path("text.pem"), 2 * 1024 * 1024), 0);
    assert_bad(&o, TUG_ELIMIT, "more than 1048576 bytes");
    assert_int_equal(chmod(rig_path("text.pem"), 0), 0);
    if (geteuid() != 0) {
        assert_bad(&o, -EACCES, "Permission denied");
    }
}

TASK_TEST(an_encrypted_key_needs_its_password)
{
    tug_tls_options o = TUG_TLS_OPTIONS_INIT;
    const rig_certificate c = {"locked.pem", "locked", NULL,    "ca.pem",
                               false,        -RIG_DAY, RIG_DAY, "open sesame"};
    rig_make_all();
    rig_make(&c);
    o.ca_file = rig_path("ca.pem");
    o.certificate_file = rig_path("locked.pem");
    assert_bad(&o, TUG_EINVAL, "the key is encrypted, and there is no key_password");
    o.key_password = "wrong secret";
    assert_bad(&o, TUG_EINVAL, "the key cannot be decrypted by key_password");
    assert_null(strstr(tug_last_error()->text, "wrong secret"));
    o.key_password = "";
    assert_bad(&o, TUG_EINVAL, "the key");
    o.key_password = "open sesame";
    assert_new(&o);
}

/* An intermediate authority in certificate_file goes out with the certificate. */
TASK_TEST(the_chain_is_sent)
{
    rig_pair p;
    rig_make_all();
    const rig_certificate between = {"between.pem", "Between", NULL,    "ca.pem",
                                     true,          -RIG_DAY,  RIG_DAY, NULL};
    const rig_certificate leaf = {"leaf.pem", "leaf",   "DNS:localhost", "between.pem",
                                  false,      -RIG_DAY, RIG_DAY,         NULL};
    rig_make(&between);
    rig_make(&leaf);
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    so.certificate_file = rig_path("leaf.pem");
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) short_chain = rig_tls(&so);
    rig_open(&p, client, short_chain, "localhost");
    assert_rc(rig_shake(&p, client, "localhost", SIZE_MAX, SIZE_MAX), TUG_EAUTH);
    assert_detail_has("no trusted authority");
    rig_close(&p);

    char data[16384];
    FILE *f = fopen(rig_path("leaf.pem"), "r");
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    f = fopen(rig_path("between.pem"), "r");
    n += fread(data + n, 1, sizeof data - n, f);
    fclose(f);
    rig_write("chain.pem", data, n);
    so.certificate_file = rig_path("chain.pem");
    so.key_file = rig_path("leaf.pem");
    TUG_AUTO(tug_tls) whole_chain = rig_tls(&so);
    rig_connect(&p, client, whole_chain, "localhost");
    rig_close(&p);
}

/* --- cancel ------------------------------------------------------------------------------------ */

static int make(void *arg)
{
    tug_tls *tls = NULL;
    int rc = tug_tls_new(arg, &tls);
    tug_tls_unref(tls);
    return rc;
}

/* The files are being read: nobody waits for them, they come to their end by themselves. */
LIVE_TEST(it_is_cancelled_while_files_are_read)
{
    tug_tls_options o = TUG_TLS_OPTIONS_INIT;
    rig_make_all();
    o.ca_file = rig_path("ca.pem");
    assert_new(&o);
    assert_ok(tug_yield());
    size_t before = tug_test_live_allocations();
    for (int i = 0; i < 20; i++) {
        tug_group g;
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        tug_future *f = tug_group_start(&g, make, &o);
        assert_ok(tug_yield());
        tug_group_cancel(&g);
        TUG_IGNORE(tug_group_leave(&g, 0));
        assert_true(tug_future_is_settled(f));
        int rc = tug_future_error(f)->code;
        assert_true(rc == TUG_ECANCELED || rc == TUG_EDROPPED || rc == 0);
        tug_future_unref(f);
    }
    /* A job that another thread still has in hand. */
    for (int i = 0; i < 500 && tug_test_live_allocations() > before; i++) {
        assert_ok(tug_sleep(TUG_MS(1)));
    }
}
