/* json_read_fuzz.c - whatever the text: tokens balance, every text lies in the input or is shorter
 * than what it was written as, peeking changes nothing, skipping the document whole agrees with
 * reading it, what is read can be written and read again with the same tokens, and what jansson
 * takes as a document is taken here too. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include "codec/json.h"
#include "codec/json_read.h"
#include "codec/json_write.h"
#include "codec/utf8.h"

#define DEPTH_MAX       64
#define INPUT_BYTES_MAX (64u * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Writes the token; false at the end or at an error. */
static bool copy_token(struct json_reader *r, struct json_writer *w, enum json_token token)
{
    switch (token) {
    case JSON_TOKEN_ERROR:
        return false;
    case JSON_TOKEN_END:
        return false;
    case JSON_TOKEN_OBJECT:
        json_object(w);
        return true;
    case JSON_TOKEN_OBJECT_END:
        json_object_end(w);
        return true;
    case JSON_TOKEN_ARRAY:
        json_array(w);
        return true;
    case JSON_TOKEN_ARRAY_END:
        json_array_end(w);
        return true;
    case JSON_TOKEN_KEY:
        json_key(w, json_text(r));
        return true;
    case JSON_TOKEN_STRING:
        json_put_str(w, json_text(r));
        return true;
    case JSON_TOKEN_NUMBER:
        json_put_raw(w, json_text(r));
        return true;
    case JSON_TOKEN_TRUE:
        json_put_bool(w, true);
        return true;
    case JSON_TOKEN_FALSE:
        json_put_bool(w, false);
        return true;
    case JSON_TOKEN_NULL:
        json_put_null(w);
        return true;
    }
    return false;
}

static void check_place(const struct json_reader *r, struct str text, enum json_token token)
{
    struct str got = json_text(r);
    assert(json_offset(r) <= text.len);
    assert(got.len <= text.len - json_offset(r));
    if (token == JSON_TOKEN_NUMBER)
        assert(got.ptr == text.ptr + json_offset(r) && got.len > 0);
    if (token == JSON_TOKEN_KEY || token == JSON_TOKEN_STRING)
        assert(text.ptr[json_offset(r)] == '"' && got.len + 2 <= text.len - json_offset(r));
}

/* Reads all of it, and writes what it reads. True: a document. */
static bool read_all(struct json_reader *r, struct str text, struct buf *out)
{
    struct json_writer w;
    enum json_token token;
    size_t offset = 0;
    json_writer_init(&w, out, 0);
    json_reader_begin(r, text);
    do {
        enum json_token peeked = json_peek(r);
        token = json_next(r);
        assert(token == peeked && json_offset(r) >= offset);
        offset = json_offset(r);
        check_place(r, text, token);
        assert(w.depth <= DEPTH_MAX);
    } while (copy_token(r, &w, token));
    assert(json_next(r) == token);
    assert((token == JSON_TOKEN_ERROR) == (json_reader_error(r)[0] != '\0'));
    assert(token == JSON_TOKEN_ERROR || w.depth == 0);
    return token == JSON_TOKEN_END;
}

static void check_skip(struct json_reader *r, struct str text, bool is_document)
{
    json_reader_begin(r, text);
    bool skipped = json_skip(r);
    assert(!is_document || skipped);
    assert((skipped && json_next(r) == JSON_TOKEN_END) == is_document);
}

/* Written once, a document does not change any more, and it is UTF-8 but for its raw numbers
 * (ASCII). */
static void check_written(struct json_reader *r, const struct buf *once)
{
    struct buf twice;
    buf_init(&twice, once->len);
    assert(utf8_valid(once->ptr, once->len));
    bool is_document = read_all(r, buf_str(once), &twice);
    assert(is_document && buf_err(&twice) == MG_OK);
    assert(str_eq(buf_str(once), buf_str(&twice)));
    buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct json_reader *r = json_reader_new(DEPTH_MAX);
    struct str text = str_n(data, len);
    struct json *tree = NULL;
    struct buf out;
    if (len > INPUT_BYTES_MAX)
        text.len = INPUT_BYTES_MAX;
    buf_init(&out, 8 * (size_t)INPUT_BYTES_MAX); /* one byte becomes six at most */
    bool is_document = read_all(r, text, &out);
    assert(buf_err(&out) == MG_OK);
    check_skip(r, text, is_document);
    if (json_parse(&tree, text, NULL) == MG_OK)
        assert(is_document);
    if (is_document)
        check_written(r, &out);
    json_free(&tree);
    buf_fini(&out);
    json_reader_free(&r);
    return 0;
}
