/* harness.h - records whose content follows from a number, and what became of them. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/vec.h"
#include "journal/scan.h"
#include "memfs.h"

struct shot {
    struct journal_record record;
    uint64_t id;
    char head[24];
    char *body;
    bool is_done;
    enum mg_err err;
};
struct shots {
    struct shot *at;
    size_t n;
};

/* n records with the ids first, first + 1, …; bodies of up to `body_max` bytes, of exactly it when
 * `exact`. */
void shots_make(struct shots *shots, uint64_t first, size_t n, size_t body_max, bool exact);
void shots_free(struct shots *shots); /* all of them are done or were never appended */
enum mg_err shot_append(struct journal *journal, struct shot *shot);
void shot_wait(struct shot *shot);
enum mg_err shot_commit(struct journal *journal,
                        struct shot *shot); /* append and wait: a group of its own */
void shots_commit_each(struct journal *journal, struct shots *shots); /* all must become durable */

/* What a replay met, in order; its content is compared with the id's. */
struct met {
    uint64_t id, position, log_ns;
};
struct replayed {
    struct met *at;
    size_t n, room;
};
enum mg_err record_met(void *replayed, const struct journal_record *record); /* a journal_replay_fn */
struct journal *open_journal(const struct journal_options *options);
void replay_into(struct journal *journal, uint64_t after, struct replayed *out);
bool replayed_has(const struct replayed *replayed, uint64_t id);
/* Opens, replays, closes. */
void reread(const struct journal_options *options, struct replayed *out,
            struct journal_stats *stats);
