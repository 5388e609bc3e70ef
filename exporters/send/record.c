/* A batch is packed once: as it is sent, when the wire sends it packed. Else by zstd at its fastest level, because OTLP repeats every
 * key and resource. Measured with requests of a demo shop: 84 KB become a ninth at 840 MB/s (unpacked at 2.3 GB/s), 1 MiB a tenth at
 * 1.1 GB/s: as fast as the disk would take them plain, and the queue holds ten times as much. 4 KiB become a third at 260 MB/s, 1 KiB
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

/* Behind the head. */
static enum mg_err body_put(struct zip *zip, enum zip_kind wanted, struct str plain, struct buf *out, enum zip_kind *made)
{
    size_t head = out->len;
    *made = wanted == ZIP_IDENTITY && plain.len >= PACK_MIN ? ZIP_ZSTD : wanted;
    MG_TRY(zip_deflate(zip, *made, plain, out));
    if (wanted != ZIP_IDENTITY || *made == ZIP_IDENTITY || out->len - head <= plain.len - plain.len / PACK_GAIN)
        return MG_OK;
    *made = ZIP_IDENTITY;
    out->len = head;
    return buf_append(out, plain.ptr, plain.len);
}

/* One allocation: the head, then the body. It begins where record.head does. */
enum mg_err record_pack(struct zip *zip, enum zip_kind wanted, const struct send_item *item, bool is_first, uint64_t wall_ns,
                        struct journal_record *record)
{
    struct buf memory;
    enum zip_kind made;
    if (item->body.len > plain_max)
        return MG_E_TOO_BIG;
    buf_init(&memory, SIZE_MAX);
    MG_TRY(buf_reserve(&memory, HEAD_MAX));
    size_t head = memory.len = head_write((uint8_t *)memory.ptr, item, is_first);
    enum mg_err err = body_put(zip, wanted, buf_str(&item->body), &memory, &made);
    if (err != MG_OK) {
        buf_fini(&memory);
        return err;
    }
    size_t len = memory.len;
    char *bytes = mem_grow(memory.ptr, len);
    *record = (struct journal_record){
        .kind = JOURNAL_BODY,
        .encoding = (uint8_t)made,
        .wall_ns = wall_ns,
        .head = str_n(bytes, head),
        .body = str_n(bytes + head, len - head),
    };
    return MG_OK;
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

static enum mg_err plain_put(struct zip *zip, const struct journal_record *record, const struct record_meta *meta, struct buf *out,
                             struct mg_why *why)
{
    size_t plain = (size_t)meta->plain_bytes;
    if (zip_inflate(zip, record->encoding, record->body, plain, out, NULL) == MG_OK && out->len == plain)
        return MG_OK;
    return mg_fail(why, MG_E_FORMAT, "a batch that cannot be inflated, or was cut");
}

enum mg_err record_unpack(struct zip *zip, enum zip_kind wanted, const struct journal_record *record, const struct record_meta *meta,
                          struct buf *out, struct mg_why *why)
{
    MG_AUTO(buf_fini) struct buf plain = {0};
    if (record->encoding != ZIP_IDENTITY && record->encoding != ZIP_GZIP && record->encoding != ZIP_ZSTD)
        return mg_fail(why, MG_E_FORMAT, "a batch in an encoding that is not read here");
    if (wanted == ZIP_IDENTITY)
        return plain_put(zip, record, meta, out, why);
    if (record->encoding == wanted)
        return buf_append(out, record->body.ptr, record->body.len);
    buf_init(&plain, SIZE_MAX);
    MG_TRY(plain_put(zip, record, meta, &plain, why));
    return zip_deflate(zip, wanted, buf_str(&plain), out);
}
