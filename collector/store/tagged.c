/* tagged.c - tagged lists.
 *
 * A list is read front to back every time: it has at most a few dozen entries, and its bytes are
 * carried, copied and compared as they are, so there is nothing to build from it. */
#include "store/tagged.h"

#include "base/bytes.h"

void tagged_put(struct buf *list, uint32_t tag, struct str bytes)
{
    buf_put_varint(list, tag);
    buf_put_varint(list, bytes.len);
    buf_put_str(list, bytes);
}

void tagged_put_u64(struct buf *list, uint32_t tag, uint64_t value)
{
    uint8_t bytes[10];
    uint8_t *end = put_varint(bytes, value);

    tagged_put(list, tag, str_n(bytes, (size_t)(end - bytes)));
}

int tagged_next(struct str *at, uint32_t *tag, struct str *bytes)
{
    const uint8_t *p = (const uint8_t *)at->ptr;
    const uint8_t *end = at->len ? p + at->len : p;
    uint64_t number, len;

    if (p == end)
        return 0;
    p = get_varint(p, end, &number);
    if (!p || number > UINT32_MAX)
        return -1;
    p = get_varint(p, end, &len);
    if (!p || len > (uint64_t)(end - p))
        return -1;
    *tag = (uint32_t)number;
    *bytes = str_n(p, (size_t)len);
    *at = str_n(p + len, (size_t)(end - p) - (size_t)len);
    return 1;
}

bool tagged_u64(struct str bytes, uint64_t *value)
{
    const uint8_t *p = (const uint8_t *)bytes.ptr;
    uint64_t number;

    if (bytes.len == 0 || get_varint(p, p + bytes.len, &number) != p + bytes.len)
        return false;
    *value = number;
    return true;
}

bool tagged_find(struct str list, uint32_t tag, struct str *bytes)
{
    struct str content;
    uint32_t found;

    while (tagged_next(&list, &found, &content) == 1) {
        if (found == tag) {
            *bytes = content;
            return true;
        }
    }
    return false;
}
