#include "harness.h"
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t is_done = PTHREAD_COND_INITIALIZER;

static void on_done(struct journal_record *record, enum mg_err err)
{
    struct shot *shot = MG_CONTAINER(record, struct shot, record);
    pthread_mutex_lock(&lock);
    shot->is_done = true;
    shot->err = err;
    pthread_cond_broadcast(&is_done);
    pthread_mutex_unlock(&lock);
}

static void body_fill(char *body, size_t len, uint64_t id)
{
    struct random random;
    random_init(&random, id);
    for (size_t i = 0; i < len; i++)
        body[i] = (char)random_u64(&random);
}

static void shot_init(struct shot *shot, uint64_t id, size_t body_len)
{
    int head_len = snprintf(shot->head, sizeof shot->head, "%llu", (unsigned long long)id);
    shot->id = id;
    shot->body = mem_alloc(body_len);
    body_fill(shot->body, body_len, id);
    shot->record = (struct journal_record){
        .kind = (enum journal_kind)(1 + id % 3),
        .encoding = (uint8_t)(id % 4),
        .protocol = (uint8_t)(id % 7),
        .wall_ns = id * 1000,
        .head = {shot->head, (size_t)head_len},
        .body = {shot->body, body_len},
        .done = on_done,
    };
}

void shots_make(struct shots *shots, uint64_t first, size_t n, size_t body_max, bool exact)
{
    struct random random;
    random_init(&random, first);
    shots->at = mem_zero(n, sizeof *shots->at);
    shots->n = n;
    for (size_t i = 0; i < n; i++)
        shot_init(&shots->at[i], first + i, exact ? body_max : random_below(&random, body_max + 1));
}

void shots_free(struct shots *shots)
{
    for (size_t i = 0; i < shots->n; i++)
        mem_free(shots->at[i].body);
    mem_free(shots->at);
    *shots = (struct shots){0};
}

enum mg_err shot_append(struct journal *journal, struct shot *shot)
{
    return journal_append(journal, &shot->record);
}

void shot_wait(struct shot *shot)
{
    pthread_mutex_lock(&lock);
    while (!shot->is_done)
        pthread_cond_wait(&is_done, &lock);
    pthread_mutex_unlock(&lock);
}

enum mg_err shot_commit(struct journal *journal, struct shot *shot)
{
    MG_TRY(shot_append(journal, shot));
    shot_wait(shot);
    return shot->err;
}

void shots_commit_each(struct journal *journal, struct shots *shots)
{
    for (size_t i = 0; i < shots->n; i++)
        assert_int_equal(shot_commit(journal, &shots->at[i]), MG_OK);
}

enum mg_err record_met(void *owner, const struct journal_record *record)
{
    struct replayed *replayed = owner;
    struct met met = {.position = record->position, .log_ns = record->log_ns};
    char *body = mem_alloc(record->body.len);

    assert_int_equal(str_u64(record->head, &met.id), MG_OK);
    body_fill(body, record->body.len, met.id);
    assert_true(str_eq(record->body, str_n(body, record->body.len)));
    mem_free(body);
    assert_int_equal(record->kind, 1 + met.id % 3);
    assert_int_equal(record->encoding, met.id % 4);
    assert_int_equal(record->protocol, met.id % 7);
    assert_int_equal(record->wall_ns, met.id * 1000);
    if (replayed->n > 0) {
        assert_true(met.position > replayed->at[replayed->n - 1].position);
        assert_true(met.log_ns >= replayed->at[replayed->n - 1].log_ns);
    }
    VEC_PUSH(replayed, met);
    return MG_OK;
}

struct journal *open_journal(const struct journal_options *options)
{
    struct journal *journal;
    struct mg_why why = {""};
    if (journal_open(&journal, options, &why) != MG_OK)
        fail_msg("%s", why.text);
    return journal;
}

void replay_into(struct journal *journal, uint64_t after, struct replayed *out)
{
    struct mg_why why = {""};
    *out = (struct replayed){0};
    if (journal_replay(journal, after, record_met, out, &why) != MG_OK)
        fail_msg("%s", why.text);
}

bool replayed_has(const struct replayed *replayed, uint64_t id)
{
    for (size_t i = 0; i < replayed->n; i++)
        if (replayed->at[i].id == id)
            return true;
    return false;
}

void reread(const struct journal_options *options, struct replayed *out,
            struct journal_stats *stats)
{
    struct journal *journal = open_journal(options);
    replay_into(journal, 0, out);
    if (stats)
        journal_stat(journal, stats);
    journal_close(&journal);
}
