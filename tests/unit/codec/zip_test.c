#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <malloc.h>
#include <zlib.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "codec/zip.h"

#define KIB  1024u
#define MIB  (1024u * 1024)
#define TEXT "Meshglass keeps the traces that matter. Meshglass keeps them whole.\n"

/* Made by gzip 1.12, zstd 1.5.4 and Python's zlib on a shell, not by the code under test. */
#define GZIP_TEXT /* gzip -n */                                                                    \
    "1f8b0800000000000003f34d2dce48cf492c2e56c84e4d2d285628c9485528294a4c4e0531134b1472134b4a"     \
    "528bf4147c31d5e52a9467e4e7a4ea7101005267965044000000"
#define GZIP_NAMED /* gzip -9 -N: with a time and a name */                                        \
    "1f8b0808eafe066b02037465787400f34d2dce48cf492c2e56c84e4d2d285628c9485528294a4c4e0531134b"     \
    "1472134b4a528bf4147c31d5e52a9467e4e7a4ea7101005267965044000000"
#define GZIP_TWO /* gzip -n of "abc", then of "defgh" */                                           \
    "1f8b08000000000000034b4c4a0600c2412435030000001f8b08000000000000034b494d4bcf00003982e783"     \
    "05000000"
#define GZIP_EMPTY "1f8b080000000000000303000000000000000000"
#define ZLIB_TEXT                                                                                  \
    "789cf34d2dce48cf492c2e56c84e4d2d285628c9485528294a4c4e0531134b1472134b4a528bf4147c31d5e5"     \
    "2a9467e4e7a4ea7101006a5918d3"
#define RAW_TEXT /* deflate without a wrapper */                                                   \
    "f34d2dce48cf492c2e56c84e4d2d285628c9485528294a4c4e0531134b1472134b4a528bf4147c31d5e52a94"     \
    "67e4e7a4ea710100"
#define ZSTD_TEXT                                                                                  \
    "28b52ffd2444bd0100d4024d657368676c617373206b65657073207468652074726163656174206d61747465"     \
    "722e206d2077686f6c652e0a02004ba5cf411903a3323adb"
#define ZSTD_UNSIZED_TAIL /* from a pipe: no size in the frame; the window byte is before this */  \
    "cd010014034d657368676c617373206b6565707320746865207472616365732074686174206d61747465722e"     \
    "206d2077686f6c652e0a010058892a03a3323adb"
#define ZSTD_FRAMES /* "abc", a skippable frame, "defgh" without a checksum */                     \
    "28b52ffd2403190000616263990977ad502a4d180300000078797a28b52ffd20052900006465666768"
#define ZSTD_EMPTY "28b52ffd240001000099e9d851"

static struct zip *zip;
static struct buf out;

static int set_up(void **state)
{
    (void)state;
    zip = zip_new();
    buf_init(&out, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_fini(&out);
    zip_free(&zip);
    return 0;
}

/* Inflates from memory of exactly the body's size, so that a sanitizer sees a byte read too far. */
static enum mg_err inflate_copy(enum zip_kind kind, struct str body, size_t limit)
{
    char *copy = mem_copy(body.ptr, body.len);
    struct mg_why why = {0};
    enum mg_err err = zip_inflate(zip, kind, str_n(copy, body.len), limit, &out, &why);
    mem_free(copy);
    assert_int_equal(err != MG_OK, why.text[0] != '\0');
    assert_true(out.len <= limit && out.limit >= limit);
    if (err != MG_OK)
        assert_int_equal(out.len, 0);
    return err;
}

static struct str from_hex(const char *hex, uint8_t *bytes)
{
    size_t n = strlen(hex) / 2;
    assert_true(hex_decode(str_of(hex), bytes, n));
    return str_n(bytes, n);
}

static const struct {
    enum zip_kind kind;
    const char *hex, *text;
    size_t bound;
} foreign[] = {
    {ZIP_GZIP, GZIP_TEXT, TEXT, 68},
    {ZIP_GZIP, GZIP_NAMED, TEXT, 68},
    {ZIP_GZIP, GZIP_TWO, "abcdefgh", 1000},
    {ZIP_GZIP, GZIP_TEXT GZIP_EMPTY, TEXT, 1000},
    {ZIP_GZIP, GZIP_EMPTY, "", 0},
    {ZIP_DEFLATE, ZLIB_TEXT, TEXT, 1000},
    {ZIP_ZSTD, ZSTD_TEXT, TEXT, 68},
    {ZIP_ZSTD, "28b52ffd0458" ZSTD_UNSIZED_TAIL, TEXT, 1000}, /* one block of a large window */
    {ZIP_ZSTD, "28b52ffd0488" ZSTD_UNSIZED_TAIL, TEXT,
     1000}, /* zstd --long=27: 128 MiB, the largest */
    {ZIP_ZSTD, "28b52ffd0400" ZSTD_UNSIZED_TAIL, TEXT, 1000}, /* 1 KiB, the smallest */
    {ZIP_ZSTD, ZSTD_FRAMES, "abcdefgh", 8},
    {ZIP_ZSTD, ZSTD_EMPTY, "", 0},
    {ZIP_ZSTD, ZSTD_TEXT ZSTD_FRAMES, TEXT "abcdefgh", 76},
};

static void what_others_wrote(void **state)
{
    (void)state;
    uint8_t bytes[300];
    for (size_t i = 0; i < MG_COUNT(foreign); i++) {
        struct str body = from_hex(foreign[i].hex, bytes);
        assert_int_equal(inflate_copy(foreign[i].kind, body, 1000), MG_OK);
        assert_true(str_eq(buf_str(&out), str_of(foreign[i].text)));
        assert_int_equal(zip_bound(foreign[i].kind, body, 1000), foreign[i].bound);
    }
}

static void limits_at_below_and_above(void **state)
{
    (void)state;
    uint8_t bytes[300];
    for (size_t i = 0; i < MG_COUNT(foreign); i++) {
        struct str body = from_hex(foreign[i].hex, bytes);
        size_t len = strlen(foreign[i].text);
        for (size_t limit = len > 2 ? len - 2 : 0; limit <= len + 2; limit++) {
            buf_fini(&out);
            enum mg_err want = limit < len ? MG_E_TOO_BIG : MG_OK;
            assert_int_equal(inflate_copy(foreign[i].kind, body, limit), want);
            assert_true(out.room <= limit + 64 * KIB);
            assert_true(zip_bound(foreign[i].kind, body, limit) <= limit);
        }
        if (len > 0)
            assert_int_equal(inflate_copy(foreign[i].kind, body, 0), MG_E_TOO_BIG);
    }
}

/* A cut body is never taken, except between whole members. */
static void cut_at_every_byte(void **state)
{
    (void)state;
    uint8_t bytes[300];
    for (size_t i = 0; i < MG_COUNT(foreign); i++) {
        struct str body = from_hex(foreign[i].hex, bytes);
        for (size_t len = 0; len < body.len; len++) {
            enum mg_err err = inflate_copy(foreign[i].kind, str_n(body.ptr, len), 1000);
            if (err == MG_OK)
                assert_true(len >= 12 && str_starts(str_of(foreign[i].text), buf_str(&out)));
            else
                assert_int_equal(err, MG_E_FORMAT);
            (void)zip_bound(foreign[i].kind, str_n(body.ptr, len), 1000);
        }
    }
    struct str one = from_hex(GZIP_TEXT, bytes);
    for (size_t len = 0; len < one.len; len++)
        assert_int_equal(inflate_copy(ZIP_GZIP, str_n(one.ptr, len), 1000), MG_E_FORMAT);
}

static void garbage_behind_the_body(void **state)
{
    (void)state;
    static const char *const tails[] = {"00",       "ff",       "0000000000000000",
                                        "1f",       "1f8b",     "1f8b08",
                                        "1f8b0800", "28b52ffd", "504b0304504b0304504b0304"};
    uint8_t bytes[400];
    char hex[800];
    for (size_t i = 0; i < MG_COUNT(foreign); i++) {
        for (size_t t = 0; t < MG_COUNT(tails); t++) {
            snprintf(hex, sizeof hex, "%s%s", foreign[i].hex, tails[t]);
            assert_int_equal(inflate_copy(foreign[i].kind, from_hex(hex, bytes), 1000),
                             MG_E_FORMAT);
        }
    }
}

static const struct {
    enum zip_kind kind;
    const char *hex;
    const char *what;
} wrong[] = {
    {ZIP_GZIP, "", "nothing"},
    {ZIP_DEFLATE, "", "nothing"},
    {ZIP_ZSTD, "", "nothing"},
    {ZIP_DEFLATE, RAW_TEXT, "raw deflate"},
    {ZIP_GZIP, RAW_TEXT, "raw deflate"},
    {ZIP_GZIP, ZLIB_TEXT, "zlib as gzip"},
    {ZIP_DEFLATE, GZIP_TEXT, "gzip as zlib"},
    {ZIP_ZSTD, GZIP_TEXT, "gzip as zstd"},
    {ZIP_GZIP, ZSTD_TEXT, "zstd as gzip"},
    {ZIP_GZIP, GZIP_TWO "00", "garbage behind two members"},
    {ZIP_ZSTD, "28b52ffd0490" ZSTD_UNSIZED_TAIL, "zstd --long=28: a window of 256 MiB"},
    {ZIP_ZSTD, "28b52ffd0489" ZSTD_UNSIZED_TAIL, "a window of 144 MiB"},
    {ZIP_ZSTD, "28b52ffd2c0001000099e9d851", "a reserved bit"},
    {ZIP_ZSTD, "28b52ffd2003070000616263", "a reserved kind of block"},
    {ZIP_ZSTD, "28b52ffd2004190000616263", "a size its blocks cannot hold"},
    {ZIP_ZSTD, "28b52ffd2002190000616263", "a size its blocks pass"},
    {ZIP_ZSTD,
     "28b52ffd2105"
     "07"
     "2900006465666768",
     "a dictionary"},
    {ZIP_ZSTD, "28b52ffd2403190000616263990977ae", "a wrong checksum"},
    {ZIP_ZSTD, "27b52ffd20052900006465666768", "an old magic"},
    {ZIP_DEFLATE, "78bb00000001030000000001", "a preset dictionary"},
};

static void refused(void **state)
{
    (void)state;
    uint8_t bytes[300];
    for (size_t i = 0; i < MG_COUNT(wrong); i++) {
        struct str body = from_hex(wrong[i].hex, bytes);
        if (inflate_copy(wrong[i].kind, body, MIB) != MG_E_FORMAT)
            fail_msg("accepted: %s", wrong[i].what);
        assert_true(zip_bound(wrong[i].kind, body, MIB) <= MIB);
    }
}

/* A checksum finds every wrong bit of data and trailer, but for those that fill up the last byte.
 */
static void one_bit_wrong(void **state)
{
    (void)state;
    uint8_t bytes[300];
    for (size_t i = 0; i < MG_COUNT(foreign); i++) {
        struct str body = from_hex(foreign[i].hex, bytes);
        for (size_t bit = 0; bit < body.len * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            enum mg_err err = inflate_copy(foreign[i].kind, body, 1000);
            assert_true(err == MG_OK || err == MG_E_FORMAT || err == MG_E_TOO_BIG);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    struct str body = from_hex(GZIP_TEXT, bytes);
    for (size_t bit = 80; bit < body.len * 8;
         bit++) { /* behind the head, whose time and system are free */
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum mg_err err = inflate_copy(ZIP_GZIP, body, MIB);
        assert_true(err == MG_E_FORMAT || (err == MG_OK && str_eq(buf_str(&out), STR(TEXT))));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* ---- bombs ---- */

#define MEBIBYTE_PACKED_MAX                                                                        \
    2000u /* what zlib's best level makes of a mebibyte of zeros, and some room */

/* A mebibyte of zeros as whole bytes of deflate that need nothing before them. */
static size_t deflate_mebibyte(Bytef *to)
{
    z_stream z = {0};
    Bytef *zeros = mem_zero(1, MIB);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = zeros;
    z.avail_in = MIB;
    z.next_out = to;
    z.avail_out = MEBIBYTE_PACKED_MAX;
    assert_int_equal(deflate(&z, Z_FULL_FLUSH), Z_OK);
    assert_true(z.avail_in == 0 && z.avail_out > 0);
    size_t made = MEBIBYTE_PACKED_MAX - z.avail_out;
    deflateEnd(&z);
    mem_free(zeros);
    return made;
}

/* Checksum of so many mebibytes of zeros. */
static uLong sum_of_zeros(bool gzip, unsigned mebibytes)
{
    Bytef *zeros = mem_zero(1, MIB);
    uLong one = gzip ? crc32(0, zeros, MIB) : adler32(1, zeros, MIB);
    uLong sum = gzip ? 0 : 1;
    for (unsigned i = 0; i < mebibytes; i++)
        sum = gzip ? crc32_combine(sum, one, MIB) : adler32_combine(sum, one, MIB);
    mem_free(zeros);
    return sum;
}

/* A correct body of so many mebibytes of zeros. */
static void make_zeros(enum zip_kind kind, unsigned mebibytes, struct buf *body)
{
    Bytef one[MEBIBYTE_PACKED_MAX];
    uint8_t tail[8];
    size_t n = deflate_mebibyte(one);
    bool gzip = kind == ZIP_GZIP;
    uLong sum = sum_of_zeros(gzip, mebibytes);
    buf_init(body, 4 * MIB);
    buf_put(body, gzip ? "\x1f\x8b\x08\0\0\0\0\0\0\xff" : "\x78\x9c", gzip ? 10 : 2);
    for (unsigned i = 0; i < mebibytes; i++)
        buf_put(body, one, n);
    buf_put(body, "\x03\0", 2); /* an empty last block */
    put_le32(tail, gzip ? (uint32_t)sum : __builtin_bswap32((uint32_t)sum));
    put_le32(tail + 4, mebibytes * MIB);
    buf_put(body, tail, gzip ? 8 : 4);
    assert_int_equal(buf_err(body), MG_OK);
}

static void bomb(enum zip_kind kind, struct str body)
{
    struct buf small = {0};
    struct mg_why why;
    assert_int_equal(zip_inflate(zip, kind, body, MIB, &small, &why), MG_E_TOO_BIG);
    assert_true(small.room <= MIB + 64 * KIB);
    assert_int_equal(small.len, 0);
    assert_int_equal(zip_bound(kind, body, MIB), MIB);
    buf_fini(&small);
}

static void a_gibibyte_of_zeros(void **state)
{
    (void)state;
    struct buf body;
    make_zeros(ZIP_GZIP, 1024, &body);
    bomb(ZIP_GZIP, buf_str(&body));
    put_le32(body.ptr + body.len - 4,
             64 * KIB); /* a lie, below the limit: corrupt; at it: too big */
    assert_int_equal(zip_inflate(zip, ZIP_GZIP, buf_str(&body), MIB, &out, NULL), MG_E_FORMAT);
    assert_int_equal(zip_inflate(zip, ZIP_GZIP, buf_str(&body), 64 * KIB, &out, NULL),
                     MG_E_TOO_BIG);
    assert_true(out.room <= 128 * KIB);
    buf_fini(&body);

    make_zeros(ZIP_DEFLATE, 1024, &body);
    bomb(ZIP_DEFLATE, buf_str(&body));
    buf_fini(&body);
}

static void two_mebibytes_at_below_and_above(void **state)
{
    (void)state;
    for (enum zip_kind kind = ZIP_GZIP; kind <= ZIP_DEFLATE; kind++) {
        struct buf body;
        make_zeros(kind, 2, &body);
        for (size_t limit = 2 * MIB - 1; limit <= 2 * MIB + 1; limit++) {
            enum mg_err want = limit < 2 * MIB ? MG_E_TOO_BIG : MG_OK;
            assert_int_equal(inflate_copy(kind, buf_str(&body), limit), want);
            assert_int_equal(out.len, want == MG_OK ? 2 * MIB : 0);
        }
        buf_fini(&body);
    }
}

/* Members that are small each, and a last one whose size is a fraction of the whole. */
static void many_members(void **state)
{
    (void)state;
    struct buf one, body;
    make_zeros(ZIP_GZIP, 1, &one);
    buf_init(&body, MIB);
    for (size_t i = 0; i < 100; i++)
        buf_put(&body, one.ptr, one.len);
    bomb(ZIP_GZIP, buf_str(&body));
    struct str three = str_n(body.ptr, 3 * one.len);
    for (size_t limit = 3 * MIB - 1; limit <= 3 * MIB + 1; limit++) {
        enum mg_err want = limit < 3 * MIB ? MG_E_TOO_BIG : MG_OK;
        assert_int_equal(inflate_copy(ZIP_GZIP, three, limit), want);
        assert_int_equal(out.len, want == MG_OK ? 3 * MIB : 0);
        assert_int_equal(zip_bound(ZIP_GZIP, three, limit), limit);
    }
    buf_fini(&one);
    buf_fini(&body);
}

static void zstd_bombs(void **state)
{
    (void)state;
    /* 8192 blocks that repeat one byte 128 Ki times: a gibibyte, without a size and with one. */
    struct buf body;
    buf_init(&body, MIB);
    for (int sized = 0; sized < 2; sized++) {
        buf_clear(&body);
        buf_put(&body, sized ? "\x28\xb5\x2f\xfd\xa0\0\0\0\x40" : "\x28\xb5\x2f\xfd\0\x58",
                sized ? 9 : 6);
        for (int i = 0; i < 8192; i++) {
            uint32_t head = 128 * KIB << 3 | 1 << 1 | (i == 8191);
            buf_put(&body,
                    (uint8_t[]){(uint8_t)head, (uint8_t)(head >> 8), (uint8_t)(head >> 16), 0}, 4);
        }
        bomb(ZIP_ZSTD, buf_str(&body));
        assert_int_equal(zip_bound(ZIP_ZSTD, buf_str(&body), SIZE_MAX), 1024 * (size_t)MIB);
    }
    /* A frame that claims 2^63 bytes and holds three. */
    static const char claim[] = "\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\0\0\x80\x19\0\0abc";
    assert_int_equal(inflate_copy(ZIP_ZSTD, str_n(claim, sizeof claim - 1), MIB), MG_E_FORMAT);
    buf_fini(&body);
}

/* ---- our own ---- */

static void fill(struct random *random, char *bytes, size_t len, unsigned letters)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)random_below(random, letters);
}

static void what_we_write_reads_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 100, 4095, 4096, 4097, 70000, 300000};
    static const unsigned alphabets[] = {1, 4, 256};
    struct random random;
    struct buf body;
    random_init(&random, 1);
    buf_init(&body, MIB);
    char *bytes = mem_alloc(300000);
    for (size_t i = 0; i < MG_COUNT(sizes); i++) {
        for (size_t a = 0; a < MG_COUNT(alphabets); a++) {
            fill(&random, bytes, sizes[i], alphabets[a]);
            struct str plain = str_n(bytes, sizes[i]);
            for (enum zip_kind kind = ZIP_IDENTITY; kind <= ZIP_ZSTD; kind++) {
                buf_clear(&body);
                buf_put_text(&body, "head");
                assert_int_equal(zip_deflate(zip, kind, plain, &body), MG_OK);
                assert_memory_equal(body.ptr, "head", 4);
                struct str packed = str_n(body.ptr + 4, body.len - 4);
                size_t bound = zip_bound(kind, packed, MIB);
                assert_true(bound >= sizes[i]);
                assert_int_equal(inflate_copy(kind, packed, bound), MG_OK);
                assert_true(str_eq(buf_str(&out), plain));
                if (sizes[i] > 0)
                    assert_int_equal(inflate_copy(kind, packed, sizes[i] - 1), MG_E_TOO_BIG);
            }
        }
    }
    mem_free(bytes);
    buf_fini(&body);
}

/* What the allocator hands out is not empty: here every 16 bits of it say 9, which ISA-L would take for a window
 * of 512 bytes. What repeats is 600 bytes apart. */
static void what_memory_held_before_does_not_matter(void **state)
{
    (void)state;
    enum { PERIOD = 600, TIMES = 20 };
    static const size_t room = 4 * MIB;
    mallopt(M_MMAP_THRESHOLD, 32 * MIB); /* what was freed is handed out again */
    mallopt(M_TRIM_THRESHOLD, 32 * MIB);
    char *words = mem_alloc(room), bytes[PERIOD * TIMES];
    for (size_t i = 0; i < room; i += 2)
        put_le16(words + i, 9);
    struct random random;
    random_init(&random, 3);
    fill(&random, bytes, PERIOD, 256);
    for (size_t i = PERIOD; i < sizeof bytes; i++)
        bytes[i] = bytes[i - PERIOD];
    mem_free(words);
    for (enum zip_kind kind = ZIP_GZIP; kind <= ZIP_DEFLATE; kind++) {
        MG_AUTO(zip_free) struct zip *dirty = zip_new();
        struct buf packed;
        buf_init(&packed, MIB);
        assert_int_equal(zip_deflate(dirty, kind, str_n(bytes, sizeof bytes), &packed), MG_OK);
        assert_true(packed.len < 2 * PERIOD);
        buf_fini(&packed);
    }
}

static void deflate_fits_exactly_or_not_at_all(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof text);
    for (enum zip_kind kind = ZIP_IDENTITY; kind <= ZIP_ZSTD; kind++) {
        struct buf large, tight;
        buf_init(&large, MIB);
        assert_int_equal(zip_deflate(zip, kind, str_n(text, sizeof text), &large), MG_OK);
        for (size_t limit = large.len - 1; limit <= large.len + 1; limit++) {
            buf_init(&tight, limit);
            enum mg_err err = zip_deflate(zip, kind, str_n(text, sizeof text), &tight);
            /* A compressor may refuse a room that would just do; it never writes past it. */
            assert_true(err == MG_OK || err == MG_E_TOO_BIG);
            assert_true(limit >= large.len || err == MG_E_TOO_BIG);
            assert_int_equal(tight.len, err == MG_OK ? large.len : 0);
            assert_int_equal(buf_err(&tight), err);
            buf_fini(&tight);
        }
        buf_fini(&large);
    }
}

/* What zlib makes of all that has come so far; the library that wrote it is another one. */
static int zlib_reads(z_stream *z, struct str packed, char *to, size_t room, size_t *made)
{
    z->next_in = (Bytef *)(uintptr_t)packed.ptr;
    z->avail_in = (uInt)packed.len;
    z->next_out = (Bytef *)to;
    z->avail_out = (uInt)room;
    int result = inflate(z, Z_SYNC_FLUSH);
    assert_int_equal(z->avail_in, 0);
    *made = room - z->avail_out;
    return result;
}

/* Every piece can be read as soon as it was written; the member ends with the last. */
static void pieces_are_flushed(void **state)
{
    (void)state;
    static const size_t sizes[][6] = {
        {1, 0, 1, 100, 0, 7}, {70000, 1, 65536, 300000, 32768, 3}, {0, 0, 0, 0, 0, 0}, {5, 5, 5, 5, 5, 0},
    };
    static const unsigned alphabets[] = {1, 4, 256};
    char *bytes = mem_alloc(300001), *back = mem_alloc(300001);
    struct random random;
    random_init(&random, 1);
    for (size_t i = 0; i < MG_COUNT(sizes) * MG_COUNT(alphabets); i++) {
        const size_t *pieces = sizes[i % MG_COUNT(sizes)];
        struct zip_writer *writer = zip_writer_new();
        z_stream z = {0};
        struct buf whole, packed;
        buf_init(&whole, 2 * MIB);
        buf_init(&packed, 2 * MIB);
        buf_put_text(&packed, "head");
        assert_int_equal(inflateInit2(&z, MAX_WBITS + 16), Z_OK);
        for (size_t k = 0, from = 4, made; k < 6; k++, from = packed.len) {
            fill(&random, bytes, pieces[k], alphabets[i / MG_COUNT(sizes)]);
            assert_int_equal(zip_writer_put(writer, str_n(bytes, pieces[k]), k == 5, &packed), MG_OK);
            int result = zlib_reads(&z, str_n(packed.ptr + from, packed.len - from), back, 300001, &made);
            assert_true(k == 5 ? result == Z_STREAM_END : result == Z_OK || result == Z_BUF_ERROR);
            assert_int_equal(made, pieces[k]);
            assert_memory_equal(back, bytes, made);
            buf_put(&whole, bytes, pieces[k]);
        }
        assert_int_equal(inflateEnd(&z), Z_OK);
        struct str member = str_n(packed.ptr + 4, packed.len - 4);
        assert_memory_equal(packed.ptr, "head", 4);
        assert_int_equal(inflate_copy(ZIP_GZIP, member, whole.len), MG_OK); /* one member and nothing behind it */
        assert_true(str_eq(buf_str(&out), buf_str(&whole)));
        buf_fini(&whole);
        buf_fini(&packed);
        zip_writer_free(&writer);
    }
    mem_free(bytes);
    mem_free(back);
}

static void a_member_without_its_end_is_cut(void **state)
{
    (void)state;
    struct zip_writer *writer = zip_writer_new();
    struct buf packed;
    buf_init(&packed, MIB);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(zip_writer_put(writer, STR(TEXT), false, &packed), MG_OK);
        assert_int_equal(inflate_copy(ZIP_GZIP, buf_str(&packed), MIB), MG_E_FORMAT);
    }
    zip_writer_free(&writer);
    assert_null(writer);
    zip_writer_free(&writer);
    buf_fini(&packed);
}

static void pieces_never_pass_the_limit(void **state)
{
    (void)state;
    char *noise = mem_alloc(10000);
    struct random random;
    random_init(&random, 1);
    fill(&random, noise, 10000, 256);
    for (size_t limit = 0; limit < 12000; limit += 37) {
        struct zip_writer *writer = zip_writer_new();
        struct buf packed;
        buf_init(&packed, limit);
        enum mg_err err = zip_writer_put(writer, str_n(noise, 10000), true, &packed);
        assert_true(packed.len <= limit && packed.room <= limit);
        assert_int_equal(err, limit < 10018 ? MG_E_TOO_BIG : err);
        assert_int_equal(err, limit > 10100 ? MG_OK : err);
        assert_int_equal(err, buf_err(&packed));
        if (!err)
            assert_int_equal(inflate_copy(ZIP_GZIP, buf_str(&packed), 10000), MG_OK);
        zip_writer_free(&writer);
        buf_fini(&packed);
    }
    mem_free(noise);
}

static void segments(void **state)
{
    (void)state;
    char text[5000], packed[6000], back[5001];
    size_t n = 0;
    memset(text, 'a', sizeof text);
    assert_true(zip_zstd_bound(sizeof text) <= sizeof packed);
    assert_true(zip_zstd_pack(zip, text, sizeof text, packed, sizeof packed, &n));
    assert_true(n > 0 && n < 100);
    assert_int_equal(zip_bound(ZIP_ZSTD, str_n(packed, n), MIB), sizeof text); /* sized */
    assert_true(zip_zstd_unpack(zip, packed, n, back, sizeof text));
    assert_memory_equal(text, back, sizeof text);
    assert_false(zip_zstd_unpack(zip, packed, n, back, sizeof text - 1));
    assert_false(zip_zstd_unpack(zip, packed, n, back, sizeof text + 1));
    assert_false(zip_zstd_unpack(zip, packed, n - 1, back, sizeof text));
    assert_false(zip_zstd_unpack(zip, "garbage", 7, back, sizeof text));
    assert_false(zip_zstd_pack(zip, text, sizeof text, packed, n - 1, &n));
    assert_true(zip_zstd_pack(zip, "", 0, packed, sizeof packed, &n));
    assert_true(zip_zstd_unpack(zip, packed, n, back, 0));
}

static void tokens(void **state)
{
    (void)state;
    static const struct {
        const char *token;
        bool known;
        enum zip_kind kind;
        const char *name;
    } rows[] = {
        {"", true, ZIP_IDENTITY, "identity"},
        {"identity", true, ZIP_IDENTITY, "identity"},
        {"gzip", true, ZIP_GZIP, "gzip"},
        {"deflate", true, ZIP_DEFLATE, "deflate"},
        {"zlib", true, ZIP_DEFLATE, "deflate"},
        {"zstd", true, ZIP_ZSTD, "zstd"},
        {"GZIP", false, 0, ""},
        {"x-gzip", false, 0, ""},
        {"none", false, 0, ""},
        {"gzip, gzip", false, 0, ""},
        {" gzip", false, 0, ""},
        {"gzip ", false, 0, ""},
        {"gzi", false, 0, ""},
        {"br", false, 0, ""},
        {"snappy", false, 0, ""},
        {"*", false, 0, ""},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        enum zip_kind kind = ZIP_ZSTD;
        assert_int_equal(zip_kind_parse(str_of(rows[i].token), &kind), rows[i].known);
        if (rows[i].known) {
            assert_int_equal(kind, rows[i].kind);
            assert_string_equal(zip_kind_name(kind), rows[i].name);
        } else {
            assert_int_equal(kind, ZIP_ZSTD); /* untouched */
        }
    }
}

static void identity_and_a_larger_buf(void **state)
{
    (void)state;
    assert_int_equal(inflate_copy(ZIP_IDENTITY, STR("abc"), 3), MG_OK);
    assert_int_equal(inflate_copy(ZIP_IDENTITY, STR("abcd"), 3), MG_E_TOO_BIG);
    assert_int_equal(inflate_copy(ZIP_IDENTITY, STR(""), 0), MG_OK);
    assert_int_equal(inflate_copy(ZIP_IDENTITY, (struct str){0}, 10), MG_OK);
    /* Memory kept from a larger body does not raise the limit of the next. */
    uint8_t bytes[300];
    struct buf kept;
    buf_init(&kept, MIB);
    assert_int_equal(buf_reserve(&kept, 100000), MG_OK);
    for (size_t i = 0; i < MG_COUNT(foreign); i++) {
        struct str body = from_hex(foreign[i].hex, bytes);
        size_t len = strlen(foreign[i].text);
        assert_int_equal(zip_inflate(zip, foreign[i].kind, body, len, &kept, NULL), MG_OK);
        if (len > 0)
            assert_int_equal(zip_inflate(zip, foreign[i].kind, body, len - 1, &kept, NULL),
                             MG_E_TOO_BIG);
        assert_int_equal(kept.limit, MIB);
    }
    buf_fini(&kept);
}

static void free_without_use(void **state)
{
    (void)state;
    struct zip *unused = zip_new();
    zip_free(&unused);
    assert_null(unused);
    zip_free(&unused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_memory_held_before_does_not_matter), /* first: nothing else is free then */
        cmocka_unit_test(what_others_wrote),
        cmocka_unit_test(limits_at_below_and_above),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(garbage_behind_the_body),
        cmocka_unit_test(refused),
        cmocka_unit_test(one_bit_wrong),
        cmocka_unit_test(a_gibibyte_of_zeros),
        cmocka_unit_test(two_mebibytes_at_below_and_above),
        cmocka_unit_test(many_members),
        cmocka_unit_test(zstd_bombs),
        cmocka_unit_test(what_we_write_reads_back),
        cmocka_unit_test(deflate_fits_exactly_or_not_at_all),
        cmocka_unit_test(pieces_are_flushed),
        cmocka_unit_test(a_member_without_its_end_is_cut),
        cmocka_unit_test(pieces_never_pass_the_limit),
        cmocka_unit_test(segments),
        cmocka_unit_test(tokens),
        cmocka_unit_test(identity_and_a_larger_buf),
        cmocka_unit_test(free_without_use),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
