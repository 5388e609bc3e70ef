/* grpc.c - writer and reader of each small gRPC format side by side. */
#include "http/grpc.h"

#include "base/bytes.h"

static const struct {
    char unit;
    uint64_t ns;
} units[] = {
    { 'H', 3600000000000u }, { 'M', 60000000000u }, { 'S', 1000000000u },
    { 'm', 1000000u },       { 'u', 1000u },        { 'n', 1u },
};

#define TIMEOUT_DIGITS_MAX 8

enum mg_err grpc_timeout_parse(struct str text, uint64_t *ns)
{
    uint64_t count, unit_ns = 0;

    if (text.len < 2 || text.len > TIMEOUT_DIGITS_MAX + 1)
        return MG_E_FORMAT;
    for (size_t i = 0; i < MG_COUNT(units); i++) {
        if (units[i].unit == text.ptr[text.len - 1])
            unit_ns = units[i].ns;
    }
    if (unit_ns == 0)
        return MG_E_FORMAT;
    MG_TRY(str_u64(str_n(text.ptr, text.len - 1), &count));

    /* 99999999 hours are 11,000 years and do not fit into 64 bits of nanoseconds. */
    *ns = count > INT64_MAX / unit_ns ? INT64_MAX : count * unit_ns;
    return MG_OK;
}

void grpc_message_escape(struct buf *out, struct str text)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            buf_put_char(out, (char)c);
            continue;
        }
        char escape[3] = { '%', digits[c >> 4], digits[c & 15] };
        buf_put(out, escape, sizeof escape);
    }
}

void grpc_message_unescape(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte;
        bool is_escape = text.ptr[i] == '%' && text.len - i >= 3 &&
                         hex_decode(str_n(text.ptr + i + 1, 2), &byte, 1);
        if (is_escape)
            i += 2;
        else
            byte = (uint8_t)text.ptr[i];
        buf_put_char(out, (char)byte);
    }
}

void grpc_prefix(uint8_t out[GRPC_PREFIX_BYTES], bool compressed, uint32_t len)
{
    out[0] = compressed;
    put_be32(out + 1, len);
}

enum mg_err grpc_unframe(struct str bytes, struct str *message, bool *compressed)
{
    if (bytes.len < GRPC_PREFIX_BYTES)
        return MG_E_FORMAT;

    uint8_t flag = (uint8_t)bytes.ptr[0];
    uint32_t len = get_be32(bytes.ptr + 1);
    if (flag > 1 || len != bytes.len - GRPC_PREFIX_BYTES)
        return MG_E_FORMAT;
    *message = str_n(bytes.ptr + GRPC_PREFIX_BYTES, len);
    *compressed = flag == 1;
    return MG_OK;
}
