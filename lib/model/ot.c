/* ot.c - see ot.h.
 *
 * A tracestate is walked, never parsed into a list: its sender decides how many members it has, and at most 32 of them in 512 bytes
 * are ever written. Reader and writer take the first `ot` member and ignore others, which W3C Trace Context 3.3.1.3 forbids; the
 * first valid `th` and `rv` in it count. */
#include "model/ot.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"

enum {
    DIGITS = 14,         /* of a threshold, 4 bits each */
    SIGNIFICANT = 4,     /* digits after the leading f's */
    MEMBERS_MAX = 32,    /* W3C Trace Context 3.3.1.1 */
    STATE_MAX = 512,     /* 3.3.1.5: what everybody must be able to pass on */
    LONG_MEMBER = 128,   /* 3.3.1.5: longer ones go first */
    OT_MAX = 256,        /* a member's value */
    RV_PART = 3 + DIGITS, /* "rv:" and digits */
    DECIMALS = 6          /* these lie at most 1e-5 of a probability apart, rounded thresholds at least 2^-16 of it */
};

/* --- thresholds ----------------------------------------------------------------------------------- */

/* The most that is added carries into the run of f's and stops there: its next digit is not f. */
uint64_t ot_rounded(uint64_t threshold)
{
    unsigned kept = SIGNIFICANT;

    if (threshold >= OT_NEVER)
        return OT_NEVER;
    for (uint64_t rest = threshold << 8; rest >> 60 == 0xf; rest <<= 4)
        kept++;
    if (kept >= DIGITS)
        return threshold;
    unsigned cut = 4 * (DIGITS - kept);
    return (threshold + (UINT64_C(1) << (cut - 1))) >> cut << cut;
}

uint64_t ot_threshold(double probability)
{
    if (!(probability >= 0x1p-56)) /* also NaN */
        return OT_NEVER;
    if (probability >= 1)
        return 0;
    double kept = probability * 0x1p56; /* exact */
    uint64_t whole = (uint64_t)kept;
    return ot_rounded(OT_NEVER - whole - (kept - (double)whole >= 0.5));
}

double ot_probability(uint64_t threshold)
{
    return threshold >= OT_NEVER ? 0 : (double)(OT_NEVER - threshold) * 0x1p-56;
}

double ot_probability_shown(uint64_t threshold)
{
    uint64_t rounded = ot_rounded(threshold);
    double shown = ot_probability(rounded);

    for (int after = 0; after < DECIMALS; after++) {
        char text[32];

        (void)snprintf(text, sizeof text, "%.*e", after, ot_probability(rounded)); /* always fits */
        shown = strtod(text, NULL);
        if (ot_threshold(shown) == rounded)
            break;
    }
    return shown;
}

uint64_t ot_randomness(const uint8_t trace_id[16], const struct ot_state *state)
{
    return state && state->has_rv ? state->rv : get_be64(trace_id + 8) & (OT_NEVER - 1);
}

size_t ot_th_text(uint64_t threshold, char out[OT_TH_MAX])
{
    size_t n = 0;

    assert(threshold < OT_NEVER);
    do {
        out[n++] = "0123456789abcdef"[threshold >> 4 * (DIGITS - 1) & 0xf];
        threshold = threshold << 4 & (OT_NEVER - 1);
    } while (threshold);
    out[n] = '\0';
    return n;
}

/* --- reading -------------------------------------------------------------------------------------- */

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Lower case only. Short ones are extended on the right. */
static bool read_digits(struct str text, uint64_t *out)
{
    uint64_t value = 0;

    if (text.len == 0 || text.len > DIGITS)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!is_digit(c) && !(c >= 'a' && c <= 'f'))
            return false;
        value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *out = value << 4 * (DIGITS - text.len);
    return true;
}

/* Takes the next member off *rest, without the blanks around it; empty ones are none. */
static bool next_member(struct str *rest, struct str *member)
{
    while (str_cut(rest, ',', member)) {
        *member = str_trim(*member);
        if (member->len)
            return true;
    }
    return false;
}

static bool is_ot(struct str member)
{
    return str_starts(member, STR("ot="));
}

static struct str ot_value(struct str member)
{
    return str_n(member.ptr + 3, member.len - 3);
}

static bool read_th(struct str part, uint64_t *out)
{
    return str_starts(part, STR("th:")) && read_digits(str_n(part.ptr + 3, part.len - 3), out);
}

static bool read_rv(struct str part, uint64_t *out)
{
    return part.len == RV_PART && str_starts(part, STR("rv:")) && read_digits(str_n(part.ptr + 3, DIGITS), out);
}

void ot_read(struct str trace_state, struct ot_state *out)
{
    struct str member, part;

    *out = (struct ot_state){ 0 };
    while (next_member(&trace_state, &member)) {
        if (!is_ot(member))
            continue;
        for (struct str rest = ot_value(member); str_cut(&rest, ';', &part);) {
            out->has_th = out->has_th || read_th(part, &out->th);
            out->has_rv = out->has_rv || read_rv(part, &out->rv);
        }
        return;
    }
}

/* --- writing -------------------------------------------------------------------------------------- */

struct draft {
    char text[STATE_MAX];
    size_t len, members;
};

static void draft_put(struct draft *draft, const void *bytes, size_t len)
{
    memcpy(draft->text + draft->len, bytes, len);
    draft->len += len;
}

/* A part of `ot`, behind "ot=" or another part. */
static void draft_put_part(struct draft *draft, struct str part)
{
    if (draft->len > 3)
        draft_put(draft, ";", 1);
    draft_put(draft, part.ptr, part.len);
}

/* "key:value", key [a-z][a-z0-9]*, value [A-Za-z0-9._-]*; what else stands between semicolons would make a strict reader refuse
 * the whole `ot`, and with it what is written here. */
static bool is_sub_key(struct str part)
{
    struct str key, value;

    if (!str_split_at(part, ':', &key, &value) || key.len == 0 || !is_lower(key.ptr[0]))
        return false;
    for (size_t i = 1; i < key.len; i++)
        if (!is_lower(key.ptr[i]) && !is_digit(key.ptr[i]))
            return false;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (!is_lower(c) && !is_digit(c) && !(c >= 'A' && c <= 'Z') && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

static const char *find_rv(struct str value)
{
    uint64_t rv;

    for (struct str part; str_cut(&value, ';', &part);)
        if (read_rv(part, &rv))
            return part.ptr;
    return NULL;
}

/* All sub-keys but th. When they are too long, those at the end go, but never rv: the trace's other spans are judged by it. */
static void draft_put_parts(struct draft *draft, struct str value)
{
    const char *rv = find_rv(value);
    size_t room = 3 + OT_MAX - (rv ? RV_PART + 1 : 0);

    for (struct str part; str_cut(&value, ';', &part);) {
        if (!is_sub_key(part) || str_starts(part, STR("th:")))
            continue;
        if (part.ptr == rv) {
            room += RV_PART + 1;
            draft_put_part(draft, part);
        } else if (room > draft->len && part.len < room - draft->len) {
            draft_put_part(draft, part);
        } else {
            room = draft->len; /* full for all that follow, rv excepted */
        }
    }
}

static void draft_put_ot(struct draft *draft, struct str value, uint64_t threshold)
{
    char th[3 + OT_TH_MAX] = "th:";

    draft_put(draft, "ot=", 3);
    if (threshold < OT_NEVER)
        draft_put_part(draft, str_n(th, 3 + ot_th_text(threshold, th + 3)));
    draft_put_parts(draft, value);
    draft->members = 1;
    if (draft->len == 3)
        *draft = (struct draft){ .len = 0 };
}

struct room {
    size_t members, bytes; /* each member with its comma */
};

static bool room_take(struct room *room, size_t bytes)
{
    if (room->members == 0 || room->bytes < bytes) {
        room->members = 0; /* what follows goes too */
        return false;
    }
    room->members--;
    room->bytes -= bytes;
    return true;
}

/* W3C Trace Context 3.3.1.5: members over 128 characters go first, then those at the end. Of each kind it is a
 * beginning that stays: of the long ones only when all short ones do. */
static void draft_put_others(struct draft *draft, struct str trace_state)
{
    struct room total = { MEMBERS_MAX - draft->members, STATE_MAX + 1 - draft->len - draft->members };
    struct room shorts = total, longs = total;
    struct str member;

    for (struct str rest = trace_state; next_member(&rest, &member);)
        if (!is_ot(member) && member.len <= LONG_MEMBER)
            (void)room_take(&longs, member.len + 1); /* empty when one has none */
    while (next_member(&trace_state, &member)) {
        if (is_ot(member) || !room_take(member.len <= LONG_MEMBER ? &shorts : &longs, member.len + 1))
            continue;
        if (draft->members++)
            draft_put(draft, ",", 1);
        draft_put(draft, member.ptr, member.len);
    }
}

/* Is th what it shall be, and the only one? */
static bool is_written(struct str value, uint64_t threshold)
{
    uint64_t th = OT_NEVER;
    size_t n = 0;

    for (struct str part; str_cut(&value, ';', &part);) {
        if (!str_starts(part, STR("th:")))
            continue;
        n++;
        if (!read_th(part, &th))
            return false;
    }
    return n <= 1 && th == threshold;
}

struct str ot_write_th(struct str trace_state, uint64_t threshold, struct arena *arena)
{
    struct str member, value = STR("");
    struct draft draft = { .len = 0 };
    size_t n = 0;

    for (struct str rest = trace_state; next_member(&rest, &member);)
        if (is_ot(member) && n++ == 0)
            value = ot_value(member);
    if (n <= 1 && is_written(value, threshold))
        return trace_state;
    draft_put_ot(&draft, value, threshold);
    draft_put_others(&draft, trace_state);
    return arena_str(arena, str_n(draft.text, draft.len));
}
