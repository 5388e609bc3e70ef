/* zip.c - every inflater writes straight into the caller's buf, whose limit is ours while it runs,
 * so that not even its growth policy can allocate past what the body may become.
 *
 *   gzip  no second member's head is in it:  libdeflate, with the trailer's ISIZE as room
 *         one may be in it:                  zlib, growing
 *   zlib  no size is anywhere:               libdeflate, with four times the room when it was short
 *   zstd  the frames are walked first:       one shot, with the room their block heads tell
 *
 * Inflating again with more room repeats a third of the last run's work; libdeflate is more than
 * that faster than zlib. The streaming decoder of zstd is not used, because it allocates the window
 * that a frame asks for, up to 128 MiB, and keeps it.
 *
 * No size that was read is trusted: sizes choose the room, and the limit is what is enforced.
 *
 * gzip is written by ISA-L, measured with OTLP requests of 300 KB: 1.7 GB/s at a ratio of 8.0, where
 * libdeflate's lowest level does 0.6 GB/s at 8.3. In reading libdeflate is a fifth faster. */
#include "codec/zip.h"
#include <assert.h>
#include <isa-l/igzip_lib.h>
#include <limits.h>
#include <libdeflate.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>
#include "base/bytes.h"
#include "base/mem.h"

#define GZIP_BYTES_MIN    18    /* RFC 1952: 10 of header, 8 of trailer */
#define DEFLATE_RATIO_MAX 1032  /* 258 bytes by one bit of length and one of distance */
#define ROOM_BYTES_MIN    4096u /* first room where nothing tells the size */
#define ZSTD_BLOCK_MAX    (128u * 1024)
#define ZSTD_WINDOW_MAX   (1u << 27)
#define ZSTD_LEVEL        1
#define STORED_BYTES_MAX  65535 /* of a block that is not compressed, RFC 1951 3.2.4 */
#define PIECE_BYTES_MAX   (1u << 30) /* what ISA-L is given at once: it counts in 32 bits */

struct deflater {
    struct isal_zstream stream;
    uint8_t room[ISAL_DEF_LVL1_DEFAULT]; /* what its level works in */
};

struct zip_writer {
    struct deflater deflater;
    bool has_ended;
};

struct zip {
    struct libdeflate_decompressor *inflater;
    struct deflater *deflater;
    z_stream streamer;  /* gzip members */
    bool has_streamer;
    ZSTD_DCtx *unpacker;
    ZSTD_CCtx *packer;
};

struct zip *zip_new(void)
{
    return MEM_NEW(struct zip);
}

void zip_free(struct zip **zip)
{
    struct zip *z = *zip;
    if (!z)
        return;
    ZSTD_freeCCtx(z->packer);
    ZSTD_freeDCtx(z->unpacker);
    if (z->has_streamer)
        inflateEnd(&z->streamer);
    mem_free(z->deflater);
    libdeflate_free_decompressor(z->inflater);
    mem_free(z);
    *zip = NULL;
}

/* The contexts, each made at its first use. A library that cannot make one is out of memory. */
static struct libdeflate_decompressor *inflater_of(struct zip *zip)
{
    if (!zip->inflater)
        zip->inflater = libdeflate_alloc_decompressor();
    assert(zip->inflater);
    return zip->inflater;
}

static z_stream *streamer_of(struct zip *zip)
{
    if (!zip->has_streamer) {
        int result =
            inflateInit2(&zip->streamer, MAX_WBITS + 16); /* the gzip wrapper and no other */
        assert(result == Z_OK);
        zip->has_streamer = true;
    }
    return &zip->streamer;
}

static ZSTD_DCtx *unpacker_of(struct zip *zip)
{
    if (!zip->unpacker)
        zip->unpacker = ZSTD_createDCtx();
    assert(zip->unpacker);
    return zip->unpacker;
}

static ZSTD_CCtx *packer_of(struct zip *zip)
{
    if (!zip->packer)
        zip->packer = ZSTD_createCCtx();
    assert(zip->packer);
    return zip->packer;
}

static const struct {
    struct str token;
    enum zip_kind kind;
} tokens[] = {
    {STR_INIT("identity"), ZIP_IDENTITY}, {STR_INIT(""), ZIP_IDENTITY},
    {STR_INIT("gzip"), ZIP_GZIP},         {STR_INIT("deflate"), ZIP_DEFLATE},
    {STR_INIT("zlib"), ZIP_DEFLATE},      {STR_INIT("zstd"), ZIP_ZSTD},
};

bool zip_kind_parse(struct str token, enum zip_kind *out)
{
    for (size_t i = 0; i < MG_COUNT(tokens); i++) {
        if (str_eq(tokens[i].token, token)) {
            *out = tokens[i].kind;
            return true;
        }
    }
    return false;
}

const char *zip_kind_name(enum zip_kind kind)
{
    static const char *const names[] = {
        [ZIP_IDENTITY] = "identity",
        [ZIP_GZIP] = "gzip",
        [ZIP_DEFLATE] = "deflate",
        [ZIP_ZSTD] = "zstd",
    };
    assert((size_t)kind < MG_COUNT(names));
    return names[kind];
}

static enum mg_err too_big(struct mg_why *why, size_t limit)
{
    return mg_fail(why, MG_E_TOO_BIG, "the inflated body is larger than %zu bytes", limit);
}

/* Room for `bytes` in all, cut at the buf's limit (which is the caller's while we run). */
static enum mg_err make_room(struct buf *out, size_t bytes)
{
    bytes = MG_MIN(bytes, out->limit);
    return bytes > out->len ? buf_reserve(out, bytes - out->len) : MG_OK;
}

/* Where the next byte goes and how many may follow. The buf may be larger from an earlier body than
 * the limit of this one. Libraries want a pointer even for no bytes. */
static char *free_room(struct buf *out, size_t *avail)
{
    static char nowhere[1];
    *avail = MG_MIN(out->room, out->limit) - out->len;
    return out->ptr ? out->ptr + out->len : nowhere;
}

/* ---- gzip ---- */

/* Whether a member's head stands anywhere behind the first. Compressed bytes may look like one (one
 * body in 128 of a mebibyte); that costs only the slower way. A 1f comes once in 256 bytes, so this
 * runs at the speed of memchr. */
static bool gzip_may_have_more(struct str body)
{
    const uint8_t *p = (const uint8_t *)body.ptr + GZIP_BYTES_MIN;
    const uint8_t *end = (const uint8_t *)body.ptr + body.len;
    while (p < end && (p = memchr(p, 0x1f, (size_t)(end - p)))) {
        if (end - p >= 4 && p[1] == 0x8b && p[2] == 8 && (p[3] & 0xe0) == 0)
            return true;
        p++;
    }
    return false;
}

/* The trailer's size when there is one member only and it can have that size. */
static bool gzip_size(struct str body, size_t *size)
{
    if (body.len < GZIP_BYTES_MIN || gzip_may_have_more(body))
        return false;
    uint32_t claimed = get_le32(body.ptr + body.len - 4);
    if (claimed / DEFLATE_RATIO_MAX > body.len)
        return false;
    *size = claimed;
    return true;
}

static enum mg_err gzip_one(struct zip *zip, struct str body, size_t size, struct buf *out,
                            struct mg_why *why)
{
    MG_TRY(make_room(out, size));
    size_t avail, consumed, made;
    char *to = free_room(out, &avail);
    enum libdeflate_result result = libdeflate_gzip_decompress_ex(
        inflater_of(zip), body.ptr, body.len, to, MG_MIN(avail, size), &consumed, &made);
    if (result == LIBDEFLATE_INSUFFICIENT_SPACE &&
        size >= out->limit) /* below it the trailer lies */
        return too_big(why, out->limit);
    if (result != LIBDEFLATE_SUCCESS)
        return mg_fail(why, MG_E_FORMAT, "the gzip body is corrupt or cut");
    if (consumed != body.len)
        return mg_fail(why, MG_E_FORMAT, "%zu bytes of garbage follow the gzip member",
                       body.len - consumed);
    out->len += made;
    return MG_OK;
}

/* One call of zlib. When the limit is reached, one byte of probe tells whether more would come. */
static int gzip_step(z_stream *stream, struct buf *out, bool *overflows)
{
    Bytef probe;
    size_t avail;
    char *to = free_room(out, &avail);
    bool full = avail == 0;
    uInt given = full ? 1 : (uInt)MG_MIN(avail, (size_t)UINT_MAX);
    stream->next_out = full ? &probe : (Bytef *)to;
    stream->avail_out = given;
    int result = inflate(stream, Z_NO_FLUSH);
    uInt made = given - stream->avail_out;
    *overflows = full && made > 0;
    if (!full)
        out->len += made;
    return result;
}

static enum mg_err gzip_member(z_stream *stream, struct buf *out, struct mg_why *why)
{
    for (;;) {
        if (out->len == out->room)
            MG_TRY(make_room(out, MG_MAX(out->room > SIZE_MAX / 2 ? SIZE_MAX : out->room * 2,
                                         (size_t)ROOM_BYTES_MIN)));
        bool overflows;
        int result = gzip_step(stream, out, &overflows);
        if (overflows)
            return too_big(why, out->limit);
        if (result == Z_STREAM_END)
            return MG_OK;
        /* Room was given, so a call without progress has run out of input. */
        if (result != Z_OK || (stream->avail_in == 0 && stream->avail_out > 0))
            return mg_fail(why, MG_E_FORMAT, "the gzip body is corrupt or cut%s%s",
                           stream->msg ? ": " : "", stream->msg ? stream->msg : "");
    }
}

static enum mg_err gzip_many(struct zip *zip, struct str body, struct buf *out, struct mg_why *why)
{
    if (body.len > UINT_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "the gzip body is larger than 4 GiB");
    z_stream *stream = streamer_of(zip);
    stream->next_in = (Bytef *)(uintptr_t)body.ptr;
    stream->avail_in = (uInt)body.len;
    do {
        inflateReset(stream);
        MG_TRY(gzip_member(stream, out, why));
    } while (stream->avail_in > 0);
    return MG_OK;
}

static enum mg_err gzip_inflate(struct zip *zip, struct str body, struct buf *out,
                                struct mg_why *why)
{
    size_t size;
    if (gzip_size(body, &size))
        return gzip_one(zip, body, size, out, why);
    return gzip_many(zip, body, out, why);
}

/* ---- zlib ---- */

static enum mg_err zlib_inflate(struct zip *zip, struct str body, struct buf *out,
                                struct mg_why *why)
{
    size_t room = body.len > SIZE_MAX / 8 ? SIZE_MAX : MG_MAX(body.len * 8, (size_t)ROOM_BYTES_MIN);
    for (;;) {
        MG_TRY(make_room(out, room));
        size_t avail, consumed, made;
        char *to = free_room(out, &avail);
        enum libdeflate_result result = libdeflate_zlib_decompress_ex(
            inflater_of(zip), body.ptr, body.len, to, avail, &consumed, &made);
        if (result == LIBDEFLATE_INSUFFICIENT_SPACE && avail < out->limit) {
            room = avail > SIZE_MAX / 4 ? SIZE_MAX : avail * 4;
            continue;
        }
        if (result == LIBDEFLATE_INSUFFICIENT_SPACE)
            return too_big(why, out->limit);
        if (result != LIBDEFLATE_SUCCESS)
            return mg_fail(why, MG_E_FORMAT,
                           "the deflate body is corrupt, cut, or lacks the zlib wrapper");
        if (consumed != body.len)
            return mg_fail(why, MG_E_FORMAT, "%zu bytes of garbage follow the deflate body",
                           body.len - consumed);
        out->len += made;
        return MG_OK;
    }
}

/* ---- zstd ---- */

/* RFC 8878 3.1.1.1: the head of a frame.
 *
 *     magic 4 | descriptor 1 | window 0-1 | dictionary id 0-4 | content size 0-8 */
struct zstd_head {
    size_t bytes; /* of the head itself */
    uint64_t window_bytes;
    uint64_t content_bytes;
    bool has_content_bytes;
    bool is_single; /* the content is the window */
    bool has_checksum;
};

static uint64_t zstd_read_size(const uint8_t *p, unsigned bytes)
{
    switch (bytes) {
    case 1:
        return p[0];
    case 2:
        return get_le16(p) + 256u; /* RFC 8878 3.1.1.1.4 */
    case 4:
        return get_le32(p);
    case 8:
        return get_le64(p);
    default:
        return 0;
    }
}

static bool zstd_read_head(const uint8_t *p, size_t len, struct zstd_head *head)
{
    static const uint8_t id_bytes[] = {0, 1, 2, 4}, size_bytes[] = {0, 2, 4, 8};
    if (len < 6 || get_le32(p) != ZSTD_MAGICNUMBER || (p[4] & 8)) /* bit 3 is reserved */
        return false;
    head->is_single = p[4] >> 5 & 1;
    head->has_checksum = p[4] >> 2 & 1;
    unsigned sized = p[4] >> 6 ? size_bytes[p[4] >> 6] : head->is_single;
    head->bytes = 5u + !head->is_single + id_bytes[p[4] & 3] + sized;
    if (head->bytes > len)
        return false;
    head->has_content_bytes = sized > 0;
    head->content_bytes = zstd_read_size(p + head->bytes - sized, sized);
    uint64_t base = UINT64_C(1) << (10 + (p[5] >> 3));
    head->window_bytes = head->is_single ? head->content_bytes : base + base / 8 * (p[5] & 7);
    return true;
}

/* Walks the blocks from *at. *most: what they can hold at most. */
static bool zstd_walk_blocks(const uint8_t *p, size_t len, size_t *at, uint64_t block_max,
                             uint64_t *most)
{
    enum { RAW, REPEATED, COMPRESSED, RESERVED };
    for (bool last = false; !last;) {
        if (len - *at < 3)
            return false;
        uint32_t head = p[*at] | (uint32_t)p[*at + 1] << 8 | (uint32_t)p[*at + 2] << 16;
        uint32_t kind = head >> 1 & 3, size = head >> 3;
        *at += 3;
        last = head & 1;
        if (kind == RESERVED)
            return false;
        *most += kind == COMPRESSED ? block_max : size;
        size_t held = kind == REPEATED ? 1 : size;
        if (len - *at < held)
            return false;
        *at += held;
    }
    return true;
}

/* Steps over the frame at *at and adds what it inflates to at most. false: malformed. */
static bool zstd_walk_frame(struct str body, size_t *at, uint64_t *most)
{
    const uint8_t *p = (const uint8_t *)body.ptr + *at;
    size_t len = body.len - *at, used;
    if (len < 8)
        return false;
    if ((get_le32(p) & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START) {
        if (get_le32(p + 4) > len - 8)
            return false;
        *at += 8 + (size_t)get_le32(p + 4);
        return true;
    }
    struct zstd_head head;
    if (!zstd_read_head(p, len, &head))
        return false;
    if (!head.is_single && head.window_bytes > ZSTD_WINDOW_MAX)
        return false;
    uint64_t held = 0;
    used = head.bytes;
    if (!zstd_walk_blocks(p, len, &used, MG_MIN(head.window_bytes, (uint64_t)ZSTD_BLOCK_MAX),
                          &held))
        return false;
    if (head.has_checksum && len - used < 4)
        return false;
    if (head.has_content_bytes &&
        head.content_bytes > held) /* blocks cannot hold what it promises */
        return false;
    *most += head.has_content_bytes ? head.content_bytes : held;
    *at += used + (head.has_checksum ? 4 : 0);
    return true;
}

/* What the body inflates to at most. It cannot overflow: 4 bytes of body stand for 2^21 at most. */
static bool zstd_measure(struct str body, uint64_t *most)
{
    *most = 0;
    for (size_t at = 0; at < body.len;)
        if (!zstd_walk_frame(body, &at, most))
            return false;
    return body.len > 0;
}

static enum mg_err zstd_inflate(struct zip *zip, struct str body, struct buf *out,
                                struct mg_why *why)
{
    uint64_t most;
    if (!zstd_measure(body, &most))
        return mg_fail(why, MG_E_FORMAT,
                       "the zstd body is corrupt, cut, or asks for a window above 128 MiB");
    MG_TRY(make_room(out, most));
    size_t avail;
    char *to = free_room(out, &avail);
    size_t made = ZSTD_decompressDCtx(unpacker_of(zip), to, avail, body.ptr, body.len);
    if (!ZSTD_isError(made)) {
        out->len += made;
        return MG_OK;
    }
    if (ZSTD_getErrorCode(made) == ZSTD_error_dstSize_tooSmall && most > avail)
        return too_big(why, out->limit);
    return mg_fail(why, MG_E_FORMAT, "the zstd body cannot be inflated: %s",
                   ZSTD_getErrorName(made));
}

/* ---- all kinds ---- */

size_t zip_bound(enum zip_kind kind, struct str body, size_t limit)
{
    size_t size = limit;
    uint64_t most;
    switch (kind) {
    case ZIP_IDENTITY:
        size = body.len;
        break;
    case ZIP_GZIP:
        (void)gzip_size(body, &size); /* keeps the limit when it cannot tell */
        break;
    case ZIP_ZSTD:
        if (zstd_measure(body, &most))
            size = most;
        break;
    case ZIP_DEFLATE:
        break;
    }
    return MG_MIN(size, limit);
}

static enum mg_err inflate_into(struct zip *zip, enum zip_kind kind, struct str body,
                                struct buf *out, struct mg_why *why)
{
    switch (kind) {
    case ZIP_IDENTITY:
        return body.len > out->limit ? too_big(why, out->limit)
                                     : buf_append(out, body.ptr, body.len);
    case ZIP_GZIP:
        return gzip_inflate(zip, body, out, why);
    case ZIP_DEFLATE:
        return zlib_inflate(zip, body, out, why);
    case ZIP_ZSTD:
        return zstd_inflate(zip, body, out, why);
    }
    assert(!"a kind of compression without a row here");
    return MG_E_ENCODING;
}

enum mg_err zip_inflate(struct zip *zip, enum zip_kind kind, struct str body, size_t limit,
                        struct buf *out, struct mg_why *why)
{
    size_t own_limit = MG_MAX(out->limit, limit);
    buf_clear(out);
    out->limit = limit;
    enum mg_err err = inflate_into(zip, kind, body, out, why);
    out->limit = own_limit;
    if (err != MG_OK)
        buf_clear(out);
    return err;
}

/* What nothing can compress is stored: five bytes of head a block (three, and the rest of a byte). The
 * wrapper is gzip's, the larger one. */
static size_t deflate_bound(size_t bytes)
{
    return GZIP_BYTES_MIN + bytes + 5 * (bytes / STORED_BYTES_MAX + 1);
}

static void isal_set(struct deflater *deflater, enum zip_kind kind)
{
    struct isal_zstream *stream = &deflater->stream;
    stream->level = 1;
    stream->level_buf = deflater->room;
    stream->level_buf_size = sizeof deflater->room;
    stream->gzip_flag = kind == ZIP_GZIP ? IGZIP_GZIP : IGZIP_ZLIB;
    stream->hist_bits = 0; /* the whole window; isal_deflate_stateless_init leaves it as it was */
}

/* Bytes written, 0 when they do not fit (no kind writes nothing even for nothing). */
static size_t isal_into(struct zip *zip, enum zip_kind kind, struct str body, char *to, size_t room)
{
    if (!zip->deflater)
        zip->deflater = mem_alloc(sizeof *zip->deflater);
    struct isal_zstream *stream = &zip->deflater->stream;
    isal_deflate_stateless_init(stream);
    isal_set(zip->deflater, kind);
    stream->end_of_stream = 1;
    stream->next_in = (uint8_t *)(uintptr_t)body.ptr;
    stream->avail_in = (uint32_t)body.len;
    stream->next_out = (uint8_t *)to;
    stream->avail_out = (uint32_t)MG_MIN(room, (size_t)UINT32_MAX);
    return isal_deflate_stateless(stream) == COMP_OK ? stream->total_out : 0;
}

static size_t zstd_into(struct zip *zip, struct str body, char *to, size_t room)
{
    size_t made = ZSTD_compressCCtx(packer_of(zip), to, room, body.ptr, body.len, ZSTD_LEVEL);
    return ZSTD_isError(made) ? 0 : made;
}

enum mg_err zip_deflate(struct zip *zip, enum zip_kind kind, struct str body, struct buf *out)
{
    bool is_zstd = kind == ZIP_ZSTD;
    if (kind == ZIP_IDENTITY)
        return buf_append(out, body.ptr, body.len);
    MG_TRY(buf_err(out));
    /* The worst case may pass the limit where the outcome does not: the library finds out. */
    size_t left = out->limit - MG_MIN(out->len, out->limit);
    size_t room = MG_MIN(is_zstd ? ZSTD_compressBound(body.len) : deflate_bound(body.len), left), made = 0;
    MG_TRY(buf_reserve(out, room));
    if (room && (is_zstd || body.len <= ZIP_GZIP_BYTES_MAX))
        made = is_zstd ? zstd_into(zip, body, out->ptr + out->len, room) : isal_into(zip, kind, body, out->ptr + out->len, room);
    if (made == 0) {
        out->failed = true;
        return MG_E_TOO_BIG;
    }
    out->len += made;
    return MG_OK;
}

struct zip_writer *zip_writer_new(void)
{
    struct zip_writer *writer = mem_alloc(sizeof *writer);
    writer->has_ended = false;
    isal_deflate_init(&writer->deflater.stream);
    isal_set(&writer->deflater, ZIP_GZIP);
    writer->deflater.stream.flush = SYNC_FLUSH;
    return writer;
}

void zip_writer_free(struct zip_writer **writer)
{
    mem_free(*writer);
    *writer = NULL;
}

/* Until all of the input is out: then there is room left. */
static enum mg_err isal_flush(struct isal_zstream *stream, struct buf *out)
{
    do {
        size_t left = out->limit - MG_MIN(out->len, out->limit);
        size_t more = MG_MIN(MG_MAX((size_t)stream->avail_in / 8, (size_t)ROOM_BYTES_MIN), left);
        if (more == 0 || buf_reserve(out, more) != MG_OK) {
            out->failed = true;
            return MG_E_TOO_BIG;
        }
        left = MG_MIN(left, out->room - out->len);
        uint32_t room = (uint32_t)MG_MIN(left, (size_t)UINT32_MAX);
        stream->next_out = (uint8_t *)out->ptr + out->len;
        stream->avail_out = room;
        int result = isal_deflate(stream);
        assert(result == COMP_OK); /* it fails only on wrong options */
        out->len += room - stream->avail_out;
    } while (stream->avail_out == 0);
    return MG_OK;
}

enum mg_err zip_writer_put(struct zip_writer *writer, struct str piece, bool is_last, struct buf *out)
{
    struct isal_zstream *stream = &writer->deflater.stream;
    assert(!writer->has_ended);
    writer->has_ended = is_last;
    MG_TRY(buf_err(out));
    do {
        size_t n = MG_MIN(piece.len, (size_t)PIECE_BYTES_MAX);
        stream->next_in = (uint8_t *)(uintptr_t)piece.ptr;
        stream->avail_in = (uint32_t)n;
        piece = str_n(piece.ptr + n, piece.len - n);
        stream->end_of_stream = is_last && piece.len == 0;
        MG_TRY(isal_flush(stream, out));
    } while (piece.len);
    return MG_OK;
}

size_t zip_zstd_bound(size_t bytes)
{
    return ZSTD_compressBound(bytes);
}

bool zip_zstd_pack(struct zip *zip, const void *in, size_t in_bytes, void *out, size_t room,
                   size_t *out_bytes)
{
    size_t made = ZSTD_compressCCtx(packer_of(zip), out, room, in, in_bytes, ZSTD_LEVEL);
    if (ZSTD_isError(made))
        return false;
    *out_bytes = made;
    return true;
}

bool zip_zstd_unpack(struct zip *zip, const void *in, size_t in_bytes, void *out,
                     size_t out_bytes_exact)
{
    size_t made = ZSTD_decompressDCtx(unpacker_of(zip), out, out_bytes_exact, in, in_bytes);
    return !ZSTD_isError(made) && made == out_bytes_exact;
}
