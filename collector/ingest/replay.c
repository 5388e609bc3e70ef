/* replay.c - the log's bodies through the same steps as at the door, without admission (collector/README.md R5). */
#include "ingest/private.h"
#include "ingest/rows.h"

struct reading { struct ingest_replay *replay; struct live *live; struct rows_maker *maker; struct mg_why *why; };

/* Its checksum is right, so this is a record of another version: said loudly, the rest goes on. */
static enum mg_err unreadable(struct reading *reading, const struct journal_record *record)
{
    LOG(ERROR, "log record unreadable", F_U64("position", record->position), F_TEXT("error", reading->why->text));
    metric_add(reading->replay->metrics, INGEST_replay_unreadable, 0, 0, 1);
    return MG_OK;
}

static enum mg_err on_body(struct reading *reading, const struct journal_record *record)
{
    /* The limit was kept at the door; a lowered one must not lose what was acked. */
    const struct rows_body body = { .protocol = record->protocol, .encoding = record->encoding, .bytes = record->body,
                                    .limit = SIZE_MAX / 4 };
    struct rows_result result = { 0 };
    struct body_head head = { 0 };
    enum mg_err err = body_head_read(record->head, &head);

    if (err == MG_OK)
        err = rows_make(reading->maker, &body, &head, &result, reading->why);
    else
        (void)mg_fail(reading->why, err, "the list of refused and dropped spans cannot be read");
    if (err == MG_OK) {
        err = live_replay_rows(reading->live, record, result.rows, head.n_refused + result.refused.by_reason[SPAN_LIBRARY]);
        row_batch_free(&result.rows);
    } else {
        err = unreadable(reading, record);
    }
    body_head_fini(&head);
    return err;
}

/* Its traces are then undecided, and decided anew. */
static enum mg_err on_decisions(struct reading *reading, const struct journal_record *record)
{
    enum mg_err err = live_replay_decisions(reading->live, record, reading->why);

    return err == MG_E_FORMAT ? unreadable(reading, record) : err;
}

static enum mg_err on_record(void *owner, const struct journal_record *record)
{
    struct reading *reading = owner;

    reading->replay->done++;
    switch (record->kind) {
    case JOURNAL_BODY:
        return on_body(reading, record);
    case JOURNAL_DECISIONS:
        return on_decisions(reading, record);
    case JOURNAL_SERIES:
        break; /* has a log of its own */
    }
    return MG_OK;
}

enum mg_err ingest_replay(struct ingest_replay *replay, struct live *live, struct mg_why *why)
{
    struct reading reading = { replay, live, rows_maker_new(), why };
    enum mg_err err;

    rows_maker_rules(reading.maker, replay->rules);
    replay->total = journal_replay_total(replay->journal, replay->after);
    err = journal_replay(replay->journal, replay->after, on_record, &reading, why);
    rows_maker_free(&reading.maker);
    return err;
}
