/* decision.c - see decision.h. Reader and writer of one message live together. */
#include "live/decision.h"
#include "base/bytes.h"

enum { DECISION_VERSION = 1, DECISION_BYTES_MIN = 16 + 1 + 1 + 1 + 1 + 1 };

void decision_list_begin(struct buf *body)
{
    buf_put_varint(body, DECISION_VERSION);
}

void decision_put(struct buf *body, const struct decision *decision)
{
    buf_put(body, decision->trace_id, sizeof decision->trace_id);
    buf_put_varint(body, decision->from);
    buf_put_varint(body, decision->through);
    buf_put_char(body, (char)decision->verdict);
    buf_put_char(body, (char)decision->reason);
    buf_put_varint(body, decision->rules);
}

enum mg_err decision_read(struct decision_reader *reader, struct str body)
{
    uint64_t version;
    const uint8_t *at = (const uint8_t *)body.ptr, *end = at + body.len;

    if (!(at = get_varint(at, end, &version)) || version != DECISION_VERSION)
        return MG_E_FORMAT;
    *reader = (struct decision_reader){ at, end };
    return MG_OK;
}

enum mg_err decision_next(struct decision_reader *reader, struct decision *out)
{
    const uint8_t *at = reader->at;
    uint64_t rules;

    if (reader->end - at < DECISION_BYTES_MIN)
        return MG_E_FORMAT;
    memcpy(out->trace_id, at, 16);
    if (!(at = get_varint(at + 16, reader->end, &out->from)) ||
        !(at = get_varint(at, reader->end, &out->through)) || reader->end - at < 3)
        return MG_E_FORMAT;
    out->verdict = *at++;
    out->reason = *at++;
    if (out->verdict < VERDICT_KEPT || out->verdict > VERDICT_DROPPED ||
        out->reason < REASON_ROOT || out->reason > REASON_EARLY)
        return MG_E_FORMAT;
    if (!(at = get_varint(at, reader->end, &rules)) || rules > UINT32_MAX)
        return MG_E_FORMAT;
    out->rules = (uint32_t)rules;
    reader->at = at;
    return MG_OK;
}

const char *reason_name(enum reason reason)
{
    static const char *const names[] = { "", "root", "deadline", "early" };
    return names[reason];
}
