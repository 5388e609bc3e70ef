/* why.c - the decisions about one trace, out of what live has not given to the store yet and what
 * the store remembers, and the names of who decided.
 *
 * Live is asked first and the store second, so a decision that moves from one to the other
 * meanwhile is met twice. That it is the same one is told by the word and the time: what is kept
 * has the time of its commit in the store, which comes after the decision, while an earlier
 * decision with the same word was stored before this one was made. What is dropped has the
 * decision's own time, in seconds. */
#include "query/private.h"

#include "base/log.h"
#include "sample/rules.h"

enum { DECISIONS_MAX = 16, VOTES_A_BYTE = 4 };
#define NAME_BYTES_MAX ((size_t)1024)
#define SECOND_NS      UINT64_C(1000000000)
#define RULES_TEXT_MAX ((size_t)1 << 20)

/* --- names ------------------------------------------------------------------------------------ */

/* Once for all names of a generation that are asked for in a row, as those of one decision are. */
static struct str rules_text(struct query *query, uint32_t generation)
{
    struct buf *text = &query->policies.text;

    if (query->policies.generation != generation) {
        buf_fini(text);
        buf_init(text, RULES_TEXT_MAX);
        if (!store_rules_get(query->options->store, generation, text))
            buf_clear(text);
        query->policies.generation = generation;
    }
    return buf_str(text);
}

static const char *read_name(struct query *query, uint32_t generation, unsigned number)
{
    struct str text = rules_text(query, generation), found = STR("");
    struct buf name;

    if (text.len == 0)
        return "";
    buf_init(&name, NAME_BYTES_MAX);
    if (sample_text_name(text, number, &name) == MG_OK)
        found = arena_str(&query->own, buf_str(&name));
    else
        LOG_EVERY(60, WARN, "stored rules cannot be read: names of policies are not shown",
                  F_U64("generation", generation));
    buf_fini(&name);
    return found.ptr;
}

static const char *policy_name(struct query *query, uint32_t generation, unsigned number)
{
    const uint32_t key[2] = {generation, number};
    bool is_new;
    void **name;

    if (generation == 0 || number == 0)
        return "";
    name = map_put(&query->policies.by_number, str_n((const char *)key, sizeof key), &is_new);
    if (is_new)
        *name = (void *)(uintptr_t)read_name(query, generation, number);
    return *name;
}

const char *query_policy(struct query *query, const struct outcome *outcome)
{
    return policy_name(query, outcome->rules, outcome->policy);
}

/* --- votes ------------------------------------------------------------------------------------ */

/* How many there are is the rules' to know, which may be gone: up to the last policy that was
 * asked. */
static size_t count_votes(struct str votes)
{
    size_t n = votes.len * VOTES_A_BYTE;

    while (n > 0 && vote_get(votes, n - 1) == VOTE_NOT_ASKED)
        n--;
    return n;
}

static enum mg_err take_votes(struct query *query, struct str votes,
                              struct query_decision *decision, struct mg_why *why)
{
    size_t n = count_votes(votes);
    struct query_vote *list;

    if (n == 0)
        return MG_OK;
    MG_TRY(query_room(query, n * sizeof *list, why));
    list = arena_alloc(&query->own, n * sizeof *list);
    for (size_t i = 0; i < n; i++)
        list[i] = (struct query_vote){policy_name(query, decision->outcome.rules, (unsigned)i + 1),
                                      vote_get(votes, i)};
    decision->votes = list;
    decision->n_votes = n;
    return MG_OK;
}

/* --- decisions -------------------------------------------------------------------------------- */

/* A word that says nothing (sampling was off, an older version decided) leaves the verdict. */
static enum mg_err add_decision(struct query *query, struct query_decision *out, uint64_t word,
                                bool is_kept, struct str votes, struct mg_why *why)
{
    if (!outcome_unpack(word, &out->outcome))
        out->outcome = (struct outcome){.verdict = is_kept ? VERDICT_KEPT : VERDICT_DROPPED};
    out->policy = query_policy(query, &out->outcome);
    return take_votes(query, votes, out, why);
}

/* Live has one that it has not given to the store, or had when it was asked. */
static bool has_decision(const struct live_rows *rows)
{
    return rows->outcome || rows->decided_wall_ns || (rows->n && !rows->is_pending);
}

static bool is_same(const struct live_rows *rows, const struct store_decision *stored)
{
    uint64_t decided_ns = rows->decided_wall_ns;

    if (!stored->is_kept)
        decided_ns -= decided_ns % SECOND_NS;
    return stored->outcome == rows->outcome && stored->wall_ns >= decided_ns;
}

static bool is_stored(const struct live_rows *rows, const struct store_decision *stored, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_same(rows, &stored[i]))
            return true;
    return false;
}

static bool is_kept(const struct live_rows *rows)
{
    struct outcome outcome;

    return !outcome_unpack(rows->outcome, &outcome) || outcome.verdict == VERDICT_KEPT;
}

static enum query_why_state state_of(const struct query_why *out, bool is_pending)
{
    for (size_t i = 0; i < out->n; i++)
        if (out->decisions[i].outcome.verdict == VERDICT_KEPT)
            return WHY_KEPT;
    if (out->n)
        return WHY_DROPPED;
    return is_pending ? WHY_PENDING : WHY_UNKNOWN;
}

static enum mg_err tell(struct query *query, const struct live_rows *rows,
                        const struct store_decision *stored, size_t n_stored,
                        struct query_why *out, struct mg_why *why)
{
    struct query_decision *list = arena_zero(&query->own, DECISIONS_MAX * sizeof *list);
    size_t n = 0;

    if (has_decision(rows) && !is_stored(rows, stored, n_stored)) {
        list[n].wall_ns = rows->decided_wall_ns;
        MG_TRY(add_decision(query, &list[n++], rows->outcome, is_kept(rows), rows->votes, why));
    }
    bool is_cut = n_stored > DECISIONS_MAX - n;
    for (size_t i = 0; i < n_stored && n < DECISIONS_MAX; i++, n++) {
        list[n].wall_ns = stored[i].wall_ns;
        list[n].spans = stored[i].rows;
        MG_TRY(add_decision(query, &list[n], stored[i].outcome, stored[i].is_kept, stored[i].votes,
                            why));
    }
    *out = (struct query_why){
        .is_waiting = rows->is_pending, .is_cut = is_cut, .decisions = list, .n = n};
    out->state = state_of(out, rows->is_pending);
    return MG_OK;
}

/* What is damaged is no decision; when it is all there is, nobody can tell what it was. */
enum mg_err query_why(struct query *query, const uint8_t id[16], struct query_why *out,
                      struct mg_why *why)
{
    struct store_decision stored[DECISIONS_MAX + 1]; /* one more: is that all? */
    struct mg_why damage = {""};
    uint8_t ids[1][16];
    size_t n = 0;

    memcpy(ids[0], id, sizeof ids[0]);
    MG_TRY(query_step(query, why));
    query_take(query, (const uint8_t(*)[16])ids, 1);
    if (store_view_decisions(query->view, id, &query->own, stored, MG_COUNT(stored), &n,
                             &damage) != MG_OK)
        query_damaged(query, &damage);
    MG_TRY(query_step(query, why));
    MG_TRY(tell(query, &query->found.traces[0], stored, n, out, why));
    if (out->state == WHY_UNKNOWN && damage.text[0])
        return mg_fail(why, MG_E_IO, "%s", damage.text);
    return MG_OK;
}
