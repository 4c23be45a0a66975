#include "command.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <tug/sys/driver.h>

#include "plain.h"

/* "*1048576\r\n" and "$" digits "\r\n" ... "\r\n": the most that goes around one argument. */
#define HEAD_ROOM 16
#define AROUND_ROOM 26
/* -9223372036854775808 has 20 characters; a double in %.17g at most 24. */
#define NUMBER_ROOM 32

static int command_wrong(tug_error *why, int code, const char *what, size_t argument)
{
    tug_error_set(why, code, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "redis: argument %zu %s", argument,
                  what);
    return code;
}

int tug__redis_command_measure(tug_args command, size_t *ret_room, tug_error *why)
{
    size_t room = HEAD_ROOM + command.n * AROUND_ROOM;
    if (command.n == 0 || command.n > REDIS_ARGS_MAX) {
        return command_wrong(why, TUG_EINVAL,
                             command.n == 0 ? "is missing: a command has a name"
                                            : "is one too many",
                             command.n == 0 ? 1 : REDIS_ARGS_MAX + 1);
    }
    if (command.values[0].type != TUG_VALUE_TEXT && command.values[0].type != TUG_VALUE_BYTES) {
        return command_wrong(why, TUG_EINVAL, "is the command's name: a text", 1);
    }
    for (size_t i = 0; i < command.n; i++) {
        const tug_value *v = &command.values[i];
        switch (v->type) {
        case TUG_VALUE_TEXT:
        case TUG_VALUE_BYTES:
            if (v->u.bytes.size > TUG_TEXT_MAX) {
                return command_wrong(why, TUG_EINVAL, "is longer than 1 GiB", i + 1);
            }
            room += v->u.bytes.size;
            break;
        case TUG_VALUE_INT:
        case TUG_VALUE_UINT:
        case TUG_VALUE_BOOL:
        case TUG_VALUE_DOUBLE:
            room += NUMBER_ROOM;
            break;
        case TUG_VALUE_NULL:
            return command_wrong(why, TUG_EINVAL, "is NULL, which Redis does not have", i + 1);
        default:
            return command_wrong(
                why, TUG_EINVAL,
                v->type == TUG_VALUE_TIMESTAMP
                    ? "is a timestamp, for which Redis has no form: pass a number or a text"
                    : "is of a type for which Redis has no form: pass a number or a text",
                i + 1);
        }
    }
    *ret_room = room;
    return 0;
}

/* The decimal digits of number, ending at end; returns their start. */
static char *command_digits(uint64_t number, char *end)
{
    do {
        *--end = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return end;
}

/* Out of line: the array would cost the common case a stack guard. */
static __attribute__((noinline)) uint8_t *command_long_size(uint8_t *to, size_t size)
{
    char digits[NUMBER_ROOM], *start = command_digits(size, digits + sizeof digits);
    size_t n = (size_t)(digits + sizeof digits - start);
    memcpy(to, start, n);
    return to + n;
}

static inline uint8_t *command_size(uint8_t *to, char kind, size_t size)
{
    *to++ = (uint8_t)kind;
    if (size < 10) {
        *to++ = (uint8_t)('0' + size);
    } else if (size < 100) {
        *to++ = (uint8_t)('0' + size / 10);
        *to++ = (uint8_t)('0' + size % 10);
    } else {
        to = command_long_size(to, size);
    }
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

/* Names and keys are short: two loads that overlap instead of a call. */
static inline void command_copy(uint8_t *to, const uint8_t *from, size_t size)
{
    if (size > 16) {
        memcpy(to, from, size);
    } else if (size >= 8) {
        uint64_t a, b;
        memcpy(&a, from, 8);
        memcpy(&b, from + size - 8, 8);
        memcpy(to, &a, 8);
        memcpy(to + size - 8, &b, 8);
    } else if (size >= 4) {
        uint32_t a, b;
        memcpy(&a, from, 4);
        memcpy(&b, from + size - 4, 4);
        memcpy(to, &a, 4);
        memcpy(to + size - 4, &b, 4);
    } else {
        for (size_t i = 0; i < size; i++) {
            to[i] = from[i];
        }
    }
}

static inline uint8_t *command_text(uint8_t *to, const void *text, size_t size)
{
    to = command_size(to, '$', size);
    command_copy(to, text, size);
    to += size;
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

static __attribute__((noinline)) uint8_t *command_integer(uint8_t *to, uint64_t magnitude,
                                                          bool negative)
{
    char text[NUMBER_ROOM], *end = text + sizeof text;
    char *start = command_digits(magnitude, end);
    if (negative) {
        *--start = '-';
    }
    return command_text(to, start, (size_t)(end - start));
}

static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;
static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

locale_t tug__redis_c_locale(void)
{
    (void)pthread_once(&c_locale_once, make_c_locale);
    return c_locale;
}

/* The shortest of three forms that reads back as the same double. */
static __attribute__((noinline)) uint8_t *command_double(uint8_t *to, double value)
{
    char text[NUMBER_ROOM];
    int size = 0;
    locale_t before = uselocale(tug__redis_c_locale());
    for (int digits = 15; digits <= 17; digits++) {
        size = snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    uselocale(before);
    return command_text(to, text, (size_t)size);
}

uint8_t *tug__redis_command_write(tug_args command, uint8_t *to)
{
    to = command_size(to, '*', command.n);
    for (size_t i = 0; i < command.n; i++) {
        const tug_value *v = &command.values[i];
        switch (v->type) {
        case TUG_VALUE_TEXT:
        case TUG_VALUE_BYTES:
            to = command_text(to, v->u.bytes.data, v->u.bytes.size);
            break;
        case TUG_VALUE_INT:
            to = command_integer(to, v->u.i < 0 ? 0 - (uint64_t)v->u.i : (uint64_t)v->u.i,
                                 v->u.i < 0);
            break;
        case TUG_VALUE_UINT:
            to = command_integer(to, v->u.u, false);
            break;
        case TUG_VALUE_BOOL:
            to = command_text(to, v->u.b ? "1" : "0", 1);
            break;
        default:
            to = command_double(to, v->u.d);
            break;
        }
    }
    return to;
}

/* --- the gate ----------------------------------------------------------------------------------- */

enum {
    GATE_STATE,      /* changes the connection for all who share it */
    GATE_PUSHES,     /* replies come unasked afterwards: they would be taken for others' */
    GATE_BLOCKS,     /* holds up everybody behind it */
    GATE_TRANSACTS,  /* other tasks' commands would fall into it */
    GATE_SILENT,     /* no reply, or none in order */
    GATE_BLOCK_WORD, /* blocks only with the word BLOCK */
    GATE_REPLY_WORD, /* silent only with REPLY as its second word */
    GATE_DEBUG_WORD  /* takes the connection over only with DEBUG as its second word */
};

static const char *const gate_reasons[] = {
    [GATE_STATE] =
        "changes the connection, which other tasks share: the URL sets user and database",
    [GATE_PUSHES] = "turns the connection into a subscription, and other tasks share it",
    [GATE_BLOCKS] = "blocks the connection, which other tasks share",
    [GATE_TRANSACTS] = "needs a connection of its own: other tasks' commands would fall in between",
    [GATE_SILENT] = "breaks the order of replies on a connection that other tasks share",
    [GATE_BLOCK_WORD] = "with BLOCK blocks the connection, which other tasks share",
    [GATE_REPLY_WORD] = "REPLY breaks the order of replies on a connection that other tasks share",
    [GATE_DEBUG_WORD] = "DEBUG takes the connection over, which other tasks share",
};

typedef struct gate_entry {
    char name[16];
    uint8_t kind;
} gate_entry;

/* By length, so that GET and SET are through after one look. */
static const gate_entry gate_4[] = {
    {"AUTH", GATE_STATE},  {"EXEC", GATE_TRANSACTS}, {"QUIT", GATE_STATE},
    {"WAIT", GATE_BLOCKS}, {"SYNC", GATE_SILENT},    {"", 0},
};
static const gate_entry gate_5[] = {
    {"HELLO", GATE_STATE},  {"MULTI", GATE_TRANSACTS},  {"WATCH", GATE_TRANSACTS},
    {"RESET", GATE_STATE},  {"PSYNC", GATE_SILENT},     {"BLPOP", GATE_BLOCKS},
    {"BRPOP", GATE_BLOCKS}, {"XREAD", GATE_BLOCK_WORD}, {"", 0},
};
static const gate_entry gate_6[] = {
    {"SELECT", GATE_STATE},      {"CLIENT", GATE_REPLY_WORD},
    {"SCRIPT", GATE_DEBUG_WORD}, {"BLMOVE", GATE_BLOCKS},
    {"BLMPOP", GATE_BLOCKS},     {"BZMPOP", GATE_BLOCKS},
    {"ASKING", GATE_STATE},      {"", 0},
};
static const gate_entry gate_7[] = {
    {"UNWATCH", GATE_TRANSACTS},
    {"DISCARD", GATE_TRANSACTS},
    {"MONITOR", GATE_PUSHES},
    {"WAITAOF", GATE_BLOCKS},
    {"", 0},
};
static const gate_entry gate_8[] = {
    {"BZPOPMIN", GATE_BLOCKS},
    {"BZPOPMAX", GATE_BLOCKS},
    {"REPLCONF", GATE_SILENT},
    {"READONLY", GATE_STATE},
    {"", 0},
};
static const gate_entry gate_9[] = {
    {"SUBSCRIBE", GATE_PUSHES},
    {"READWRITE", GATE_STATE},
    {"", 0},
};
static const gate_entry gate_10[] = {
    {"PSUBSCRIBE", GATE_PUSHES},
    {"SSUBSCRIBE", GATE_PUSHES},
    {"BRPOPLPUSH", GATE_BLOCKS},
    {"XREADGROUP", GATE_BLOCK_WORD},
    {"", 0},
};
static const gate_entry gate_11[] = {{"UNSUBSCRIBE", GATE_PUSHES}, {"", 0}};
static const gate_entry gate_12[] = {
    {"PUNSUBSCRIBE", GATE_PUSHES}, {"SUNSUBSCRIBE", GATE_PUSHES}, {"", 0}};

static const gate_entry *const gate_by_size[] = {
    [4] = gate_4, [5] = gate_5,   [6] = gate_6,   [7] = gate_7,   [8] = gate_8,
    [9] = gate_9, [10] = gate_10, [11] = gate_11, [12] = gate_12,
};
#define GATE_SIZES (sizeof gate_by_size / sizeof *gate_by_size)

static bool gate_is_word(const tug_value *v, const char *word)
{
    return (v->type == TUG_VALUE_TEXT || v->type == TUG_VALUE_BYTES) &&
           v->u.bytes.size == strlen(word) &&
           strncasecmp(v->u.bytes.data, word, v->u.bytes.size) == 0;
}

/* XREAD and XREADGROUP take BLOCK among the words before STREAMS; behind it are keys and ids. */
static bool gate_has_block(tug_args command)
{
    for (size_t i = 1; i < command.n && !gate_is_word(&command.values[i], "STREAMS"); i++) {
        if (gate_is_word(&command.values[i], "BLOCK")) {
            return true;
        }
    }
    return false;
}

static bool gate_applies(const gate_entry *e, tug_args command)
{
    switch (e->kind) {
    case GATE_BLOCK_WORD:
        return gate_has_block(command);
    case GATE_REPLY_WORD:
        return command.n > 1 && gate_is_word(&command.values[1], "REPLY");
    case GATE_DEBUG_WORD:
        return command.n > 1 && gate_is_word(&command.values[1], "DEBUG");
    default:
        return true;
    }
}

static int gate_refuse(const gate_entry *e, tug_args command, tug_error *why)
{
    if (!gate_applies(e, command)) {
        return 0;
    }
    tug_error_set(why, TUG_EMISUSE, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "redis: %s %s", e->name,
                  gate_reasons[e->kind]);
    return TUG_EMISUSE;
}

int tug__redis_command_gate(tug_args command, tug_error *why)
{
    const tug_value *name = &command.values[0];
    size_t size = name->u.bytes.size;
    if (size >= GATE_SIZES || gate_by_size[size] == NULL) {
        return 0;
    }
    const char *text = name->u.bytes.data;
    char first = (char)(text[0] & ~0x20); /* upper case, of letters */
    for (const gate_entry *e = gate_by_size[size]; e->name[0] != 0; e++) {
        if (e->name[0] == first && strncasecmp(e->name, text, size) == 0) {
            return gate_refuse(e, command, why);
        }
    }
    return 0;
}
