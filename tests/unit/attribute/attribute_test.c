/* The examples of the folder's page, as a configuration file would bring them. */
#include "spans.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct rules_conf { struct conf_list rules; };
static const struct conf_field fields[] = {
    CONF_ROW(struct rules_conf, CONF_LIST, "rules", rules, NULL, NULL, NULL, "Attribute rules."),
};

static struct str page_read(struct arena *arena)
{
    FILE *file = fopen(ATTRIBUTE_README, "rb");
    char text[65536];

    if (!file)
        fail_msg("%s cannot be read", ATTRIBUTE_README);
    size_t n = fread(text, 1, sizeof text, file);
    fclose(file);
    return arena_str(arena, str_n(text, n));
}

/* The nth block between ```yaml and ```. */
static struct str block_of(struct str page, size_t nth)
{
    size_t from = 0, to = 0;

    for (size_t i = 0; i <= nth; i++) {
        page = str_n(page.ptr + from + to, page.len - from - to);
        if (!str_find(page, STR("```yaml\n"), &from))
            return STR("");
        from += 8;
        assert_true(str_find(str_n(page.ptr + from, page.len - from), STR("```\n"), &to));
    }
    return str_n(page.ptr + from, to);
}

typedef void rules_fn(struct attribute_filter *filter, struct arena *arena);

/* Loads the block as the collector loads its file, and hands a filter of its rules over. Returns the number of rules. */
static size_t with_block(struct str block, rules_fn *use, struct arena *arena)
{
    char path[] = "/tmp/attribute_test.XXXXXX";
    struct rules_conf target = { 0 };
    struct conf_section section = { "ingest", fields, MG_COUNT(fields), &target };
    struct conf_source source = { .path = path };
    struct attribute_rules *rules = NULL;
    struct conf *conf = NULL;
    struct mg_why why = { "" };
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, block.ptr, block.len), (ssize_t)block.len);
    close(fd);
    enum mg_err err = conf_load(&conf, &section, 1, &source, &why);
    unlink(path);
    if (err != MG_OK || attribute_rules_new(&rules, &target.rules, &why) != MG_OK)
        fail_msg("%s", why.text);
    size_t n = target.rules.n;
    conf_free(&conf); /* the rules keep nothing of the configuration */
    struct attribute_filter *filter = attribute_filter_new(rules);
    attribute_rules_unref(&rules);
    use(filter, arena);
    attribute_filter_free(&filter);
    return n;
}

static void expect(struct attribute_filter *filter, struct arena *arena, const char *before, const char *after)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    request_tell(filter, request_make(arena, before), true, &out);
    if (!str_eq(buf_str(&out), str_of(after)))
        fail_msg("\n  before: %s\n  wanted: %s\n  got:    %.*s", before, after, STR_ARG(buf_str(&out)));
    buf_fini(&out);
}

static void use_tags(struct attribute_filter *filter, struct arena *arena)
{
    expect(filter, arena,
           "R k8s.pod.name:s:cart-7 k8s.namespace.name:s:payments-eu | S http.user_agent:s:GoogleBot Request%20Id:s:r1",
           "R k8s.pod.name:s:cart-7 k8s.namespace.name:s:payments-eu deployment.environment.name:s:production "
           "k8s.cluster.name:s:eu-west-1 team:s:payments | S user_agent.original:s:bot request.id:s:r1 "
           "k8s.namespace.name:s:payments-eu k8s.pod.name:s:cart-7");
    expect(filter, arena, "R deployment.environment:s:dev | S http.request.header.x-request-id:a:[s:r2] guid%3ax-request-id:s:r3",
           "R deployment.environment.name:s:dev k8s.cluster.name:s:eu-west-1 | S request.id:s:r3");
}

static void use_secrets(struct attribute_filter *filter, struct arena *arena)
{
    expect(filter, arena,
           "R db.Password:s:x service.name:s:cart | S name=mail%20a@example.com enduser.id:s:abc db.statement:s:select "
           "http.request.header.authorization:a:[s:x] | E exception exception.message:s:card%204111%201111%201111%201111. "
           "exception.stacktrace:s:Bearer%20abc.def%0aat",
           "R db.Password:s:*** service.name:s:cart | S name=mail%20*** enduser.id:s:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb41"
           "0ff61f20015ad http.request.header.authorization:s:*** | E exception exception.message:s:card%20***. "
           "exception.stacktrace:s:***%0aat");
    expect(filter, arena, "R service.name:s:load-generator | S | S keep:b:1 | S kind=2 code=2 url.path:s:/healthz db.statement:s:x",
           "R service.name:s:load-generator | D0 | S keep:b:1 | D2");
    expect(filter, arena, "R service.name:s:cart | S kind=2 http.target:s:/livez?x | S kind=3 http.target:s:/livez | S code=2 db.statement:s:x",
           "R service.name:s:cart | D0 | S kind=3 http.target:s:/livez | S code=2 db.statement:s:x");
}

static void examples_of_the_page_do_what_they_say(void **state)
{
    struct arena arena = { 0 };
    struct str page = page_read(&arena);

    (void)state;
    assert_int_equal(with_block(block_of(page, 0), use_tags, &arena), 11);
    assert_int_equal(with_block(block_of(page, 1), use_secrets, &arena), 9);
    assert_int_equal(block_of(page, 2).len, 0);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_page_do_what_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
