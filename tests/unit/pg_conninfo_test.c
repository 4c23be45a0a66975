#include "conninfo.h"
#include "defaults.h"
#include "ownwords.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>
#include <tug/testing.h>
#include <unistd.h>

#include "test.h"

/* The machine's own settings must not decide. */
static void clean_environment(void)
{
    static const char *const names[] = {"PGHOST",
                                        "PGHOSTADDR",
                                        "PGPORT",
                                        "PGUSER",
                                        "PGDATABASE",
                                        "PGPASSWORD",
                                        "PGCONNECT_TIMEOUT",
                                        "PGSERVICE",
                                        "PGSSLMODE",
                                        "PGCLIENTENCODING",
                                        "PGTARGETSESSIONATTRS",
                                        "PGLOADBALANCEHOSTS",
                                        "PGSSLROOTCERT",
                                        "PGGSSENCMODE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unsetenv(names[i]);
    }
}

static tug__pg_conninfo parse(const char *url)
{
    tug__pg_conninfo c;
    memset(&c, 0xff, sizeof c);
    assert_ok(tug__pg_conninfo_parse(url, &c));
    return c;
}

static const char *pair(const tug__pg_conninfo *c, const char *keyword)
{
    for (size_t i = 0; i < c->pairs_n; i++) {
        if (strcmp(c->keywords[i], keyword) == 0) {
            return c->values[i];
        }
    }
    return NULL;
}

static void check_described(const char *url, const char *description)
{
    clean_environment();
    tug__pg_conninfo c = parse(url);
    assert_string_equal(c.description, description);
    tug__pg_conninfo_free(&c);
}

/* Refused, with this in the detail, and without the password in it. */
static void check_refused(const char *url, const char *detail, const char *secret)
{
    tug__pg_conninfo c;
    clean_environment();
    assert_rc(tug__pg_conninfo_parse(url, &c), TUG_EINVAL);
    assert_detail_has(detail);
    if (secret != NULL && strstr(tug_last_error()->text, secret) != NULL) {
        fail_msg("\"%s\" shows \"%s\"", tug_last_error()->text, secret);
    }
}

TEST(a_url_is_taken_apart)
{
    clean_environment();
    tug__pg_conninfo c = parse(
        "postgresql://joe:s%40cret@db.example:5433/shop?sslmode=verify-full&application_name=a%20b"
        "&connect_timeout=3");
    assert_int_equal(c.hosts_n, 1);
    assert_int_equal(c.hosts[0].kind, TUG__PG_HOST_NAME);
    assert_string_equal(c.hosts[0].host, "db.example");
    assert_null(c.hosts[0].address);
    assert_int_equal(c.hosts[0].port, 5433);
    assert_string_equal(tug__pg_secret_reveal(&c.password), "s@cret");
    assert_string_equal(pair(&c, "user"), "joe");
    assert_string_equal(pair(&c, "dbname"), "shop");
    assert_string_equal(pair(&c, "sslmode"), "verify-full");
    assert_string_equal(pair(&c, "application_name"), "a b");
    assert_string_equal(pair(&c, "client_encoding"), "UTF8");
    assert_null(pair(&c, "password"));
    assert_null(pair(&c, "host"));
    assert_null(pair(&c, "port"));
    assert_null(pair(&c, "connect_timeout"));
    assert_true(c.connect_timeout == TUG_SECONDS(3));
    assert_string_equal(c.description, "db.example:5433/shop as joe");
    tug__pg_conninfo_free(&c);
    tug__pg_conninfo_free(&c);
}

TEST(key_value_strings_are_taken_apart)
{
    clean_environment();
    tug__pg_conninfo c = parse(
        "host=db1,db2 port=5433,5434 user=joe password='it\\'s a b' dbname=shop");
    assert_int_equal(c.hosts_n, 2);
    assert_string_equal(c.hosts[1].host, "db2");
    assert_int_equal(c.hosts[1].port, 5434);
    assert_string_equal(tug__pg_secret_reveal(&c.password), "it's a b");
    assert_string_equal(c.description, "db1:5433,db2:5434/shop as joe");
    tug__pg_conninfo_free(&c);
}

TEST(hosts_are_told_apart)
{
    check_described("postgresql://", "local socket:5432");
    check_described(NULL, "local socket:5432");
    check_described("", "local socket:5432");
    check_described("postgres://joe@", "local socket:5432/joe as joe");
    check_described("postgresql://[::1]:99/x", "[::1]:99/x");
    check_described("postgresql://%2Ftmp/x", "/tmp:5432/x");
    check_described("host=/tmp port=1", "/tmp:1");
    check_described("host=@abstract", "@abstract:5432");
    check_described("postgresql://a,b:5,c/x", "a:5432,b:5,c:5432/x");
    check_described("postgresql://a,b,c,d:7/x", "a:5432,b:5432,c:5432,.../x");
    check_described("hostaddr=10.0.0.1 dbname=x", "10.0.0.1:5432/x");
    check_described("host=db hostaddr=10.0.0.1", "db:5432");
    check_described("host=db dbname='a\nb'", "db:5432/a?b");
    clean_environment();
    tug__pg_conninfo c = parse("host=db,/tmp,10.0.0.1,,x,::1 hostaddr=,,,,10.0.0.2,");
    static const tug__pg_host_kind kinds[] = {TUG__PG_HOST_NAME,    TUG__PG_HOST_UNIX,
                                              TUG__PG_HOST_ADDRESS, TUG__PG_HOST_DEFAULT,
                                              TUG__PG_HOST_ADDRESS, TUG__PG_HOST_ADDRESS};
    assert_int_equal(c.hosts_n, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(c.hosts[i].kind, kinds[i]);
    }
    assert_string_equal(c.hosts[2].address, "10.0.0.1");
    assert_string_equal(c.hosts[4].address, "10.0.0.2");
    assert_null(c.hosts[3].host);
    tug__pg_conninfo_free(&c);
}

TEST(the_environment_fills_what_is_not_given)
{
    clean_environment();
    setenv("PGHOST", "envhost", 1);
    setenv("PGPORT", "6000", 1);
    setenv("PGUSER", "envuser", 1);
    setenv("PGDATABASE", "envdb", 1);
    setenv("PGCONNECT_TIMEOUT", "7", 1);
    tug__pg_conninfo c = parse("postgresql:///");
    assert_int_equal(c.hosts[0].kind, TUG__PG_HOST_NAME);
    assert_string_equal(c.description, "envhost:6000/envdb as envuser");
    assert_true(c.connect_timeout == TUG_SECONDS(7));
    /* libpq takes the user from the environment by itself. */
    assert_null(pair(&c, "user"));
    tug__pg_conninfo_free(&c);
    c = parse("postgresql://joe@db:5/shop?connect_timeout=1");
    assert_string_equal(c.description, "db:5/shop as joe");
    assert_true(c.connect_timeout == TUG_SECONDS(1));
    tug__pg_conninfo_free(&c);
    setenv("PGHOSTADDR", "10.1.2.3", 1);
    c = parse("postgresql://db/shop");
    assert_int_equal(c.hosts[0].kind, TUG__PG_HOST_ADDRESS);
    assert_string_equal(c.hosts[0].address, "10.1.2.3");
    tug__pg_conninfo_free(&c);
    setenv("PGPORT", "many", 1);
    assert_rc(tug__pg_conninfo_parse("postgresql://db/shop", &c), TUG_EINVAL);
    assert_detail_has("port \"many\" is not a number");
    clean_environment();
}

TEST(connect_timeout_counts_seconds)
{
    static const struct {
        const char *text;
        tug_duration expected;
    } cases[] = {{"", 0},
                 {"connect_timeout=1", TUG_SECONDS(1)},
                 {"connect_timeout=0", TUG_FOREVER},
                 {"connect_timeout=-1", TUG_FOREVER},
                 {"connect_timeout=2147483647", TUG_SECONDS(2147483647)}};
    clean_environment();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tug__pg_conninfo c = parse(cases[i].text);
        assert_true(c.connect_timeout == cases[i].expected);
        tug__pg_conninfo_free(&c);
    }
    check_refused("connect_timeout=10s", "connect_timeout \"10s\" is not a number of seconds",
                  NULL);
    check_refused("connect_timeout=2147483648", "connect_timeout", NULL);
}

TEST(typos_are_named_and_corrected)
{
    check_refused("postgresql://h/db?ssl_mode=require",
                  "PostgreSQL URL: unknown parameter \"ssl_mode\" (did you mean \"sslmode\"?)",
                  NULL);
    check_refused("postgresql://h/db?sslmode=require&conect_timeout=1",
                  "did you mean \"connect_timeout\"", NULL);
    check_refused("postgresql://h/db?pool_size=1", "unknown parameter \"pool_size\"", NULL);
    check_refused("postgresql://h/db?%73slmodes=1", "did you mean \"sslmode\"", NULL);
    check_refused("postgresql://h/db?sslmode", "name=value", NULL);
    check_refused("postgresql://h/db?options=a=b", "%3D", NULL);
    check_refused("postgresql://h/db?ssl=false", "use sslmode", NULL);
    check_refused("postgresql://h:54x2/db", "port \"54x2\" is not a number", NULL);
    check_refused("postgresql://a,b:1x/db", "port \"1x\" is not a number", NULL);
    check_refused("postgresql://h:65536/db", "port 65536 is not between 1 and 65535", NULL);
    check_refused("postgresql://h:0/db", "port 0 is not between", NULL);
    check_refused("host=a port=12,13", "2 ports for 1 host", NULL);
    check_refused("host=a,b hostaddr=10.0.0.1", "2 hosts but 1 address in hostaddr", NULL);
    check_refused("postgresql://[::1/db", "must end with ]", NULL);
    check_refused("postgresql://[]/db", "must end with ]", NULL);
    check_refused("postgresql://[::1]x/db", "only :port", NULL);
    check_refused("postgresql://h/db?sslmode=requir", "sslmode \"requir\" is none of", NULL);
    check_refused("postgresql://h/%zz", "two hexadecimal digits", NULL);
    check_refused("postgresql://h/%0", "two hexadecimal digits", NULL);
    check_refused("postgresql://h/a%00b", "%00", NULL);
    check_refused("mysql://joe:secret@h/db", "it begins with mysql://, not with postgresql://",
                  "secret");
    check_refused("Postgres://h/db", "it begins with Postgres://", NULL);
    check_refused("host=a dbnam=x", "unknown parameter \"dbnam\" (did you mean \"dbname\"?)", NULL);
    check_refused("host=a sslmode='require", "a quote (') is not closed", NULL);
    check_refused("localhost", "a word without =", NULL);
    check_refused("host=a client_encoding=LATIN1", "UTF-8", NULL);
}

TEST(no_piece_of_a_password_is_shown)
{
    check_refused("postgresql://joe:hun@ter2@h/db", "written %40", "ter2");
    check_refused("postgresql://joe:hun/ter2@h/db", "%2F", "hun");
    check_refused("postgresql://joe:12/ter2@h/db", "%2F", "ter2");
    check_refused("postgresql://joe:12/x?ter2=y@h/db", "not escaped", "ter2");
    check_refused("postgresql://joe:hun%ter2@h/db", "%25", "ter2");
    check_refused("postgresql://joe:hunter2@h/db?ssl_mode=x", "ssl_mode", "hunter2");
    check_refused("postgresql://joe:hunter2@h:x/db", "port \"x\"", "hunter2");
    check_refused("postgresql://h/db?password=hunter2&x=y", "unknown parameter \"x\"", "hunter2");
    check_refused("host=h password=hun ter2", "needs quotes", "ter2");
    check_refused("host=h password=hun te=r2", "not escaped", "te=");
    check_refused("host=h password=hun te=r2", "does not know", "\"te\"");
    check_refused("host=h password='hunter2", "not closed", "hunter2");
    clean_environment();
    tug__pg_conninfo c = parse("postgresql://joe:hunter2@h/db");
    assert_null(strstr(c.description, "hunter2"));
    for (size_t i = 0; i < c.pairs_n; i++) {
        assert_null(strstr(c.values[i], "hunter2"));
    }
    tug__pg_conninfo_free(&c);
}

TEST(urls_that_only_look_odd_are_taken)
{
    check_described("postgresql://joe:a:b:c#?&=@h/db", "h:5432/db as joe");
    check_described("postgresql://h/db?user=joe@corp", "h:5432/db as joe@corp");
    check_described("postgresql://h/db?", "h:5432/db");
    check_described("postgresql://h/db?ssl=true", "h:5432/db");
    check_described("postgresql://h:/db", "h:5432/db");
    check_described("postgresql:///db?host=/tmp&port=7", "/tmp:7/db");
    check_described("postgresql://h/a%40b", "h:5432/a@b");
    check_described(" host = h  dbname = 'x' ", "h:5432/x");
}

static const char *attempt_value(const tug__pg_attempt *a, const char *keyword)
{
    for (size_t i = 0; a->keywords[i] != NULL; i++) {
        if (strcmp(a->keywords[i], keyword) == 0) {
            return a->values[i];
        }
    }
    return NULL;
}

TEST(an_attempt_names_one_host)
{
    tug__pg_attempt a;
    clean_environment();
    tug__pg_conninfo c = parse("postgresql://joe:pw@db,10.0.0.9:77/shop?sslmode=require");
    tug__pg_conninfo_attempt(&c, 0, "192.0.2.1", &a);
    assert_string_equal(attempt_value(&a, "host"), "db");
    assert_string_equal(attempt_value(&a, "hostaddr"), "192.0.2.1");
    assert_string_equal(attempt_value(&a, "port"), "5432");
    assert_string_equal(attempt_value(&a, "password"), "pw");
    assert_string_equal(attempt_value(&a, "sslmode"), "require");
    assert_string_equal(attempt_value(&a, "client_encoding"), "UTF8");
    tug__pg_conninfo_attempt(&c, 1, NULL, &a);
    assert_string_equal(attempt_value(&a, "hostaddr"), "10.0.0.9");
    assert_string_equal(attempt_value(&a, "port"), "77");
    tug__pg_conninfo_free(&c);
    c = parse("");
    tug__pg_conninfo_attempt(&c, 0, NULL, &a);
    assert_null(attempt_value(&a, "host"));
    assert_null(attempt_value(&a, "hostaddr"));
    assert_null(attempt_value(&a, "password"));
    tug__pg_conninfo_free(&c);
}

/* --- parameters that are ours ----------------------------------------------------------------- */

static void check_taken(const char *text, const char *rest, const char *value)
{
    char *left = NULL, *found = NULL;
    assert_ok(tug__pg_words_take(text, "load_balance_hosts", &left, &found));
    assert_string_equal(left, rest);
    assert_string_equal(found != NULL ? found : "(none)", value);
    tug_free(left);
    tug_free(found);
}

TEST(a_parameter_is_taken_out_of_a_text)
{
    check_taken("postgresql://a,b/x", "postgresql://a,b/x", "(none)");
    check_taken("postgresql://a/x?load_balance_hosts=random", "postgresql://a/x?", "random");
    check_taken("postgresql://a/x?user=u&load_balance_hosts=random&port=1",
                "postgresql://a/x?user=u&port=1", "random");
    check_taken("postgresql://a/x?load%5Fbalance_hosts=r%61ndom&p=1", "postgresql://a/x?p=1",
                "random");
    check_taken("postgresql://a/x?load_balance_hosts=a&load_balance_hosts=b", "postgresql://a/x?",
                "b");
    check_taken("postgresql://a/x?load_balance_hosts", "postgresql://a/x?", "");
    check_taken("postgresql://u:load_balance_hosts=1@a/x",
                "postgresql://u:load_balance_hosts=1@a/x", "(none)");
    check_taken("host=a load_balance_hosts=random port=1", "host=a port=1", "random");
    check_taken("load_balance_hosts = 'ran\\dom'", "", "random");
    check_taken("password='x load_balance_hosts=random'", "password='x load_balance_hosts=random'",
                "(none)");
    check_taken("password=a\\ load_balance_hosts=b", "password=a\\ load_balance_hosts=b", "(none)");
    check_taken("host='a load_balance_hosts=x", "host='a load_balance_hosts=x", "(none)");
    check_taken("word load_balance_hosts=x", "word load_balance_hosts=x", "(none)");
    check_taken("", "", "(none)");
}

TEST(load_balance_hosts_is_known_to_every_libpq)
{
    clean_environment();
    tug__pg_conninfo c = parse("postgresql://a,b/x?load_balance_hosts=random");
    assert_true(c.random);
    assert_int_equal(c.hosts_n, 2);
    tug__pg_conninfo_free(&c);
    c = parse("host=a,b load_balance_hosts=disable");
    assert_false(c.random);
    tug__pg_conninfo_free(&c);
    setenv("PGLOADBALANCEHOSTS", "random", 1);
    c = parse("host=a,b");
    assert_true(c.random);
    tug__pg_conninfo_free(&c);
    c = parse("host=a,b load_balance_hosts=disable");
    assert_false(c.random);
    tug__pg_conninfo_free(&c);
    check_refused("host=a load_balance_hosts=robin", "\"robin\" is neither disable nor random",
                  NULL);
}

TEST(statement_mode_is_a_parameter)
{
    static const struct {
        const char *text;
        bool unnamed;
    } cases[] = {
        {"postgresql://a/x", false},
        {"postgresql://a/x?statement_mode=unnamed", true},
        {"postgresql://a/x?load_balance_hosts=random&statement_mode=unnamed&application_name=b",
         true},
        {"postgresql://a/x?statement_mode=prepared&application_name=b", false},
        {"host=a statement_mode=unnamed load_balance_hosts=random", true},
        {"host=a statement_mode=''", false},
    };
    clean_environment();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tug__pg_conninfo c = parse(cases[i].text);
        assert_int_equal(c.unnamed, cases[i].unnamed);
        assert_int_equal(c.random, strstr(cases[i].text, "random") != NULL);
        assert_int_equal(pair(&c, "application_name") != NULL,
                         strstr(cases[i].text, "application_name") != NULL);
        assert_null(pair(&c, "statement_mode"));
        tug__pg_conninfo_free(&c);
    }
    check_refused("host=a statement_mode=extended",
                  "statement_mode \"extended\" is neither prepared nor unnamed", NULL);
    /* A service says it where the text does not. */
    static char word[] = "statement_mode", value[] = "unnamed";
    tug__pg_settings settings = {.keywords = {word}, .values = {value}, .n = 1};
    const char *const texts[] = {"service=s host=a", "service=s host=a statement_mode=prepared"};
    for (size_t i = 0; i < 2; i++) {
        tug__pg_conninfo c = parse(texts[i]), resolved;
        assert_ok(tug__pg_conninfo_resolve(&c, &settings, &resolved));
        assert_int_equal(resolved.unnamed, i == 0);
        tug__pg_conninfo_free(&resolved);
        tug__pg_conninfo_free(&c);
    }
}

TEST(target_session_attrs_has_six_words)
{
    static const char *const words[] = {"any",     "read-write", "read-only",
                                        "primary", "standby",    "prefer-standby"};
    char text[80];
    clean_environment();
    for (int i = 0; i < TUG__PG_ROLES; i++) {
        snprintf(text, sizeof text, "postgresql://h/x?target_session_attrs=%s", words[i]);
        tug__pg_conninfo c = parse(text);
        assert_int_equal(c.role, i);
        assert_string_equal(tug__pg_role_name(c.role), words[i]);
        assert_null(pair(&c, "target_session_attrs"));
        tug__pg_conninfo_free(&c);
    }
    setenv("PGTARGETSESSIONATTRS", "standby", 1);
    tug__pg_conninfo c = parse("host=a");
    assert_int_equal(c.role, TUG__PG_STANDBY);
    tug__pg_conninfo_free(&c);
    check_refused("host=a target_session_attrs=master", "\"master\" is none of any, read-write",
                  NULL);
}

TEST(which_servers_fit)
{
    static const tug__pg_server primary = {false, false}, standby = {true, true},
                                quiet = {false, true};
    static const struct {
        tug__pg_role role;
        bool primary, standby, quiet;
    } cases[] = {
        {TUG__PG_ANY, true, true, true},        {TUG__PG_READ_WRITE, true, false, false},
        {TUG__PG_READ_ONLY, false, true, true}, {TUG__PG_PRIMARY, true, false, true},
        {TUG__PG_STANDBY, false, true, false},  {TUG__PG_PREFER_STANDBY, false, true, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(tug__pg_role_fits(cases[i].role, &primary), cases[i].primary);
        assert_int_equal(tug__pg_role_fits(cases[i].role, &standby), cases[i].standby);
        assert_int_equal(tug__pg_role_fits(cases[i].role, &quiet), cases[i].quiet);
    }
}

TEST(what_a_newer_libpq_knows_is_named)
{
    if (PQlibVersion() < 160000) {
        check_refused("host=a require_auth=scram-sha-256",
                      "\"require_auth\" needs libpq 16, and this is 15", NULL);
        check_refused("host=a password=b require_auth=scram-sha-256", "needs libpq 16", NULL);
    }
    if (PQlibVersion() < 170000) {
        check_refused("postgresql://a/x?sslnegotiation=direct", "needs libpq 17", NULL);
    }
    check_refused("host=a gssencmode=require", "use TLS", NULL);
}

TEST(a_connection_that_takes_no_statements_is_known)
{
    static const struct {
        const char *url;
        bool plain;
    } cases[] = {{"host=a", true},
                 {"host=a replication=off", true},
                 {"host=a replication=database", false},
                 {"postgresql://a/b?replication=true", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clean_environment();
        tug__pg_conninfo c = parse(cases[i].url);
        assert_rc(tug__pg_conninfo_check_plain(&c), cases[i].plain ? 0 : TUG_EINVAL);
        if (!cases[i].plain) {
            assert_detail_has("tug_pg_changes_open");
        }
        tug__pg_conninfo_free(&c);
    }
}

/* --- defaults --------------------------------------------------------------------------------- */

/* What an attempt at the only host gets. */
static void check_attempt(const char *text, const char *keyword, const char *value)
{
    tug__pg_attempt a;
    tug__pg_conninfo c = parse(text);
    tug__pg_conninfo_attempt(&c, 0, NULL, &a);
    const char *found = attempt_value(&a, keyword);
    assert_string_equal(found != NULL ? found : "(none)", value);
    tug__pg_conninfo_free(&c);
}

TEST(tls_is_verified_unless_the_host_is_local_or_somebody_says_otherwise)
{
    clean_environment();
    check_attempt("host=db.example", "sslmode", "verify-full");
    check_attempt("host=10.0.0.1", "sslmode", "verify-full");
    check_attempt("hostaddr=10.0.0.1", "sslmode", "verify-full");
    check_attempt("hostaddr=10.0.0.1", "host", "10.0.0.1");
    check_attempt("hostaddr=::1", "sslmode", "(none)");
    check_attempt("host=db.example hostaddr=127.0.0.1", "sslmode", "(none)"); /* a tunnel */
    check_attempt("host=127.200.1.1", "sslmode", "(none)");
    check_attempt("host=::ffff:127.0.0.1", "sslmode", "verify-full");
    check_attempt("host=localhost", "sslmode", "(none)");
    check_attempt("host=LocalHost.", "sslmode", "(none)");
    check_attempt("host=db.localhost", "sslmode", "(none)");
    check_attempt("host=notlocalhost", "sslmode", "verify-full");
    check_attempt("host=localhost.example", "sslmode", "verify-full");
    check_attempt("host=/run", "sslmode", "(none)");
    check_attempt("host=@abstract", "sslmode", "(none)");
    check_attempt("", "sslmode", "(none)");
    check_attempt("host=db.example sslmode=disable", "sslmode", "disable");
    check_attempt("postgresql://db.example/x?sslmode=require", "sslmode", "require");
    check_attempt("host=localhost sslrootcert=system", "sslmode", "verify-full");
    check_refused("host=db sslrootcert=system sslmode=require", "must be verify-full", NULL);
    setenv("PGSSLMODE", "prefer", 1);
    check_attempt("host=db.example", "sslmode", "(none)"); /* libpq reads it itself */
    clean_environment();
}

TEST(what_else_an_attempt_gets)
{
    clean_environment();
    check_attempt("host=a", "gssencmode", "disable");
    check_attempt("host=a gssencmode=prefer", "gssencmode", "disable");
    check_attempt("host=a", "target_session_attrs", "any");
    check_attempt("host=a target_session_attrs=primary", "target_session_attrs", "any");
    check_attempt("host=a", "keepalives_idle", "30");
    check_attempt("host=a", "keepalives_interval", "10");
    check_attempt("host=a", "keepalives_count", "3");
    check_attempt("host=a keepalives_idle=5", "keepalives_idle", "5");
    check_attempt("host=a keepalives=0", "keepalives_idle", "(none)");
    check_attempt("host=a keepalives_count=9", "keepalives_count", "9");
    check_attempt("host=a", "tcp_user_timeout", "(none)");
    check_attempt("host=a tcp_user_timeout=60000", "tcp_user_timeout", "60000");
    check_attempt("host=a options='-c work_mem=1MB' application_name=x", "options",
                  "-c work_mem=1MB");
    check_attempt("host=a application_name=x", "application_name", "x");
    check_attempt("host=a channel_binding=require", "channel_binding", "require");
    check_attempt("host=/tmp requirepeer=postgres", "requirepeer", "postgres");
    check_attempt("host=a sslcert=c sslkey=k sslcrl=r sslrootcert=o", "sslcrl", "r");
}

/* What a thread adds: the system's authorities where a certificate is to be verified, and no other are named. */
static const char *authorities(const char *text)
{
    static char found[200];
    tug__pg_attempt a;
    tug__pg_conninfo c = parse(text);
    tug__pg_conninfo_attempt(&c, 0, NULL, &a);
    tug__pg_defaults_files(&c, &a);
    const char *value = attempt_value(&a, "sslrootcert");
    snprintf(found, sizeof found, "%s", value != NULL ? value : "(none)");
    tug__pg_conninfo_free(&c);
    return found;
}

TEST(the_authorities_are_the_systems_unless_others_are_named)
{
    bool knows = PQlibVersion() >= 160000;
    clean_environment();
    setenv("HOME", "/nonexistent", 1);
    setenv("SSL_CERT_FILE", "/authorities.pem", 1);
    assert_string_equal(authorities("host=db"), knows ? "system" : "/authorities.pem");
    assert_string_equal(authorities("host=db sslmode=verify-ca"), "/authorities.pem");
    assert_string_equal(authorities("host=db sslrootcert=system"),
                        knows ? "system" : "/authorities.pem");
    assert_string_equal(authorities("host=db sslrootcert=own.pem"), "own.pem");
    assert_string_equal(authorities("host=db sslmode=require"), "(none)");
    assert_string_equal(authorities("host=localhost"), "(none)");
    unsetenv("SSL_CERT_FILE");
    assert_non_null(strstr(authorities("host=db"), knows ? "system" : "/etc/"));
    char home[] = "/tmp/tug.XXXXXX", path[64];
    assert_non_null(mkdtemp(home));
    setenv("HOME", home, 1);
    snprintf(path, sizeof path, "%s/.postgresql", home);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/.postgresql/root.crt", home);
    fclose(fopen(path, "w"));
    assert_string_equal(authorities("host=db"), "(none)"); /* libpq finds its own */
    unlink(path);
    *strrchr(path, '/') = 0;
    rmdir(path);
    rmdir(home);
}

TEST(one_host_of_several_is_described)
{
    char where[80];
    clean_environment();
    tug__pg_conninfo c = parse("postgresql://joe@a,b:7/x");
    tug__pg_conninfo_describe(&c, 1, "192.0.2.1", where, sizeof where);
    assert_string_equal(where, "b:7 (192.0.2.1)/x as joe");
    tug__pg_conninfo_describe(&c, 0, NULL, where, sizeof where);
    assert_string_equal(where, "a:5432/x as joe");
    tug__pg_conninfo_free(&c);
}

/* --- services --------------------------------------------------------------------------------- */

TEST(a_service_leaves_its_hosts_open)
{
    check_described("service=shop", "service shop");
    check_described("postgresql:///?service=shop&user=joe", "service shop/joe as joe");
    check_described("service=shop host=db", "service shop at db:5432");
    clean_environment();
    setenv("PGSERVICE", "shop", 1);
    tug__pg_conninfo c = parse("dbname=x");
    assert_string_equal(c.service, "shop");
    tug__pg_conninfo_free(&c);
    clean_environment();
}

static tug__pg_conninfo resolve(const char *text, const char *file)
{
    tug__pg_settings settings = {.n = 0};
    tug__pg_conninfo c, resolved;
    clean_environment();
    c = parse(text);
    assert_int_equal(tug__pg_service_parse(file, "file", c.service, &settings), 1);
    assert_ok(tug__pg_conninfo_resolve(&c, &settings, &resolved));
    tug__pg_settings_free(&settings);
    tug__pg_conninfo_free(&c);
    assert_null(resolved.service);
    return resolved;
}

TEST(a_service_says_what_the_text_does_not)
{
    setenv("PGPORT", "1", 1);
    tug__pg_conninfo c = resolve("service=shop user=joe password=mine",
                                 "[other]\nhost=x\n\n# shop\n[shop]\nhost=db1,db2\nport=7\n"
                                 "user=ann\npassword=its\nsslmode=require\nconnect_timeout=3\n"
                                 "target_session_attrs=primary\nload_balance_hosts=random\n"
                                 "[more]\nhost=y\n");
    assert_int_equal(c.hosts_n, 2);
    assert_string_equal(c.hosts[1].host, "db2");
    assert_int_equal(c.hosts[1].port, 7);
    assert_string_equal(pair(&c, "user"), "joe");
    assert_string_equal(tug__pg_secret_reveal(&c.password), "mine");
    assert_string_equal(c.sslmode, "require");
    assert_int_equal(c.role, TUG__PG_PRIMARY);
    assert_true(c.random);
    assert_true(c.connect_timeout == TUG_SECONDS(3));
    assert_string_equal(c.description, "db1:7,db2:7/joe as joe");
    tug__pg_conninfo_free(&c);
    clean_environment();
}

TEST(a_service_with_a_typo_is_refused)
{
    tug__pg_settings settings = {.n = 0};
    tug__pg_conninfo resolved;
    clean_environment();
    tug__pg_conninfo c = parse("service=s");
    assert_int_equal(tug__pg_service_parse("[s]\nhots=secret\n", "file", "s", &settings), 1);
    assert_rc(tug__pg_conninfo_resolve(&c, &settings, &resolved), TUG_EINVAL);
    assert_detail_has("\"hots\"");
    assert_null(strstr(tug_last_error()->text, "secret"));
    tug__pg_settings_free(&settings);
    tug__pg_conninfo_free(&c);
}

TEST(nothing_is_left_behind)
{
    size_t before = tug_test_live_allocations();
    tug__pg_conninfo c = parse("host=a,b,c hostaddr=1.1.1.1,, password=x sslpassword=y user=u");
    assert_string_equal(pair(&c, "sslpassword"), "y");
    tug__pg_conninfo_free(&c);
    assert_rc(tug__pg_conninfo_parse("host=a,b port=1,x password=p", &c), TUG_EINVAL);
    assert_int_equal(tug_test_live_allocations(), before);
}
