/* zip_fuzz.c - input: a byte of kind, two of limit (little-endian, in steps of 16), then the body.
 *
 * Whatever the body: no more than the limit comes out, and no more than that and 64 KiB is
 * allocated; the bound never passes the limit and never refuses what the limit takes; what came out
 * once comes out again when exactly that much is allowed, and is too big when one byte less is; and
 * it can be packed and inflated again. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "codec/zip.h"

#define ROOM_SLACK (64u * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static enum mg_err inflate(struct zip *zip, enum zip_kind kind, struct str body, size_t limit,
                           struct buf *out)
{
    *out = (struct buf){0};
    struct mg_why why = {0};
    enum mg_err err = zip_inflate(zip, kind, body, limit, out, &why);
    assert(err == MG_OK || err == MG_E_FORMAT || err == MG_E_TOO_BIG);
    assert((err == MG_OK) == (why.text[0] == '\0'));
    assert(out->len <= limit && out->room <= limit + ROOM_SLACK);
    assert(err == MG_OK || out->len == 0);
    return err;
}

static void check_exact_limits(struct zip *zip, enum zip_kind kind, struct str body,
                               struct str plain)
{
    struct buf out;
    enum mg_err err = inflate(zip, kind, body, plain.len, &out);
    assert(err == MG_OK && str_eq(buf_str(&out), plain));
    buf_fini(&out);
    if (plain.len == 0)
        return;
    err = inflate(zip, kind, body, plain.len - 1, &out);
    assert(err == MG_E_TOO_BIG);
    buf_fini(&out);
}

static void check_round_trip(struct zip *zip, enum zip_kind kind, struct str plain)
{
    struct buf packed, out;
    buf_init(&packed, 2 * plain.len + 1000);
    enum mg_err err = zip_deflate(zip, kind, plain, &packed);
    assert(err == MG_OK);
    size_t bound = zip_bound(kind, buf_str(&packed), plain.len + 1000);
    assert(bound >= plain.len);
    err = inflate(zip, kind, buf_str(&packed), bound, &out);
    assert(err == MG_OK && str_eq(buf_str(&out), plain));
    buf_fini(&packed);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 3)
        return 0;
    struct zip *zip = zip_new();
    enum zip_kind kind = data[0] % (ZIP_ZSTD + 1);
    size_t limit = (size_t)get_le16(data + 1) * 16;
    struct str body = str_n(data + 3, len - 3);
    struct buf out;
    size_t bound = zip_bound(kind, body, limit);
    assert(bound <= limit);
    enum mg_err err = inflate(zip, kind, body, limit, &out);
    if (err == MG_OK) {
        assert(out.len <= bound);
        check_exact_limits(zip, kind, body, buf_str(&out));
        check_round_trip(zip, kind, buf_str(&out));
    }
    buf_fini(&out);
    zip_free(&zip);
    return 0;
}
