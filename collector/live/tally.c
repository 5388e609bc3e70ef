/* tally.c - a decision's line is found by (rules, policy, reason) in a map; only the first decision of each looks for its name, in the rules
 * that are at hand, else in the generation's text in the store, which is read and parsed for it. */
#include "live/tally.h"
#include "base/bytes.h"
#include "codec/utf8.h"

enum { LINES_MAX = 1000, LINES_ALL_MAX = LINES_MAX + 2 * (REASON_OVERLOAD + 1) /* without a name, and those of "…" */ };

void tally_init(struct tally *tally, struct store *store)
{
    *tally = (struct tally){ .store = store };
}

void tally_fini(struct tally *tally)
{
    for (size_t i = 0; i < MG_COUNT(tally->known); i++)
        sample_rules_unref(&tally->known[i].rules);
    map_fini(&tally->by_key);
    VEC_FINI(&tally->lines);
}

void tally_rules(struct tally *tally, struct sample_rules *rules, uint32_t generation)
{
    sample_rules_unref(&tally->known[1].rules);
    tally->known[1] = tally->known[0];
    tally->known[0].rules = sample_rules_ref(rules);
    tally->known[0].generation = generation;
}

/* Returns lines.n when there is none. */
static size_t find_line(const struct tally *tally, enum reason reason, struct str name)
{
    size_t i = 0;

    while (i < tally->lines.n && (tally->lines.at[i].reason != reason || !str_eq(str_of(tally->lines.at[i].name), name)))
        i++;
    return i;
}

static size_t line_of_name(struct tally *tally, enum reason reason, struct str name)
{
    struct live_policy line = { .reason = reason };
    size_t at;

    name = utf8_cut(name, sizeof line.name - 1);
    at = find_line(tally, reason, name);
    if (at == tally->lines.n && at >= LINES_MAX && name.len > 0) {
        name = STR("…");
        at = find_line(tally, reason, name);
    }
    if (at < tally->lines.n)
        return at;
    memcpy(line.name, name.ptr, name.len);
    VEC_PUSH(&tally->lines, line);
    return at;
}

static size_t resolve(struct tally *tally, const struct outcome *outcome)
{
    struct buf text, name;
    size_t line;

    if (outcome->policy == 0)
        return line_of_name(tally, outcome->reason, STR(""));
    for (size_t i = 0; i < MG_COUNT(tally->known); i++)
        if (tally->known[i].rules && tally->known[i].generation == outcome->rules)
            return line_of_name(tally, outcome->reason, sample_rules_name(tally->known[i].rules, outcome->policy));
    buf_init(&text, 2u << 20);
    buf_init(&name, 1u << 20);
    /* A name that is not known any more is counted under its reason alone. */
    if (store_rules_get(tally->store, outcome->rules, &text) && sample_text_name(buf_str(&text), outcome->policy, &name) != MG_OK)
        buf_clear(&name);
    line = line_of_name(tally, outcome->reason, buf_str(&name));
    buf_fini(&name);
    buf_fini(&text);
    return line;
}

static struct live_policy *line_of(struct tally *tally, const struct outcome *outcome)
{
    /* What has no name is one line, whatever the rules. */
    const uint64_t key = (outcome->policy ? (uint64_t)outcome->rules << 8 | outcome->policy : 0) << 8 | (uint64_t)outcome->reason;
    bool is_new;
    void **line;

    if (tally->by_key.n >= TALLY_KEYS_MAX)
        map_fini(&tally->by_key);
    line = map_put(&tally->by_key, str_n((const char *)&key, sizeof key), &is_new);
    if (is_new)
        *line = (void *)(uintptr_t)(resolve(tally, outcome) + 1);
    return &tally->lines.at[(uintptr_t)*line - 1];
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

/* Older versions cut names anywhere: what is left of a cut character goes. Other bytes that are no text stay as they are. */
static size_t whole_characters(const uint8_t *name, size_t len)
{
    for (size_t cut = 1; cut < 4 && cut <= len; cut++) {
        const uint8_t *tail = name + len - cut;
        bool is_valid;
        if (*tail >= 0xc0 && utf8_sequence(tail, cut, &is_valid) == cut && !is_valid)
            return len - cut;
    }
    return len;
}

void tally_read(struct tally *tally, struct str bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.ptr, *end = at + bytes.len;
    uint64_t reason, len;

    while (at < end && tally->lines.n < LINES_ALL_MAX) {
        struct live_policy line = { 0 };
        if (!(at = get_varint(at, end, &reason)) || !(at = get_varint(at, end, &line.kept)) || !(at = get_varint(at, end, &line.sampled_out)) ||
            !(at = get_varint(at, end, &line.traces_kept)) || !(at = get_varint(at, end, &line.traces_sampled_out)) ||
            !(at = get_varint(at, end, &len)) || reason > REASON_OVERLOAD || len >= sizeof line.name || len > (size_t)(end - at))
            return;
        line.reason = (enum reason)reason;
        memcpy(line.name, at, whole_characters(at, (size_t)len));
        at += len;
        VEC_PUSH(&tally->lines, line);
    }
}
