/* attribute_parse.c - the rule language, by recursive descent without the recursion: the grammar of attribute.h has no nesting.
 *
 * A rule's text is copied into the arena first; what is compiled points into the copy. */
#include "attribute/attribute_lex.h"
#include "attribute/attribute_rules.h"
#include "base/map.h"
#include "codec/utf8.h"

#define WORD_SHOWN_MAX 48 /* bytes of a word in an error */

struct parser {
    struct attribute_rules *rules;
    size_t number; /* of the rule, from 1 */
    struct map known; /* key of any rule -> its number, from 1 */
    struct lexer lexer;
    struct token token; /* the one that is looked at */
    struct rule rule;
    VEC(struct rule_key) keys;
    VEC(struct needle) needles;
    VEC(struct term) terms;
    struct mg_why *why;
};

static const struct { struct str name; enum action action; } actions[] = {
    { STR_INIT("insert"), ACTION_INSERT }, { STR_INIT("update"), ACTION_UPDATE },
    { STR_INIT("upsert"), ACTION_UPSERT }, { STR_INIT("delete"), ACTION_DELETE },
    { STR_INIT("rename"), ACTION_RENAME }, { STR_INIT("hash"), ACTION_HASH },
    { STR_INIT("redact"), ACTION_REDACT_KEYS }, { STR_INIT("drop"), ACTION_DROP },
};
static const struct { struct str sign; enum test test; } tests[] = {
    { STR_INIT("="), TEST_IS }, { STR_INIT("!="), TEST_IS_NOT }, { STR_INIT("<"), TEST_LESS },
    { STR_INIT("<="), TEST_AT_MOST }, { STR_INIT(">"), TEST_MORE }, { STR_INIT(">="), TEST_AT_LEAST },
    { STR_INIT("~"), TEST_MATCHES }, { STR_INIT("exists"), TEST_EXISTS },
};
static const struct { struct str name; enum subject subject; } subjects[] = {
    { STR_INIT("service"), SUBJECT_SERVICE }, { STR_INIT("name"), SUBJECT_NAME },
    { STR_INIT("kind"), SUBJECT_KIND }, { STR_INIT("status"), SUBJECT_STATUS },
};

/* --- failures ----------------------------------------------------------------------------------- */

static struct str shown(struct str word)
{
    return utf8_cut(word, WORD_SHOWN_MAX);
}

/* "a key expected at column 8, not '='". */
static enum mg_err fail_expected(const struct parser *p, const char *what)
{
    const struct token *token = &p->token;

    if (token->type == TOKEN_END)
        return mg_fail(p->why, MG_E_FORMAT, "ingest.rules %zu: %s expected at the end", p->number, what);
    if (token->type == TOKEN_BAD && token->text.ptr[0] == '"')
        return mg_fail(p->why, MG_E_FORMAT, "ingest.rules %zu: the quote at column %zu is not closed", p->number,
                       token_column(&p->lexer, token));
    return mg_fail(p->why, MG_E_FORMAT, "ingest.rules %zu: %s expected at column %zu, not '%.*s'", p->number, what,
                   token_column(&p->lexer, token), STR_ARG(shown(token->text)));
}

static enum mg_err fail_word(const struct parser *p, struct str word, const char *sentence)
{
    return mg_fail(p->why, MG_E_FORMAT, "ingest.rules %zu: '%.*s' %s", p->number, STR_ARG(shown(word)), sentence);
}

/* --- words -------------------------------------------------------------------------------------- */

static void advance(struct parser *p)
{
    p->token = lex_next(&p->lexer);
}

static bool at_word(const struct parser *p, const char *word)
{
    return token_is(&p->token, TOKEN_WORD, str_of(word));
}

static bool take_sign(struct parser *p, const char *sign)
{
    if (!token_is(&p->token, TOKEN_SIGN, str_of(sign)))
        return false;
    advance(p);
    return true;
}

static enum mg_err unquote(struct parser *p, struct str *out)
{
    struct str bad;

    if (token_unquote(&p->token, &p->rules->arena, out, &bad) != MG_OK)
        return mg_fail(p->why, MG_E_FORMAT, "ingest.rules %zu: unknown escape '%.*s' in the quotes at column %zu (\\\" \\\\ \\n \\t)",
                       p->number, STR_ARG(bad), token_column(&p->lexer, &p->token));
    return MG_OK;
}

/* Keys get the 64 bits by turns, equal ones the same. */
static struct rule_key key_make(struct parser *p, struct str name)
{
    bool is_new;
    void **number = map_put(&p->known, name, &is_new);

    if (is_new)
        *number = (void *)(uintptr_t)p->known.n;
    struct rule_key key = { name, UINT64_C(1) << ((uintptr_t)*number & 63) };
    p->rules->wanted[key_mark(name)] |= key.bit;
    return key;
}

/* The part of "span.KEY" or "resource.KEY" before the key; false: the word is none of them. */
static bool place_of(struct str word, enum source *out, struct str *key)
{
    static const struct { struct str prefix; enum source source; } places[] = {
        { STR_INIT("span."), FROM_SPAN }, { STR_INIT("resource."), FROM_RESOURCE },
    };

    for (size_t i = 0; i < MG_COUNT(places); i++) {
        if (!str_starts(word, places[i].prefix))
            continue;
        *out = places[i].source;
        *key = str_n(word.ptr + places[i].prefix.len, word.len - places[i].prefix.len);
        return true;
    }
    return false;
}

/* A key in its own place: what a rule changes. */
static enum mg_err parse_name(struct parser *p, struct str *out)
{
    enum source source;
    struct str rest;

    if (p->token.type == TOKEN_QUOTED) {
        MG_TRY(unquote(p, out));
    } else if (p->token.type != TOKEN_WORD || at_word(p, "if")) {
        return fail_expected(p, "a key (in quotes, if it has other characters than letters, digits and . _ -)");
    } else if (place_of(p->token.text, &source, &rest)) {
        return fail_word(p, p->token.text,
                         "names a place and a key: write the place in front, as in 'delete resource host.ip', or the key in quotes");
    } else {
        *out = p->token.text;
    }
    advance(p);
    return MG_OK;
}

/* At the word "span.KEY" or "resource.KEY"; the key may stand in quotes. */
static enum mg_err parse_reference(struct parser *p, struct operand *out)
{
    struct str name = STR("");

    (void)place_of(p->token.text, &out->source, &name); /* the caller looked */
    struct token word = p->token;
    advance(p);
    if (name.len == 0) {
        if (p->token.type != TOKEN_QUOTED || !p->token.is_adjacent)
            return fail_word(p, word.text, "has no key behind its dot");
        MG_TRY(unquote(p, &name));
        advance(p);
    }
    out->key = key_make(p, name);
    if (out->source == FROM_RESOURCE)
        out->slot = p->rules->n_slots++;
    return MG_OK;
}

/* --- values ------------------------------------------------------------------------------------- */

static enum mg_err parse_number(struct parser *p, struct value *out)
{
    struct str word = p->token.text;
    bool is_whole = word.len > 0 && word.ptr[0] != '.';

    if (p->token.type != TOKEN_WORD)
        return fail_expected(p, "a number");
    for (size_t i = 0; i < word.len; i++)
        is_whole &= (word.ptr[i] >= '0' && word.ptr[i] <= '9') || (i == 0 && word.ptr[i] == '-');
    if (str_i64(word, &out->i) == MG_OK)
        out->type = VALUE_INT;
    else if (is_whole && word.len > 1)
        return fail_word(p, word, "does not fit into 64 bits");
    else if (str_double(word, &out->d) == MG_OK)
        out->type = VALUE_DOUBLE;
    else
        return fail_expected(p, "a number");
    advance(p);
    return MG_OK;
}

/* "text", 12, 1.5, true, span.KEY, resource.KEY. */
static enum mg_err parse_value(struct parser *p, struct operand *out)
{
    enum source source;
    struct str rest;

    *out = (struct operand){ .source = FROM_RULE };
    if (p->token.type == TOKEN_QUOTED) {
        out->value.type = VALUE_STRING;
        MG_TRY(unquote(p, &out->value.str));
        advance(p);
        return MG_OK;
    }
    if (at_word(p, "true") || at_word(p, "false")) {
        out->value = (struct value){ .type = VALUE_BOOL, .i = 0 };
        out->value.b = at_word(p, "true");
        advance(p);
        return MG_OK;
    }
    if (p->token.type == TOKEN_WORD && place_of(p->token.text, &source, &rest))
        return parse_reference(p, out);
    if (p->token.type == TOKEN_WORD && strchr("-.0123456789", p->token.text.ptr[0]))
        return parse_number(p, &out->value);
    return fail_expected(p, "a value (\"text\", 12, 1.5, true, span.KEY or resource.KEY)");
}

static enum mg_err parse_pattern(struct parser *p, struct finder **out)
{
    if (p->token.type != TOKEN_QUOTED)
        return fail_expected(p, "a regular expression in quotes");
    if (finder_compile(out, p->token.text, p->why) != MG_OK)
        return mg_fail_in(p->why, MG_E_FORMAT, "ingest.rules %zu: \"%.*s\"", p->number, STR_ARG(shown(p->token.text)));
    VEC_PUSH(&p->rules->finders, *out);
    advance(p);
    return MG_OK;
}

/* --- conditions --------------------------------------------------------------------------------- */

static enum mg_err parse_subject(struct parser *p, struct term *term)
{
    enum source source;
    struct str rest;

    if (p->token.type == TOKEN_WORD && place_of(p->token.text, &source, &rest)) {
        term->subject = SUBJECT_KEY;
        return parse_reference(p, &term->left);
    }
    for (size_t i = 0; i < MG_COUNT(subjects); i++) {
        if (!token_is(&p->token, TOKEN_WORD, subjects[i].name))
            continue;
        term->subject = subjects[i].subject;
        advance(p);
        return MG_OK;
    }
    return fail_expected(p, "span.KEY, resource.KEY, service, name, kind or status");
}

static enum mg_err parse_test(struct parser *p, struct term *term)
{
    bool is_key = term->subject == SUBJECT_KEY;

    for (size_t i = 0; i < MG_COUNT(tests); i++) {
        bool is_sign = tests[i].test != TEST_EXISTS;
        bool is_allowed = is_key || tests[i].test == TEST_IS || tests[i].test == TEST_IS_NOT || tests[i].test == TEST_MATCHES;
        if (!is_allowed || !token_is(&p->token, is_sign ? TOKEN_SIGN : TOKEN_WORD, tests[i].sign))
            continue;
        term->test = tests[i].test;
        advance(p);
        return MG_OK;
    }
    return fail_expected(p, is_key ? "exists, =, !=, <, <=, >, >= or ~" : "=, != or ~");
}

/* The text that service, name, kind or status is compared with. */
static enum mg_err parse_constant(struct parser *p, struct term *term)
{
    static const char *const kinds[] = { "unspecified", "internal", "server", "client", "producer", "consumer" };
    static const char *const statuses[] = { "unset", "ok", "error" };
    const char *const *names = term->subject == SUBJECT_KIND ? kinds : statuses;
    size_t n = term->subject == SUBJECT_KIND ? MG_COUNT(kinds) : MG_COUNT(statuses), i = 0;

    if (p->token.type != TOKEN_QUOTED)
        return fail_expected(p, "a text in quotes");
    MG_TRY(parse_value(p, &term->right));
    if (term->subject != SUBJECT_KIND && term->subject != SUBJECT_STATUS)
        return MG_OK;
    while (i < n && !str_eq(term->right.value.str, str_of(names[i])))
        i++;
    if (i < n)
        return MG_OK;
    return fail_word(p, term->right.value.str,
                     term->subject == SUBJECT_KIND ? "is no kind (unspecified, internal, server, client, producer, consumer)"
                                                   : "is no status (unset, ok, error)");
}

static enum mg_err parse_right(struct parser *p, struct term *term)
{
    switch (term->test) {
    case TEST_EXISTS:
        return MG_OK;
    case TEST_MATCHES:
        return parse_pattern(p, &term->finder);
    case TEST_IS:
    case TEST_IS_NOT:
        return term->subject == SUBJECT_KEY ? parse_value(p, &term->right) : parse_constant(p, term);
    default:
        return parse_number(p, &term->right.value);
    }
}

static enum mg_err parse_term(struct parser *p)
{
    struct term term = { .is_negated = at_word(p, "not") };

    if (term.is_negated)
        advance(p);
    struct token subject = p->token;
    MG_TRY(parse_subject(p, &term));
    MG_TRY(parse_test(p, &term));
    MG_TRY(parse_right(p, &term));
    bool is_resource = term.subject == SUBJECT_KEY ? term.left.source == FROM_RESOURCE : term.subject == SUBJECT_SERVICE;
    term.is_of_resource = is_resource && term.right.source != FROM_SPAN;
    if ((p->rule.where & ON_RESOURCE) && !term.is_of_resource)
        return fail_word(p, subject.text, "in the condition of a rule for the resource: only resource keys and service are known there");
    p->rules->needs_resource |= is_resource || term.right.source == FROM_RESOURCE;
    VEC_PUSH(&p->terms, term);
    return MG_OK;
}

static enum mg_err parse_condition(struct parser *p)
{
    if (p->rule.action == ACTION_DROP && !at_word(p, "if"))
        return fail_expected(p, "a condition ('drop if …')");
    if (p->token.type == TOKEN_END)
        return MG_OK;
    if (!at_word(p, "if"))
        return fail_expected(p, "'if', or the end of the rule,");
    do {
        advance(p);
        MG_TRY(parse_term(p));
    } while (at_word(p, "and"));
    if (at_word(p, "or"))
        return fail_word(p, p->token.text, "is not known: write a rule for each alternative");
    return p->token.type == TOKEN_END ? MG_OK : fail_expected(p, "'and', or the end of the rule,");
}

/* --- actions ------------------------------------------------------------------------------------ */

static bool at_place(const struct parser *p, unsigned *out)
{
    *out = at_word(p, "resource") ? ON_RESOURCE : at_word(p, "span") ? ON_SPAN : 0;
    return *out != 0;
}

static enum mg_err parse_where(struct parser *p)
{
    unsigned place;

    if (!at_place(p, &place)) {
        p->rule.where = ON_SPAN;
        return MG_OK;
    }
    do {
        if (!at_place(p, &place))
            return fail_expected(p, "'resource' or 'span' (such a key stands in quotes)");
        p->rule.where |= place;
        advance(p);
    } while (take_sign(p, ","));
    return MG_OK;
}

static enum mg_err parse_key(struct parser *p)
{
    struct str name;

    MG_TRY(parse_name(p, &name));
    struct rule_key key = key_make(p, name);
    p->rule.bits |= key.bit;
    VEC_PUSH(&p->keys, key);
    return MG_OK;
}

static enum mg_err parse_keys(struct parser *p)
{
    do
        MG_TRY(parse_key(p));
    while (take_sign(p, ","));
    return MG_OK;
}

static enum mg_err parse_assignment(struct parser *p)
{
    MG_TRY(parse_key(p));
    if (!take_sign(p, "="))
        return fail_expected(p, "= and a value");
    struct token value = p->token;
    MG_TRY(parse_value(p, &p->rule.value));
    if (p->rule.value.source == FROM_SPAN && (p->rule.where & ON_RESOURCE))
        return fail_word(p, value.text, "as the value of a resource's key: a resource has many spans");
    return MG_OK;
}

static enum mg_err parse_rename(struct parser *p)
{
    struct str name;

    MG_TRY(parse_key(p));
    if (!take_sign(p, "->"))
        return fail_expected(p, "-> and the new key");
    struct token word = p->token;
    MG_TRY(parse_name(p, &name));
    if (str_eq(name, p->keys.at[0].name))
        return fail_word(p, word.text, "is the old and the new key of a rename");
    p->rule.renamed = key_make(p, name);
    return MG_OK;
}

/* The word's last part in lower case, and its letters. */
static enum mg_err parse_needle(struct parser *p)
{
    struct token word = p->token;
    struct needle needle = { 0 };
    struct str name;

    MG_TRY(parse_name(p, &name));
    size_t last = name.len;
    while (last > 0 && name.ptr[last - 1] != '.')
        last--;
    if (last == name.len)
        return fail_word(p, word.text, "to redact has no last part: every key would match");
    needle.front = str_n(name.ptr, last ? last - 1 : 0);
    needle.last = arena_str(&p->rules->arena, str_n(name.ptr + last, name.len - last));
    for (size_t i = 0; i < needle.last.len; i++) {
        char *c = (char *)needle.last.ptr + i; /* the copy is ours */
        if (*c >= 'A' && *c <= 'Z')
            *c |= 0x20;
        needle.letters |= UINT32_C(1) << (*c & 31);
    }
    VEC_PUSH(&p->needles, needle);
    return MG_OK;
}

static enum mg_err parse_redact(struct parser *p)
{
    if (at_word(p, "pattern")) {
        p->rule.action = ACTION_REDACT_PATTERN;
        advance(p);
        return parse_pattern(p, &p->rule.finder);
    }
    if (!at_word(p, "keys"))
        return fail_expected(p, "'keys' or 'pattern'");
    advance(p);
    do
        MG_TRY(parse_needle(p));
    while (take_sign(p, ","));
    return MG_OK;
}

static enum mg_err parse_action(struct parser *p)
{
    size_t i = 0;

    if (p->token.type == TOKEN_END)
        return mg_fail(p->why, MG_E_FORMAT, "ingest.rules %zu: an empty rule", p->number);
    while (i < MG_COUNT(actions) && !token_is(&p->token, TOKEN_WORD, actions[i].name))
        i++;
    if (i == MG_COUNT(actions))
        return mg_fail(p->why, MG_E_FORMAT,
                       "ingest.rules %zu: unknown action '%.*s' (insert, update, upsert, delete, rename, hash, redact, drop)",
                       p->number, STR_ARG(shown(p->token.text)));
    p->rule.action = actions[i].action;
    advance(p);
    return MG_OK;
}

static enum mg_err parse_body(struct parser *p)
{
    if (p->rule.action == ACTION_DROP) {
        p->rule.where = ON_SPAN;
        return MG_OK;
    }
    MG_TRY(parse_where(p));
    switch (p->rule.action) {
    case ACTION_INSERT:
    case ACTION_UPDATE:
    case ACTION_UPSERT:
        return parse_assignment(p);
    case ACTION_RENAME:
        return parse_rename(p);
    case ACTION_REDACT_KEYS:
        return parse_redact(p);
    default:
        return parse_keys(p);
    }
}

/* --- the list ----------------------------------------------------------------------------------- */

static void *copied(struct arena *arena, const void *at, size_t bytes)
{
    return bytes ? memcpy(arena_alloc(arena, bytes), at, bytes) : NULL;
}

#define ARENA_COPY(arena, v) copied((arena), (v)->at, (v)->n * sizeof *(v)->at)

static enum mg_err parse_rule(struct parser *p, struct str text)
{
    struct attribute_rules *rules = p->rules;
    struct rule *rule = &p->rule;

    p->lexer = (struct lexer){ .text = arena_str(&rules->arena, text) };
    *rule = (struct rule){ 0 };
    VEC_CLEAR(&p->keys);
    VEC_CLEAR(&p->needles);
    VEC_CLEAR(&p->terms);
    advance(p);
    MG_TRY(parse_action(p));
    MG_TRY(parse_body(p));
    MG_TRY(parse_condition(p));
    rule->keys = ARENA_COPY(&rules->arena, &p->keys);
    rule->n_keys = p->keys.n;
    rule->needles = ARENA_COPY(&rules->arena, &p->needles);
    rule->n_needles = p->needles.n;
    rule->terms = ARENA_COPY(&rules->arena, &p->terms);
    rule->n_terms = p->terms.n;
    rules->needs_resource |= (rule->where & ON_RESOURCE) || rule->value.source == FROM_RESOURCE;
    rules->needs_span |= (rule->where & ON_SPAN) != 0;
    VEC_PUSH(&rules->rules, *rule);
    return MG_OK;
}

static enum mg_err parse_list(struct parser *p, const struct conf_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        p->number = i + 1;
        MG_TRY(parse_rule(p, list->at[i]));
    }
    return MG_OK;
}

enum mg_err attribute_rules_new(struct attribute_rules **out, const struct conf_list *list, struct mg_why *why)
{
    if (list->n > RULES_MAX)
        return mg_fail(why, MG_E_FORMAT, "ingest.rules: %zu rules, of which at most %d are allowed", list->n, RULES_MAX);
    if (list->n == 0) {
        *out = NULL;
        return MG_OK;
    }
    MG_AUTO(attribute_rules_unref) struct attribute_rules *rules = MEM_NEW(struct attribute_rules);
    struct parser p = { .rules = rules, .why = why };

    atomic_init(&rules->refs, 1);
    arena_init(&rules->arena);
    enum mg_err err = parse_list(&p, list);
    map_fini(&p.known);
    VEC_FINI(&p.keys);
    VEC_FINI(&p.needles);
    VEC_FINI(&p.terms);
    if (err != MG_OK)
        return err;
    *out = MG_STEAL(rules);
    return MG_OK;
}

struct attribute_rules *attribute_rules_ref(struct attribute_rules *rules)
{
    atomic_fetch_add_explicit(&rules->refs, 1, memory_order_relaxed);
    return rules;
}

void attribute_rules_unref(struct attribute_rules **pointer)
{
    struct attribute_rules *rules = *pointer;

    *pointer = NULL;
    if (!rules || atomic_fetch_sub_explicit(&rules->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < rules->finders.n; i++)
        finder_free(&rules->finders.at[i]);
    VEC_FINI(&rules->finders);
    VEC_FINI(&rules->rules);
    arena_fini(&rules->arena);
    mem_free(rules);
}
