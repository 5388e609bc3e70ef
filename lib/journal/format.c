/* The headers are written field by field at the offsets of FORMAT.md; a reader accepts a header
 * only when its checksum, seeded with the segment number, is right, and checks even then what later
 * arithmetic relies on. Reserved bytes are under the checksum but not compared: a later version may
 * use them. */
#include "journal/format.h"
#include "base/bytes.h"

static const char segment_magic[8] = {'M', 'G', 'J', 'R', 'N', 'L', '\r', '\n'};
static const char group_magic[4] = {'M', 'G', 'J', 'G'};

enum { SEGMENT_CHECKED = 120, GROUP_CHECKED = 56, RECORD_HEAD_CHECKED = 48, RECORD_CHECKED = 56 };

void segment_head_write(uint8_t out[FORMAT_SEGMENT_HEAD], const struct segment_head *head)
{
    memset(out, 0, FORMAT_SEGMENT_HEAD);
    memcpy(out, segment_magic, sizeof segment_magic);
    put_le32(out + 8, FORMAT_VERSION);
    put_le64(out + 16, head->number);
    put_le64(out + 24, head->nonce);
    put_le64(out + 32, head->first_position);
    put_le64(out + 40, head->log_ns);
    put_le64(out + 48, head->wall_ns);
    put_le64(out + 56, head->prev_number);
    put_le64(out + 64, head->prev_end);
    put_le64(out + 72, head->prev_next_position);
    put_le64(out + SEGMENT_CHECKED, hash64(out, SEGMENT_CHECKED, head->number));
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i])
            return false;
    return true;
}

enum segment_state segment_head_read(const uint8_t in[FORMAT_SEGMENT_HEAD], uint64_t number,
                                     struct segment_head *head)
{
    uint64_t written = get_le64(in + 16);

    if (all_zero(in, FORMAT_SEGMENT_HEAD))
        return SEGMENT_BLANK;
    if (memcmp(in, segment_magic, sizeof segment_magic) != 0 ||
        get_le64(in + SEGMENT_CHECKED) != hash64(in, SEGMENT_CHECKED, written))
        return SEGMENT_DAMAGED;
    if (get_le32(in + 8) != FORMAT_VERSION)
        return SEGMENT_FOREIGN;
    if (written != number)
        return SEGMENT_UNUSED;
    struct segment_head h = {
        .number = written,
        .nonce = get_le64(in + 24),
        .first_position = get_le64(in + 32),
        .log_ns = get_le64(in + 40),
        .wall_ns = get_le64(in + 48),
        .prev_number = get_le64(in + 56),
        .prev_end = get_le64(in + 64),
        .prev_next_position = get_le64(in + 72),
    };
    if (h.first_position > FORMAT_NUMBER_MAX || h.log_ns > FORMAT_NUMBER_MAX ||
        h.prev_next_position > FORMAT_NUMBER_MAX)
        return SEGMENT_DAMAGED;
    *head = h;
    return SEGMENT_BEGUN;
}

void group_head_write(uint8_t out[FORMAT_GROUP_HEAD], const struct group_head *head)
{
    memset(out, 0, FORMAT_GROUP_HEAD);
    memcpy(out, group_magic, sizeof group_magic);
    put_le32(out + 4, head->count);
    put_le64(out + 8, head->bytes);
    put_le64(out + 16, head->first_position);
    put_le64(out + 24, head->log_ns);
    put_le64(out + 32, head->number);
    put_le64(out + 40, head->nonce);
    put_le64(out + GROUP_CHECKED, hash64(out, GROUP_CHECKED, head->number));
}

static bool group_is_consistent(const struct group_head *g)
{
    return g->count > 0 && g->bytes % FORMAT_RECORD_ALIGN == 0 && g->bytes > FORMAT_GROUP_HEAD &&
           (g->bytes - FORMAT_GROUP_HEAD) / FORMAT_RECORD_HEAD >= g->count &&
           g->bytes <= FORMAT_NUMBER_MAX && g->first_position > 0 &&
           g->first_position <= FORMAT_NUMBER_MAX && g->log_ns <= FORMAT_NUMBER_MAX;
}

bool group_head_read(const uint8_t in[FORMAT_GROUP_HEAD], uint64_t number, struct group_head *head)
{
    struct group_head g = {
        .count = get_le32(in + 4),
        .bytes = get_le64(in + 8),
        .first_position = get_le64(in + 16),
        .log_ns = get_le64(in + 24),
        .number = get_le64(in + 32),
        .nonce = get_le64(in + 40),
    };
    if (memcmp(in, group_magic, sizeof group_magic) != 0 || g.number != number ||
        get_le64(in + GROUP_CHECKED) != hash64(in, GROUP_CHECKED, number) ||
        !group_is_consistent(&g))
        return false;
    *head = g;
    return true;
}

static uint64_t record_checksum(const uint8_t *head, const struct journal_record *record,
                                uint64_t number, struct hash64_stream *hash)
{
    hash64_begin(hash, number);
    hash64_add(hash, head, RECORD_CHECKED);
    hash64_add(hash, record->head.ptr, record->head.len);
    hash64_add(hash, record->body.ptr, record->body.len);
    return hash64_end(hash);
}

void record_head_write(uint8_t out[FORMAT_RECORD_HEAD], const struct journal_record *record,
                       uint64_t number, struct hash64_stream *hash)
{
    memset(out, 0, FORMAT_RECORD_HEAD);
    put_le32(out, (uint32_t)record->head.len);
    out[4] = (uint8_t)record->kind;
    out[5] = record->encoding;
    out[6] = record->protocol;
    put_le64(out + 8, record->body.len);
    put_le64(out + 16, record->position);
    put_le64(out + 24, record->log_ns);
    put_le64(out + 32, record->wall_ns);
    put_le64(out + RECORD_HEAD_CHECKED, hash64(out, RECORD_HEAD_CHECKED, number));
    put_le64(out + RECORD_CHECKED, record_checksum(out, record, number, hash));
}

bool record_head_read(const uint8_t in[FORMAT_RECORD_HEAD], uint64_t number,
                      struct journal_record *record)
{
    uint64_t head_bytes = get_le32(in), body_bytes = get_le64(in + 8);

    if (get_le64(in + RECORD_HEAD_CHECKED) != hash64(in, RECORD_HEAD_CHECKED, number) ||
        body_bytes > FORMAT_PAYLOAD_MAX || head_bytes > FORMAT_PAYLOAD_MAX - body_bytes)
        return false;
    *record = (struct journal_record){
        .kind = (enum journal_kind)in[4],
        .encoding = in[5],
        .protocol = in[6],
        .head = {NULL, head_bytes},
        .body = {NULL, body_bytes},
        .position = get_le64(in + 16),
        .log_ns = get_le64(in + 24),
        .wall_ns = get_le64(in + 32),
    };
    return true;
}

bool record_is_whole(const uint8_t in[FORMAT_RECORD_HEAD], const struct journal_record *record,
                     uint64_t number, struct hash64_stream *hash)
{
    return get_le64(in + RECORD_CHECKED) == record_checksum(in, record, number, hash);
}
