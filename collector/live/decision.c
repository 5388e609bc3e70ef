/* decision.c - see decision.h. Reader and writer of one message live together. */
#include "live/decision.h"
#include "base/bytes.h"

enum { DECISION_VERSION = 2, DECISION_VERSION_OLD = 1 };

void decision_list_begin(struct buf *body)
{
    buf_put_varint(body, DECISION_VERSION);
}

void decision_put(struct buf *body, const struct decision *decision)
{
    buf_put(body, decision->trace_id, sizeof decision->trace_id);
    buf_put_varint(body, decision->from);
    buf_put_varint(body, decision->through);
    buf_put_varint(body, outcome_pack(&decision->outcome));
    buf_put_varint(body, decision->votes.len);
    buf_put(body, decision->votes.ptr, decision->votes.len);
}

enum mg_err decision_read(struct decision_reader *reader, struct str body)
{
    uint64_t version;
    const uint8_t *at = (const uint8_t *)body.ptr, *end = at + body.len;

    if (!(at = get_varint(at, end, &version)) || version < DECISION_VERSION_OLD || version > DECISION_VERSION)
        return MG_E_FORMAT;
    *reader = (struct decision_reader){ at, end, (unsigned)version };
    return MG_OK;
}

static const uint8_t *read_old_outcome(const uint8_t *at, const uint8_t *end, struct decision *out)
{
    uint64_t rules;

    if (end - at < 2)
        return NULL;
    out->outcome = (struct outcome){ .verdict = at[0], .trigger = at[1] };
    if (out->outcome.verdict < VERDICT_KEPT || out->outcome.verdict > VERDICT_DROPPED ||
        out->outcome.trigger < TRIGGER_ROOT || out->outcome.trigger > TRIGGER_EARLY)
        return NULL;
    return get_varint(at + 2, end, &rules);
}

static const uint8_t *read_outcome(const uint8_t *at, const uint8_t *end, struct decision *out)
{
    uint64_t word, len;

    if (!(at = get_varint(at, end, &word)) || !outcome_unpack(word, &out->outcome) || !(at = get_varint(at, end, &len)) ||
        len > DECISION_VOTES_MAX || len > (size_t)(end - at))
        return NULL;
    out->votes = str_n((const char *)at, (size_t)len);
    return at + len;
}

enum mg_err decision_next(struct decision_reader *reader, struct decision *out)
{
    const uint8_t *at = reader->at;

    if (reader->end - at < 16)
        return MG_E_FORMAT;
    memcpy(out->trace_id, at, 16);
    out->votes = STR("");
    if (!(at = get_varint(at + 16, reader->end, &out->from)) || !(at = get_varint(at, reader->end, &out->through)))
        return MG_E_FORMAT;
    at = reader->version == DECISION_VERSION_OLD ? read_old_outcome(at, reader->end, out) : read_outcome(at, reader->end, out);
    if (!at)
        return MG_E_FORMAT;
    reader->at = at;
    return MG_OK;
}
