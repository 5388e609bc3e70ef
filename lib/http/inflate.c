/* inflate.c - a context of the library lives for one body: those that come here compressed are few,
 * and memory kept for them would be more than they are. */
#include "http/inflate.h"

enum mg_err http_request_zip_kind(const struct http_request *request, enum zip_kind *out,
                                  struct mg_why *why)
{
    struct str name = http_request_encoding(request);

    if (!zip_kind_parse(name, out))
        return mg_fail(why, MG_E_ENCODING,
                       "unsupported encoding '%.*s', supported: [identity, gzip, deflate, zstd]",
                       STR_ARG(str_n(name.ptr, MG_MIN(name.len, (size_t)64))));
    return MG_OK;
}

enum mg_err http_request_inflate(struct http_request *request, size_t limit, struct buf *room,
                                 struct str *body, struct mg_why *why)
{
    struct str sent = http_request_body(request);
    enum zip_kind kind;

    MG_TRY(http_request_zip_kind(request, &kind, why));
    if (kind == ZIP_IDENTITY && sent.len > limit)
        return mg_fail(why, MG_E_TOO_BIG, "the request is larger than %zu bytes", limit);
    *body = sent;
    if (kind == ZIP_IDENTITY)
        return MG_OK;
    MG_AUTO(zip_free) struct zip *zip = zip_new();
    MG_TRY(zip_inflate(zip, kind, sent, limit, room, why));
    *body = buf_str(room);
    return MG_OK;
}
