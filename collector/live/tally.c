/* tally.c - a decision's line is found by (reason, policy, generation) in a small direct-mapped cache; only a miss reads the generation's
 * text for the name. */
#include "live/tally.h"
#include "base/bytes.h"

enum { LINES_MAX = 1000 };

void tally_init(struct tally *tally, struct store *store)
{
    *tally = (struct tally){ .store = store };
}

void tally_fini(struct tally *tally)
{
    VEC_FINI(&tally->lines);
}

static size_t find_line(struct tally *tally, enum reason reason, struct str name)
{
    struct live_policy line = { .reason = reason };

    if (tally->lines.n >= LINES_MAX)
        name = STR("…");
    name = str_n(name.ptr, MG_MIN(name.len, sizeof line.name - 1));
    for (size_t i = 0; i < tally->lines.n; i++)
        if (tally->lines.at[i].reason == reason && str_eq(str_of(tally->lines.at[i].name), name))
            return i;
    memcpy(line.name, name.ptr, name.len);
    VEC_PUSH(&tally->lines, line);
    return tally->lines.n - 1;
}

static size_t resolve(struct tally *tally, const struct outcome *outcome)
{
    struct buf text, name;
    size_t line;

    buf_init(&text, 2u << 20);
    buf_init(&name, 4096);
    /* A name that is not known any more is counted under its reason alone. */
    if (outcome->policy && store_rules_get(tally->store, outcome->rules, &text) &&
        sample_text_name(buf_str(&text), outcome->policy, &name) != MG_OK)
        buf_clear(&name);
    line = find_line(tally, outcome->reason, buf_str(&name));
    buf_fini(&name);
    buf_fini(&text);
    return line;
}

static struct live_policy *line_of(struct tally *tally, const struct outcome *outcome)
{
    uint32_t key = outcome->rules << 8 | outcome->policy;
    size_t slot = (key * 0x9e3779b1u >> 24) ^ (unsigned)outcome->reason * 16;

    if (tally->recent[slot].line == 0 || tally->recent[slot].key != key || tally->recent_reason[slot] != outcome->reason) {
        tally->recent[slot].key = key;
        tally->recent[slot].line = (uint32_t)resolve(tally, outcome) + 1;
        tally->recent_reason[slot] = (uint8_t)outcome->reason;
    }
    return &tally->lines.at[tally->recent[slot].line - 1];
}

void tally_count(struct tally *tally, uint64_t word, uint32_t spans)
{
    struct live_policy *line;
    struct outcome outcome;

    if (!outcome_unpack(word, &outcome))
        return;
    line = line_of(tally, &outcome);
    if (outcome.verdict == VERDICT_KEPT) {
        line->kept += spans;
        line->traces_kept++;
    } else {
        line->sampled_out += spans;
        line->traces_sampled_out++;
    }
    tally->is_changed = true;
}

void tally_write(const struct tally *tally, struct buf *out)
{
    for (size_t i = 0; i < tally->lines.n; i++) {
        const struct live_policy *line = &tally->lines.at[i];
        buf_put_varint(out, line->reason);
        buf_put_varint(out, line->kept);
        buf_put_varint(out, line->sampled_out);
        buf_put_varint(out, line->traces_kept);
        buf_put_varint(out, line->traces_sampled_out);
        buf_put_varint(out, strlen(line->name));
        buf_put(out, line->name, strlen(line->name));
    }
}

void tally_read(struct tally *tally, struct str bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.ptr, *end = at + bytes.len;
    uint64_t reason, len;

    while (at < end && tally->lines.n < LINES_MAX + REASON_OVERLOAD) {
        struct live_policy line = { 0 };
        if (!(at = get_varint(at, end, &reason)) || !(at = get_varint(at, end, &line.kept)) || !(at = get_varint(at, end, &line.sampled_out)) ||
            !(at = get_varint(at, end, &line.traces_kept)) || !(at = get_varint(at, end, &line.traces_sampled_out)) ||
            !(at = get_varint(at, end, &len)) || reason > REASON_OVERLOAD || len >= sizeof line.name || len > (size_t)(end - at))
            return;
        line.reason = (enum reason)reason;
        memcpy(line.name, at, (size_t)len);
        at += len;
        VEC_PUSH(&tally->lines, line);
    }
}
