/* What: log records with levels by subsystem. Levels and sink are atomics, because records come
 * from any thread; setting them while others log is safe, a record in between goes by the old or
 * the new. */
#include "util/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <tug/error.h>
#include <unistd.h>

enum {
    RECORD_BYTES = 2048, /* a record longer than this is cut: it is a line, not a dump */
    NAME_BYTES = 16, /* of a subsystem, the 0 included: two words that are read without a lock */
    NAME_WORDS = NAME_BYTES / 8,
    OVERRIDES_MAX = 16, /* there are fewer subsystems than this */
    ESCAPED_BYTES = 4   /* "\x1b" */
};

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};
static const char cut_mark[] = "...";

struct name {
    uint64_t words[NAME_WORDS];
};
struct levels {
    int others;
    int count;
    struct {
        struct name name;
        int level;
    } overrides[OVERRIDES_MAX];
};

static atomic_int others_level = TUG_LOG_WARN;
static atomic_int highest_level =
    TUG_LOG_WARN; /* of all: one compare answers for a quiet program */
static atomic_int override_count;
static struct {
    _Atomic uint64_t words[NAME_WORDS];
    atomic_int level;
} overrides[OVERRIDES_MAX];

static _Atomic(tug_log_sink) current_sink;
static _Atomic(void *) current_arg;
static _Thread_local bool inside_sink;

const char *(*tug__log_task_name)(void);

/* --- levels ---------------------------------------------------------------------------------- */

static struct name name_of(const char *text, size_t size)
{
    struct name n = {{0}};
    memcpy(n.words, text, size < NAME_BYTES ? size : NAME_BYTES - 1);
    return n;
}

static int level_for(const char *subsystem)
{
    struct name n = name_of(subsystem, strnlen(subsystem, NAME_BYTES));
    int count = atomic_load_explicit(&override_count, memory_order_acquire);
    for (int i = 0; i < count; i++) {
        if (atomic_load_explicit(&overrides[i].words[0], memory_order_relaxed) == n.words[0] &&
            atomic_load_explicit(&overrides[i].words[1], memory_order_relaxed) == n.words[1]) {
            return atomic_load_explicit(&overrides[i].level, memory_order_relaxed);
        }
    }
    return atomic_load_explicit(&others_level, memory_order_relaxed);
}

bool tug_log_is_on(int level, const char *subsystem)
{
    return level <= atomic_load_explicit(&highest_level, memory_order_relaxed) &&
           atomic_load_explicit(&current_sink, memory_order_relaxed) != NULL &&
           level <= level_for(subsystem);
}

static int parse_level(const char *text, size_t size)
{
    for (int i = TUG_LOG_ERROR; i <= TUG_LOG_TRACE; i++) {
        if (strlen(level_names[i]) == size && memcmp(level_names[i], text, size) == 0) {
            return i;
        }
    }
    return -1;
}

/* One part of the list: "pg=debug" or "info". */
static int parse_part(struct levels *l, const char *part, size_t size)
{
    const char *equals = memchr(part, '=', size);
    const char *word = equals != NULL ? equals + 1 : part;
    size_t word_size = size - (size_t)(word - part);
    int level = parse_level(word, word_size);
    if (level < 0) {
        return tug_fail(TUG_EINVAL,
                        "log levels: \"%.*s\" is none of error, warn, info, debug, trace",
                        (int)word_size, word);
    }
    if (equals == NULL) {
        l->others = level;
        return 0;
    }
    size_t name_size = (size_t)(equals - part);
    if (name_size == 0 || name_size >= NAME_BYTES) {
        return tug_fail(TUG_EINVAL,
                        "log levels: \"%.*s\" needs a subsystem of 1 to %d bytes before the =",
                        (int)size, part, NAME_BYTES - 1);
    }
    if (l->count == OVERRIDES_MAX) {
        return tug_fail(TUG_EINVAL, "log levels: more than %d subsystems", OVERRIDES_MAX);
    }
    l->overrides[l->count].name = name_of(part, name_size);
    l->overrides[l->count].level = level;
    l->count++;
    return 0;
}

static void publish(const struct levels *l)
{
    int highest = l->others;
    for (int i = 0; i < l->count; i++) {
        for (int w = 0; w < NAME_WORDS; w++) {
            atomic_store_explicit(&overrides[i].words[w], l->overrides[i].name.words[w],
                                  memory_order_relaxed);
        }
        atomic_store_explicit(&overrides[i].level, l->overrides[i].level, memory_order_relaxed);
        highest = l->overrides[i].level > highest ? l->overrides[i].level : highest;
    }
    atomic_store_explicit(&others_level, l->others, memory_order_relaxed);
    atomic_store_explicit(&override_count, l->count, memory_order_release);
    atomic_store_explicit(&highest_level, highest, memory_order_relaxed);
}

int tug_log_set_levels(const char *levels)
{
    struct levels l = {.others = TUG_LOG_WARN};
    if (levels == NULL) {
        return tug_fail(TUG_EINVAL, "log levels: NULL");
    }
    for (const char *part = levels;;) {
        size_t size = strcspn(part, ",");
        int rc = parse_part(&l, part, size);
        if (rc < 0) {
            return rc;
        }
        if (part[size] == 0) {
            break;
        }
        part += size + 1;
    }
    publish(&l);
    return 0;
}

/* --- records --------------------------------------------------------------------------------- */

void tug_log_set_sink(tug_log_sink sink, void *arg)
{
    atomic_store_explicit(&current_arg, arg, memory_order_relaxed);
    atomic_store_explicit(&current_sink, sink, memory_order_release);
}

/* Copies text into to so that it stays one line on any terminal: a server's message, a file name or
 * a host name could carry a line break and forge a record, or an escape sequence. What does not fit
 * is cut at a character of UTF-8 and marked. */
static void one_line(char *to, size_t room, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (; *text != 0; text++) {
        unsigned char c = (unsigned char)*text;
        if (n + ESCAPED_BYTES + sizeof cut_mark > room) {
            while (n > 0 && ((unsigned char)*text & 0xc0) == 0x80) {
                n--;
                text--;
            }
            memcpy(to + n, cut_mark, sizeof cut_mark);
            return;
        }
        if (c >= 0x20 && c != 0x7f) {
            to[n++] = (char)c;
        } else if (c == '\n' || c == '\t' || c == '\r') {
            to[n++] = '\\';
            to[n++] = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
        } else {
            to[n++] = '\\';
            to[n++] = 'x';
            to[n++] = hex[c >> 4];
            to[n++] = hex[c & 15];
        }
    }
    to[n] = 0;
}

/* Apart from tug_log, so that a call whose level is off needs no frame of 4 KiB. */
static __attribute__((noinline))
TUG_PRINTF(3, 0) void emit(int level, const char *subsystem, const char *format, va_list args)
{
    char raw[RECORD_BYTES], text[RECORD_BYTES], task[64];
    /* When raw is full, so is text: the mark of the cut is never missing. */
    vsnprintf(raw, sizeof raw, format, args);
    one_line(text, sizeof text, raw);
    one_line(task, sizeof task, tug__log_task_name != NULL ? tug__log_task_name() : "");
    const tug_log_record record = {
        .level = level, .subsystem = subsystem, .task = task, .text = text};
    tug_log_sink sink = atomic_load_explicit(&current_sink, memory_order_acquire);
    if (sink != NULL) {
        inside_sink = true;
        sink(&record, atomic_load_explicit(&current_arg, memory_order_relaxed));
        inside_sink = false;
    }
}

void tug_log(int level, const char *subsystem, const char *format, ...)
{
    /* A sink that calls what logs would call itself without end. */
    if (!tug_log_is_on(level, subsystem) || inside_sink) {
        return;
    }
    int saved = errno;
    va_list args;
    va_start(args, format);
    emit(level, subsystem, format, args);
    va_end(args);
    errno = saved;
}

/* --- stderr ---------------------------------------------------------------------------------- */

void tug_log_stderr(const tug_log_record *record, void *arg)
{
    char line[RECORD_BYTES + 256];
    struct timespec now;
    struct tm tm;
    (void)arg;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    bool has_task = *record->task != 0;
    size_t size = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
    int n = snprintf(line + size, sizeof line - size - 1, ".%03ldZ %s %s %s%s%s%s",
                     now.tv_nsec / 1000000, level_names[record->level], record->subsystem,
                     has_task ? "[" : "", record->task, has_task ? "] " : "", record->text);
    size_t room = sizeof line - size - 2;
    size += (size_t)n < room ? (size_t)n : room;
    line[size++] = '\n';
    /* One write a line: lines of several threads do not mix. What a full or closed stderr does not
     * take is lost; waiting for it would stop the loop. */
    while (write(STDERR_FILENO, line, size) < 0 && errno == EINTR) {
    }
}
