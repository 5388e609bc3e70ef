/* json_read.h - pull reader over a complete JSON text in memory, for hot ingest: no tree, no
 * allocation per value (strings with escapes are unescaped into the reader's scratch arena).
 *
 * Strict RFC 8259, except that what the callers allow is theirs to allow. Depth limit, BOM refused,
 * raw control characters refused, a lone surrogate becomes U+FFFD, text after the document is an
 * error. Invalid UTF-8 inside strings is passed through as it is (the caller decides). */
#pragma once
#include "base/arena.h"

enum json_token {
    JSON_TOKEN_ERROR, JSON_TOKEN_END, /* END: document complete, only white space followed */
    JSON_TOKEN_OBJECT, JSON_TOKEN_OBJECT_END, JSON_TOKEN_ARRAY, JSON_TOKEN_ARRAY_END,
    JSON_TOKEN_KEY,                   /* text: the key; its value is the next token */
    JSON_TOKEN_STRING, JSON_TOKEN_NUMBER, /* text: a number's as written */
    JSON_TOKEN_TRUE, JSON_TOKEN_FALSE, JSON_TOKEN_NULL
};
struct json_reader; /* one thread */
struct json_reader *json_reader_new(unsigned depth_max); /* ≤ 256 */
void json_reader_free(struct json_reader **reader);
/* From the next begin on, as Zipkin's own reader has it: raw control characters inside strings are taken as they are, a lone surrogate becomes
 * a question mark. */
void json_reader_be_lenient(struct json_reader *reader);
/* Borrows text until the next begin, or free. */
void json_reader_begin(struct json_reader *reader, struct str text);
enum json_token json_next(struct json_reader *reader);
struct str json_text(const struct json_reader *reader); /* of KEY, STRING, NUMBER; until begin */
enum json_token json_peek(struct json_reader *reader);
bool json_skip(struct json_reader *reader); /* skips the next value whole; false: error */
size_t json_offset(const struct json_reader *reader); /* byte of the last token, for messages */
const char *json_reader_error(const struct json_reader *reader); /* "" when none */
