/* The tables, and every statement that touches them.
 *
 *   meta          one row: the database id, made with the schema. Redis keys and messages carry it,
 *                 so that what belongs to a database that was emptied is not taken for this one's.
 *   runs          one row a run. Its number is the time it began, in milliseconds, or one more than
 *                 the last: greater than all before, be it in this database or in one that was
 *                 emptied.
 *   manifest      (run, number): offset, length and SHA-256 of each stanza of the input. Committed
 *                 before the stanza is published, so that nothing can get lost unseen.
 *   packages      (name, version, architecture): the fields, raw text and SHA-256; run and number
 *                 of the message that wrote or confirmed it last: only a greater pair replaces it,
 *                 whatever the order in which messages arrive.
 *   dependencies  the rows of Depends, replaced as a whole with their package.
 *   outcomes      (run, number): loaded, duplicate or rejected; inserted in the transaction that
 *                 worked the message, at most once. The key stands beside it for the correction
 *                 (NULL: rejected before or in spite of its key).
 *   rejects       (run, number): reason and raw text of each stanza that was rejected.
 *
 * Counts must not depend on the order in which messages were worked, so outcomes are preliminary
 * until SQL_CORRECT rules on all of a run at once. It needs to know what the table held before the
 * run began. For that each package has changed_run, the newest run that had begun when its content
 * last changed, and before_sha256, its hash before the first change in that time. So, for run R:
 * the hash that the table held before is before_sha256 if changed_run >= R, else sha256 itself.
 * Messages that an earlier run left behind and that are worked during R change nothing about it:
 * they too count as changes since R began.
 *
 * Statements of the load take the number of items as a parameter that they would not need: a
 * statement without parameters is planned once per connection, and that is when the tables are
 * empty. With plan_cache_mode = force_custom_plan they are planned for the tables as they are. */
#include "etl.h"

#include <stdlib.h>
#include <string.h>

/* Run in this order under a lock; {s} is the schema. Names are compared as bytes (collate "C"): it
 * is faster, and the same order everywhere. */
static const char *const tables[] = {
    "create schema if not exists {s}",
    "create table if not exists {s}.meta("
    " only_one boolean primary key default true check (only_one),"
    " database_id uuid not null default gen_random_uuid())",
    "create table if not exists {s}.runs("
    " run bigint primary key, input text not null, started timestamptz not null default now(),"
    " ended timestamptz, verified text,"
    " read bigint, published bigint, loaded bigint, duplicates bigint, rejected bigint)",
    "create table if not exists {s}.manifest("
    " run bigint not null, number bigint not null,"
    " \"offset\" bigint not null, length bigint not null,"
    " sha256 bytea not null, primary key (run, number))",
    /* Room in each page: run and number change at every confirmation. */
    "create table if not exists {s}.packages("
    " name text collate \"C\" not null, version text collate \"C\" not null,"
    " architecture text collate \"C\" not null, section text, size bigint, installed_size bigint,"
    " maintainer_name text, maintainer_address text, raw bytea not null, sha256 bytea not null,"
    " run bigint not null, number bigint not null,"
    " changed_run bigint not null, before_sha256 bytea,"
    " primary key (name, version, architecture)) with (fillfactor = 90)",
    "create table if not exists {s}.dependencies("
    " package text collate \"C\" not null, version text collate \"C\" not null,"
    " architecture text collate \"C\" not null,"
    " dependency text not null, qualifier text, version_constraint text, restrictions text,"
    " alternative_group integer not null, position integer not null,"
    " primary key (package, version, architecture, alternative_group, position))",
    "create table if not exists {s}.outcomes("
    " run bigint not null, number bigint not null,"
    " outcome text not null check (outcome in ('loaded', 'duplicate', 'rejected')), reason text,"
    " name text collate \"C\", version text collate \"C\", architecture text collate \"C\","
    " primary key (run, number))",
    "create table if not exists {s}.rejects("
    " run bigint not null, number bigint not null, reason text not null, raw bytea,"
    " primary key (run, number))",
    "insert into {s}.meta default values on conflict do nothing",
};

/* A worker's own, in its session; emptied by each commit. */
static const char *const stage_tables[] = {
    "set client_min_messages = warning",
    "set plan_cache_mode = force_custom_plan",
    "create temporary table if not exists etl_stage("
    " item integer, run bigint, number bigint, is_ours boolean, outcome text, reason text,"
    " name text collate \"C\", version text collate \"C\", architecture text collate \"C\","
    " section text, size bigint, installed_size bigint,"
    " maintainer_name text, maintainer_address text,"
    " raw bytea, sha256 bytea) on commit delete rows",
    "create temporary table if not exists etl_stage_dependency("
    " item integer, dependency text, qualifier text, version_constraint text, restrictions text,"
    " alternative_group integer, position integer) on commit delete rows",
    "create temporary table if not exists etl_changed(item integer) on commit delete rows",
};

/* The newest message of each key in the batch: one row a key. */
#define DISTINCT_STAGE                                                                             \
    "(select distinct on (name, version, architecture) *"                                          \
    " from etl_stage where outcome is null and item < $1::integer"                                 \
    " order by name, version, architecture, run desc, number desc)"

/* Each contender of run $1 (outcomes with a key) beside the greatest number of its key. */
#define CONTENDERS                                                                                 \
    "(select o.run, o.number, o.name, o.version, o.architecture, m.sha256,"                        \
    " first_value(o.number) over w as top, first_value(m.sha256) over w as top_sha256"             \
    " from {s}.outcomes o join {s}.manifest m on m.run = o.run and m.number = o.number"            \
    " where o.run = $1::bigint and o.name is not null"                                             \
    " window w as (partition by o.name, o.version, o.architecture order by o.number desc))"

/* The manifest of run $1 with what is wrong with each entry. */
#define CHECKED                                                                                    \
    "(select m.number, m.\"offset\", m.length, o.outcome,"                                         \
    " o.outcome is null or (o.outcome <> 'rejected' and p.sha256 is distinct from m.sha256)"       \
    " as is_missing"                                                                               \
    " from {s}.manifest m left join {s}.outcomes o on o.run = m.run and o.number = m.number"       \
    " left join {s}.packages p on p.name = o.name and p.version = o.version"                       \
    " and p.architecture = o.architecture where m.run = $1::bigint)"

static const char *const templates[SQL_MAX] = {
    [SQL_DATABASE_ID] = "select database_id::text from {s}.meta",
    [SQL_RUN_BEGIN] = "insert into {s}.runs(run, input)"
                      " select greatest((extract(epoch from clock_timestamp()) * 1000)::bigint,"
                      " coalesce(max(run), 0) + 1),"
                      " $1::text from {s}.runs returning run",
    [SQL_RUN_END] =
        "update {s}.runs set ended = clock_timestamp(), verified = $2::text, read = $3::bigint,"
        " published = $4::bigint, loaded = $5::bigint, duplicates = $6::bigint,"
        " rejected = $7::bigint"
        " where run = $1::bigint",
    [SQL_MANIFEST_COPY] = "copy {s}.manifest(run, number, \"offset\", length, sha256) from stdin",
    [SQL_OVERSIZED_OUTCOME] =
        "insert into {s}.outcomes(run, number, outcome, reason)"
        " values ($1::bigint, $2::bigint, 'rejected', $3::text) on conflict do nothing",
    [SQL_REJECT] = "insert into {s}.rejects(run, number, reason, raw)"
                   " values ($1::bigint, $2::bigint, $3::text, $4::bytea) on conflict do nothing",

    [SQL_STAGE_COPY] = "copy etl_stage from stdin",
    [SQL_STAGE_DEPENDENCY_COPY] = "copy etl_stage_dependency from stdin",
    /* All rows that are there, in key order, before anything is written: two batches with the same
     * keys in another order would deadlock (they did, 7 times of 10). New keys follow in the same
     * order. */
    [SQL_LOCK] = "select count(*) from (select 1 from {s}.packages p join " DISTINCT_STAGE " s"
                 " on p.name = s.name and p.version = s.version and p.architecture = s.architecture"
                 " order by p.name, p.version, p.architecture for update of p) locked",
    /* What is there already is confirmed, not written again. */
    [SQL_STAMP] = "update {s}.packages p set run = s.run, number = s.number from " DISTINCT_STAGE
                  " s"
                  " where p.name = s.name and p.version = s.version"
                  " and p.architecture = s.architecture and p.sha256 = s.sha256"
                  " and (s.run, s.number) > (p.run, p.number)",
    [SQL_UPSERT] =
        "with upserted as ("
        "insert into {s}.packages as p(name, version, architecture, section, size, installed_size,"
        " maintainer_name, maintainer_address, raw, sha256, run, number, changed_run)"
        " select s.name, s.version, s.architecture, s.section, s.size, s.installed_size,"
        " s.maintainer_name, s.maintainer_address, s.raw, s.sha256, s.run, s.number,"
        " (select max(run) from {s}.runs) from " DISTINCT_STAGE " s"
        " order by s.name, s.version, s.architecture"
        " on conflict (name, version, architecture) do update set section = excluded.section,"
        " size = excluded.size, installed_size = excluded.installed_size,"
        " maintainer_name = excluded.maintainer_name,"
        " maintainer_address = excluded.maintainer_address, raw = excluded.raw,"
        " sha256 = excluded.sha256, run = excluded.run, number = excluded.number,"
        " before_sha256 = case when p.changed_run < excluded.changed_run then p.sha256"
        " else p.before_sha256 end,"
        " changed_run = greatest(p.changed_run, excluded.changed_run)"
        " where (excluded.run, excluded.number) > (p.run, p.number)"
        " returning p.name, p.version, p.architecture, p.run, p.number, p.sha256)"
        " insert into etl_changed select min(s.item) from upserted u join etl_stage s"
        " on s.name = u.name and s.version = u.version and s.architecture = u.architecture"
        " and s.run = u.run and s.number = u.number and s.sha256 = u.sha256"
        " where s.outcome is null group by u.name, u.version, u.architecture",
    [SQL_DEPENDENCY_DELETE] =
        "delete from {s}.dependencies d using etl_stage s join etl_changed c on c.item = s.item"
        " where d.package = s.name and d.version = s.version and d.architecture = s.architecture"
        " and s.item < $1::integer",
    [SQL_DEPENDENCY_INSERT] =
        "insert into {s}.dependencies(package, version, architecture, dependency, qualifier,"
        " version_constraint, restrictions, alternative_group, position)"
        " select s.name, s.version, s.architecture, d.dependency, d.qualifier,"
        " d.version_constraint, d.restrictions, d.alternative_group, d.position"
        " from etl_changed c join etl_stage s on s.item = c.item"
        " join etl_stage_dependency d on d.item = s.item where s.item < $1::integer",
    /* The outcome of a message that comes again is the first one's. A run of another database has
     * no manifest here. */
    [SQL_OUTCOME_INSERT] =
        "insert into {s}.outcomes(run, number, outcome, reason, name, version, architecture)"
        " select s.run, s.number, coalesce(s.outcome, case when c.item is null then 'duplicate'"
        " else 'loaded' end), s.reason, s.name, s.version, s.architecture"
        " from etl_stage s left join etl_changed c on c.item = s.item"
        " where s.is_ours and s.item < $1::integer order by s.run, s.number on conflict do nothing",
    [SQL_REJECT_INSERT] =
        "insert into {s}.rejects(run, number, reason, raw)"
        " select run, number, reason, raw from etl_stage where outcome = 'rejected'"
        " and item < $1::integer order by run, number on conflict do nothing",

    /* No join: figures about the tables are of older runs while this one goes on, and the planner
     * takes a run that it has never seen for one row. A join of two such rows was a loop of 63,666
     * x 63,666. */
    [SQL_SETTLED] = "select count(*) from {s}.outcomes where run = $1::bigint",
    [SQL_ANALYZE] = "analyze {s}.manifest, {s}.outcomes, {s}.packages",
    /* Of each key the greatest number is what counts: a duplicate if the table held its hash before
     * the run, else loaded. Those before it with the same hash are duplicates, the rest is
     * superseded; and all of them are, if a newer run has put something else there. */
    [SQL_CORRECT] =
        "with ruled as (select c.run, c.number, case"
        " when p.run > c.run and p.sha256 <> c.top_sha256 then 'superseded by run ' || p.run"
        " when c.sha256 <> c.top_sha256 then 'superseded by stanza ' || c.top end as reason,"
        " c.number < c.top or coalesce(case when p.changed_run >= c.run then p.before_sha256"
        " else p.sha256 end = c.sha256, false) as is_duplicate"
        " from " CONTENDERS " c left join {s}.packages p on p.name = c.name"
        " and p.version = c.version and p.architecture = c.architecture)"
        " update {s}.outcomes o set reason = r.reason, outcome = r.outcome"
        " from (select *, case when reason is not null then 'rejected' when is_duplicate"
        " then 'duplicate' else 'loaded' end as outcome from ruled) r"
        " where o.run = r.run and o.number = r.number"
        " and (o.outcome <> r.outcome or o.reason is distinct from r.reason)",
    /* What Redis knew was not touched so far. Now that the run counts on it, an older message that
     * is still on its way must not undo it. */
    [SQL_STAMP_KNOWN] =
        "with known as materialized (select p.name, p.version, p.architecture, c.run, c.number"
        " from {s}.packages p join " CONTENDERS " c on p.name = c.name and p.version = c.version"
        " and p.architecture = c.architecture where c.number = c.top and p.sha256 = c.sha256"
        " and (c.run, c.number) > (p.run, p.number)"
        " order by p.name, p.version, p.architecture for update of p)"
        " update {s}.packages p set run = k.run, number = k.number from known k"
        " where p.name = k.name and p.version = k.version and p.architecture = k.architecture"
        " and (k.run, k.number) > (p.run, p.number)",
    [SQL_CHECK] =
        "select count(*), count(c.outcome), count(*) filter (where c.outcome = 'loaded'),"
        " count(*) filter (where c.outcome = 'duplicate'),"
        " count(*) filter (where c.outcome = 'rejected'), count(*) filter (where c.is_missing)"
        " from " CHECKED " c",
    /* Then what is missing is what has no outcome. */
    [SQL_FORGET_MISSING] = "delete from {s}.outcomes o using " CHECKED " c"
                           " where o.run = $1::bigint and o.number = c.number and c.is_missing",
    [SQL_MISSING] = "select m.number, m.\"offset\", m.length, m.sha256 from {s}.manifest m"
                    " where m.run = $1::bigint and m.number > $2::bigint and not exists"
                    " (select 1 from {s}.outcomes o where o.run = m.run and o.number = m.number)"
                    " order by m.number limit 1000",
    [SQL_SUPERSEDED] =
        "select o.number, m.\"offset\", m.length, m.sha256, o.reason from {s}.outcomes o"
        " join {s}.manifest m on m.run = o.run and m.number = o.number"
        " where o.run = $1::bigint and o.number > $2::bigint and o.outcome = 'rejected'"
        " and not exists"
        " (select 1 from {s}.rejects r where r.run = o.run and r.number = o.number)"
        " order by o.number limit 1000",
};

/* The template with the schema's name in its places: quoted, it may be a word of SQL. */
static char *schema_text(const char *template, const char *schema)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (f == NULL) {
        return NULL;
    }
    for (const char *mark; (mark = strstr(template, "{s}")) != NULL; template = mark + 3) {
        fprintf(f, "%.*s\"%s\"", (int)(mark - template), template, schema);
    }
    fputs(template, f);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

int schema_statements(const char *schema, char **ret_sql)
{
    for (int i = 0; i < SQL_MAX; i++) {
        ret_sql[i] = schema_text(templates[i], schema);
        if (ret_sql[i] == NULL) {
            return tug_fail(TUG_ENOMEM, "out of memory for the statements");
        }
    }
    return 0;
}

static int exec_all(tug_pg *db, const char *const *statements, size_t n, const char *schema)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        char *text = schema_text(statements[i], schema);
        rc = text != NULL ? tug_pg_exec(db, text, TUG_NO_ARGS, NULL)
                          : tug_fail(TUG_ENOMEM, "out of memory for a statement");
        free(text);
    }
    return rc;
}

/* The name of a file may be any bytes; that of a run is a text. */
static int begin_run(etl_run *r, tug_pg *tx)
{
    char *input = strdup(r->options->input);
    if (input == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for the name of the input");
    }
    stanza_clean_text(input);
    int rc = tug_pg_query_one(tx, r->sql[SQL_RUN_BEGIN], TUG_ARGS(input), TUG_OUT(&r->run));
    free(input);
    return rc;
}

static int schema_create(etl_run *r, tug_pg *tx)
{
    const char *schema = r->options->schema;
    /* Two first runs at once: "if not exists" does not keep them from failing each other. */
    int rc = tug_pg_exec(
        tx, "select pg_advisory_xact_lock(hashtext('etl_packages'), hashtext($1::text))",
        TUG_ARGS(schema), NULL);
    if (rc == 0) {
        rc = tug_pg_exec(tx, "set local client_min_messages = warning", TUG_NO_ARGS, NULL);
    }
    if (rc == 0) {
        rc = exec_all(tx, tables, sizeof tables / sizeof *tables, schema);
    }
    if (rc == 0) {
        rc = tug_pg_query_one(tx, r->sql[SQL_DATABASE_ID], TUG_NO_ARGS,
                              TUG_OUT(TUG_COPY(r->database)));
    }
    if (rc == 0) { /* under the same lock: two runs never get one number */
        rc = begin_run(r, tx);
    }
    return rc;
}

int schema_open(etl_run *r)
{
    TUG_AUTO(tug_pg) tx = NULL;
    int rc = tug_pg_begin(r->db, NULL, &tx);
    if (rc == 0) {
        rc = schema_create(r, tx);
    }
    if (rc == 0) {
        rc = tug_pg_commit(tx);
    }
    return report_failed(rc, "preparing the tables");
}

int schema_stage(tug_pg *session)
{
    int rc = exec_all(session, stage_tables, sizeof stage_tables / sizeof *stage_tables, "");
    return report_failed(rc, "preparing the staging tables");
}
