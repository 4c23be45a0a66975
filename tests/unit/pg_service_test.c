/* Service files and password files: found, read, and said clearly what is wrong with them. */
#include "service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>
#include <unistd.h>

#include "files.h"
#include "test.h"

static const char *value(const tug__pg_settings *s, const char *keyword)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->keywords[i], keyword) == 0) {
            return s->values[i];
        }
    }
    return "(none)";
}

TEST(a_service_is_found_among_others)
{
    static const char text[] = "# all of them\n"
                               "[first]\n"
                               "host=a\n"
                               "\n"
                               "  [second]  \r\n"
                               "\t# its host\n"
                               "  host=b.example  \r\n"
                               "password=a b=c#d\n"
                               "options=-c x=y\n"
                               "[second]\n"
                               "host=never";
    tug__pg_settings s = {.n = 0};
    assert_int_equal(tug__pg_service_parse(text, "f", "second", &s), 1);
    assert_int_equal(s.n, 3);
    assert_string_equal(value(&s, "host"), "b.example");
    assert_string_equal(value(&s, "password"), "a b=c#d");
    assert_string_equal(value(&s, "options"), "-c x=y");
    tug__pg_settings_free(&s);
    assert_int_equal(tug__pg_service_parse(text, "f", "third", &s), 0);
    assert_int_equal(tug__pg_service_parse(text, "f", "secon", &s), 0);
    assert_int_equal(tug__pg_service_parse("", "f", "x", &s), 0);
    assert_int_equal(tug__pg_service_parse("[x]", "f", "x", &s), 1);
    assert_int_equal(s.n, 0);
}

static void check_wrong(const char *text, const char *detail)
{
    tug__pg_settings s = {.n = 0};
    assert_rc(tug__pg_service_parse(text, "the-file", "s", &s), TUG_EINVAL);
    assert_detail_has("the-file");
    assert_detail_has(detail);
    assert_null(strstr(tug_last_error()->text, "sec-ret"));
    assert_int_equal(s.n, 0);
}

TEST(what_is_wrong_is_said_with_the_line)
{
    check_wrong("[s]\nhost=a\nsec-ret\n", "line 3: neither [service] nor parameter=value");
    check_wrong("[s]\n=sec-ret\n", "line 2: neither");
    check_wrong("[s]\nservice=t\n", "line 2: a service cannot refer to another one");
    check_wrong("[s]\n\nldap://sec-ret\n", "line 3: services that are kept in LDAP");
    char many[4000] = "[s]\n";
    for (int i = 0; i < TUG__PG_SETTINGS_MAX + 1; i++) {
        strcat(many, "host=a\n");
    }
    tug__pg_settings s = {.n = 0};
    assert_rc(tug__pg_service_parse(many, "f", "s", &s), TUG_ELIMIT);
}

/* --- files ------------------------------------------------------------------------------------ */

static char folder[] = "/tmp/tug.XXXXXX";

static const char *in_folder(const char *name)
{
    static char paths[3][80];
    static unsigned n;
    char *path = paths[n++ % 3];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text, mode_t mode)
{
    FILE *f = fopen(in_folder(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    chmod(in_folder(name), mode);
}

TEST(the_users_file_comes_before_the_systems)
{
    tug__pg_settings s = {.n = 0};
    assert_non_null(mkdtemp(folder));
    unsetenv("PGSERVICEFILE");
    setenv("HOME", folder, 1);
    setenv("PGSYSCONFDIR", folder, 1);
    assert_rc(tug__pg_service_read("x", &s), TUG_EINVAL); /* neither is there */
    assert_detail_has("no service \"x\" in");
    assert_detail_has(".pg_service.conf nor");
    put("pg_service.conf", "[x]\nhost=theirs\n[y]\nhost=theirs\n", 0644);
    put(".pg_service.conf", "[x]\nhost=mine\n", 0644);
    assert_ok(tug__pg_service_read("x", &s));
    assert_string_equal(value(&s, "host"), "mine");
    tug__pg_settings_free(&s);
    assert_ok(tug__pg_service_read("y", &s));
    assert_string_equal(value(&s, "host"), "theirs");
    tug__pg_settings_free(&s);
    put("named.conf", "[x]\nhost=named\n[bad]\nnonsense\n", 0644);
    setenv("PGSERVICEFILE", in_folder("named.conf"), 1);
    assert_ok(tug__pg_service_read("x", &s));
    assert_string_equal(value(&s, "host"), "named");
    tug__pg_settings_free(&s);
    assert_rc(tug__pg_service_read("bad", &s), TUG_EINVAL);
    assert_detail_has("named.conf, line 4");
    unlink(in_folder("named.conf"));
    unlink(in_folder("pg_service.conf"));
    unlink(in_folder(".pg_service.conf"));
    rmdir(folder);
}

TEST(a_file_is_read_whole_and_within_its_bound)
{
    char *text = NULL;
    assert_non_null(mkdtemp(folder));
    char *large = tug_alloc(20001);
    assert_non_null(large);
    memset(large, 'x', 20000);
    large[20000] = 0;
    put("large", large, 0600);
    assert_ok(tug__pg_file_load(in_folder("large"), 30000, &text));
    assert_string_equal(text, large);
    tug__pg_file_free(text);
    assert_rc(tug__pg_file_load(in_folder("large"), 20000, &text), TUG_ELIMIT);
    assert_rc(tug__pg_file_load(in_folder("none"), 20000, &text), -ENOENT);
    assert_detail_has("none: No such file");
    assert_rc(tug__pg_file_load(folder, 20000, &text), -EISDIR);
    tug_free(large);
    unlink(in_folder("large"));
    rmdir(folder);
}

TEST(a_password_file_that_others_may_read_is_noticed)
{
    char path[TUG__PG_PATH_MAX];
    assert_non_null(mkdtemp(folder));
    setenv("HOME", folder, 1);
    unsetenv("PGPASSFILE");
    assert_false(tug__pg_passfile_is_open(NULL, path));
    put(".pgpass", "*:*:*:*:x\n", 0600);
    assert_false(tug__pg_passfile_is_open(NULL, path));
    put(".pgpass", "*:*:*:*:x\n", 0640);
    assert_true(tug__pg_passfile_is_open(NULL, path));
    assert_string_equal(path, in_folder(".pgpass"));
    put("other", "", 0604);
    setenv("PGPASSFILE", in_folder("other"), 1);
    assert_true(tug__pg_passfile_is_open("", path));
    assert_string_equal(path, in_folder("other"));
    assert_false(tug__pg_passfile_is_open("/dev/null", path));
    unlink(in_folder("other"));
    unlink(in_folder(".pgpass"));
    rmdir(folder);
}
