/* conf.c - four layers write into one array of entries, then the entries are stored into the
 * targets.
 *
 * Every layer checks its values at once, so that a wrong value in the file is an error even where
 * --set would cover it: the next start without --set must not be the first to tell. Nothing is
 * stored before the last layer is through. Lookups are linear: a program has some hundred rows and
 * loads them once. */
#include "conf/conf.h"

#include <assert.h>
#include <stdio.h>

#include "base/mem.h"
#include "conf/entry.h"
#include "conf/nearest.h"
#include "conf/scalar.h"
#include "conf/yaml.h"

static const char *make_key(struct arena *arena, struct str prefix, struct str name)
{
    return arena_printf(arena, "%.*s%s%.*s", STR_ARG(prefix), prefix.len ? "." : "", STR_ARG(name))
        .ptr;
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static const char *make_variable(struct arena *arena, const char *key)
{
    static const char prefix[] = CONF_ENVIRONMENT_PREFIX;
    char *name = arena_alloc(arena, sizeof prefix + 2 * strlen(key)), *p = name;

    memcpy(p, prefix, sizeof prefix - 1);
    p += sizeof prefix - 1;
    for (; *key; key++) {
        if (*key == '.')
            *p++ = '_';
        *p++ = *key == '.' ? '_' : upper(*key);
    }
    *p = '\0';
    return name;
}

static struct conf_entry *find(const struct conf *conf, struct str key)
{
    for (size_t i = 0; i < conf->n; i++)
        if (str_eq(str_of(conf->entries[i].key), key))
            return &conf->entries[i];
    return NULL;
}

void conf_entries_init(struct conf *conf, const struct conf_section *sections, size_t n_sections)
{
    size_t n = 0;

    for (size_t i = 0; i < n_sections; i++)
        n += sections[i].n_fields;
    conf->entries = mem_zero(n, sizeof *conf->entries);
    for (size_t i = 0; i < n_sections; i++) {
        for (size_t j = 0; j < sections[i].n_fields; j++) {
            const struct conf_field *field = &sections[i].fields[j];
            const char *key =
                make_key(&conf->arena, str_of(sections[i].prefix), str_of(field->name));

            assert(!find(conf, str_of(key))); /* two rows with one key */
            conf->entries[conf->n++] = (struct conf_entry){
                .section = &sections[i],
                .field = field,
                .key = key,
                .variable = make_variable(&conf->arena, key),
            };
        }
    }
}

/* Is there a row below `key.`? */
static bool is_section(const struct conf *conf, struct str key)
{
    for (size_t i = 0; i < conf->n; i++) {
        struct str known = str_of(conf->entries[i].key);

        if (known.len > key.len && known.ptr[key.len] == '.' && str_starts(known, key))
            return true;
    }
    return false;
}

/* `place` is "file:line" or "--set", as in the dump. */
static enum mg_err fail_unknown(const struct conf *conf, struct str key, const char *place,
                                struct mg_why *why)
{
    if (is_section(conf, key))
        return mg_fail(why, MG_E_FORMAT, "%s: '%.*s' is a section with keys below it, not a value",
                       place, STR_ARG(key));
    struct str meant = nearest_key(conf, key, true);
    return mg_fail(why, MG_E_FORMAT, "%s: unknown key '%s%.*s'; did you mean '%.*s'?", place,
                   SCALAR_QUOTED(key), STR_ARG(meant));
}

static enum mg_err set_plain(struct conf *conf, struct conf_entry *entry, struct str text,
                             const char *origin, struct mg_why *why)
{
    enum mg_err err = conf_value_parse(entry->field, text, &conf->arena, &entry->value, why);

    if (err != MG_OK)
        return mg_fail_in(why, err, "%s: %s", origin, entry->key);
    entry->origin = origin;
    return MG_OK;
}

/* The texts of a tree keep the rule for values too. Its depth is tested again, because in the dump
 * a tree of --set stands one level deeper than where it was read. Recursion ends with the depth. */
static enum mg_err check_tree(const struct yaml *node, unsigned above, struct mg_why *why)
{
    bool is_open = yaml_kind(node) == YAML_LIST || yaml_kind(node) == YAML_MAP;

    if (is_open && above + 1 == YAML_DEPTH_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "more than %d levels deep", YAML_DEPTH_MAX - 1);
    enum mg_err err = scalar_check(yaml_str(node), why);
    if (err != MG_OK)
        return mg_fail_in(why, err, "line %u", yaml_line(node));
    for (size_t i = 0; i < yaml_count(node); i++) {
        err = scalar_check(yaml_key(node, i), why);
        if (err != MG_OK)
            return mg_fail_in(why, err, "line %u", yaml_key_line(node, i));
        MG_TRY(check_tree(yaml_at(node, i), above + 1, why));
    }
    return MG_OK;
}

/* The node's documents are the conf's. */
static enum mg_err set_tree(struct conf_entry *entry, const struct yaml *node, const char *origin,
                            struct mg_why *why)
{
    struct str text = yaml_str(node);

    if (yaml_kind(node) == YAML_SCALAR)
        return mg_fail(why, MG_E_FORMAT, "%s: %s: a list or a map is expected, not '%s%.*s'",
                       origin, entry->key, SCALAR_QUOTED(text));
    enum mg_err err = check_tree(node, 0, why);
    if (err != MG_OK)
        return mg_fail_in(why, err, "%s: %s", origin, entry->key);
    entry->value.tree = yaml_kind(node) == YAML_NULL ? NULL : node;
    entry->origin = origin;
    return MG_OK;
}

/* A value of the environment or of --set, where the text of a tree is YAML itself. */
static enum mg_err set_text(struct conf *conf, struct conf_entry *entry, struct str text,
                            const char *name, const char *origin, struct mg_why *why)
{
    struct yaml_docs *docs = NULL;

    if (entry->field->type != CONF_TREE)
        return set_plain(conf, entry, text, origin, why);
    enum mg_err err = yaml_parse(&docs, text, name, why);
    if (err != MG_OK)
        return mg_fail_in(why, err, "%s", entry->key);
    VEC_PUSH(&conf->docs, docs);
    if (yaml_count_docs(docs) > 1)
        return mg_fail(why, MG_E_FORMAT, "%s: %s: a list or a map is expected, not %zu documents",
                       origin, entry->key, yaml_count_docs(docs));
    return set_tree(entry, yaml_doc(docs, 0), origin, why);
}

static void set_defaults(struct conf *conf)
{
    for (size_t i = 0; i < conf->n; i++) {
        struct conf_entry *entry = &conf->entries[i];

        entry->origin = "default";
        assert(entry->field->type != CONF_TREE || !entry->field->def);
        if (entry->field->def) {
            enum mg_err err = set_plain(conf, entry, str_of(entry->field->def), "default", NULL);
            assert(err == MG_OK); /* the row's own default is outside its type or range */
        }
    }
}

struct file {
    struct conf *conf;
    const char *path;
    struct mg_why *why;
};

static const char *file_place(struct file *file, unsigned line)
{
    return arena_printf(&file->conf->arena, "%s:%u", file->path, line).ptr;
}

static enum mg_err set_list(struct file *file, struct conf_entry *entry, const struct yaml *node,
                            const char *place)
{
    VEC(struct str) items = { 0 };
    enum mg_err err = MG_OK;

    for (size_t i = 0; err == MG_OK && i < yaml_count(node); i++) {
        if (yaml_kind(yaml_at(node, i)) != YAML_SCALAR)
            err = mg_fail(file->why, MG_E_FORMAT, "item %zu is not a plain value", i + 1);
        else
            VEC_PUSH(&items, yaml_str(yaml_at(node, i)));
    }
    if (err == MG_OK)
        err =
            conf_value_parse_list(items.at, items.n, &file->conf->arena, &entry->value, file->why);
    VEC_FINI(&items);
    if (err != MG_OK)
        return mg_fail_in(file->why, err, "%s: %s", place, entry->key);
    entry->origin = place;
    return MG_OK;
}

static enum mg_err set_node(struct file *file, struct conf_entry *entry, const struct yaml *node,
                            unsigned line)
{
    const char *place = file_place(file, line);

    if (entry->file_line)
        return mg_fail(file->why, MG_E_FORMAT, "%s: %s is set twice, first in line %u", place,
                       entry->key, entry->file_line);
    entry->file_line = line;
    if (entry->field->type == CONF_TREE)
        return set_tree(entry, node, place, file->why);
    switch (yaml_kind(node)) {
    case YAML_SCALAR: return set_plain(file->conf, entry, yaml_str(node), place, file->why);
    case YAML_NULL:
        return mg_fail(file->why, MG_E_FORMAT,
                       "%s: %s has no value; remove the key for its default", place, entry->key);
    case YAML_MAP:
        return mg_fail(file->why, MG_E_FORMAT, "%s: %s takes a value, and here are keys below it",
                       place, entry->key);
    case YAML_LIST: break;
    }
    if (entry->field->type != CONF_LIST)
        return mg_fail(file->why, MG_E_FORMAT, "%s: %s takes one value, not a list", place,
                       entry->key);
    return set_list(file, entry, node, place);
}

/* Recursion is as deep as the tree, at most YAML_DEPTH_MAX. */
static enum mg_err walk_map(struct file *file, const struct yaml *map, struct str prefix)
{
    for (size_t i = 0; i < yaml_count(map); i++) {
        const struct yaml *node = yaml_at(map, i);
        unsigned line = yaml_key_line(map, i);
        struct str key = str_of(make_key(&file->conf->arena, prefix, yaml_key(map, i)));
        struct conf_entry *entry = find(file->conf, key);

        if (entry) {
            MG_TRY(set_node(file, entry, node, line));
            continue;
        }
        bool is_open = yaml_kind(node) == YAML_MAP || yaml_kind(node) == YAML_NULL;
        if (!is_open || !is_section(file->conf, key))
            return fail_unknown(file->conf, key, file_place(file, line), file->why);
        MG_TRY(walk_map(file, node, key));
    }
    return MG_OK;
}

static enum mg_err set_docs(struct file *file, const struct yaml_docs *docs)
{
    if (yaml_count_docs(docs) > 1)
        return mg_fail(file->why, MG_E_FORMAT,
                       "%s:%u: the configuration is one YAML document; remove '---'", file->path,
                       yaml_line(yaml_doc(docs, 1)));
    const struct yaml *root = yaml_doc(docs, 0);
    if (root && yaml_kind(root) != YAML_MAP)
        return mg_fail(file->why, MG_E_FORMAT, "%s:%u: 'key: value' is expected here", file->path,
                       yaml_line(root));
    return walk_map(file, root, STR(""));
}

static enum mg_err set_file(struct conf *conf, const char *path, struct mg_why *why)
{
    struct yaml_docs *docs = NULL;
    struct file file = { conf, path, why };

    MG_TRY(yaml_load(&docs, path, CONF_FILE_BYTES_MAX, why));
    VEC_PUSH(&conf->docs, docs);
    return set_docs(&file, docs);
}

/* The key that a variable with this name would have. */
static struct str key_of_variable(struct conf *conf, struct str name)
{
    static const size_t prefix = sizeof CONF_ENVIRONMENT_PREFIX - 1;
    struct str rest = str_n(name.ptr + prefix, name.len - prefix);
    char *key = arena_alloc(&conf->arena, rest.len + 1), *p = key;

    for (size_t i = 0; i < rest.len; i++) {
        bool is_dot = rest.ptr[i] == '_' && i + 1 < rest.len && rest.ptr[i + 1] == '_';
        *p++ = is_dot ? '.' : lower(rest.ptr[i]);
        i += is_dot;
    }
    return str_n(key, (size_t)(p - key));
}

static enum mg_err set_variable(struct conf *conf, struct str name, struct str value,
                                struct mg_why *why)
{
    for (size_t i = 0; i < conf->n; i++) {
        if (!str_eq(str_of(conf->entries[i].variable), name))
            continue;
        const char *origin = arena_printf(&conf->arena, "environment %.*s", STR_ARG(name)).ptr;
        return set_text(conf, &conf->entries[i], value, conf->entries[i].variable, origin, why);
    }
    const struct conf_entry *meant =
        find(conf, nearest_key(conf, key_of_variable(conf, name), false));
    return mg_fail(why, MG_E_FORMAT,
                   "environment: unknown variable '%.*s'; did you mean '%s' (key '%s')?",
                   STR_ARG(name), meant ? meant->variable : "", meant ? meant->key : "");
}

static enum mg_err set_environment(struct conf *conf, const char *const *environment,
                                   struct mg_why *why)
{
    for (; environment && *environment; environment++) {
        struct str name, value;

        if (!str_starts(str_of(*environment), STR(CONF_ENVIRONMENT_PREFIX)) ||
            !str_split_at(str_of(*environment), '=', &name, &value))
            continue;
        MG_TRY(set_variable(conf, name, value, why));
    }
    return MG_OK;
}

/* Without its '=' a value stands where the key should be, and it may be a secret: only what can be
 * a key is told. */
static enum mg_err fail_set(struct str set, struct mg_why *why)
{
    size_t n = 0;

    while (n < set.len && scalar_is_word_char(set.ptr[n]))
        n++;
    return mg_fail(why, MG_E_FORMAT, "--set: '%.*s%s' has no '=' behind its key; write key=value",
                   (int)n, set.ptr, n < set.len ? "…" : "");
}

static bool is_word(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!scalar_is_word_char(text.ptr[i]))
            return false;
    return true;
}

static enum mg_err set_options(struct conf *conf, const struct conf_source *source,
                               struct mg_why *why)
{
    for (size_t i = 0; i < source->n_sets; i++) {
        struct str key, value;

        if (!str_split_at(str_of(source->sets[i]), '=', &key, &value) || !is_word(key))
            return fail_set(str_of(source->sets[i]), why);
        struct conf_entry *entry = find(conf, key);
        if (!entry)
            return fail_unknown(conf, key, "--set", why);
        MG_TRY(set_text(conf, entry, value, "--set", "--set", why));
    }
    return MG_OK;
}

static void store(struct conf *conf)
{
    for (size_t i = 0; i < conf->n; i++) {
        const struct conf_entry *entry = &conf->entries[i];

        conf_value_store(entry->field, &entry->value, entry->section->target);
    }
}

enum mg_err conf_load(struct conf **out, const struct conf_section *sections, size_t n_sections,
                      const struct conf_source *source, struct mg_why *why)
{
    MG_AUTO(conf_free) struct conf *conf = MEM_NEW(struct conf);

    arena_init(&conf->arena);
    conf_entries_init(conf, sections, n_sections);
    set_defaults(conf);
    if (source->path)
        MG_TRY(set_file(conf, source->path, why));
    MG_TRY(set_environment(conf, source->environment, why));
    MG_TRY(set_options(conf, source, why));
    store(conf);
    *out = MG_STEAL(conf);
    return MG_OK;
}

void conf_free(struct conf **conf)
{
    if (!*conf)
        return;
    for (size_t i = 0; i < (*conf)->docs.n; i++)
        yaml_docs_free(&(*conf)->docs.at[i]);
    VEC_FINI(&(*conf)->docs);
    mem_free((*conf)->entries);
    arena_fini(&(*conf)->arena);
    mem_free(*conf);
    *conf = NULL;
}

const char *conf_origin(const struct conf *conf, const char *key)
{
    const struct conf_entry *entry = find(conf, str_of(key));

    return entry ? entry->origin : NULL;
}

void conf_keys(const struct conf_section *sections, size_t n_sections, conf_key_fn *visit,
               void *owner)
{
    MG_AUTO(conf_free) struct conf *conf = MEM_NEW(struct conf);

    arena_init(&conf->arena);
    conf_entries_init(conf, sections, n_sections);
    for (size_t i = 0; i < conf->n; i++)
        visit(owner, conf->entries[i].key, conf->entries[i].variable, conf->entries[i].field);
}

void conf_changed(const struct conf *old, const struct conf *now, conf_changed_fn *visit, void *owner)
{
    assert(old->n == now->n);
    for (size_t i = 0; i < now->n; i++)
        if (!conf_value_eq(now->entries[i].field, &old->entries[i].value, &now->entries[i].value))
            visit(owner, now->entries[i].key);
}

/* What the owner computed after the load is kept with the value: it is the target's that is copied.
 */
static void keep_entry(struct conf_entry *now, const struct conf_entry *old)
{
    struct conf_value started;

    conf_value_read(old->field, old->section->target, &started);
    conf_value_store(now->field, &started, now->section->target);
    now->value = old->value;
    now->origin = old->origin;
}

void conf_keep_started(struct conf *now, const struct conf *old, conf_changed_fn *visit,
                       void *owner)
{
    assert(old->n == now->n);
    for (size_t i = 0; i < now->n; i++) {
        struct conf_entry *entry = &now->entries[i];

        if (!entry->field->needs_restart ||
            conf_value_eq(entry->field, &old->entries[i].value, &entry->value))
            continue;
        visit(owner, entry->key);
        keep_entry(entry, &old->entries[i]);
    }
}
