/* json.h - JSON trees for configuration and small APIs: jansson, behind a face of our own.
 * Depth ≤ 64, size ≤ the caller's limit, duplicate keys refused. One thread per tree. */
#pragma once
#include "base/buf.h"

enum json_kind {
    JSON_NULL, JSON_BOOL, JSON_INT, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT
};
struct json; /* a value inside a tree; borrows from its root */

/* E_FORMAT, with line and column in why; also for invalid UTF-8, \u0000, integers beyond int64. */
enum mg_err json_parse(struct json **root, struct str text, struct mg_why *why) MG_MUST_USE;
void json_free(struct json **root);
enum json_kind json_kind(const struct json *value);
/* NULL: absent, or no object. */
const struct json *json_get(const struct json *object, const char *key);
size_t json_count(const struct json *value); /* items or members */
const struct json *json_at(const struct json *array, size_t i);
/* The next member, in the order of the text; *iterator is NULL at first. */
bool json_member(const struct json *object, void **iterator, struct str *key,
                 const struct json **value);
struct str json_str(const struct json *value);      /* empty when no string */
int64_t json_int(const struct json *value);         /* 0 when no integer */
double json_number(const struct json *value);       /* integers too */
bool json_bool(const struct json *value);
