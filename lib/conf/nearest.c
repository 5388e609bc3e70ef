/* nearest.c - see nearest.h. People mistype a letter or two, remember the last part of a key and
 * not its section, or the beginning of a word; the distance of whole keys alone sees only the
 * first, and finds short keys that have nothing in common. */
#include "conf/nearest.h"

enum { BEGINNING_MIN = 4 }; /* letters that say which word was begun */

struct search {
    struct str key, section, last; /* key is section.last; section is empty at the top level */
    struct str best;
    size_t distance;
};

static void search_begin(struct search *search, struct str key)
{
    size_t dot = key.len;

    while (dot > 0 && key.ptr[dot - 1] != '.')
        dot--;
    *search = (struct search){.key = key,
                              .section = str_n(key.ptr, dot ? dot - 1 : 0),
                              .last = str_n(key.ptr + dot, key.len - dot),
                              .best = STR(""),
                              .distance = SIZE_MAX};
}

/* A step: offers the key of a row, or of its section, when it is what the step looks for. */
typedef void offer_fn(struct search *search, struct str known);

/* Of equal ones the first stays. */
static void offer(struct search *search, struct str key, size_t distance)
{
    if (distance >= search->distance)
        return;
    search->best = key;
    search->distance = distance;
}

/* What stands behind the section of the searched key; false: this key is not below it. */
static bool below(const struct search *search, struct str known, struct str *rest)
{
    size_t n = search->section.len;

    *rest = known;
    if (n == 0)
        return true;
    if (known.len <= n || known.ptr[n] != '.' || !str_starts(known, search->section))
        return false;
    *rest = str_n(known.ptr + n + 1, known.len - n - 1);
    return true;
}

static bool is_beginning(struct str a, struct str b)
{
    return MG_MIN(a.len, b.len) >= BEGINNING_MIN && (str_starts(a, b) || str_starts(b, a));
}

/* A word that is begun is as good as the last that is near. */
static void offer_near(struct search *search, struct str key, struct str part, bool may_begin)
{
    size_t most = str_distance_near(search->last), distance = str_distance(search->last, part, most);

    if (distance > most && may_begin && is_beginning(search->last, part))
        distance = most;
    if (distance <= most)
        offer(search, key, distance);
}

static void offer_of_section(struct search *search, struct str known)
{
    struct str rest;

    if (below(search, known, &rest) && !memchr(rest.ptr, '.', rest.len))
        offer_near(search, known, rest, true);
}

static void offer_same_end(struct search *search, struct str known)
{
    size_t at = known.len - MG_MIN(known.len, search->last.len);
    bool is_part = search->last.len && (at == 0 || known.ptr[at - 1] == '.');

    if (is_part && str_ends(known, search->last))
        offer(search, known, str_distance(search->key, known, STR_DISTANCE_MAX));
}

static void offer_section(struct search *search, struct str known)
{
    struct str rest, name, below_it;

    if (below(search, known, &rest) && str_split_at(rest, '.', &name, &below_it))
        offer_near(search, str_n(known.ptr, (size_t)(name.ptr - known.ptr) + name.len), name,
                   false);
}

static void offer_any(struct search *search, struct str known)
{
    offer(search, known, str_distance(search->key, known, STR_DISTANCE_MAX));
}

struct str nearest_key(const struct conf *conf, struct str key, bool with_sections)
{
    offer_fn *const steps[] = { offer_of_section, offer_same_end,
                                with_sections ? offer_section : offer_any, offer_any };
    struct search search;

    search_begin(&search, key);
    for (size_t step = 0; step < MG_COUNT(steps) && search.distance == SIZE_MAX; step++)
        for (size_t i = 0; i < conf->n; i++)
            steps[step](&search, str_of(conf->entries[i].key));
    return search.best;
}
