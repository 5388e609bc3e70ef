/* decisions_find.c - the decisions about one trace in a run (decisions.h).
 *
 * Hashes are evenly spread, so the place of one is guessed from its value and the neighbours that were read, a window of them at a time:
 * one or two reads in a run of any length. A peer may choose trace ids whose hashes are not; after a few guesses the range is halved. */
#include "store/decisions.h"
#include "base/bytes.h"

enum { WINDOW = 512, GUESSES = 4 };

static uint64_t words_at(const struct decision_run *run)
{
    return run->at + DECISION_HEAD_BYTES + (uint64_t)run->n * 8;
}

static uint64_t times_at(const struct decision_run *run)
{
    return run->at + DECISION_HEAD_BYTES + (uint64_t)run->n * 16;
}

static enum mg_err load_hashes(int fd, const struct decision_run *run, uint32_t first, uint32_t n, uint8_t *out, struct mg_why *why)
{
    return decisions_pread(fd, out, (size_t)n * 8, run->at + DECISION_HEAD_BYTES + (uint64_t)first * 8, why);
}

enum mg_err decisions_load_times(int fd, const struct decision_run *run, uint32_t first, uint32_t n, uint32_t *out, struct mg_why *why)
{
    MG_TRY(decisions_pread(fd, out, (size_t)n * 4, times_at(run) + (uint64_t)first * 4, why));
    for (uint32_t i = 0; i < n; i++)
        out[i] = get_le32(&out[i]);
    return MG_OK;
}

enum mg_err decisions_load(int fd, const struct decision_run *run, uint32_t first, uint32_t n, struct decision *out, struct mg_why *why)
{
    uint8_t piece[WINDOW * 8];

    for (uint32_t done = 0, count; done < n; done += count) {
        count = MG_MIN(n - done, (uint32_t)WINDOW);
        MG_TRY(load_hashes(fd, run, first + done, count, piece, why));
        for (uint32_t i = 0; i < count; i++)
            out[done + i] = (struct decision){ .hash = get_le64(piece + (size_t)i * 8) };
        MG_TRY(decisions_pread(fd, piece, (size_t)count * 8, words_at(run) + (uint64_t)(first + done) * 8, why));
        for (uint32_t i = 0; i < count; i++)
            out[done + i].word = get_le64(piece + (size_t)i * 8);
        MG_TRY(decisions_pread(fd, piece, (size_t)count * 4, times_at(run) + (uint64_t)(first + done) * 4, why));
        for (uint32_t i = 0; i < count; i++)
            out[done + i].time_s = get_le32(piece + (size_t)i * 4);
    }
    return MG_OK;
}

/* [low, high]: where the first entry that is not below the hash may be; the hashes outside that were read last. */
struct range { uint32_t low, high; uint64_t low_hash, high_hash; unsigned guesses; };

/* Where a window is read: around the guess, or in the middle. */
static uint32_t window_at(struct range *range, uint64_t hash)
{
    uint64_t middle = range->low + (range->high - range->low) / 2;

    if (range->guesses++ < GUESSES && range->high_hash > range->low_hash)
        middle = range->low + (uint64_t)((unsigned __int128)(hash - range->low_hash) * (range->high - range->low) /
                                         ((unsigned __int128)(range->high_hash - range->low_hash) + 1));
    middle = middle > WINDOW / 2 ? middle - WINDOW / 2 : 0;
    return (uint32_t)MG_MIN(MG_MAX(middle, (uint64_t)range->low), (uint64_t)range->high - WINDOW);
}

static uint32_t lower_bound(const uint8_t *hashes, uint32_t n, uint64_t hash)
{
    uint32_t low = 0, high = n;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (get_le64(hashes + (size_t)middle * 8) < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first entry that is not below the hash; n: none. */
static enum mg_err seek(int fd, const struct decision_run *run, uint64_t hash, uint32_t *out, bool *is_there, struct mg_why *why)
{
    struct range range = { 0, run->n, 0, UINT64_MAX, 0 };
    uint8_t window[WINDOW * 8];
    uint32_t first, n, at;

    *is_there = false;
    for (;;) {
        n = MG_MIN(range.high - range.low, (uint32_t)WINDOW);
        first = n < WINDOW ? range.low : window_at(&range, hash);
        MG_TRY(load_hashes(fd, run, first, n, window, why));
        at = lower_bound(window, n, hash);
        if (at == n && first + n < range.high) {
            range.low = first + n;
            range.low_hash = MG_MIN(get_le64(window + (size_t)(n - 1) * 8), hash);
        } else if (at == 0 && first > range.low) {
            range.high = first;
            range.high_hash = MG_MAX(get_le64(window), hash);
            *is_there = get_le64(window) == hash;
        } else {
            *out = first + at;
            *is_there = at < n ? get_le64(window + (size_t)at * 8) == hash : *is_there && first + n == range.high;
            return MG_OK;
        }
    }
}

enum mg_err decisions_find(int fd, const struct decision_run *run, uint64_t hash, struct decision *out, size_t room, size_t *n, struct mg_why *why)
{
    uint32_t first, end = run->n, count;
    bool is_there, unused;

    *n = 0;
    MG_TRY(seek(fd, run, hash, &first, &is_there, why));
    if (!is_there)
        return MG_OK;
    if (hash != UINT64_MAX)
        MG_TRY(seek(fd, run, hash + 1, &end, &unused, why));
    count = end > first ? end - first : 0; /* not sorted: damaged, and nothing is found */
    count = (uint32_t)MG_MIN((size_t)count, room);
    MG_TRY(decisions_load(fd, run, end - count, count, out, why));
    for (uint32_t i = 0; i < count / 2; i++) { /* they stand oldest first */
        struct decision other = out[i];
        out[i] = out[count - 1 - i];
        out[count - 1 - i] = other;
    }
    *n = count;
    return MG_OK;
}
