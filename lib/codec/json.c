/* json.c - jansson behind our own face. A `struct json` is a json_t under another name; nothing is
 * copied. jansson limits depth to 2048 at compile time, so ours is checked on the finished tree. */
#include "codec/json.h"

/* jansson's type constants carry our names; they are renamed while its header is read. Its macros
 * that use them (json_is_array and the like) must therefore not be used below. */
#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY  JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_NULL   JANSSON_NULL
#include <jansson.h>
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_NULL

#define DEPTH_MAX 64

static json_t *tree(const struct json *value)
{
    return (json_t *)(uintptr_t)value;
}

static bool fits_depth(json_t *value, unsigned left)
{
    int type = json_typeof(value);
    if (type != JANSSON_OBJECT && type != JANSSON_ARRAY)
        return true;
    if (left == 0)
        return false;
    for (size_t i = 0; type == JANSSON_ARRAY && i < json_array_size(value); i++)
        if (!fits_depth(json_array_get(value, i), left - 1))
            return false;
    if (type == JANSSON_ARRAY)
        return true;
    for (void *i = json_object_iter(value); i; i = json_object_iter_next(value, i))
        if (!fits_depth(json_object_iter_value(i), left - 1))
            return false;
    return true;
}

enum mg_err json_parse(struct json **root, struct str text, struct mg_why *why)
{
    /* jansson takes a NUL behind the document for the end of the text, whatever follows. */
    if (text.len > 0 && memchr(text.ptr, '\0', text.len))
        return mg_fail(why, MG_E_FORMAT, "a NUL byte in the text");
    json_error_t error;
    json_t *value = json_loadb(text.ptr ? text.ptr : "", text.len,
                               JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!value)
        return mg_fail(why, MG_E_FORMAT, "line %d, column %d: %s", error.line, error.column,
                       error.text);
    if (!fits_depth(value, DEPTH_MAX)) {
        json_decref(value);
        return mg_fail(why, MG_E_FORMAT, "nested deeper than %d levels", DEPTH_MAX);
    }
    *root = (struct json *)value;
    return MG_OK;
}

void json_free(struct json **root)
{
    json_decref(tree(*root));
    *root = NULL;
}

enum json_kind json_kind(const struct json *value)
{
    switch (json_typeof(tree(value))) {
    case JANSSON_OBJECT:
        return JSON_OBJECT;
    case JANSSON_ARRAY:
        return JSON_ARRAY;
    case JANSSON_STRING:
        return JSON_STRING;
    case JSON_INTEGER:
        return JSON_INT;
    case JSON_REAL:
        return JSON_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return JSON_BOOL;
    case JANSSON_NULL:
        break;
    }
    return JSON_NULL;
}

const struct json *json_get(const struct json *object, const char *key)
{
    return (const struct json *)json_object_get(tree(object), key);
}

size_t json_count(const struct json *value)
{
    switch (json_kind(value)) {
    case JSON_ARRAY:
        return json_array_size(tree(value));
    case JSON_OBJECT:
        return json_object_size(tree(value));
    default:
        return 0;
    }
}

const struct json *json_at(const struct json *array, size_t i)
{
    return (const struct json *)json_array_get(tree(array), i);
}

bool json_member(const struct json *object, void **iterator, struct str *key,
                 const struct json **value)
{
    json_t *o = tree(object);
    *iterator = *iterator ? json_object_iter_next(o, *iterator) : json_object_iter(o);
    if (!*iterator)
        return false;
    *key = str_n(json_object_iter_key(*iterator), json_object_iter_key_len(*iterator));
    *value = (const struct json *)json_object_iter_value(*iterator);
    return true;
}

struct str json_str(const struct json *value)
{
    const char *text = json_string_value(tree(value));
    return text ? str_n(text, json_string_length(tree(value))) : STR("");
}

int64_t json_int(const struct json *value)
{
    return json_integer_value(tree(value));
}

double json_number(const struct json *value)
{
    return json_number_value(tree(value));
}

bool json_bool(const struct json *value)
{
    return value && json_typeof(tree(value)) == JSON_TRUE;
}
