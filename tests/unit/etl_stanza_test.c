/* The pure part of examples/etl_packages: cutting and reading stanzas. */
#include "test.h"

#include "../../examples/etl_packages/stanza.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- cutting ---------------------------------------------------------------------------------- */

enum {
    CUT_MAX = 16
};

struct cut {
    char text[CUT_MAX][128];
    stanza s[CUT_MAX];
    size_t n;
};

/* Cuts the input, fed in pieces of this size. */
static void cut(const char *input, size_t size, size_t piece, struct cut *ret_cut)
{
    stanza_splitter *splitter = NULL;
    stanza s;
    memset(ret_cut, 0, sizeof *ret_cut);
    assert_ok(stanza_splitter_new(0, &splitter));
    for (size_t at = 0;; at += piece) {
        if (at < size) {
            stanza_splitter_feed(splitter, input + at, size - at < piece ? size - at : piece);
        } else {
            stanza_splitter_finish(splitter);
        }
        int rc;
        while ((rc = stanza_splitter_next(splitter, &s)) == 1) {
            assert_true(ret_cut->n < CUT_MAX && s.size < sizeof ret_cut->text[0]);
            memcpy(ret_cut->text[ret_cut->n], s.text, s.size);
            ret_cut->s[ret_cut->n++] = s;
        }
        assert_int_equal(rc, 0);
        if (at >= size) {
            break;
        }
    }
    stanza_splitter_free(splitter);
}

/* The same for every size of piece: what was cut where must not matter. */
static void assert_cut(const char *input, size_t size, const char *const *expected)
{
    for (size_t piece = 1; piece <= size + 1; piece++) {
        struct cut c;
        cut(input, size, piece, &c);
        for (size_t i = 0; i < c.n; i++) {
            if (expected[i] == NULL) {
                fail_msg("one more stanza: %s", c.text[i]);
                return;
            }
            assert_string_equal(c.text[i], expected[i]);
            assert_int_equal(c.s[i].total, strlen(expected[i]));
        }
        assert_null(expected[c.n]);
    }
}

TEST(blank_lines_end_stanzas)
{
    static const char input[] = "\n \t\na: 1\nb: 2\n\n\n \nc: 3\n  d\n\t\ne: 4\n";
    assert_cut(input, sizeof input - 1,
               (const char *const[]){"a: 1\nb: 2\n", "c: 3\n  d\n", "e: 4\n", NULL});
}

TEST(crlf_counts_as_lf)
{
    static const char input[] = "a: 1\r\nb: \r2\r\n \t\r\nc: 3\r\n\r\n\r\nd: \r\r\n";
    assert_cut(input, sizeof input - 1,
               (const char *const[]){"a: 1\nb: \r2\n", "c: 3\n", "d: \n", NULL});
}

/* A message is cut and hashed again by who works it. */
TEST(a_text_that_is_cut_again_is_the_same)
{
    static const char input[] = "a: 1\r\r\n\rb: \r 2\r\r\r\n\r\r\n \r\nc:\r\r3 \t\r\r";
    assert_cut(input, sizeof input - 1,
               (const char *const[]){"a: 1\n\rb: \r 2\n", "c:\r\r3 \t\n", NULL});
    struct cut c;
    cut(input, sizeof input - 1, 7, &c);
    assert_int_equal(c.n, 2);
    for (size_t i = 0; i < c.n; i++) {
        struct cut again;
        cut(c.text[i], c.s[i].size, 64, &again);
        assert_int_equal(again.n, 1);
        assert_memory_equal(again.s[0].hash, c.s[i].hash, STANZA_HASH);
    }
}

TEST(the_last_stanza_needs_no_end)
{
    assert_cut("a: 1\n\nb: 2", 10, (const char *const[]){"a: 1\n", "b: 2\n", NULL});
    assert_cut("a: 1\n\nb: 2\r", 11, (const char *const[]){"a: 1\n", "b: 2\n", NULL});
    assert_cut("a: 1\n\nb: 2\n  ", 13, (const char *const[]){"a: 1\n", "b: 2\n", NULL});
}

TEST(no_stanza_in_blanks_alone)
{
    assert_cut("", 0, (const char *const[]){NULL});
    assert_cut("\n\r\n \t \n\r", 8, (const char *const[]){NULL});
}

TEST(offsets_point_into_the_input)
{
    static const char input[] = "\r\na: 1\r\nb: 2\r\n \r\nc: 3";
    struct cut c;
    cut(input, sizeof input - 1, 3, &c);
    assert_int_equal(c.n, 2);
    assert_int_equal(c.s[0].offset, 2);
    assert_int_equal(c.s[0].length, 12);
    assert_int_equal(c.s[1].offset, 17);
    assert_int_equal(c.s[1].length, 4);
    /* What stands there is the same stanza when it is read alone. */
    for (size_t i = 0; i < c.n; i++) {
        struct cut again;
        cut(input + c.s[i].offset, (size_t)c.s[i].length, 64, &again);
        assert_int_equal(again.n, 1);
        assert_memory_equal(again.s[0].hash, c.s[i].hash, STANZA_HASH);
    }
}

TEST(the_hash_is_of_the_text)
{
    static const unsigned char of_a1[STANZA_HASH] = {
        /* printf 'a: 1\n' | sha256sum */
        0x37, 0xb1, 0x28, 0xc5, 0x9f, 0x1f, 0x50, 0x97, 0xf7, 0x3f, 0x82,
        0x69, 0x1c, 0xb5, 0x19, 0xf1, 0xf5, 0x68, 0x66, 0x7f, 0xaa, 0xb5,
        0xce, 0xd1, 0xb4, 0xab, 0x97, 0x9d, 0x36, 0x83, 0x7e, 0xae};
    struct cut c;
    cut("a: 1\n\na: 1\r\n\r\na: 1", 18, 5, &c);
    assert_int_equal(c.n, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_memory_equal(c.s[i].hash, of_a1, STANZA_HASH);
    }
    cut("a: 2", 4, 5, &c);
    assert_memory_not_equal(c.s[0].hash, of_a1, STANZA_HASH);
}

static void assert_long(size_t lines, size_t blanks, bool is_oversized)
{
    static const char line[] =
        "0123456789012345678901234567890123456789012345678901234567890123456789\n";
    stanza_splitter *splitter = NULL;
    stanza s;
    assert_ok(stanza_splitter_new(100, &splitter));
    char *spaces = malloc(blanks + 1);
    memset(spaces, ' ', blanks + 1);
    for (size_t i = 0; i < lines; i++) {
        stanza_splitter_feed(splitter, line, sizeof line - 1);
        assert_int_equal(stanza_splitter_next(splitter, &s), 0);
    }
    stanza_splitter_feed(splitter, spaces, blanks);
    assert_int_equal(stanza_splitter_next(splitter, &s), 0);
    stanza_splitter_feed(splitter, "x\n\ny: 1", 7);
    assert_int_equal(stanza_splitter_next(splitter, &s), 1);
    assert_int_equal(s.is_oversized, is_oversized);
    assert_int_equal(s.offset, 100);
    assert_int_equal(s.length, lines * (sizeof line - 1) + blanks + 2);
    assert_int_equal(s.size, is_oversized ? STANZA_KEPT : (size_t)s.length);
    assert_memory_equal(s.text, line, sizeof line - 1);
    stanza_splitter_finish(splitter);
    assert_int_equal(stanza_splitter_next(splitter, &s), 1);
    assert_int_equal(s.size, 5);
    assert_false(s.is_oversized);
    stanza_splitter_free(splitter);
    free(spaces);
}

TEST(a_long_stanza_is_cut_off)
{
    assert_long(1000, 5, false);
    assert_long(STANZA_MAX / 71 - 1, 5, false);
    assert_long(STANZA_MAX / 71 + 1, 5, true);
    assert_long(10, STANZA_MAX, true); /* blanks that turn out to be a part of the line */
    assert_long(STANZA_MAX / 71 + 1, 100000, true);
}

TEST(a_long_blank_line_is_a_blank_line)
{
    size_t size = 2 * (size_t)STANZA_MAX;
    char *input = malloc(size);
    memset(input, ' ', size);
    static const char first[] = {'a', ':', ' ', '1', '\n'},
                      last[] = {'\n', 'b', ':', ' ', '2', '\n'};
    memcpy(input, first, sizeof first);
    memcpy(input + size - sizeof last, last, sizeof last);
    struct cut c;
    cut(input, size, 100000, &c);
    assert_int_equal(c.n, 2);
    assert_string_equal(c.text[0], "a: 1\n");
    assert_string_equal(c.text[1], "b: 2\n");
    assert_false(c.s[0].is_oversized || c.s[1].is_oversized);
    free(input);
}

/* --- reading ---------------------------------------------------------------------------------- */

#define KEY "Package: p\nVersion: 1\nArchitecture: all\n"

static stanza_package parsed(const char *text)
{
    stanza_package p;
    char reason[STANZA_REASON] = "";
    int rc = stanza_parse(text, strlen(text), &p, reason);
    if (rc != 0) {
        fail_msg("%s: %s", text, reason);
    }
    return p;
}

static void assert_rejected_n(const char *text, size_t size, const char *expected)
{
    stanza_package p;
    char reason[STANZA_REASON] = "";
    assert_int_equal(stanza_parse(text, size, &p, reason), TUG_EREJECT);
    assert_string_equal(reason, expected);
}

static void assert_rejected(const char *text, const char *expected)
{
    assert_rejected_n(text, strlen(text), expected);
}

TEST(fields_in_any_order_and_case)
{
    stanza_package p = parsed(
        "Size: 12\nARCHITECTURE:amd64\nUnknown: x\n more\n\tof it\nversion:  1:2-3 \n"
        "Installed-Size:\n 34\nsection: a/b\nPackage: p-q\n");
    assert_string_equal(p.name, "p-q");
    assert_string_equal(p.version, "1:2-3");
    assert_string_equal(p.architecture, "amd64");
    assert_string_equal(p.section, "a/b");
    assert_true(p.has_size && p.size == 12);
    assert_true(p.has_installed_size && p.installed_size == 34);
    assert_null(p.maintainer_name);
    assert_null(p.maintainer_address);
    assert_int_equal(p.n_dependencies, 0);
    stanza_package_clear(&p);
}

TEST(only_the_key_is_needed)
{
    stanza_package p = parsed(
        "Package: p\nVersion: 1\nArchitecture: all\nSection:\nDepends: \nSize: ");
    assert_false(p.has_size || p.has_installed_size);
    assert_null(p.section);
    assert_int_equal(p.n_dependencies, 0);
    stanza_package_clear(&p);
}

static void assert_maintainer(const char *value, const char *name, const char *address)
{
    char text[256];
    snprintf(text, sizeof text, KEY "Maintainer: %s\n", value);
    stanza_package p = parsed(text);
    if (name != NULL) {
        assert_string_equal(p.maintainer_name, name);
    } else {
        assert_null(p.maintainer_name);
    }
    if (address != NULL) {
        assert_string_equal(p.maintainer_address, address);
    } else {
        assert_null(p.maintainer_address);
    }
    stanza_package_clear(&p);
}

TEST(maintainer_is_name_and_address)
{
    assert_maintainer("A B <a@b.c>", "A B", "a@b.c");
    assert_maintainer("A, B (x) <y>  < a@b >", "A, B (x) <y>", "a@b");
    assert_maintainer("A\n B\n <a@b>", "A  B", "a@b");
    assert_maintainer("<a@b>", NULL, "a@b");
    assert_maintainer("a@b", NULL, "a@b");
    assert_maintainer("Jürgen", "Jürgen", NULL);
    assert_maintainer("A <a@b", "A <a@b", NULL);
    assert_maintainer("A <>", "A", NULL);
}

static void assert_dependency(const stanza_dependency *d, int group, int position, const char *text)
{
    char got[256];
    snprintf(got, sizeof got, "%s|%s|%s|%s", d->name, d->qualifier ? d->qualifier : "-",
             d->constraint ? d->constraint : "-", d->restrictions ? d->restrictions : "-");
    assert_string_equal(got, text);
    assert_int_equal(d->group, group);
    assert_int_equal(d->position, position);
}

TEST(depends_are_groups_of_alternatives)
{
    stanza_package p = parsed(
        KEY "Depends: a (>= 1.0-2~x) | b [amd64 i386] <!nocheck>,\n c:any, ,d(=2:1)"
            "|e:i386 ( << 3 )[any]|f,g (<1) , h(> 1),i (1)|\n  j,\n");
    assert_int_equal(p.n_dependencies, 10);
    assert_dependency(&p.dependencies[0], 1, 1, "a|-|>= 1.0-2~x|-");
    assert_dependency(&p.dependencies[1], 1, 2, "b|-|-|[amd64 i386] <!nocheck>");
    assert_dependency(&p.dependencies[2], 2, 1, "c|any|-|-");
    assert_dependency(&p.dependencies[3], 3, 1, "d|-|= 2:1|-");
    assert_dependency(&p.dependencies[4], 3, 2, "e|i386|<< 3|[any]");
    assert_dependency(&p.dependencies[5], 3, 3, "f|-|-|-");
    assert_dependency(&p.dependencies[6], 4, 1, "g|-|<= 1|-");
    assert_dependency(&p.dependencies[7], 5, 1, "h|-|>= 1|-");
    assert_dependency(&p.dependencies[8], 6, 1, "i|-|= 1|-");
    assert_dependency(&p.dependencies[9], 6, 2, "j|-|-|-");
    stanza_package_clear(&p);
}

TEST(the_strings_of_depends_fit)
{
    /* The worst case for the room behind the text: the shortest names with the longest forms. */
    char text[4096] = KEY "Depends: a";
    for (int i = 0; i < 300; i++) {
        strcat(text, i % 2 == 0 ? ",a:b[c]" : "|a(1)<c>");
    }
    stanza_package p = parsed(text);
    assert_int_equal(p.n_dependencies, 301);
    assert_dependency(&p.dependencies[300], 151, 2, "a|-|= 1|<c>");
    stanza_package_clear(&p);
}

TEST(bad_depends_are_rejected)
{
    assert_rejected(KEY "Depends: a (>= 1\n", "Depends: no ) after the version at byte 7");
    assert_rejected(KEY "Depends: a (>= )\n", "Depends: no version at byte 6");
    assert_rejected(KEY "Depends: a |\n", "Depends: no package name at byte 3");
    assert_rejected(KEY "Depends: a b\n", "Depends: neither a comma nor a bar at byte 2");
    assert_rejected(KEY "Depends: a:, b\n", "Depends: no architecture after the colon at byte 2");
    assert_rejected(KEY "Depends: a [b\n", "Depends: an open bracket at byte 2");
    assert_rejected(KEY "Depends: (>= 1)\n", "Depends: no package name at byte 0");
}

TEST(what_is_no_package_is_rejected)
{
    assert_rejected("Version: 1\nArchitecture: all\n", "no Package");
    assert_rejected("Package: p\nArchitecture: all\n", "no Version");
    assert_rejected("Package: p\nVersion: \nArchitecture: all\n", "no Version");
    assert_rejected("Package: p\nVersion: 1\n", "no Architecture");
    assert_rejected(KEY "Version: 2\n", "the field Version stands twice");
    assert_rejected(" x\n" KEY, "line 1 is neither a field nor the continuation of one");
    assert_rejected(KEY " y\nno colon\n", "line 5 is neither a field nor the continuation of one");
    assert_rejected(": x\n" KEY, "line 1 is neither a field nor the continuation of one");
}

TEST(numbers_are_whole_and_bounded)
{
    static const char reason[] = "Size is not a whole number from 0 to 2^63 - 1";
    stanza_package p = parsed(KEY "Size: 9223372036854775807\nInstalled-Size: 0\n");
    assert_true(p.size == INT64_MAX && p.has_installed_size && p.installed_size == 0);
    stanza_package_clear(&p);
    assert_rejected(KEY "Size: 9223372036854775808\n", reason);
    assert_rejected(KEY "Size: -1\n", reason);
    assert_rejected(KEY "Size: 1.5\n", reason);
    assert_rejected(KEY "Size: 1 2\n", reason);
    assert_rejected(KEY "Installed-Size: x\n",
                    "Installed-Size is not a whole number from 0 to 2^63 - 1");
}

TEST(bytes_that_are_no_text_are_rejected)
{
    assert_rejected_n("Package: p\0\n", 12, "a 0 byte at byte 10");
    assert_rejected("Package: \xff\n", "not UTF-8 at byte 9 (0xff)");
    assert_rejected("Package: \xc0\x80\n", "not UTF-8 at byte 9 (0xc0)");
    assert_rejected("Package: \xed\xa0\x80\n", "not UTF-8 at byte 9 (0xed)");
    assert_rejected("Package: \xf4\x90\x80\x80\n", "not UTF-8 at byte 9 (0xf4)");
    assert_rejected("Package: \xe2\x82\n", "not UTF-8 at byte 9 (0xe2)");
    assert_rejected("Package: \xe2\x82", "not UTF-8 at byte 9 (0xe2)");
    stanza_package p = parsed(
        "Package: \xf4\x8f\xbf\xbf\xed\x9f\xbf\xc2\x80\nVersion: 1\nArchitecture: a");
    stanza_package_clear(&p);
}

TEST(keys_are_bounded)
{
    char name[STANZA_KEY_MAX + 2] = "", text[2 * sizeof name];
    memset(name, 'n', STANZA_KEY_MAX);
    snprintf(text, sizeof text, "Package: %s\nVersion: 1\nArchitecture: all\n", name);
    stanza_package p = parsed(text);
    assert_int_equal(strlen(p.name), STANZA_KEY_MAX);
    stanza_package_clear(&p);
    name[STANZA_KEY_MAX] = 'n';
    snprintf(text, sizeof text, "Package: %s\nVersion: 1\nArchitecture: all\n", name);
    assert_rejected(text, "Package has 513 bytes, more than 512");
    snprintf(text, sizeof text, KEY "Depends: %s\n", name);
    assert_rejected(text, "Depends: no package name at byte 0");
}

TEST(text_is_cleaned_where_it_was_cut)
{
    char text[] = "ab\xe2\x82\xac \xff c\xe2\x82";
    stanza_clean_text(text);
    assert_string_equal(text, "ab\xe2\x82\xac ? c??");
}
