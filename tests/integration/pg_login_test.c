/* Logging in: what is read from files, and that none of it holds up the loop. */
#include "names.h"
#include "pg_help.h"
#include "proxy.h"

#include <sys/stat.h>
#include <tug/group.h>
#include <tug/scope.h>
#include <unistd.h>

/* The parts of the test's URL: postgresql://user:password@host:port/database. */
static struct {
    char user[64], password[64], host[64], database[64];
    int port;
} parts;

/* And a home of the test's own, so that the user's files do not decide. */
static char home[] = "/tmp/tug.XXXXXX";

static void begin(void)
{
    assert_int_equal(sscanf(test_url("TUG_PG_URL"),
                            "postgresql://%63[^:]:%63[^@]@%63[^:]:%d/%63[^?]", parts.user,
                            parts.password, parts.host, &parts.port, parts.database),
                     5);
    assert_non_null(mkdtemp(home));
    setenv("HOME", home, 1);
    static const char *const names[] = {"PGPASSFILE", "PGPASSWORD", "PGSERVICE", "PGSERVICEFILE",
                                        "PGSYSCONFDIR"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unsetenv(names[i]);
    }
}

static const char *in_home(const char *name)
{
    static char path[100];
    snprintf(path, sizeof path, "%s/%s", home, name);
    return path;
}

/* % stands for the user, & for the password, # for the port. */
static void put(const char *name, const char *text, mode_t mode)
{
    FILE *f = fopen(in_home(name), "w");
    assert_non_null(f);
    for (; *text != '\0'; text++) {
        if (*text == '%') {
            fputs(parts.user, f);
        } else if (*text == '&') {
            fputs(parts.password, f);
        } else if (*text == '#') {
            fprintf(f, "%d", parts.port);
        } else {
            fputc(*text, f);
        }
    }
    fclose(f);
    assert_int_equal(chmod(in_home(name), mode), 0);
}

static void end(const char *name)
{
    unlink(in_home(name));
    rmdir(home);
}

static int ready(const char *text)
{
    TUG_AUTO(tug_pg) db = NULL;
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    int rc = tug_pg_open(text, &o, &db);
    return rc < 0 ? rc : tug_pg_ready(db);
}

/* --- password files --------------------------------------------------------------------------- */

static int ready_by_file(const char *file, mode_t mode)
{
    char text[300];
    put(".pgpass", file, mode);
    snprintf(text, sizeof text, "postgresql://%s@%s:%d/%s", parts.user, parts.host, parts.port,
             parts.database);
    return ready(text);
}

LIVE_TEST(a_password_from_the_file)
{
    begin();
    assert_ok(ready_by_file("127.0.0.1:#:tug:%:&\n", 0600));
    assert_ok(ready_by_file("# a comment\n\n*:*:*:*:&\n", 0600));
    assert_ok(ready_by_file("other:*:*:*:wrong\n*:#:*:%:&\n*:*:*:*:wrong\n", 0600));
    /* The first line that fits counts. */
    assert_rc(ready_by_file("*:*:*:*:not-the-pass-word\n*:*:*:*:&\n", 0600), TUG_EAUTH);
    assert_null(strstr(tug_last_error()->text, "not-the-pass-word"));
    assert_rc(ready_by_file("127.0.0.1:9:*:*:&\n", 0600), TUG_EAUTH);
    assert_detail_has("no password supplied");
    assert_false(tug_last_error()->transient);
    end(".pgpass");
}

LIVE_TEST(a_password_file_with_escapes)
{
    begin();
    TUG_AUTO(tug_pg) db = help_open_small();
    char role[64], sql[200], text[300];
    /* A name and a password with : and \ in them. */
    snprintf(role, sizeof role, "a:b\\c_%ld", (long)getpid());
    snprintf(sql, sizeof sql, "create role \"%s\" login password 'p:w\\d'", role);
    assert_ok(tug_pg_exec(db, sql, TUG_NO_ARGS, NULL));
    snprintf(text, sizeof text, "*:*:*:a\\:b\\\\c_%ld:p\\:w\\\\d\n", (long)getpid());
    put(".pgpass", text, 0600);
    snprintf(text, sizeof text, "host=%s port=%d user='a:b\\\\c_%ld' dbname=%s", parts.host,
             parts.port, (long)getpid(), parts.database);
    int rc = ready(text);
    snprintf(sql, sizeof sql, "drop role \"%s\"", role);
    assert_ok(tug_pg_exec(db, sql, TUG_NO_ARGS, NULL));
    assert_ok(rc);
    end(".pgpass");
}

LIVE_TEST(a_password_file_that_others_may_read)
{
    begin();
    assert_rc(ready_by_file("*:*:*:*:&\n", 0644), TUG_EAUTH);
    assert_detail_has(".pgpass was ignored, because others may read it");
    assert_null(strstr(tug_last_error()->text, parts.password));
    end(".pgpass");
}

LIVE_TEST(a_password_file_that_is_named)
{
    char text[500];
    begin();
    put("mine", "*:*:*:*:&\n", 0600);
    snprintf(text, sizeof text, "host=%s port=%d user=%s dbname=%s passfile=%s", parts.host,
             parts.port, parts.user, parts.database, in_home("mine"));
    assert_ok(ready(text));
    *strstr(text, " passfile") = '\0';
    assert_rc(ready(text), TUG_EAUTH);
    setenv("PGPASSFILE", in_home("mine"), 1);
    assert_ok(ready(text));
    unsetenv("PGPASSFILE");
    end("mine");
}

LIVE_TEST(no_url_is_no_wish_for_the_environment)
{
    begin();
    tug_pg *db = NULL;
    char port[16];
    assert_rc(tug_pg_open(NULL, NULL, &db), TUG_EINVAL);
    assert_rc(tug_pg_open("", NULL, &db), TUG_EINVAL);
    assert_detail_has("postgresql://");
    snprintf(port, sizeof port, "%d", parts.port);
    setenv("PGHOST", parts.host, 1);
    setenv("PGPORT", port, 1);
    setenv("PGUSER", parts.user, 1);
    setenv("PGPASSWORD", parts.password, 1);
    setenv("PGDATABASE", parts.database, 1);
    assert_ok(ready("postgresql://"));
    rmdir(home);
}

/* --- services --------------------------------------------------------------------------------- */

LIVE_TEST(a_service)
{
    begin();
    put(".pg_service.conf",
        "[shop]\nhost=127.0.0.1\nport=#\nuser=%\npassword=&\ndbname=tug\n"
        "[dead]\nhost=127.0.0.1\nport=9\n[bad]\nhost=a\nnonsense\n",
        0600);
    assert_ok(ready("service=shop"));
    assert_ok(ready("postgresql:///?service=shop"));
    assert_ok(ready("service=shop target_session_attrs=read-write"));
    setenv("PGSERVICE", "shop", 1);
    assert_ok(ready("application_name=x"));
    unsetenv("PGSERVICE");
    assert_rc(ready("service=shop password=not-the-pass-word"), TUG_EAUTH);
    assert_detail_has("127.0.0.1");
    assert_rc(ready("service=dead user=u dbname=d"), TUG_ECONNECT);
    assert_detail_has("127.0.0.1:9/d as u: Connection refused");
    assert_rc(ready("service=shpo"), TUG_EINVAL);
    assert_detail_has("no service \"shpo\" in");
    assert_rc(ready("service=bad"), TUG_EINVAL);
    assert_detail_has(".pg_service.conf, line 12: neither");
    assert_null(strstr(tug_last_error()->text, parts.password));
    end(".pg_service.conf");
}

/* A service file that hangs: opening a FIFO to which nobody writes. Returns the allocations of before. */
static size_t hang(void)
{
    begin();
    assert_rc(ready("service=none"), TUG_EINVAL); /* the threads' own memory */
    tug_test_settle();
    assert_int_equal(mkfifo(in_home(".pg_service.conf"), 0600), 0);
    return tug_test_live_allocations();
}

/* The abandoned thread goes on, finds nothing, and what it held is released. */
static void go_on(size_t before)
{
    fclose(fopen(in_home(".pg_service.conf"), "w"));
    while (tug_test_live_allocations() > before) {
        assert_ok(tug_sleep(TUG_MS(1)));
    }
    end(".pg_service.conf");
}

LIVE_TEST(a_file_that_hangs_is_given_up_in_time)
{
    size_t live = hang();
    tug_time before = tug_now();
    assert_rc(ready("service=shop connect_timeout=1"), TUG_ECONNECT);
    assert_detail_has("service shop");
    assert_detail_has("no answer within 1000 ms");
    assert_true(tug_now() - before < TUG_SECONDS(5));
    go_on(live);
}

LIVE_TEST(a_close_while_a_file_hangs)
{
    size_t live = hang();
    tug_pg *db = NULL;
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    assert_ok(tug_pg_open("service=shop", &o, &db));
    assert_rc(TUG_WITHIN(TUG_MS(30), tug_pg_ready(db)), TUG_ETIMEDOUT);
    tug_time before = tug_now();
    tug_pg_close(db);
    tug_test_settle();
    assert_true(tug_now() - before < TUG_SECONDS(2));
    go_on(live);
}

/* --- nothing holds the loop ------------------------------------------------------------------- */

struct watch {
    tug_duration longest;
    int steps;
    bool stop;
};

/* Sees each step of the loop: it is due all the time. What the machine's other work took of a step is not
 * the step's. */
static int watch_steps(void *arg)
{
    struct watch *w = arg;
    tug_time last = tug_now() - test_held_up();
    while (!w->stop) {
        if (tug_sleep(TUG_US(500)) < 0) {
            break;
        }
        tug_time now = tug_now() - test_held_up();
        w->longest = now - last > w->longest ? now - last : w->longest;
        w->steps++;
        last = now;
    }
    return 0;
}

#if defined(TEST_UNDER_ASAN) || defined(TEST_UNDER_TSAN)
#define LONGEST_STEP TUG_MS(100)
#else
#define LONGEST_STEP TUG_MS(25)
#endif

/* A step that blocks, blocks each time; one that the machine held up does not. */
#define ROUNDS 8

static bool round_is_quick(int (*fn)(void), struct watch *ret_watch)
{
    struct watch w = {.longest = 0};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_group_spawn(&g, watch_steps, &w);
    assert_ok(tug_yield());
    assert_ok(fn());
    w.stop = true;
    assert_ok(tug_group_leave(&g, 0));
    *ret_watch = w;
    return w.longest < LONGEST_STEP;
}

static void never_blocks(int (*fn)(void))
{
    struct watch w = {.longest = 0};
    int rounds = 1;
    names_watch();
    while (!round_is_quick(fn, &w)) {
        if (rounds++ == ROUNDS) {
            fail_msg("a step of the loop took %lld us in each of %d rounds",
                     (long long)(w.longest / 1000), ROUNDS);
        }
    }
    assert_true(w.steps > 5);
    assert_int_equal(atomic_load(&names_on_loop), 0);
}

static proxy *silent;

static int held_and_silent(void)
{
    char text[300];
    /* A name that is never answered; a server that accepts and says nothing; the real one. */
    snprintf(text, sizeof text,
             "host=held.test,127.0.0.1,name.test port=%d,%d,%d user=%s password=%s dbname=%s "
             "sslmode=disable",
             parts.port, proxy_port(silent), parts.port, parts.user, parts.password,
             parts.database);
    TUG_AUTO(tug_pg) db = NULL;
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.connect_timeout = TUG_MS(1500);
    assert_ok(tug_pg_open(text, &o, &db));
    assert_ok(tug_pg_ready(db));
    assert_int_equal(help_int(db, "select 1"), 1);
    return 0;
}

LIVE_TEST(a_held_resolver_and_a_silent_server_hold_nobody_up)
{
    begin();
    char server[100];
    snprintf(server, sizeof server, "tcp://%s:%d", parts.host, parts.port);
    silent = proxy_start(server);
    proxy_rules rules = PROXY_RULES_INIT;
    rules.way[PROXY_DOWN].stall = true;
    proxy_set(silent, &rules);
    never_blocks(held_and_silent);
    assert_true(atomic_load(&names_held) > 0);
    names_end();
    proxy_stop(silent);
    rmdir(home);
}

/* The work of SCRAM, 4,096 rounds of SHA-256 for each login, is not the loop's either. */
static int many_logins(void)
{
    tug_pg *db[8];
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 4;
    for (int i = 0; i < 8; i++) {
        assert_ok(tug_pg_open(test_url("TUG_PG_URL"), &o, &db[i]));
    }
    for (int i = 0; i < 8; i++) {
        assert_ok(tug_pg_ready(db[i]));
        tug_pg_close(db[i]);
    }
    return 0;
}

LIVE_TEST(many_logins_hold_nobody_up)
{
    begin();
    never_blocks(many_logins);
    rmdir(home);
}
