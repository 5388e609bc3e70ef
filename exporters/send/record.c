/* zstd at its fastest level, because OTLP repeats every key and resource. Measured with requests of a demo
 * shop: 84 KB become a ninth at 840 MB/s (unpacked at 2.3 GB/s), 1 MiB a tenth at 1.1 GB/s: as fast as the
 * disk would take them plain, and the queue holds ten times as much. 4 KiB become a third at 260 MB/s, 1 KiB
 * two thirds at 100 MB/s; below that nothing is gained, since a group takes whole pages. What hardly shrinks
 * is stored plain and needs no inflating later. */
#include "send/record.h"
#include "base/bytes.h"
#include "base/mem.h"

enum field { FIELD_VERSION = 1, FIELD_POSITION, FIELD_SPANS, FIELD_PLAIN_BYTES, FIELD_FIRST };
enum {
    VERSION = 1,
    HEAD_MAX = 64,   /* five pairs: 5 + 1 + 10 + 5 + 10 + 1 bytes */
    PACK_MIN = 1024, /* bytes of a body that is worth a frame */
    PACK_GAIN = 16,  /* at least a sixteenth has to be saved */
};
static const uint64_t plain_max = (uint64_t)1 << 30; /* of a journal record */

static uint8_t *put_pair(uint8_t *p, enum field field, uint64_t value)
{
    return put_varint(put_varint(p, (uint64_t)field), value);
}

static size_t head_write(uint8_t *out, const struct send_item *item, bool is_first)
{
    uint8_t *p = put_pair(out, FIELD_VERSION, VERSION);
    p = put_pair(p, FIELD_POSITION, item->position);
    p = put_pair(p, FIELD_SPANS, item->spans);
    p = put_pair(p, FIELD_PLAIN_BYTES, item->body.len);
    if (is_first)
        p = put_pair(p, FIELD_FIRST, 1);
    return (size_t)(p - out);
}

/* One allocation: the head, then the frame or the plain body. It begins where record.head does. */
void record_pack(struct zip *zip, const struct send_item *item, bool is_first, uint64_t wall_ns, struct journal_record *record)
{
    size_t plain = item->body.len, packed = 0;
    bool may_pack = plain >= PACK_MIN && plain <= plain_max;
    size_t room = may_pack ? MG_MAX(zip_zstd_bound(plain), plain) : plain;
    char *memory = mem_alloc(HEAD_MAX + room);
    size_t head_len = head_write((uint8_t *)memory, item, is_first);

    bool is_packed = may_pack &&
                     zip_zstd_pack(zip, item->body.ptr, plain, memory + HEAD_MAX, room, &packed) &&
                     packed <= plain - plain / PACK_GAIN;
    if (!is_packed && plain > 0)
        memcpy(memory + HEAD_MAX, item->body.ptr, plain);
    memory = mem_grow(memory, HEAD_MAX + (is_packed ? packed : plain));
    *record = (struct journal_record){
        .kind = JOURNAL_BODY,
        .encoding = is_packed ? ZIP_ZSTD : ZIP_IDENTITY,
        .wall_ns = wall_ns,
        .head = str_n(memory, head_len),
        .body = str_n(memory + HEAD_MAX, is_packed ? packed : plain),
    };
}

void record_release(struct journal_record *record)
{
    mem_free((char *)record->head.ptr);
    record->head = record->body = str_n(NULL, 0);
}

static bool meta_set(struct record_meta *meta, uint64_t field, uint64_t value)
{
    switch (field) {
    case FIELD_VERSION:
        return value == VERSION;
    case FIELD_POSITION:
        meta->position = value;
        return true;
    case FIELD_SPANS:
        meta->spans = (uint32_t)value;
        return value <= UINT32_MAX;
    case FIELD_PLAIN_BYTES:
        meta->plain_bytes = value;
        return value <= plain_max;
    case FIELD_FIRST:
        meta->is_first = value != 0;
        return true;
    default:
        return true;
    }
}

enum mg_err record_meta_read(struct str head, struct record_meta *meta, struct mg_why *why)
{
    const uint8_t *p = (const uint8_t *)head.ptr, *end = p + head.len;
    struct record_meta read = {0};
    bool has_version = false;

    while (p && p < end) {
        uint64_t field, value;
        p = get_varint(p, end, &field);
        if (p)
            p = get_varint(p, end, &value);
        if (p && !meta_set(&read, field, value))
            return mg_fail(why, MG_E_FORMAT, "a batch of a kind that is not read here (field %llu is %llu)",
                           (unsigned long long)field, (unsigned long long)value);
        has_version |= p && field == FIELD_VERSION;
    }
    if (!p || !has_version)
        return mg_fail(why, MG_E_FORMAT, "a batch with a malformed head");
    *meta = read;
    return MG_OK;
}

enum mg_err record_unpack(struct zip *zip, const struct journal_record *record,
                          const struct record_meta *meta, char **out, struct mg_why *why)
{
    size_t plain = (size_t)meta->plain_bytes;
    bool is_packed = record->encoding == ZIP_ZSTD;

    if (!is_packed && (record->encoding != ZIP_IDENTITY || record->body.len != plain))
        return mg_fail(why, MG_E_FORMAT, "a batch in an encoding that is not read here, or cut");
    char *memory = mem_alloc(plain);
    if (!is_packed)
        memcpy(memory, record->body.ptr, plain);
    else if (!zip_zstd_unpack(zip, record->body.ptr, record->body.len, memory, plain)) {
        mem_free(memory);
        return mg_fail(why, MG_E_FORMAT, "a batch that cannot be inflated");
    }
    *out = memory;
    return MG_OK;
}
