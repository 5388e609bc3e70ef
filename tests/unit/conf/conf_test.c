/* The four layers, their precedence, and every way to be told what is wrong and where. */
#include "conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "conf/yaml.h"
#include "sections.h"
#include "unit/base/assert_str.h"

static char path[] = "/tmp/mg_conf_XXXXXX";

static const char *write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    fclose(file);
    return path;
}

/* NULL text: no file; NULL set or variable: none. */
static enum mg_err load(struct conf **out, const char *text, const char *variable, const char *set,
                        struct mg_why *why)
{
    const char *environment[] = { "HOME=/x", variable, NULL }, *sets[] = { set };
    struct conf_source source = { .path = text ? write_file(text) : NULL,
                                  .environment = environment,
                                  .sets = sets,
                                  .n_sets = set != NULL };

    targets_clear();
    return conf_load(out, sections, MG_COUNT(sections), &source, why);
}

static void no_source_gives_defaults(void **state)
{
    struct conf *conf = NULL;

    (void)state;
    assert_int_equal(load(&conf, NULL, NULL, NULL, NULL), MG_OK);
    assert_int_equal(top.data_dir.len, 0);
    assert_str(doors.otlp_http, "127.0.0.1:4318");
    assert_int_equal(doors.zipkin.len, 0);
    assert_int_equal(disk.blocks, 5);
    assert_int_equal(disk.disk_bytes, 0);
    assert_true(disk.retention_ns == 7 * 86400000000000ull);
    assert_true(disk.ratio == 0.1);
    assert_int_equal(disk.files.n, 0);
    assert_string_equal(conf_origin(conf, "store.blocks"), "default");
    assert_null(conf_origin(conf, "store"));
    conf_free(&conf);
    assert_null(conf);
}

static void a_file_fills_nested_and_dotted_keys(void **state)
{
    struct conf *conf = NULL;
    char place[64];

    (void)state;
    assert_int_equal(load(&conf,
                          "data_dir: /d\nlisten:\n  otlp_http: off\n  zipkin: \"[::1]:0\"\nstore:\n"
                          "  journal:\n    durability: os\n  files: [a, 'b c']\nstore.blocks: 7\n"
                          "store.ratio: 1\n",
                          NULL, NULL, NULL),
                     MG_OK);
    assert_str(top.data_dir, "/d");
    assert_int_equal(doors.otlp_http.len, 0);
    assert_str(doors.zipkin, "[::1]:0");
    assert_int_equal(disk.durability, 1);
    assert_int_equal(disk.files.n, 2);
    assert_str(disk.files.at[1], "b c");
    assert_int_equal(disk.blocks, 7);
    snprintf(place, sizeof place, "%s:9", path);
    assert_string_equal(conf_origin(conf, "store.blocks"), place);
    conf_free(&conf);
}

static void later_layers_win(void **state)
{
    struct conf *conf = NULL;

    (void)state;
    assert_int_equal(load(&conf, "store: {blocks: 2}\n", "MESHGLASS_STORE__BLOCKS=3", NULL, NULL),
                     MG_OK);
    assert_int_equal(disk.blocks, 3);
    assert_string_equal(conf_origin(conf, "store.blocks"), "environment MESHGLASS_STORE__BLOCKS");
    conf_free(&conf);
    assert_int_equal(
        load(&conf, "store: {blocks: 2}\n", "MESHGLASS_STORE__BLOCKS=3", "store.blocks=4", NULL),
        MG_OK);
    assert_int_equal(disk.blocks, 4);
    assert_string_equal(conf_origin(conf, "store.blocks"), "--set");
    conf_free(&conf);
}

static void sets_and_variables_name_every_kind(void **state)
{
    struct conf *conf = NULL;

    (void)state;
    assert_int_equal(
        load(&conf, NULL, "MESHGLASS_LISTEN__OTLP_HTTP=127.0.0.1:0", "store.files=a=b,c", NULL),
        MG_OK);
    assert_str(doors.otlp_http, "127.0.0.1:0");
    assert_int_equal(disk.files.n, 1);
    assert_str(disk.files.at[0], "a=b,c");
    conf_free(&conf);
    assert_int_equal(
        load(&conf, "store: {files: [x]}\n", "MESHGLASS_DATA_DIR=", "store.files=", NULL), MG_OK);
    assert_int_equal(disk.files.n, 0);
    conf_free(&conf);
    assert_int_equal(load(&conf, NULL, "MESHGLASS_STORE__JOURNAL__DURABILITY=os", NULL, NULL),
                     MG_OK);
    assert_int_equal(disk.durability, 1);
    conf_free(&conf);
}

static void empty_files_and_sections_are_fine(void **state)
{
    static const char *const texts[] = { "", "# nothing\n", "---\n", "store:\n",
                                         "store: {}\nlisten:\n" };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(texts); i++) {
        struct conf *conf = NULL;

        assert_int_equal(load(&conf, texts[i], NULL, NULL, NULL), MG_OK);
        assert_int_equal(disk.blocks, 5);
        conf_free(&conf);
    }
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *file, *variable, *set, *says[3];
    } cases[] = {
        { "store:\n  retentoin: 1d\n",
          NULL,
          NULL,
          { ":2: ", "unknown key 'store.retentoin'", "did you mean 'store.retention'?" } },
        { "stroe:\n  retention: 1d\n", NULL, NULL, { ":1: ", "'stroe'", "did you mean 'store'?" } },
        { "a: 1\n", NULL, NULL, { ":1: ", "unknown key 'a'", "did you mean" } },
        { "data_dir: x\nstore: 5\n", NULL, NULL, { ":2: ", "'store' is a section", "" } },
        { "store: [1]\n", NULL, NULL, { ":1: ", "'store' is a section", "" } },
        { "store:\n  journal: os\n", NULL, NULL, { ":2: ", "'store.journal' is a section", "" } },
        { "store:\n  blocks: {a: 1}\n", NULL, NULL, { ":2: ", "store.blocks takes a value", "" } },
        { "store:\n  blocks: [1]\n", NULL, NULL, { ":2: ", "store.blocks takes one value", "" } },
        { "store:\n  blocks:\n", NULL, NULL, { ":2: ", "store.blocks has no value", "" } },
        { "store:\n  blocks: x\n", NULL, NULL, { ":2: ", "store.blocks", "not a whole number" } },
        { "store:\n  blocks: 11\n", NULL, NULL, { ":2: ", "store.blocks", "from 1 to 10" } },
        { "store:\n  files: [a, {b: 1}]\n", NULL, NULL, { ":2: ", "store.files", "item 2" } },
        { "store:\n  files: [a, ~]\n", NULL, NULL, { ":2: ", "store.files", "item 2" } },
        { "store: {blocks: 1}\nstore.blocks: 2\n",
          NULL,
          NULL,
          { ":2: ", "store.blocks is set twice", "line 1" } },
        { "store: {blocks: 1}\nstore: {ratio: 1}\n",
          NULL,
          NULL,
          { ":2: ", "'store' is here twice", "" } },
        { "- a\n", NULL, NULL, { ":1: ", "key: value", "" } },
        { "text\n", NULL, NULL, { ":1: ", "key: value", "" } },
        { "data_dir: x\n---\ndata_dir: y\n", NULL, NULL, { ":3: ", "one YAML document", "" } },
        { "store:\n  retention: 1d\n",
          "MESHGLASS_STORE__RETENTOIN=2d",
          NULL,
          { "environment", "'MESHGLASS_STORE__RETENTOIN'",
            "'MESHGLASS_STORE__RETENTION' (key 'store.retention')" } },
        { NULL, "MESHGLASS_STORE=1", NULL, { "environment", "'MESHGLASS_STORE'", "did you mean" } },
        { NULL, "MESHGLASS_=1", NULL, { "environment", "'MESHGLASS_'", "did you mean" } },
        { NULL,
          "MESHGLASS_STORE__BLOCKS=0",
          NULL,
          { "environment MESHGLASS_STORE__BLOCKS: store.blocks", "from 1 to 10", "" } },
        { NULL, NULL, "store.blocks", { "--set", "no '='", "key=value" } },
        { NULL, NULL, "store.blocks: 1", { "--set: 'store.blocks…' has no '='", "key=value", "" } },
        { NULL, NULL, "store.name:http://u:hush=@h", { "--set: 'store.name…'", "no '='", "" } },
        { NULL, NULL, "http://u:hush@h", { "--set: 'http…' has no '='", "", "" } },
        { NULL, NULL, "retention=1d", { "--set", "'retention'", "mean 'store.retention'?" } },
        { NULL,
          "MESHGLASS_STORE_BLOCKS=1",
          NULL,
          { "environment", "'MESHGLASS_STORE_BLOCKS'",
            "'MESHGLASS_STORE__BLOCKS' (key 'store.blocks')" } },
        { NULL,
          "MESHGLASS_RETENTION=1",
          NULL,
          { "environment", "'MESHGLASS_RETENTION'",
            "'MESHGLASS_STORE__RETENTION' (key 'store.retention')" } },
        { NULL, NULL, "=1", { "--set", "unknown key ''", "" } },
        { NULL,
          NULL,
          "store.block=1",
          { "--set", "'store.block'", "did you mean 'store.blocks'?" } },
        { NULL, NULL, "store=1", { "--set", "'store' is a section", "" } },
        { NULL, NULL, "store.blocks=0", { "--set: store.blocks", "from 1 to 10", "" } },
        { NULL, NULL, "listen.zipkin=:1", { "--set: listen.zipkin", "no usable host", "" } },
        { NULL, NULL, "store.blocks=", { "--set: store.blocks", "not a whole number", "" } },
        /* A wrong value in the file is an error even where --set would cover it. */
        { "store: {blocks: 0}\n",
          NULL,
          "store.blocks=1",
          { ":1: ", "store.blocks", "out of range" } },
        { "rules:\n  policies: all\n",
          NULL,
          NULL,
          { ":2: rules.policies", "a list or a map is expected", "'all'" } },
        { "rules:\n  policies: \"\"\n", NULL, NULL, { ":2: rules.policies", "list or a map", "" } },
        { "rules: {policies: []}\nrules.policies: []\n",
          NULL,
          NULL,
          { ":2: ", "rules.policies is set twice", "line 1" } },
        { "rules.policies.name: x\n", NULL, NULL, { ":1: ", "unknown key", "rules.policies" } },
        { "rules:\n  classes: []\n", NULL, NULL, { ":2: ", "'rules.classes' is a section", "" } },
        { "rules:\n  policies:\n  - name: \"\\0\"\n",
          NULL,
          NULL,
          { ":2: rules.policies", "line 3", "control character" } },
        { "rules:\n  policies:\n    a: 1\n    \"\\a\": 1\n",
          NULL,
          NULL,
          { ":2: rules.policies", "line 4", "control character" } },
        { NULL, NULL, "rules.policies=all", { "--set: rules.policies", "list or a map", "'all'" } },
        { NULL, NULL, "rules.policies=[a", { "rules.policies: --set:", "did not find", "" } },
        { NULL, NULL, "rules.policies=[a: &x 1]", { "rules.policies: --set:1: ", "anchors", "" } },
        { NULL,
          NULL,
          "rules.policies=[a]\n---\n[b]",
          { "--set: rules.policies", "list or a map", "2 documents" } },
        { NULL, NULL, "rules.policies.x=1", { "--set: unknown key", "'rules.policies'", "" } },
        { NULL,
          "MESHGLASS_RULES__POLICIES=5",
          NULL,
          { "environment MESHGLASS_RULES__POLICIES: rules.policies", "list or a map", "'5'" } },
        { NULL,
          "MESHGLASS_RULES__POLICIES={a: 1, a: 2}",
          NULL,
          { "rules.policies: MESHGLASS_RULES__POLICIES:1: ", "key 'a' is here twice", "" } },
        /* A password in the wrong place is not told, and the rest is. */
        { NULL,
          NULL,
          "listen.zipkin=ann:hush@host:1",
          { "--set: listen.zipkin: '***@host:1'", "no usable host", "host:port" } },
        { NULL, NULL, "listen.zipkin=ann:hu@hush@host", { "'***@host'", "the port is", "" } },
        { NULL, NULL, "listen.zipkin=hush@host", { "'***@host'", "no port", "" } },
        { "store: {blocks: 'http://ann:hush@host'}\n",
          NULL,
          NULL,
          { ":1: store.blocks: '***@host'", "whole number", "" } },
        { NULL, NULL, "store.read_only=hush@host", { "'***@host'", "true nor false", "" } },
        { NULL, NULL, "store.disk_max=hush@host", { "'***@host'", "not a size", "" } },
        { NULL, NULL, "store.retention=hush@host", { "'***@host'", "not a duration", "" } },
        { NULL, NULL, "store.ratio=hush@host", { "'***@host'", "not a number", "" } },
        { NULL, NULL, "store.journal.durability=hush@host", { "'***@host'", "commit|os", "" } },
        { "rules: {policies: 'http://ann:hush@host'}\n",
          NULL,
          NULL,
          { ":1: rules.policies", "a list or a map is expected, not '***@host'", "" } },
        { "http://ann:hush@host: 1\n", NULL, NULL, { ":1: ", "unknown key '***@host'", "" } },
        { "store:\n  'ann:hush@host': 1\n  'ann:hush@host': 1\n",
          NULL,
          NULL,
          { ":3: ", "key '***@host' is here twice", "" } },
        { "store.name: !ann:hush@host\n", NULL, NULL, { ":1: the tag '***@host'", "", "" } },
        /* A tree that was read before the failure. */
        { "rules: {policies: [a]}\n",
          NULL,
          "rules.floor.per_second=x",
          { "--set: rules.floor.per_second", "not a number", "" } },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct conf *conf = NULL;
        struct mg_why why = { { 0 } };

        assert_int_equal(load(&conf, cases[i].file, cases[i].variable, cases[i].set, &why),
                         MG_E_FORMAT);
        assert_null(conf);
        assert_null(strstr(why.text, "hush"));
        for (size_t k = 0; k < 3; k++)
            if (!strstr(why.text, cases[i].says[k]))
                fail_msg("case %zu: '%s' does not say '%s'", i, why.text, cases[i].says[k]);
        assert_int_equal(disk.blocks, 0); /* nothing was stored */
        assert_null(doors.otlp_http.ptr);
        assert_null(rules.policies);
    }
}

static void a_tree_comes_from_every_layer(void **state)
{
    static const char file[] =
        "store: {blocks: 2}\nrules:\n  policies:\n  - name: all\n    floor: {per_second: 2}\n"
        "  classes.list: {a.b: {c: d}}\n  floor: {per_second: 3}\n";
    static const struct {
        const char *file, *variable, *set, *want; /* NULL: no tree */
        unsigned line;                            /* of the tree */
    } cases[] = {
        { "rules:\n", NULL, NULL, NULL, 0 },
        { "rules: {policies: }\n", NULL, NULL, NULL, 0 },
        { "rules.policies: ~\n", NULL, NULL, NULL, 0 },
        { "rules.policies: []\n", NULL, NULL, "[]", 1 },
        { "rules.policies: {}\n", NULL, NULL, "{}", 1 },
        { file, NULL, NULL, "[{name: all, floor: {per_second: 2}}]", 4 },
        { file, "MESHGLASS_RULES__POLICIES=- b\n", NULL, "[b]", 1 },
        { file, NULL, "rules.policies={x: [y, ~, \"n\"]}", "{x: [y, null, \"n\"]}", 1 },
        { file, "MESHGLASS_RULES__POLICIES=[a]", "rules.policies=\n\n[b]", "[b]", 3 },
        { file, NULL, "rules.policies=", NULL, 0 },
        { file, "MESHGLASS_RULES__POLICIES=null", NULL, NULL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct conf *conf = NULL;
        struct buf text;

        buf_init(&text, 1000);
        assert_int_equal(load(&conf, cases[i].file, cases[i].variable, cases[i].set, NULL), MG_OK);
        assert_int_equal(rules.policies == NULL, cases[i].want == NULL);
        yaml_print(rules.policies, &text);
        assert_str(buf_str(&text), cases[i].want ? cases[i].want : "null");
        assert_int_equal(yaml_line(rules.policies), cases[i].line);
        if (cases[i].file == file) {
            assert_true(rules.per_second == 3);
            assert_str(yaml_key(rules.classes, 0), "a.b");
        }
        buf_fini(&text);
        conf_free(&conf);
    }
}

static void a_tree_fits_its_place_in_the_dump(void **state)
{
    (void)state;
    for (int depth = YAML_DEPTH_MAX - 2; depth <= YAML_DEPTH_MAX; depth++) {
        struct conf *conf = NULL;
        struct mg_why why = { { 0 } };
        char set[128];
        int n = snprintf(set, sizeof set, "rules.policies=");

        memset(set + n, '[', (size_t)depth);
        memset(set + n + depth, ']', (size_t)depth);
        set[n + 2 * depth] = '\0';
        assert_int_equal(load(&conf, NULL, NULL, set, &why),
                         depth < YAML_DEPTH_MAX ? MG_OK : MG_E_TOO_BIG);
        if (depth == YAML_DEPTH_MAX)
            assert_string_equal(why.text, "--set: rules.policies: more than 31 levels deep");
        conf_free(&conf);
    }
}

static void a_missing_file_is_told(void **state)
{
    struct conf_source source = { .path = "/nonexistent/meshglass.yaml" };
    struct conf *conf = NULL;
    struct mg_why why = { { 0 } };

    (void)state;
    assert_int_equal(conf_load(&conf, sections, MG_COUNT(sections), &source, &why), MG_E_IO);
    assert_non_null(strstr(why.text, "/nonexistent/meshglass.yaml"));
}

static void count_key(void *owner, const char *key, const char *variable,
                      const struct conf_field *field)
{
    size_t *n = owner;

    assert_non_null(field->help);
    if (strcmp(key, "store.journal.durability") == 0)
        assert_string_equal(variable, "MESHGLASS_STORE__JOURNAL__DURABILITY");
    if (*n == 0)
        assert_string_equal(key, "data_dir");
    ++*n;
}

static void keys_are_enumerated(void **state)
{
    size_t n = 0;

    (void)state;
    conf_keys(sections, MG_COUNT(sections), count_key, &n);
    assert_int_equal(n, MG_COUNT(top_fields) + MG_COUNT(listen_fields) + MG_COUNT(store_fields) +
                            MG_COUNT(rule_fields) + MG_COUNT(class_fields));
}

static int setup(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 || close(fd) != 0;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_source_gives_defaults),
        cmocka_unit_test(a_file_fills_nested_and_dotted_keys),
        cmocka_unit_test(later_layers_win),
        cmocka_unit_test(sets_and_variables_name_every_kind),
        cmocka_unit_test(empty_files_and_sections_are_fine),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_tree_comes_from_every_layer),
        cmocka_unit_test(a_tree_fits_its_place_in_the_dump),
        cmocka_unit_test(a_missing_file_is_told),
        cmocka_unit_test(keys_are_enumerated),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
