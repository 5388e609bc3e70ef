/* tar_check.c - see tar_check.h. A header is believed only with its checksum and a name that stays
 * inside store/, so that what was checked here can be unpacked by anything. */
#include "command/tar_check.h"
#include <inttypes.h>

/* POSIX 1003.1 pax, ustar interchange format. */
enum { NAME_LEN = 100, SIZE_AT = 124, SIZE_LEN = 12, SUM_AT = 148, SUM_LEN = 8, TYPE_AT = 156 };
enum { MAGIC_AT = 257, PREFIX_AT = 345 };

/* Octal up to a NUL or a blank, or with the highest bit set a binary number, as GNU and star have
 * it. */
static bool read_number(const uint8_t *field, size_t len, uint64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;

    if (field[0] == 0x80) {
        for (i = 1; i < len; i++) {
            if (value > UINT64_MAX >> 9)
                return false;
            value = value << 8 | field[i];
        }
        *out = value;
        return true;
    }
    for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(field[i] - '0'); /* at most twelve digits */
    *out = value;
    return i > 0 && (i == len || field[i] == '\0' || field[i] == ' ');
}

static bool sum_is_right(const uint8_t *block)
{
    uint64_t want, sum = 0;

    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
        sum += i >= SUM_AT && i < SUM_AT + SUM_LEN ? ' ' : block[i];
    return read_number(block + SUM_AT, SUM_LEN, &want) && want == sum;
}

static bool name_is_right(const uint8_t *block)
{
    struct str name = str_n(block, strnlen((const char *)block, NAME_LEN)), file;

    if (block[PREFIX_AT] != '\0' || !str_starts(name, STR("store/")))
        return false;
    file = str_n(name.ptr + 6, name.len - 6);
    return file.len > 0 && file.ptr[0] != '.' && !memchr(file.ptr, '/', file.len);
}

static bool is_zero(const uint8_t *block)
{
    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
        if (block[i])
            return false;
    return true;
}

static enum mg_err take_header(struct tar_check *check, struct mg_why *why)
{
    const uint8_t *block = check->block;
    uint64_t size;

    check->n_block = 0;
    if (is_zero(block)) {
        check->n_zero++;
        return MG_OK;
    }
    if (check->n_zero > 0 || memcmp(block + MAGIC_AT, "ustar", 6) != 0 || !sum_is_right(block) ||
        block[TYPE_AT] != '0' || !name_is_right(block) ||
        !read_number(block + SIZE_AT, SIZE_LEN, &size))
        return mg_fail(why, MG_E_FORMAT, "what came is no backup: damaged before byte %" PRIu64,
                       check->bytes);
    check->files++;
    check->left = (size + TAR_BLOCK_BYTES - 1) / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES;
    return MG_OK;
}

enum mg_err tar_check_add(struct tar_check *check, struct str bytes, struct mg_why *why)
{
    while (bytes.len > 0) {
        uint64_t room = check->left ? check->left : TAR_BLOCK_BYTES - check->n_block;
        size_t n = (size_t)MG_MIN((uint64_t)bytes.len, room);
        if (check->left) {
            check->left -= n;
        } else {
            memcpy(check->block + check->n_block, bytes.ptr, n);
            check->n_block += n;
        }
        bytes = str_n(bytes.ptr + n, bytes.len - n);
        check->bytes += n;
        if (check->n_block == TAR_BLOCK_BYTES)
            MG_TRY(take_header(check, why));
    }
    return MG_OK;
}

enum mg_err tar_check_end(const struct tar_check *check, struct mg_why *why)
{
    if (check->left == 0 && check->n_block == 0 && check->n_zero >= 2)
        return MG_OK;
    return mg_fail(why, MG_E_FORMAT, "the backup ended too early, after %" PRIu64 " bytes",
                   check->bytes);
}
