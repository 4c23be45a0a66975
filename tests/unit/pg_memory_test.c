/* What happens when memory runs out at each place in turn. The linker puts the functions below before the
 * real ones. */
#include "conninfo.h"
#include "copyrow.h"
#include "pg_cells.h"
#include "value.h"

#include <tug/sys/alloc.h>
#include <tug/testing.h>

static int until_failure = -1; /* -1: never */

static bool fails_now(void)
{
    return until_failure >= 0 && until_failure-- == 0;
}

void *__real_tug_alloc(size_t size);
void *__wrap_tug_alloc(size_t size);
void *__wrap_tug_alloc(size_t size)
{
    return fails_now() ? NULL : __real_tug_alloc(size);
}
void *__real_tug_calloc(size_t n, size_t size);
void *__wrap_tug_calloc(size_t n, size_t size);
void *__wrap_tug_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_tug_calloc(n, size);
}
void *__real_tug_realloc(void *p, size_t size);
void *__wrap_tug_realloc(void *p, size_t size);
void *__wrap_tug_realloc(void *p, size_t size)
{
    return fails_now() ? NULL : __real_tug_realloc(p, size);
}
char *__real_tug_strdup(const char *text);
char *__wrap_tug_strdup(const char *text);
char *__wrap_tug_strdup(const char *text)
{
    return fails_now() ? NULL : __real_tug_strdup(text);
}
char *__real_tug_strndup(const char *text, size_t size);
char *__wrap_tug_strndup(const char *text, size_t size);
char *__wrap_tug_strndup(const char *text, size_t size)
{
    return fails_now() ? NULL : __real_tug_strndup(text, size);
}

/* Fails the first, the second, ... allocation, until step works; returns how often it failed. */
static int starve(int (*step)(void))
{
    size_t before = tug_test_live_allocations();
    for (int n = 0;; n++) {
        assert_true(n < 1000);
        until_failure = n;
        int rc = step();
        bool starved = until_failure < 0;
        until_failure = -1;
        assert_int_equal(tug_test_live_allocations(), before);
        if (!starved) {
            assert_int_equal(rc, 0);
            return n;
        }
        assert_rc(rc, TUG_ENOMEM);
        assert_detail_has("memory");
    }
}

static int parse_conninfo(void)
{
    tug__pg_conninfo c;
    int rc = tug__pg_conninfo_parse("host=a,10.0.0.1 user=u password=p sslpassword=q dbname=d", &c);
    if (rc == 0) {
        tug__pg_conninfo_free(&c);
    }
    return rc;
}

TEST(connection_strings_survive_starving)
{
    assert_true(starve(parse_conninfo) >= 10);
}

static int parse_service(void)
{
    tug__pg_settings settings = {.n = 0};
    tug__pg_conninfo c, resolved;
    int rc = tug__pg_conninfo_parse("service=s load_balance_hosts=random sslmode=require", &c);
    if (rc < 0) {
        return rc;
    }
    rc = tug__pg_service_parse("[s]\nhost=a,b\npassword=p\n", "f", "s", &settings);
    rc = rc < 0 ? rc : tug__pg_conninfo_resolve(&c, &settings, &resolved);
    tug__pg_settings_free(&settings);
    tug__pg_conninfo_free(&c);
    if (rc == 0) {
        tug__pg_conninfo_free(&resolved);
    }
    return rc;
}

TEST(services_survive_starving)
{
    assert_true(starve(parse_service) >= 20);
}

static int encode_args(void)
{
    char text[600];
    memset(text, 'a', sizeof text);
    const Oid type = TUG__PG_TEXT;
    tug__pg_args args;
    tug__pg_params params = {0};
    int rc = tug__pg_args_copy(&args, TUG_ARGS(tug_text_n(text, sizeof text)));
    if (rc == 0) {
        rc = tug__pg_args_encode(&args, &type, 1, &params);
    }
    tug__pg_args_free(&args);
    tug__pg_params_free(&params);
    return rc;
}

TEST(arguments_survive_starving)
{
    assert_int_equal(starve(encode_args), 2);
}

static int copy_rows(void)
{
    char text[3000];
    memset(text, 'a', sizeof text);
    tug__pg_bytes out = {0};
    int rc = 0;
    for (int i = 0; i < 3 && rc == 0; i++) {
        size_t before = out.size;
        rc = tug__pg_copy_row(&out, TUG_ARGS(i, tug_text_n(text, sizeof text)));
        assert_true(rc == 0 || out.size == before);
    }
    tug__pg_bytes_free(&out);
    return rc;
}

TEST(rows_survive_starving)
{
    assert_true(starve(copy_rows) >= 3);
}

static int scan_long_numeric(void)
{
    /* 300 digits: more than fits a place on the stack. */
    static const char one[] = "\0\x01\0\x4b\0\0\0\0\0\x01";
    const cells_column column = {"x", TUG__PG_NUMERIC, CELLS_BINARY};
    PGresult *native = cells_new(&column, 1);
    cells_set(native, 0, 0, one, sizeof one - 1);
    tug_pg_result *res = NULL;
    tug_buffer *buffer = NULL;
    int rc = tug__pg_result_new(native, &res);
    if (rc == 0) {
        rc = tug_pg_scan(res, 0, TUG_OUT(&buffer));
    }
    assert_true((rc == 0) == (buffer != NULL));
    tug_buffer_unref(buffer);
    tug_pg_result_unref(res);
    return rc;
}

TEST(results_survive_starving)
{
    assert_true(starve(scan_long_numeric) >= 2);
}
