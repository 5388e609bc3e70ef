/* The dump loads back to the same values, and tells origins; the reference page has every row. */
#include "conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "conf/value.h"
#include "sections.h"
#include "unit/base/assert_str.h"

#define ROOM (64u << 10)

static void load_sets(struct conf **out, const char *path, const char *const *sets, size_t n)
{
    struct conf_source source = { .path = path, .sets = sets, .n_sets = n };
    struct mg_why why = { { 0 } };

    targets_clear();
    if (conf_load(out, sections, MG_COUNT(sections), &source, &why) != MG_OK)
        fail_msg("%s", why.text);
}

/* The dump without its comments. */
static void dump_values(const struct conf *conf, struct buf *out)
{
    struct buf dump;
    struct str rest, line, value, comment;

    buf_init(&dump, ROOM);
    conf_dump(conf, &dump);
    rest = buf_str(&dump);
    while (str_cut(&rest, '\n', &line)) {
        size_t at;

        comment = STR("  # ");
        value = line;
        if (str_find(line, comment, &at))
            value.len = at;
        buf_put_str(out, value);
        buf_put_char(out, '\n');
    }
    buf_fini(&dump);
}

static void assert_dump_loads_back(const char *const *sets, size_t n)
{
    struct conf *conf = NULL, *again = NULL;
    struct buf dump, before, after;
    char path[] = "/tmp/mg_print_XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    buf_init(&dump, ROOM);
    buf_init(&before, ROOM);
    buf_init(&after, ROOM);
    load_sets(&conf, NULL, sets, n);
    conf_dump(conf, &dump);
    dump_values(conf, &before);
    assert_int_equal(write(fd, dump.ptr, dump.len), dump.len);
    close(fd);
    load_sets(&again, path, NULL, 0);
    dump_values(again, &after);
    if (!str_eq(buf_str(&before), buf_str(&after)))
        fail_msg("---\n%.*s---\n%.*s", STR_ARG(buf_str(&before)), STR_ARG(buf_str(&after)));
    unlink(path);
    conf_free(&conf);
    conf_free(&again);
    buf_fini(&dump);
    buf_fini(&before);
    buf_fini(&after);
}

static void a_dump_loads_back(void **state)
{
    static const char *const odd[] = {
        "data_dir=/a b # c: \"d\" \\ \n\t\xc3\xa4\xe2\x80\xa8'",
        "listen.otlp_http=off",
        "listen.zipkin=[::1]:0",
        "store.read_only=true",
        "store.blocks=10",
        "store.disk_max=1048577",
        "store.retention=1h1ns",
        "store.ratio=0.30000000000000004",
        "store.journal.durability=os",
        "store.files=- [x, y]",
        "store.name=",
    };
    static const char *const words[] = { "data_dir=~", "store.name=null", "store.files=" };
    static const char *const more[] = { "data_dir=true", "store.name=*alias", "store.files=&a" };

    static const char *const trees[] = {
        "rules.policies=[{name: 'it''s # \xc3\xa4', v: 'a\n\n  b'}]",
        "rules.classes.list={a: -1.5, b: \"1\", c: null, \"null\": 'x: y', d: [[], {}], e: ~}",
    };
    static const char *const empty[] = { "rules.policies=[]", "rules.classes.list={}" };
    static const char *const none[] = { "rules.policies=", "rules.classes.list=~" };

    (void)state;
    assert_dump_loads_back(NULL, 0);
    assert_dump_loads_back(trees, MG_COUNT(trees));
    assert_dump_loads_back(empty, MG_COUNT(empty));
    assert_dump_loads_back(none, MG_COUNT(none));
    assert_dump_loads_back(odd, MG_COUNT(odd));
    assert_dump_loads_back(words, MG_COUNT(words));
    assert_dump_loads_back(more, MG_COUNT(more));
}

static void a_dump_tells_origins_and_computed_values(void **state)
{
    static const char *const sets[] = { "store.blocks=3", "store.token=hush",
                                        "rules.policies=- {a: b c}" };
    static const char *const lines[] = {
        "# store.token: (set, not shown)  # --set\n",
        "data_dir: /computed  # default, computed\n",
        "listen.otlp_http: 127.0.0.1:4318  # default\n",
        "listen.zipkin: off  # default\n",
        "store.blocks: 3  # --set\n",
        "# store.disk_max:  # default, none\n",
        "store.retention: 7d  # default\n",
        "rules.policies: [{a: \"b c\"}]  # --set\n",
        "rules.floor.per_second: 1  # default\n",
        "# rules.classes.list:  # default, none\n",
    };
    struct conf *conf = NULL;
    struct buf dump;

    (void)state;
    buf_init(&dump, ROOM);
    load_sets(&conf, NULL, sets, MG_COUNT(sets));
    top.data_dir = STR("/computed");
    conf_dump(conf, &dump);
    size_t found;
    assert_false(str_find(buf_str(&dump), STR("hush"), &found));
    for (size_t i = 0; i < MG_COUNT(lines); i++) {
        size_t at;

        if (!str_find(buf_str(&dump), str_of(lines[i]), &at))
            fail_msg("no '%s' in:\n%.*s", lines[i], STR_ARG(buf_str(&dump)));
    }
    conf_free(&conf);
    buf_fini(&dump);
}

static void on_changed(void *owner, const char *key)
{
    buf_printf(owner, "%s ", key);
}

static void two_loads_are_compared_by_value(void **state)
{
    static const char *const one[] = { "store.blocks=3", "store.token=a", "store.files=x",
                                       "rules.policies=- {a: b c}\n- 'd'" };
    static const char *const two[] = { "store.blocks=4",       "store.token=b",
                                       "store.files=x",        "store.retention=168h",
                                       "rules.classes.list=[]", "rules.policies=[{a: \"b c\"}, \"d\"]" };
    static const char *const three[] = { "store.blocks=4", "store.token=b", "rules.policies=[{a: c}]",
                                         "store.files=x", "rules.classes.list={}" };
    struct conf *old = NULL, *now = NULL;
    struct buf keys;

    (void)state;
    buf_init(&keys, ROOM);
    load_sets(&old, NULL, one, MG_COUNT(one));
    load_sets(&now, NULL, two, MG_COUNT(two));
    conf_changed(old, old, on_changed, &keys);
    assert_int_equal(keys.len, 0);
    conf_changed(old, now, on_changed, &keys);
    assert_str(buf_str(&keys), "store.blocks store.token rules.classes.list ");
    conf_free(&old);
    load_sets(&old, NULL, three, MG_COUNT(three));
    buf_clear(&keys);
    conf_changed(now, old, on_changed, &keys);
    assert_str(buf_str(&keys), "rules.policies rules.classes.list ");
    conf_free(&old);
    conf_free(&now);
    buf_fini(&keys);
}

/* A value before and after, of every type with and without the flag; and whether it stays as it
 * was. */
static const struct {
    const char *before, *after, *key;
    bool stays;
} changes[] = {
    {"listen.otlp_http=127.0.0.1:1", "listen.otlp_http=127.0.0.1:2", "listen.otlp_http", true},
    {"listen.otlp_http=127.0.0.1:1", "listen.otlp_http=off", "listen.otlp_http", true},
    {"listen.otlp_http=off", "listen.otlp_http=[::1]:4318", "listen.otlp_http", true},
    {"store.journal.durability=os", "store.journal.durability=commit", "store.journal.durability",
     true},
    {"store.token=one", "store.token=", "store.token", true},
    {"store.urls=http://a", "store.urls=", "store.urls", true},
    {"rules.classes.list=[a]", "rules.classes.list=", "rules.classes.list", true},
    {"rules.classes.list=", "rules.classes.list={a: 1}", "rules.classes.list", true},
    {"listen.zipkin=127.0.0.1:1", "listen.zipkin=off", "listen.zipkin", false},
    {"data_dir=/a", "data_dir=/b", "data_dir", false},
    {"store.read_only=true", "store.read_only=false", "store.read_only", false},
    {"store.blocks=1", "store.blocks=2", "store.blocks", false},
    {"store.disk_max=1MiB", "store.disk_max=2MiB", "store.disk_max", false},
    {"store.retention=1h", "store.retention=2h", "store.retention", false},
    {"store.ratio=0.5", "store.ratio=0.25", "store.ratio", false},
    {"store.files=a", "store.files=b", "store.files", false},
    {"rules.policies=[a]", "rules.policies=[b]", "rules.policies", false},
};

static struct str value_of(const struct conf *conf, const char *key, struct buf *dump)
{
    struct str rest, line;

    buf_clear(dump);
    conf_dump(conf, dump);
    for (rest = buf_str(dump); str_cut(&rest, '\n', &line);) {
        struct str name = str_of(key);
        size_t skip = str_starts(line, STR("# ")) ? 2 : 0;
        if (str_starts(str_n(line.ptr + skip, line.len - skip), name) &&
            line.ptr[skip + name.len] == ':')
            return line;
    }
    fail_msg("no %s", key);
    return STR("");
}

/* Two programs' worth of targets: the sections of `old` point to copies. */
struct started {
    struct top_conf top;
    struct listen_conf doors;
    struct store_conf disk;
    struct rules_conf rules;
    struct conf_section sections[MG_COUNT(sections)];
};

static void started_load(struct conf **out, struct started *started, const char *set)
{
    struct conf_source source = {.sets = &set, .n_sets = 1};
    void *targets[] = {&started->top, &started->doors, &started->disk, &started->rules,
                       &started->rules};
    struct mg_why why = {{0}};

    *started = (struct started){0};
    memcpy(started->sections, sections, sizeof sections);
    for (size_t i = 0; i < MG_COUNT(targets); i++)
        started->sections[i].target = targets[i];
    if (conf_load(out, started->sections, MG_COUNT(sections), &source, &why) != MG_OK)
        fail_msg("%s", why.text);
}

static void what_was_read_at_the_start_stays_in_a_reload(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(changes); i++) {
        struct started before, after;
        struct conf *old = NULL, *now = NULL;
        struct buf keys, lines[3];
        bool stays = changes[i].stays;

        buf_init(&keys, ROOM);
        for (size_t k = 0; k < MG_COUNT(lines); k++)
            buf_init(&lines[k], ROOM);
        started_load(&old, &before, changes[i].before);
        started_load(&now, &after, changes[i].after);
        struct str was = value_of(old, changes[i].key, &lines[0]),
                   wanted = value_of(now, changes[i].key, &lines[1]);
        conf_keep_started(now, old, on_changed, &keys);
        struct str is = value_of(now, changes[i].key, &lines[2]);
        if (!str_eq(is, stays ? was : wanted) || (keys.len > 0) != stays)
            fail_msg("%s: was %.*s, is %.*s, told '%.*s'", changes[i].after, STR_ARG(was),
                     STR_ARG(is), STR_ARG(buf_str(&keys)));
        if (stays)
            assert_true(str_starts(buf_str(&keys), str_of(changes[i].key)) &&
                        keys.len == strlen(changes[i].key) + 1);
        buf_clear(&keys);
        conf_keep_started(now, old, on_changed, &keys); /* nothing is left to keep */
        assert_int_equal(keys.len, 0);
        conf_free(&now); /* before what it borrows from */
        conf_free(&old);
        buf_fini(&keys);
        for (size_t k = 0; k < MG_COUNT(lines); k++)
            buf_fini(&lines[k]);
    }
}

static void what_was_computed_at_the_start_stays_too(void **state)
{
    struct started before, after;
    struct conf *old = NULL, *now = NULL;
    struct buf keys;

    (void)state;
    buf_init(&keys, ROOM);
    started_load(&old, &before, "listen.otlp_http=127.0.0.1:0");
    before.doors.otlp_http = STR("127.0.0.1:999");
    started_load(&now, &after, "listen.otlp_http=127.0.0.1:1");
    conf_keep_started(now, old, on_changed, &keys);
    assert_str(after.doors.otlp_http, "127.0.0.1:999");
    assert_string_equal(conf_origin(now, "listen.otlp_http"), "--set");
    assert_str(buf_str(&keys), "listen.otlp_http ");
    conf_free(&now);
    conf_free(&old);
    buf_fini(&keys);
}

static const struct {
    const char *set, *line;
} passwords[] = {
    {"store.name=http://ann:hush@host:4318/v1",
     "# store.name: \"http://***@host:4318/v1\" (password not shown)  # --set\n"},
    {"store.name=https://hush@host",
     "# store.name: \"https://***@host\" (password not shown)  # --set\n"},
    {"store.name=HTTP://ann:hush@host",
     "# store.name: \"HTTP://***@host\" (password not shown)  # --set\n"},
    {"store.name=http://ann:hu/sh@host",
     "# store.name: \"http://***@host\" (password not shown)  # --set\n"},
    {"store.name=http://ann:hu#sh@host",
     "# store.name: \"http://***@host\" (password not shown)  # --set\n"},
    {"store.name=http://ann:hu@sh@host",
     "# store.name: \"http://***@host\" (password not shown)  # --set\n"},
    {"store.name=  http://ann:hush@host",
     "# store.name: \"  http://***@host\" (password not shown)  # --set\n"},
    {"store.name=http://ann:hush\n# x@host\n",
     "# store.name: \"http://***@host\\u000A\" (password not shown)  # --set\n"},
    {"store.name=http://ann:hush@",
     "# store.name: \"http://***@\" (password not shown)  # --set\n"},
    {"store.urls=amqps://ann:hush@host",
     "# store.urls: [\"amqps://***@host\"] (password not shown)  # --set\n"},
    {"store.token=http://ann:hush@host", "# store.token: (set, not shown)  # --set\n"},
    /* Not the user and password of a URL. */
    {"store.name=http://host:4318/v1", "store.name: http://host:4318/v1  # --set\n"},
    {"store.name=a@b", "store.name: a@b  # --set\n"},
    {"store.name=@http://host", "store.name: \"@http://host\"  # --set\n"},
    {"store.name=://a@b", "store.name: \"://a@b\"  # --set\n"},
    {"store.name=http:/a@b", "store.name: http:/a@b  # --set\n"},
    {"store.urls=redact pattern \"://[^@]*@\"",
     "store.urls: [\"redact pattern \\\"://[^@]*@\\\"\"]  # --set\n"},
    {"rules.policies=[\"http://a@b\"]", "rules.policies: [\"http://a@b\"]  # --set\n"},
};

static void passwords_of_urls_are_not_dumped(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(passwords); i++) {
        struct conf *conf = NULL;
        struct buf dump;
        size_t at;

        buf_init(&dump, ROOM);
        load_sets(&conf, NULL, &passwords[i].set, 1);
        conf_dump(conf, &dump);
        if (!str_find(buf_str(&dump), str_of(passwords[i].line), &at) ||
            str_find(buf_str(&dump), STR("hu"), &at))
            fail_msg("no '%s' in:\n%.*s", passwords[i].line, STR_ARG(buf_str(&dump)));
        conf_free(&conf);
        buf_fini(&dump);
    }
}

static void the_reference_has_every_row(void **state)
{
    static const char *const lines[] = {
        "## Top level\n",
        "## listen\n",
        "## store\n",
        "| `data_dir` | text |  |  | Where data is kept. |\n",
        "| `store.blocks` | whole number | `5` | 1 to 10 | Blocks. |\n",
        "| `store.disk_max` | size |  | at least 1MiB | Largest size. |\n",
        "| `store.journal.durability` | choice | `commit` | commit\\|os | Sync. Needs a restart. "
        "|\n",
        "| `store.token` | text |  |  | Token. Needs a restart. |\n",
        "| `store.files` | list |  |  | Files. |\n",
        "| `store.urls` | list |  |  | URLs. Needs a restart. |\n",
        "| `listen.otlp_http` | address or off | `127.0.0.1:4318` |  | OTLP over HTTP. Needs a "
        "restart. |\n",
        /* Two sections, one table. */
        "## rules\n\n| key | value | default | range | meaning |\n|---|---|---|---|---|\n"
        "| `rules.policies` | list or map |  |  | Policies. |\n"
        "| `rules.floor.per_second` | number | `1` | at least 0 | Traces of the floor. |\n"
        "| `rules.classes.list` | list or map |  |  | Classes. Needs a restart. |\n",
    };
    struct buf page;

    (void)state;
    buf_init(&page, ROOM);
    conf_reference(sections, MG_COUNT(sections), &page);
    for (size_t i = 0; i < MG_COUNT(lines); i++) {
        size_t at;

        if (!str_find(buf_str(&page), str_of(lines[i]), &at))
            fail_msg("no '%s' in:\n%.*s", lines[i], STR_ARG(buf_str(&page)));
    }
    buf_fini(&page);
}

static void a_small_buffer_fails_and_says_so(void **state)
{
    struct buf page;

    (void)state;
    buf_init(&page, 100);
    conf_reference(sections, MG_COUNT(sections), &page);
    assert_int_equal(buf_err(&page), MG_E_TOO_BIG);
    buf_fini(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dump_loads_back),
        cmocka_unit_test(a_dump_tells_origins_and_computed_values),
        cmocka_unit_test(two_loads_are_compared_by_value),
        cmocka_unit_test(what_was_read_at_the_start_stays_in_a_reload),
        cmocka_unit_test(what_was_computed_at_the_start_stays_too),
        cmocka_unit_test(passwords_of_urls_are_not_dumped),
        cmocka_unit_test(the_reference_has_every_row),
        cmocka_unit_test(a_small_buffer_fails_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
