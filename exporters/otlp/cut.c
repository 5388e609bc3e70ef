/* How it works: one walk over request, ResourceSpans and ScopeSpans, which copies what it does not go into. A group is
 * opened before it is known whether a span will be in it, and taken back when none was. */
#include "otlp/cut.h"
#include "model/wire.h"

struct cut {
    size_t from, to;
    size_t at; /* number of the next span */
    struct buf *out;
};

/* The field that is gone into: resource_spans of the request, scope_spans of those, spans of these. */
static const uint32_t inner[] = {1, 2, 2};
enum { SPANS = MG_COUNT(inner) - 1 };

static enum mg_err group_cut(struct cut *cut, struct str group, unsigned level);

static enum mg_err inner_cut(struct cut *cut, const struct wire_field *field, unsigned level)
{
    struct buf *out = cut->out;
    size_t before = out->len, first = cut->at;

    if (level == SPANS) {
        if (cut->at >= cut->from && cut->at < cut->to)
            buf_put_str(out, field->whole);
        cut->at++;
        return MG_OK;
    }
    size_t mark = wire_open(out, field->number);
    MG_TRY(group_cut(cut, field->bytes, level + 1));
    if (MG_MAX(first, cut->from) < MG_MIN(cut->at, cut->to))
        wire_close(out, mark);
    else
        out->len = before;
    return MG_OK;
}

static enum mg_err group_cut(struct cut *cut, struct str group, unsigned level)
{
    const uint8_t *at = wire_begin(group), *end = wire_end(group);
    struct wire_field field;
    int more;

    while ((more = wire_next(&at, end, &field)) == 1)
        if (field.number == inner[level] && field.type == WIRE_BYTES)
            MG_TRY(inner_cut(cut, &field, level));
        else
            buf_put_str(cut->out, field.whole);
    return more < 0 ? MG_E_FORMAT : MG_OK;
}

enum mg_err request_cut(struct str request, size_t from, size_t to, struct buf *out)
{
    struct cut cut = {.from = from, .to = to, .out = out};

    return group_cut(&cut, request, 0);
}
