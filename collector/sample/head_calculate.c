/* head_calculate.c - what becomes of an interval's counts, and the state file: see head_private.h. */
#include "base/clock.h"
#include "base/log.h"
#include "sample/head_private.h"
#include "sample/head_state.h"

void head_begin_interval(struct head *head, uint64_t now_ns)
{
    head->own.began_ns = now_ns;
    head->own.round = (struct adaptive_round){ .factor_min = head_factor(head), .factor_max = head_factor(head) };
}

/* The probability comes from the calculation: no override names one, and no class has the operation, save for an override's target. */
static bool is_calculated(const struct head *head, const struct head_subject *subject)
{
    const struct head_rules *rules = head->own.rules;

    if (rules->conf.mode != HEAD_ADAPTIVE)
        return false;
    return subject->override == HEAD_NO_OVERRIDE ? subject->class == CLASS_NONE : !rules->overrides[subject->override].has_probability;
}

static void measure(struct head *head, struct operation *operation, uint64_t now_ns)
{
    const struct head_conf *conf = &head->own.rules->conf;
    struct head_seen *seen = &operation->seen;
    struct adaptive *adaptive = &operation->adaptive;
    struct throughput_sums sums = throughput_read(head->throughput, operation->slot);
    struct adaptive_sample sample = { sums.sampled - operation->read.sampled, seen->ruling.probability, sums.roots != operation->read.roots };
    uint64_t values[ADAPTIVE_VALUES_MAX];

    adaptive_add(adaptive, &sample, values, throughput_values(head->throughput, operation->slot, values), conf->buckets);
    adaptive_measure(adaptive, conf, &head->own.rounds, follower_has_asked(seen->follower, now_ns, 2 * conf->interval_ns));
    operation->read = sums;
    seen->rate = (double)sample.count / head->own.rounds.at[0].seconds;
    seen->is_followed = adaptive->is_followed;
    if (!seen->subject.has_result) /* the calculation begins with what clients are told without it */
        adaptive->probability = MG_MAX(seen->ruling.probability, conf->min_probability);
    seen->subject.has_result = is_calculated(head, &seen->subject);
    if (seen->subject.has_result)
        adaptive->probability = adaptive_next(adaptive, conf, &head->own.rounds, head_target(head->own.rules, seen->subject.override));
    seen->subject.result = adaptive->probability;
}

static void save(struct head *head)
{
    struct mg_why why;

    if (!head->state_path || head->own.rules->conf.mode != HEAD_ADAPTIVE)
        return;
    if (head_state_write(head->state_path, head->own.seen.at, head->own.seen.n, &why) == MG_OK)
        return;
    metric_add(head->metrics, HEAD_state_failures, 0, 0, 1);
    LOG_EVERY(600, ERROR, "sampling probabilities not written, a restart begins with older ones", F_WHY(&why));
}

void head_calculate(struct head *head, uint64_t now_ns)
{
    const struct head_conf *conf = &head->own.rules->conf;
    uint64_t started_ns = clock_mono_ns();

    head->own.round.seconds = (double)(now_ns - head->own.began_ns) / 1e9;
    adaptive_round_add(&head->own.rounds, &head->own.round, conf->buckets);
    head_begin_interval(head, now_ns);
    throughput_turn(head->throughput);
    for (size_t i = 0; i < head->own.by_slot.n; i++) {
        struct operation *operation = head->own.by_slot.at[i];
        if (!operation)
            continue;
        measure(head, operation, now_ns);
        if (operation->adaptive.silent >= conf->buckets)
            head_forget(head, operation);
    }
    head_make_table(head, now_ns);
    save(head);
    metric_observe(head->metrics, HEAD_calculation, 0, 0, clock_mono_ns() - started_ns);
}

/* --- across a restart ------------------------------------------------------------------------------ */

static void restore(void *owner, struct str service, struct str operation, double probability)
{
    struct head *head = owner;
    size_t slot = SIZE_MAX;

    if (service.len > 0 && service.len <= THROUGHPUT_NAME_MAX && operation.len <= THROUGHPUT_NAME_MAX)
        slot = throughput_slot(head->throughput, service, operation);
    if (slot == SIZE_MAX) /* operations_max is lower than it was */
        return;
    struct operation *restored = head_follow_slot(head, slot);
    restored->adaptive.probability = MG_MAX(probability, head->own.rules->conf.min_probability);
    restored->seen.subject.has_result = true;
    restored->seen.subject.result = restored->adaptive.probability;
}

void head_restore(struct head *head)
{
    struct mg_why why;

    if (!head->state_path || head->own.rules->conf.mode != HEAD_ADAPTIVE)
        return;
    if (head_state_read(head->state_path, restore, head, &why) != MG_OK)
        LOG(WARN, "sampling probabilities not restored, they begin anew", F_WHY(&why));
}
