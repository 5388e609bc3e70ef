/* sampler.c - see sampler.h.
 *
 * A decision adds up what every policy says: those that keep for sure, those that keep by the trace's R, those that keep by other chance
 * (limiters, a hash of their own). A kept trace stands for 1 / (the probability with which it would have been kept), so that probability is
 * that of all policies together: the smallest threshold of those that go by R, which are nested, and for the others the chance that none of
 * them would have. As soon as one of these others has a part in it, the probability is an estimate.
 *
 * sample_on_first_match asks no policy after the first that keeps. The later ones would have been asked had that one not kept the trace,
 * so they count in its probability; they are asked without being charged. */
#include "sample/sampler.h"
#include "base/mem.h"
#include "sample/floor.h"
#include "sample/policy.h"

#define VOTES_BYTES_MAX 50

struct sampler {
    struct sample_rules *rules;
    uint32_t generation;
    struct memo *memo;
    struct policy_states *states;
    struct floor *floor;
    bool has_drops;
    uint8_t votes[VOTES_BYTES_MAX];
};

/* --- life ----------------------------------------------------------------------------------------- */

static void use_rules(struct sampler *sampler)
{
    const struct sample_rules *rules = sampler->rules;

    sampler->memo = memo_new(&rules->conditions, rules->classes);
    sampler->has_drops = false;
    for (size_t i = 0; i < rules->n_policies; i++)
        sampler->has_drops |= rules->policies[i].type == POLICY_DROP;
    floor_limit(sampler->floor, rules->floor_traces_per_second, rules->floor_bytes_per_day);
}

struct sampler *sampler_new(const struct sampler_options *options)
{
    struct sampler *sampler = MEM_NEW(struct sampler);

    sampler->rules = sample_rules_ref(options->rules);
    sampler->generation = options->generation;
    sampler->states = policy_states_new(sampler->rules, NULL, NULL);
    sampler->floor = floor_new();
    use_rules(sampler);
    return sampler;
}

void sampler_free(struct sampler **pointer)
{
    struct sampler *sampler = MG_STEAL(*pointer);

    if (!sampler)
        return;
    memo_free(&sampler->memo);
    policy_states_free(&sampler->states);
    floor_free(&sampler->floor);
    sample_rules_unref(&sampler->rules);
    mem_free(sampler);
}

void sampler_reload(struct sampler *sampler, struct sample_rules *rules, uint32_t generation)
{
    struct policy_states *states = policy_states_new(rules, sampler->states, sampler->rules);

    policy_states_free(&sampler->states);
    sampler->states = states;
    memo_free(&sampler->memo);
    sample_rules_unref(&sampler->rules);
    sampler->rules = sample_rules_ref(rules);
    sampler->generation = generation;
    use_rules(sampler);
}

void sampler_know(struct sampler *sampler, struct str service, struct str operation)
{
    floor_know(sampler->floor, operation_number(service, operation));
}

void sampler_save(const struct sampler *sampler, struct buf *out)
{
    floor_save(sampler->floor, out);
}

void sampler_load(struct sampler *sampler, struct str bytes)
{
    floor_load(sampler->floor, bytes);
}

void sampler_stat(const struct sampler *sampler, struct sampler_stats *out)
{
    struct floor_stats stats;

    floor_stat(sampler->floor, &stats);
    *out = (struct sampler_stats){ .floor_bytes_today = stats.bytes_today, .operations = stats.operations,
                                   .dynamic_keys = policy_states_keys(sampler->states) };
    memcpy(out->floor_refused, stats.refused, sizeof out->floor_refused);
}

/* --- facts ---------------------------------------------------------------------------------------- */

/* Spans can share an id (Zipkin's two halves of one, and what was sent twice): what is compared last only makes the order total. */
static bool is_before(const struct row *a, const struct row *b)
{
    int order;

    if (row_is_root(a) != row_is_root(b))
        return row_is_root(a);
    if (a->start_ns != b->start_ns)
        return a->start_ns < b->start_ns;
    if ((order = memcmp(a->span_id, b->span_id, sizeof a->span_id)) != 0)
        return order < 0;
    if (a->kind != b->kind)
        return a->kind < b->kind;
    if (a->end_ns != b->end_ns)
        return a->end_ns < b->end_ns;
    return str_cmp(epoch_text(segment_of(a)->epoch, a->name), epoch_text(segment_of(b)->epoch, b->name)) < 0;
}

/* What does not hang on the rules. */
static void join(struct trace_facts *facts, const struct row *row)
{
    if (!facts->entry) {
        facts->start_min_ns = row->start_ns;
        facts->end_max_ns = row->end_ns;
        facts->entry = row;
    } else {
        facts->start_min_ns = MG_MIN(facts->start_min_ns, row->start_ns);
        facts->end_max_ns = MG_MAX(facts->end_max_ns, row->end_ns);
        if (is_before(row, facts->entry))
            facts->entry = row;
    }
    facts->rows++;
    facts->has_error |= row->status == STATUS_ERROR;
}

static void gather_again(struct sampler *sampler, const struct sample_trace *trace)
{
    const struct row *row = trace->last;

    *trace->facts = (struct trace_facts){ .generation = sampler->generation };
    for (uint32_t i = 0; i < trace->n; i++, row = row->prev) {
        join(trace->facts, row);
        memo_row(sampler->memo, row, trace->facts->bits);
    }
}

static void question_init(struct sampler *sampler, const struct sample_trace *trace, struct question *out)
{
    const struct trace_facts *facts = trace->facts;
    uint64_t duration_ns = facts->end_max_ns > facts->start_min_ns ? facts->end_max_ns - facts->start_min_ns : 0;

    *out = (struct question){ .trace = trace, .bits = { facts->bits[0], facts->bits[1] }, .duration_ms = duration_ns / 1000000,
                              .memo = sampler->memo };
}

/* --- deciding early ------------------------------------------------------------------------------- */

/* A class decides before policies do. Which one it is can only be said of a root; that of traffic that has none is never known for sure. */
static bool is_free_of_classes(const struct sampler *sampler, const struct trace_facts *facts)
{
    if (classes_n(sampler->rules->classes) == 0)
        return true;
    return row_is_root(facts->entry) && memo_class(sampler->memo, facts->entry) == CLASS_NONE;
}

/* Policies whose yes lasts read the facts alone: they have no state, and no need of R or rows. */
static bool says_yes(struct sampler *sampler, const struct policy *policy, const struct question *question)
{
    return policy->is_lasting && policy_ask(policy, sampler->states, question, false).is_yes;
}

/* Has a policy matched for good, so that no row to come can change whether the trace is kept, and with which probability? */
static bool is_settled(struct sampler *sampler, struct trace_facts *facts)
{
    const struct sample_rules *rules = sampler->rules;
    const struct sample_trace trace = { .last = facts->entry, .n = facts->rows, .facts = facts };
    struct question question;

    question_init(sampler, &trace, &question);
    for (size_t i = 0; sampler->has_drops && i < rules->n_policies; i++)
        if (rules->policies[i].type == POLICY_DROP && says_yes(sampler, &rules->policies[i], &question))
            return true;
    if (sampler->has_drops)
        return false;
    for (size_t i = 0; i < rules->n_policies && !rules->policies[i].is_inverted; i++)
        if (says_yes(sampler, &rules->policies[i], &question))
            return is_free_of_classes(sampler, facts);
    return false;
}

bool sampler_add(struct sampler *sampler, struct trace_facts *facts, const struct row *row)
{
    if (facts->generation == 0)
        facts->generation = sampler->generation;
    join(facts, row);
    if (facts->generation != sampler->generation)
        return false; /* all rows are walked again when it is decided */
    memo_row(sampler->memo, row, facts->bits);
    return sampler->rules->is_first_match && is_settled(sampler, facts);
}

/* --- what policies say ---------------------------------------------------------------------------- */

#define NOBODY SIZE_MAX

/* Numbers of policies are from 0 here. */
struct tally {
    size_t dropped_by;      /* a drop policy */
    double spared;          /* the probability with which drop policies that go by chance leave the trace alone */
    size_t inverted_no;     /* an inverted condition that matched */
    size_t inverted_yes;    /* the first that did not */
    size_t sure;            /* the first that keeps for sure */
    size_t chosen;          /* of those that keep by chance and say yes the likeliest */
    double chosen_probability;
    uint64_t threshold;     /* the least of those that go by R */
    double missed;          /* the probability that none of the others keeps it */
    bool has_others;
    bool has_no;            /* some policy says no */
};

static void ask_drops(struct sampler *sampler, const struct question *question, struct tally *tally)
{
    for (size_t i = 0; sampler->has_drops && i < sampler->rules->n_policies; i++) {
        if (sampler->rules->policies[i].type != POLICY_DROP)
            continue;
        struct ruling ruling = policy_ask(&sampler->rules->policies[i], sampler->states, question, true);
        vote_set(sampler->votes, i, ruling.is_yes ? VOTE_DROP : VOTE_NO);
        tally->has_no = true; /* as in the Collector: a drop policy that does not match is one that does not sample */
        tally->spared *= 1 - ruling_probability(&ruling);
        if (ruling.is_yes) {
            tally->dropped_by = i;
            return;
        }
    }
}

static void count_chance(struct tally *tally, const struct ruling *ruling)
{
    if (!ruling->is_estimate) {
        tally->threshold = MG_MIN(tally->threshold, ruling->threshold);
        return;
    }
    tally->missed *= 1 - ruling_probability(ruling);
    tally->has_others |= ruling_probability(ruling) > 0;
}

static void count_vote(struct tally *tally, size_t i, const struct ruling *ruling)
{
    if (!ruling->is_yes)
        tally->has_no = true;
    if (ruling_is_sure(ruling) && tally->sure == NOBODY)
        tally->sure = i;
    if (ruling->is_yes && ruling_probability(ruling) > tally->chosen_probability) {
        tally->chosen = i;
        tally->chosen_probability = ruling_probability(ruling);
    }
}

static void ask_inverted(struct sampler *sampler, size_t i, const struct question *question, struct tally *tally)
{
    bool has_matched = !policy_ask(&sampler->rules->policies[i], sampler->states, question, true).is_yes;

    vote_set(sampler->votes, i, has_matched ? VOTE_DROP : VOTE_YES);
    if (has_matched)
        tally->inverted_no = MG_MIN(tally->inverted_no, i);
    else
        tally->inverted_yes = MG_MIN(tally->inverted_yes, i);
}

/* After a policy that keeps the trace by chance: what the rest would have done without it. */
static void ask_rest(struct sampler *sampler, size_t i, const struct question *question, struct tally *tally)
{
    for (; i < sampler->rules->n_policies; i++) {
        const struct policy *policy = &sampler->rules->policies[i];
        if (policy->type == POLICY_DROP)
            continue;
        struct ruling ruling = policy_ask(policy, sampler->states, question, false);
        if (policy->is_inverted && ruling.is_yes)
            continue;
        if (policy->is_inverted)
            return;
        count_chance(tally, &ruling);
        if (ruling_is_sure(&ruling))
            return;
    }
}

static void ask_policies(struct sampler *sampler, const struct question *question, struct tally *tally)
{
    for (size_t i = 0; i < sampler->rules->n_policies; i++) {
        const struct policy *policy = &sampler->rules->policies[i];
        if (policy->type == POLICY_DROP)
            continue;
        if (policy->is_inverted) {
            ask_inverted(sampler, i, question, tally);
            continue;
        }
        struct ruling ruling = policy_ask(policy, sampler->states, question, true);
        vote_set(sampler->votes, i, ruling.is_yes ? VOTE_YES : VOTE_NO);
        count_chance(tally, &ruling);
        count_vote(tally, i, &ruling);
        if (ruling.is_yes && sampler->rules->is_first_match) {
            ask_rest(sampler, i + 1, question, tally);
            return;
        }
    }
}

/* --- the decision --------------------------------------------------------------------------------- */

static void keep(struct outcome *out, enum reason reason, size_t number)
{
    out->verdict = VERDICT_KEPT;
    out->reason = reason;
    out->policy = (uint8_t)number;
    out->threshold = 0;
}

static void drop(struct outcome *out, enum reason reason, size_t number, uint64_t threshold)
{
    out->verdict = VERDICT_DROPPED;
    out->reason = reason;
    out->policy = (uint8_t)number;
    out->threshold = threshold;
}

static void decide_class(const struct sampler *sampler, const struct question *question, size_t class, struct outcome *out)
{
    size_t number = sampler->rules->n_policies + class + 1;
    uint64_t threshold = ot_threshold(class_probability(sampler->rules->classes, class));

    if (question->trace->facts->has_error) {
        keep(out, REASON_CLASS_ERROR, number);
        return;
    }
    drop(out, REASON_CLASS, number, threshold);
    if (ot_keeps(threshold, question->randomness))
        out->verdict = VERDICT_KEPT;
}

static enum floor_kind ask_floor(struct sampler *sampler, const struct question *question, enum floor_wish wish)
{
    const struct trace_facts *facts = question->trace->facts;
    const struct floor_ask ask = {
        .operation = memo_operation(sampler->memo, facts->entry),
        .duration_ns = facts->end_max_ns > facts->start_min_ns ? facts->end_max_ns - facts->start_min_ns : 0,
        .bytes = question->trace->bytes, .log_ns = question->trace->log_ns, .has_error = facts->has_error, .is_whole = row_is_root(facts->entry),
        .wish = wish
    };

    return floor_decide(sampler->floor, &ask);
}

/* Steps 3, 5 and 6. */
static void decide_policies(const struct sampler *sampler, const struct tally *tally, struct outcome *out)
{
    double probability = 1 - (1 - ot_probability(tally->threshold)) * tally->missed;
    bool is_estimate = tally->has_others && tally->threshold > 0;
    uint64_t threshold = is_estimate ? ot_threshold(probability) : tally->threshold;

    if (tally->inverted_no != NOBODY) {
        drop(out, REASON_INVERTED, tally->inverted_no + 1, OT_NEVER);
    } else if (tally->sure != NOBODY) {
        keep(out, REASON_POLICY, tally->sure + 1);
    } else if (tally->chosen != NOBODY) {
        keep(out, REASON_POLICY, tally->chosen + 1);
        out->is_estimate = is_estimate;
        out->threshold = threshold;
    } else if (tally->inverted_yes != NOBODY && !tally->has_no) {
        keep(out, REASON_POLICY, tally->inverted_yes + 1);
    } else if (sampler->rules->n_policies == 0) {
        keep(out, REASON_NO_RULES, 0);
    } else {
        drop(out, REASON_NO_POLICY, 0, threshold);
    }
}

static bool is_certain(const struct outcome *out)
{
    return out->verdict == VERDICT_KEPT && out->threshold == 0 && !out->is_estimate && out->reason != REASON_NO_RULES;
}

/* Step 4, between those that keep for sure and those that keep by chance. In quiet times nothing needs it when there are no policies. */
static void decide_floor(struct sampler *sampler, const struct question *question, struct outcome *out)
{
    static const enum reason reasons[] = {
        [FLOOR_ERROR] = REASON_FLOOR_ERROR, [FLOOR_SLOW] = REASON_FLOOR_SLOW, [FLOOR_NEW] = REASON_FLOOR_NEW
    };
    bool is_kept_anyway = is_certain(out) || (out->reason == REASON_NO_RULES && question->trace->overload_threshold == 0);
    bool is_final = is_kept_anyway || out->reason == REASON_DROP || out->reason == REASON_INVERTED || out->reason == REASON_CLASS;
    enum floor_wish wish = !is_final ? FLOOR_ASKS : out->verdict == VERDICT_KEPT ? FLOOR_IS_KEPT : FLOOR_IS_DROPPED;
    enum floor_kind kind = ask_floor(sampler, question, wish);

    if (kind == FLOOR_NOT)
        return;
    keep(out, reasons[kind], 0);
    out->is_estimate = false;
}

/* A drop policy that goes by chance spared the trace: it stands for those that were not spared, too. */
static void weigh_spared(const struct tally *tally, struct outcome *out)
{
    if (tally->spared >= 1 || out->verdict != VERDICT_KEPT)
        return;
    out->threshold = ot_threshold(ot_probability(out->threshold) * tally->spared);
    out->is_estimate = true;
}

/* Step 7. A threshold that goes by R and the ladder's are nested; other chance is not of R, so there the two multiply. */
static void decide_overload(const struct question *question, struct outcome *out)
{
    uint64_t threshold = question->trace->overload_threshold;

    if (threshold == 0 || out->verdict != VERDICT_KEPT || is_certain(out) || out->reason == REASON_FLOOR_ERROR ||
        out->reason == REASON_FLOOR_SLOW || out->reason == REASON_FLOOR_NEW)
        return;
    if (out->is_estimate)
        out->threshold = ot_threshold(ot_probability(out->threshold) * ot_probability(threshold));
    else
        out->threshold = MG_MAX(out->threshold, threshold);
    if (!ot_keeps(threshold, question->randomness))
        drop(out, REASON_OVERLOAD, out->policy, out->threshold);
}

static uint64_t randomness_of(const struct row *entry)
{
    const struct epoch *epoch = segment_of(entry)->epoch;
    struct row_cursor cursor;
    struct row_rest rest;
    struct ot_state state;

    if (!(entry->has & ROW_HAS_TRACE_STATE))
        return ot_randomness(entry->trace_id, NULL);
    row_values(entry, epoch, &cursor);
    row_skip_values(&cursor);
    row_read_rest(&cursor, &rest);
    ot_read(rest.trace_state.is_symbol ? epoch_text(epoch, rest.trace_state.symbol) : rest.trace_state.bytes, &state);
    return ot_randomness(entry->trace_id, &state);
}

static size_t class_of(const struct sampler *sampler, const struct row *entry)
{
    if (classes_n(sampler->rules->classes) == 0)
        return CLASS_NONE;
    return memo_class(sampler->memo, entry);
}

static void decide(struct sampler *sampler, const struct question *question, struct outcome *out)
{
    struct tally tally = { .dropped_by = NOBODY, .spared = 1, .inverted_no = NOBODY, .inverted_yes = NOBODY, .sure = NOBODY, .chosen = NOBODY,
                           .threshold = OT_NEVER, .missed = 1 };
    size_t class;

    ask_drops(sampler, question, &tally);
    if (tally.dropped_by != NOBODY) {
        drop(out, REASON_DROP, tally.dropped_by + 1, OT_NEVER);
    } else if ((class = class_of(sampler, question->trace->facts->entry)) != CLASS_NONE) {
        decide_class(sampler, question, class, out);
    } else {
        ask_policies(sampler, question, &tally);
        decide_policies(sampler, &tally, out);
    }
    decide_floor(sampler, question, out);
    weigh_spared(&tally, out);
    decide_overload(question, out);
}

void sampler_decide(struct sampler *sampler, const struct sample_trace *trace, struct outcome *out, struct str *votes)
{
    struct question question;

    if (trace->facts->generation != sampler->generation || trace->facts->rows != trace->n)
        gather_again(sampler, trace);
    memset(sampler->votes, 0, sizeof sampler->votes);
    *out = (struct outcome){ .trigger = trace->trigger, .rules = sampler->generation };
    question_init(sampler, trace, &question);
    question.randomness = randomness_of(trace->facts->entry);
    decide(sampler, &question, out);
    *votes = str_n(sampler->votes, (sampler->rules->n_policies + 3) / 4);
}
