/* attribute_condition.c - is a rule meant for this span, or this resource?
 *
 * A key stands for its last attribute, as a service name does (span.h). A term about an absent key is false, whatever it asks; `not`
 * turns it around. */
#include "attribute/attribute_apply.h"

/* --- values ------------------------------------------------------------------------------------- */

bool operand_read(const struct target *target, const struct operand *operand, struct value *out)
{
    if (operand->source == FROM_RULE) {
        *out = operand->value;
        return true;
    }
    if (operand->source == FROM_RESOURCE && target->span) {
        const struct captured *captured = &target->captured[operand->slot];
        *out = captured->value;
        return captured->is_there;
    }
    const struct attr *attr = attr_list_find(&target->list, &operand->key);
    if (attr)
        *out = value_plain(&attr->value);
    return attr != NULL;
}

struct str value_as_text(const struct value *value, struct buf *buf)
{
    if (value->type == VALUE_STRING)
        return value->str;
    buf_clear(buf);
    value_text(buf, value);
    return buf_str(buf);
}

struct number { bool is_whole; int64_t i; double d; };

/* A text counts where it is a number as a whole: protocols with text tags only must not need rules of their own. */
static bool number_of(const struct value *value, struct number *out)
{
    *out = (struct number){ .is_whole = true };
    switch (value->type) {
    case VALUE_INT:
        out->i = value->i;
        break;
    case VALUE_STRING:
        if (str_i64(value->str, &out->i) == MG_OK)
            break;
        out->is_whole = false;
        return str_double(value->str, &out->d) == MG_OK;
    case VALUE_DOUBLE:
        out->is_whole = false;
        out->d = value->d;
        return true;
    default:
        return false;
    }
    out->d = (double)out->i;
    return true;
}

static bool number_is_less(const struct number *a, const struct number *b)
{
    return a->is_whole && b->is_whole ? a->i < b->i : a->d < b->d;
}

static bool number_is(const struct number *a, const struct number *b)
{
    return a->is_whole && b->is_whole ? a->i == b->i : a->d == b->d;
}

static bool is_number(const struct value *value)
{
    return value->type == VALUE_INT || value->type == VALUE_DOUBLE;
}

static bool value_is(struct bench *bench, const struct value *left, const struct value *right)
{
    struct number a, b;

    if (is_number(right) && number_of(left, &a) && number_of(right, &b))
        return number_is(&a, &b);
    return str_eq(value_as_text(left, &bench->texts[0]), value_as_text(right, &bench->texts[1]));
}

static bool value_compares(const struct value *left, enum test test, const struct value *right)
{
    struct number a, b;

    if (!number_of(left, &a) || !number_of(right, &b))
        return false;
    switch (test) {
    case TEST_LESS:
        return number_is_less(&a, &b);
    case TEST_AT_MOST:
        return number_is_less(&a, &b) || number_is(&a, &b);
    case TEST_MORE:
        return number_is_less(&b, &a);
    default:
        return number_is_less(&b, &a) || number_is(&a, &b);
    }
}

/* --- terms -------------------------------------------------------------------------------------- */

static struct str service_of(const struct attr_list *list)
{
    struct resource_view view = { .service_name = STR("") };

    for (size_t i = list->n; i > 0; i--) {
        if (!str_eq(list->at[i - 1].key, STR("service.name")))
            continue;
        struct value value = value_plain(&list->at[i - 1].value);
        view.has_service_name = true;
        view.service_name_wrong_type = value.type != VALUE_STRING;
        if (value.type == VALUE_STRING)
            view.service_name = value.str;
        break;
    }
    return resource_service(&view);
}

/* What a term says about something that every span (or resource) has. */
static struct str subject_text(const struct target *target, enum subject subject)
{
    static const char *const statuses[] = { "unset", "ok", "error" };

    if (subject == SUBJECT_SERVICE)
        return service_of(&target->list);
    if (subject == SUBJECT_NAME)
        return target->span->name;
    int32_t number = subject == SUBJECT_KIND ? target->span->kind : target->span->status_code;
    if (subject == SUBJECT_KIND)
        return number == SPAN_UNSPECIFIED ? STR("unspecified") : str_of(span_kind_name(number));
    return number >= 0 && (size_t)number < MG_COUNT(statuses) ? str_of(statuses[number]) : STR("");
}

static bool text_holds(struct bench *bench, struct str text, const struct term *term)
{
    if (term->test == TEST_MATCHES)
        return finder_search(term->finder, bench->finder, text) == FINDER_FOUND;
    return str_eq(text, term->right.value.str) == (term->test == TEST_IS);
}

static bool key_holds(struct bench *bench, const struct target *target, const struct term *term)
{
    struct value left, right;

    if (!operand_read(target, &term->left, &left))
        return false;
    if (term->test == TEST_EXISTS)
        return true;
    if (term->test == TEST_MATCHES)
        return text_holds(bench, value_as_text(&left, &bench->texts[0]), term);
    if (!operand_read(target, &term->right, &right))
        return false;
    if (term->test == TEST_IS || term->test == TEST_IS_NOT)
        return value_is(bench, &left, &right) == (term->test == TEST_IS);
    return value_compares(&left, term->test, &right);
}

bool term_holds(struct bench *bench, const struct target *target, const struct term *term)
{
    bool holds = term->subject == SUBJECT_KEY ? key_holds(bench, target, term)
                                              : text_holds(bench, subject_text(target, term->subject), term);

    return holds != term->is_negated;
}
