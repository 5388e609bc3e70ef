/* match.c - what was met so far, a flag a condition. A trace without any timestamp never matches.
 */
#include "api/zipkin/match.h"

#include "base/bytes.h"

void zipkin_match_begin(struct zipkin_matcher *matcher, const struct zipkin_search *search)
{
    *matcher = (struct zipkin_matcher){.search = search,
                                       .has_service = search->service.len == 0,
                                       .has_remote = search->remote.len == 0,
                                       .has_name = search->name.len == 0,
                                       .has_duration = search->duration_min_us == 0};
}

static void look_at_time(struct zipkin_matcher *matcher, const struct zipkin_span *span)
{
    uint64_t us = span->timestamp_us;

    if (us == 0)
        return;
    if (matcher->root_us == 0 && get_le64(span->parent_id) == 0)
        matcher->root_us = us;
    if (matcher->first_us == 0 || us < matcher->first_us)
        matcher->first_us = us;
}

static bool has_tag(const struct zipkin_span *span, const struct zipkin_term *term)
{
    for (size_t i = 0; i < span->n_tags; i++)
        if (str_eq(span->tags[i].key, term->key))
            return !term->value.len || str_eq(span->tags[i].value, term->value);
    return false;
}

static bool has_annotation(const struct zipkin_span *span, struct str value)
{
    for (size_t i = 0; i < span->n_annotations; i++)
        if (str_eq(span->annotations[i].value, value))
            return true;
    return false;
}

static bool meets_term(const struct zipkin_span *span, const struct zipkin_term *term)
{
    return has_tag(span, term) || (!term->value.len && has_annotation(span, term->key));
}

static bool meets_duration(const struct zipkin_span *span, const struct zipkin_search *search)
{
    return span->duration_us >= search->duration_min_us &&
           span->duration_us <= search->duration_max_us;
}

void zipkin_match_span(struct zipkin_matcher *matcher, const struct zipkin_span *span)
{
    const struct zipkin_search *search = matcher->search;

    look_at_time(matcher, span);
    if (search->service.len && !str_eq(span->local.service, search->service))
        return;
    matcher->has_service = true;
    matcher->has_remote = matcher->has_remote || str_eq(span->remote.service, search->remote);
    matcher->has_name = matcher->has_name || str_eq(span->name, search->name);
    matcher->has_duration = matcher->has_duration || meets_duration(span, search);
    for (size_t i = 0; i < search->n_terms; i++)
        matcher->has_term[i] = matcher->has_term[i] || meets_term(span, &search->terms[i]);
}

bool zipkin_match_end(const struct zipkin_matcher *matcher, uint64_t *time_us)
{
    const struct zipkin_search *search = matcher->search;
    uint64_t us = matcher->root_us ? matcher->root_us : matcher->first_us;

    if (us == 0 || us < search->start_min_us || us > search->start_max_us)
        return false;
    for (size_t i = 0; i < search->n_terms; i++)
        if (!matcher->has_term[i])
            return false;
    if (!matcher->has_service || !matcher->has_remote || !matcher->has_name ||
        !matcher->has_duration)
        return false;
    *time_us = us;
    return true;
}
