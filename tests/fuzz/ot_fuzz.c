/* ot_fuzz.c - eight bytes of a threshold, little-endian (bit 63: none), and a tracestate of anybody.
 *
 * What is written must be read back as written: th as asked for, rv as it was, the other members and sub-keys in their order, and
 * all of them when they have room. Written again, nothing changes. */
#include <assert.h>

#include "base/bytes.h"
#include "model/ot.h"

enum { OT_MEMBER_MAX = 3 + 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool next(struct str *rest, struct str *member)
{
    while (str_cut(rest, ',', member))
        if ((*member = str_trim(*member)).len)
            return true;
    return false;
}

static bool is_ot(struct str member)
{
    return str_starts(member, STR("ot="));
}

static struct str first_ot(struct str text)
{
    for (struct str member; next(&text, &member);)
        if (is_ot(member))
            return str_n(member.ptr + 3, member.len - 3);
    return STR("");
}

/* Is each other member of `after` one of `before`, in the same order? Then none of them is new. */
static void check_members(struct str before, struct str after)
{
    size_t n_before = 0, n_after = 0, bytes = 0, n_ot = 0;
    struct str was, is;

    for (struct str rest = before; next(&rest, &was);) {
        if (is_ot(was))
            continue;
        n_before++;
        bytes += was.len + 1;
    }
    for (struct str rest = after; next(&rest, &is);) {
        if (is_ot(is)) {
            assert(++n_ot == 1 && is.ptr == after.ptr); /* one, in front */
            continue;
        }
        n_after++;
        do {
            bool is_left = next(&before, &was);
            assert(is_left);
        } while (!str_eq(was, is));
    }
    assert(after.len <= 512 && n_after + n_ot <= 32);
    if (n_before <= 31 && bytes + OT_MEMBER_MAX <= 512)
        assert(n_after == n_before);
}

static void check_parts(struct str before, struct str after)
{
    struct str was, is;

    while (str_cut(&after, ';', &is)) {
        if (str_starts(is, STR("th:")))
            continue;
        do {
            bool is_left = str_cut(&before, ';', &was);
            assert(is_left);
        } while (!str_eq(was, is));
    }
}

static void check_written(struct str before, struct str after, uint64_t threshold)
{
    struct ot_state was, is;

    ot_read(before, &was);
    ot_read(after, &is);
    assert(is.has_th == (threshold < OT_NEVER) && (!is.has_th || is.th == threshold));
    assert(is.has_rv == was.has_rv && is.rv == was.rv);
    if (after.ptr == before.ptr)
        return;
    check_members(before, after);
    check_parts(first_ot(before), first_ot(after));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct arena arena = { 0 };

    if (len < 8)
        return 0;
    uint64_t bits = get_le64(data), threshold = bits >> 63 ? OT_NEVER : ot_rounded(bits & (OT_NEVER - 1));
    struct str before = str_n(data + 8, len - 8), after = ot_write_th(before, threshold, &arena);
    check_written(before, after, threshold);
    assert(ot_write_th(after, threshold, &arena).ptr == after.ptr);
    check_written(after, ot_write_th(after, OT_NEVER, &arena), OT_NEVER);
    arena_fini(&arena);
    return 0;
}
