#include "failure.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <tug/log.h>
#include <tug/sys/driver.h>

#include "fields.h"
#include "sqlstate.h"

void tug__pg_failure_one_line(char *to, size_t size, const char *text)
{
    size_t n = 0;
    bool gap = false;
    for (; *text != '\0' && n + 2 < size; text++) {
        if (*text == ' ' || *text == '\n' || *text == '\t' || *text == '\r') {
            gap = n > 0;
            continue;
        }
        if (gap) {
            to[n++] = ' ';
            gap = false;
        }
        to[n++] = *text;
    }
    to[n] = '\0';
}

void tug__pg_failure_first_line(char *to, size_t size, const char *text, const char *otherwise)
{
    char line[160];
    size_t n = strcspn(text, "\n");
    n = n < sizeof line - 1 ? n : sizeof line - 1;
    memcpy(line, text, n);
    line[n] = '\0';
    tug__pg_failure_one_line(to, size, n > 0 ? line : otherwise);
}

static const char *field_or(const PGresult *res, int field, const char *otherwise)
{
    const char *text = PQresultErrorField(res, field);
    return text != NULL ? text : otherwise;
}

bool tug__pg_failure_is_end(const PGresult *res)
{
    const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity == NULL) {
        /* libpq's own words: no server says nothing about how bad it is (9.6 and later). */
        return true;
    }
    return strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0;
}

void tug__pg_failure_answer(tug_error *e, const PGresult *res)
{
    char text[200];
    const char *state = field_or(res, PG_DIAG_SQLSTATE, "");
    tug__pg_failure_one_line(text, sizeof text,
                             field_or(res, PG_DIAG_MESSAGE_PRIMARY, PQresultErrorMessage(res)));
    tug_error_set(e, TUG_ESERVER, TUG_ORIGIN_SERVER, TUG_ANSWERED, state, "%s: %s (SQLSTATE %s)",
                  field_or(res, PG_DIAG_SEVERITY_NONLOCALIZED, "ERROR"), text, state);
    e->transient = tug__pg_sqlstate_is_transient(state);
    tug__pg_fields_keep(e, res);
}

int tug__pg_failure_notice_level(const PGresult *res)
{
    const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity == NULL || strcmp(severity, "NOTICE") == 0 || strcmp(severity, "INFO") == 0) {
        return TUG_LOG_INFO;
    }
    return strcmp(severity, "WARNING") == 0 ? TUG_LOG_WARN : TUG_LOG_DEBUG; /* LOG, DEBUG1 ... */
}

/* Finds "FATAL:  28P01: text" (the word may be translated) and returns where text begins. */
static const char *login_answer(const char *text, char *ret_state)
{
    for (const char *at = strstr(text, ":  "); at != NULL; at = strstr(at + 3, ":  ")) {
        const char *state = at + 3;
        if (strspn(state, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 && state[5] == ':' &&
            state[6] == ' ') {
            memcpy(ret_state, state, 5);
            ret_state[5] = '\0';
            return state + 7;
        }
    }
    return NULL;
}

/* Verbose text goes on with LOCATION: and others on lines of their own; libpq's own has hints
 * there. */
static void first_line(char *to, size_t size, const char *text)
{
    size_t n = strcspn(text, "\n");
    char line[400];
    snprintf(line, sizeof line, "%.*s", n < sizeof line ? (int)n : (int)sizeof line - 1, text);
    tug__pg_failure_one_line(to, size, line);
}

static int login_code(const char *state)
{
    return strncmp(state, "28", 2) == 0 ? TUG_EAUTH : TUG_ESERVER;
}

/* By libpq itself, because the server does not do what was asked for: another try changes nothing. */
static bool login_is_refused(const char *line)
{
    static const char *const words[] = {"channel binding", "requirepeer", "authentication method"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strstr(line, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

void tug__pg_failure_login(tug_error *e, const char *text, bool needs_password, const char *where)
{
    char line[160];
    char state[6] = "";
    const char *answer = login_answer(text, state);
    if (answer != NULL) {
        first_line(line, sizeof line, answer);
        tug_error_set(e, login_code(state), TUG_ORIGIN_SERVER, TUG_NOT_SENT, state,
                      "cannot log in to %.60s: %s (SQLSTATE %s)", where, line, state);
        e->transient = tug__pg_sqlstate_is_transient(state);
        return;
    }
    /* 'connection to server at "h" (a), port p failed: why': where says the first part already. */
    const char *why = strstr(text, "failed: ");
    first_line(line, sizeof line, why != NULL ? why + 8 : text);
    if (needs_password || login_is_refused(line)) {
        tug_error_set(e, TUG_EAUTH, TUG_ORIGIN_LIBPQ, TUG_NOT_SENT, NULL,
                      "cannot log in to %.60s: %s", where, line);
        return;
    }
    bool tls = strstr(line, "SSL") != NULL || strcasestr(line, "certificate") != NULL ||
               strstr(line, "private key") != NULL;
    tug_error_set(e, TUG_ECONNECT, tls ? TUG_ORIGIN_TLS : TUG_ORIGIN_LIBPQ, TUG_NOT_SENT, NULL,
                  "cannot connect to %.60s: %s", where, line);
    /* A handshake that breaks off is the network's doing, and no verdict on anybody's certificate. */
    e->transient = !tls || strstr(line, "SSL SYSCALL error") != NULL ||
                   strstr(line, "closed unexpectedly") != NULL ||
                   strcasestr(line, "unexpected eof") != NULL;
}
