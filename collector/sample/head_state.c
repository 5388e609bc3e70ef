/* head_state.c - see head_state.h. */
#include "sample/head_state.h"
#include "codec/json.h"
#include "codec/json_write.h"
#include "sample/head_file.h"

#define STATE_BYTES_MAX ((size_t)256 << 20) /* 50,000 of the longest names, and some */
#define STATE_VERSION   1

static bool is_text(const struct json *value)
{
    return value && json_kind(value) == JSON_STRING;
}

static double number_or_minus(const struct json *value)
{
    return value && (json_kind(value) == JSON_INT || json_kind(value) == JSON_NUMBER) ? json_number(value) : -1;
}

static enum mg_err check(const struct json *root, struct mg_why *why)
{
    const struct json *list = json_kind(root) == JSON_OBJECT ? json_get(root, "operations") : NULL;

    if (!list || json_kind(list) != JSON_ARRAY || number_or_minus(json_get(root, "version")) != STATE_VERSION)
        return mg_fail(why, MG_E_FORMAT, "no state of version %d", STATE_VERSION);
    for (size_t i = 0; i < json_count(list); i++) {
        const struct json *item = json_at(list, i);
        bool is_object = json_kind(item) == JSON_OBJECT;
        double probability = is_object ? number_or_minus(json_get(item, "probability")) : -1;
        if (!is_object || !is_text(json_get(item, "service")) || !is_text(json_get(item, "operation")))
            return mg_fail(why, MG_E_FORMAT, "operations %zu names no service or operation", i + 1);
        if (!(probability > 0 && probability <= 1))
            return mg_fail(why, MG_E_FORMAT, "operations %zu has no probability above 0 and up to 1", i + 1);
    }
    return MG_OK;
}

static enum mg_err read_text(struct str text, head_state_fn *visit, void *owner, struct mg_why *why)
{
    struct json *root = NULL;

    MG_TRY(json_parse(&root, text, why));
    enum mg_err err = check(root, why);
    const struct json *list = err == MG_OK ? json_get(root, "operations") : NULL;
    for (size_t i = 0; list && i < json_count(list); i++) {
        const struct json *item = json_at(list, i);
        visit(owner, json_str(json_get(item, "service")), json_str(json_get(item, "operation")), json_number(json_get(item, "probability")));
    }
    json_free(&root);
    return err;
}

enum mg_err head_state_read(const char *path, head_state_fn *visit, void *owner, struct mg_why *why)
{
    const struct file_stamp none = { 0 };
    struct file_stamp stamp;
    struct buf text;

    file_look(path, &stamp);
    if (file_stamp_eq(&stamp, &none))
        return MG_OK;
    buf_init(&text, STATE_BYTES_MAX);
    enum mg_err err = head_file_read(path, &text, &stamp, why);
    if (err == MG_OK && (err = read_text(buf_str(&text), visit, owner, why)) != MG_OK)
        err = mg_fail_in(why, err, "%s", path);
    buf_fini(&text);
    return err;
}

static void put_operation(struct json_writer *w, const struct head_subject *subject)
{
    json_object(w);
    json_key_text(w, "service");
    json_put_str(w, subject->service);
    json_key_text(w, "operation");
    json_put_str(w, subject->operation);
    json_key_text(w, "probability");
    json_put_double(w, subject->result);
    json_object_end(w);
}

enum mg_err head_state_write(const char *path, struct head_seen *const *seen, size_t n, struct mg_why *why)
{
    struct json_writer w;
    struct buf text;

    buf_init(&text, STATE_BYTES_MAX);
    json_writer_init(&w, &text, 0);
    json_object(&w);
    json_key_text(&w, "version");
    json_put_u64(&w, STATE_VERSION);
    json_key_text(&w, "operations");
    json_array(&w);
    for (size_t i = 0; i < n; i++)
        if (seen[i]->subject.has_result)
            put_operation(&w, &seen[i]->subject);
    json_array_end(&w);
    json_object_end(&w);
    buf_put_char(&text, '\n');
    enum mg_err err = buf_err(&text) == MG_OK ? head_file_write(path, buf_str(&text), why) :
                                                mg_fail(why, MG_E_TOO_BIG, "the state is larger than %zu MiB", STATE_BYTES_MAX >> 20);
    buf_fini(&text);
    return err;
}
