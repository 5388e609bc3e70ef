/* How it works: one pass over the text without a tree. `errors: false` stands before the items, and
 * then they are not looked at. */
#include "elasticsearch/private.h"
#include "codec/json_read.h"
#include "codec/utf8.h"

enum { REASON_BYTES_MAX = 200 };

struct item {        /* of an answer; texts are the reader's */
    uint64_t status; /* 0: none */
    struct str index, type, reason;
};

static bool read_text(struct json_reader *reader, struct str *out)
{
    if (json_peek(reader) != JSON_TOKEN_STRING)
        return json_skip(reader); /* null, or what nobody sends */
    (void)json_next(reader);      /* the STRING */
    *out = json_text(reader);
    return true;
}

/* {"type": …, "reason": …}, or a text. */
static bool read_error(struct json_reader *reader, struct item *item)
{
    enum json_token token;

    if (json_peek(reader) != JSON_TOKEN_OBJECT)
        return read_text(reader, &item->reason);
    (void)json_next(reader); /* the OBJECT */
    while ((token = json_next(reader)) == JSON_TOKEN_KEY) {
        struct str key = json_text(reader);
        bool is_fine = str_eq(key, STR("type"))     ? read_text(reader, &item->type)
                       : str_eq(key, STR("reason")) ? read_text(reader, &item->reason)
                                                    : json_skip(reader);
        if (!is_fine)
            return false;
    }
    return token == JSON_TOKEN_OBJECT_END;
}

static bool read_member(struct json_reader *reader, struct str key, struct item *item)
{
    if (str_eq(key, STR("status")))
        return json_next(reader) == JSON_TOKEN_NUMBER &&
               str_u64(json_text(reader), &item->status) == MG_OK;
    if (str_eq(key, STR("_index")))
        return read_text(reader, &item->index);
    if (str_eq(key, STR("error")))
        return read_error(reader, item);
    return json_skip(reader);
}

/* {"index": {"status": 201, …}} */
static bool read_item(struct json_reader *reader, struct item *item)
{
    enum json_token token;

    *item = (struct item){.index = STR(""), .type = STR(""), .reason = STR("")};
    if (json_next(reader) != JSON_TOKEN_OBJECT || json_next(reader) != JSON_TOKEN_KEY ||
        json_next(reader) != JSON_TOKEN_OBJECT)
        return false;
    while ((token = json_next(reader)) == JSON_TOKEN_KEY)
        if (!read_member(reader, json_text(reader), item))
            return false;
    return token == JSON_TOKEN_OBJECT_END && json_next(reader) == JSON_TOKEN_OBJECT_END &&
           item->status >= 100;
}

/* --- judging --- */

static void tell(struct items *items, const struct item *item)
{
    struct str reason = utf8_cut(item->reason, REASON_BYTES_MAX),
               type = utf8_cut(item->type, REASON_BYTES_MAX / 2);

    (void)mg_fail(&items->reason, MG_E_IO, "index %.*s, status %u, %.*s: %.*s",
                  STR_ARG(utf8_cut(item->index, REASON_BYTES_MAX / 2)), (unsigned)item->status,
                  STR_ARG(type), STR_ARG(reason)); /* returns err */
}

/* What an operator can mend is tried again, as when it is said of the whole request: a document that may not be
 * written, and an index that is not made by writing to it. */
static bool is_deferred(const struct item *item)
{
    return item->status == 429 || item->status >= 500 ||
           (item->status == 403 && str_eq(item->type, STR("security_exception"))) ||
           (item->status == 404 && str_eq(item->type, STR("index_not_found_exception")));
}

/* 409 is a document that is there already. */
static void judge_item(struct items *items, const struct item *item, struct str service_index)
{
    if (item->status / 100 == 2 || item->status == 409)
        return;
    bool is_first = items->reason.text[0] == '\0' || (is_deferred(item) && items->deferred == 0);
    if (is_first)
        tell(items, item);
    if (is_deferred(item))
        items->deferred++;
    else if (!str_starts(item->index, service_index))
        items->refused++;
}

static bool read_items(struct json_reader *reader, struct str service_index, uint32_t *n,
                       struct items *out)
{
    struct item item;

    if (json_next(reader) != JSON_TOKEN_ARRAY)
        return false;
    while (json_peek(reader) != JSON_TOKEN_ARRAY_END) {
        if (!read_item(reader, &item))
            return false;
        judge_item(out, &item, service_index);
        ++*n;
    }
    return json_next(reader) == JSON_TOKEN_ARRAY_END;
}

enum mg_err items_read(struct json_reader *reader, struct str body, uint32_t expected,
                       struct str service_index, struct items *out, struct mg_why *why)
{
    enum json_token token = JSON_TOKEN_ERROR;
    struct items read = {0};
    bool has_errors = false, is_fine = true;
    uint32_t n = 0;

    json_reader_begin(reader, body);
    is_fine = json_next(reader) == JSON_TOKEN_OBJECT;
    while (is_fine && (token = json_next(reader)) == JSON_TOKEN_KEY) {
        struct str key = json_text(reader);
        if (str_eq(key, STR("errors"))) {
            token = json_next(reader);
            if (token == JSON_TOKEN_FALSE) {
                *out = (struct items){0};
                return MG_OK;
            }
            has_errors = is_fine = token == JSON_TOKEN_TRUE;
        } else if (str_eq(key, STR("items"))) {
            is_fine = read_items(reader, service_index, &n, &read);
        } else {
            is_fine = json_skip(reader);
        }
    }
    if (!is_fine || token != JSON_TOKEN_OBJECT_END || json_next(reader) != JSON_TOKEN_END ||
        !has_errors)
        return mg_fail(why, MG_E_FORMAT, "the answer to a bulk request is malformed at byte %zu",
                       json_offset(reader));
    if (n != expected)
        return mg_fail(why, MG_E_FORMAT, "the answer to a bulk request of %u items has %u",
                       expected, n);
    *out = read;
    return MG_OK;
}
