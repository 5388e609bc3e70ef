/* For which spans and resources a rule is meant. */
#include "spans.h"


#define SPAN "R env:s:prod service.name:s:cart n:i:5 | S name=GET%20/a kind=2 code=2 a:s:x i:i:200 d:d:1.5 t:b:1 f:b:0 s:s:503 z:s: " \
             "e:e b:x:abc l:a:[s:x,i:1] m:m:{k=s:v} o:o:i:7 q:s:%ff twice:i:1 twice:i:2"

static const struct { const char *condition; bool holds; } rows[] = {
    /* exists */
    { "span.a exists", true }, { "span.no exists", false }, { "not span.no exists", true }, { "not span.a exists", false },
    { "span.e exists", true }, { "span.z exists", true }, { "span.env exists", false }, { "resource.env exists", true },
    { "resource.a exists", false }, { "span.\"a\" exists", true }, { "span.\"\" exists", false }, { "span.A exists", false },
    /* = and != with texts: the text form */
    { "span.a = \"x\"", true }, { "span.a = \"X\"", false }, { "span.a != \"x\"", false }, { "span.a != \"y\"", true },
    { "span.no = \"x\"", false }, { "span.no != \"x\"", false }, { "not span.no = \"x\"", true }, { "span.z = \"\"", true },
    { "span.e = \"\"", true }, { "span.i = \"200\"", true }, { "span.d = \"1.5\"", true }, { "span.t = \"true\"", true },
    { "span.b = \"YWJj\"", true }, { "span.l = \"[\\\"x\\\",1]\"", true }, { "span.m = \"{\\\"k\\\":\\\"v\\\"}\"", true },
    { "span.o = \"7\"", true }, { "span.s = \"503\"", true },
    /* with numbers and bools */
    { "span.i = 200", true }, { "span.i = 200.0", true }, { "span.i = 201", false }, { "span.i != 201", true },
    { "span.s = 503", true }, { "span.a = 503", false }, { "span.a != 503", true }, { "span.d = 1.5", true },
    { "span.t = true", true }, { "span.t = false", false }, { "span.f = false", true }, { "span.a = true", false },
    { "span.o = 7", true }, { "span.e = 0", false }, { "span.z = 0", false }, { "span.l = 1", false },
    /* the last of a key that comes twice */
    { "span.twice = 2", true }, { "span.twice = 1", false },
    /* order */
    { "span.i < 201", true }, { "span.i < 200", false }, { "span.i <= 200", true }, { "span.i <= 199", false },
    { "span.i > 199", true }, { "span.i > 200", false }, { "span.i >= 200", true }, { "span.i >= 200.5", false },
    { "span.s >= 500", true }, { "span.a >= 0", false }, { "span.a < 0", false }, { "not span.a < 0", true },
    { "span.d > 1", true }, { "span.d < 2", true }, { "span.t > 0", false }, { "span.no > 0", false }, { "span.i > -1", true },
    { "resource.n >= 5", true }, { "resource.n < 5", false },
    /* other keys */
    { "span.a = span.a", true }, { "span.a = span.i", false }, { "span.i = span.i", true }, { "span.a = span.no", false },
    { "span.a != span.no", false }, { "span.a != span.s", true }, { "span.a = resource.env", false },
    { "resource.env = span.a", false }, { "resource.env != span.a", true }, { "resource.env = resource.env", true },
    { "resource.env = resource.no", false }, { "resource.no = span.a", false }, { "span.i = span.s", false },
    /* regular expressions: anywhere in the text form */
    { "span.a ~ \"x\"", true }, { "span.a ~ \"^$\"", false }, { "span.z ~ \"^$\"", true }, { "span.i ~ \"^2\\d+\"", true },
    { "span.i ~ \"^0\"", false }, { "span.m ~ \"k.:\"", true }, { "span.no ~ \"\"", false }, { "span.q ~ \"\\x{fffd}\"", true },
    { "resource.env ~ \"^pr\"", true }, { "resource.env ~ \"^r\"", false }, { "not span.a ~ \"y\"", true },
    /* what every span has */
    { "service = \"cart\"", true }, { "service != \"cart\"", false }, { "service ~ \"^ca\"", true }, { "service ~ \"^x\"", false },
    { "name = \"GET /a\"", true }, { "name = \"GET\"", false }, { "name != \"GET\"", true }, { "name ~ \"^GET\"", true },
    { "name ~ \"POST\"", false }, { "kind = \"server\"", true }, { "kind = \"client\"", false }, { "kind != \"unspecified\"", true },
    { "kind ~ \"^(server|consumer)$\"", true }, { "status = \"error\"", true }, { "status != \"ok\"", true },
    { "status = \"unset\"", false }, { "not status = \"error\"", false }, { "status ~ \"o\"", true },
    /* all terms */
    { "span.a exists and span.i = 200", true }, { "span.a exists and span.no exists", false },
    { "span.no exists and span.a exists", false }, { "service = \"cart\" and kind = \"server\" and not span.no exists", true },
    { "service = \"cart\" and resource.env = \"dev\"", false }, { "resource.env = \"prod\" and span.a = \"y\"", false },
};

static void conditions_hold_or_not(void **state)
{
    struct arena arena = { 0 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct mg_why why = { "" };
        struct buf line, out;
        buf_init(&line, SIZE_MAX);
        buf_init(&out, SIZE_MAX);
        buf_printf(&line, "drop if %s", rows[i].condition);
        buf_put_char(&line, '\0');
        struct attribute_rules *rules = rules_make(line.ptr, &why);
        if (!rules)
            fail_msg("%s", why.text);
        struct attribute_filter *filter = attribute_filter_new(rules);
        attribute_rules_unref(&rules);
        request_tell(filter, request_make(&arena, SPAN), true, &out);
        if (str_ends(buf_str(&out), STR(" | D0")) != rows[i].holds)
            fail_msg("'%s' %s", rows[i].condition, rows[i].holds ? "does not hold" : "holds");
        attribute_filter_free(&filter);
        buf_fini(&line);
        buf_fini(&out);
    }
    arena_fini(&arena);
}

static void names_of_services_kinds_and_states(void **state)
{
    static const struct { const char *rule, *before; bool holds; } odd[] = {
        { "drop if service = \"missing-service-name\"", "R | S", true },
        { "drop if service = \"missing-service-name\"", "S", true },
        { "drop if service = \"empty-service-name\"", "R service.name:s: | S", true },
        { "drop if service = \"service-name-wrong-type\"", "R service.name:i:1 | S", true },
        { "drop if service = \"b\"", "R service.name:s:a service.name:s:b | S", true },
        { "drop if service = \"a\"", "R service.name:s:a service.name:s:b | S", false },
        { "drop if service = \"a\"", "R service.name:o:s:a | S", true },
        { "drop if kind = \"unspecified\"", "R | S", true },
        { "drop if kind = \"internal\"", "R | S kind=1", true },
        { "drop if kind = \"client\"", "R | S kind=3", true },
        { "drop if kind = \"producer\"", "R | S kind=4", true },
        { "drop if kind = \"consumer\"", "R | S kind=5", true },
        { "drop if kind = \"unspecified\"", "R | S kind=6", false },
        { "drop if kind ~ \"^$\"", "R | S kind=6", true },
        { "drop if kind = \"server\"", "R | S kind=-2", false },
        { "drop if status = \"unset\"", "R | S", true },
        { "drop if status = \"ok\"", "R | S code=1", true },
        { "drop if status = \"error\"", "R | S code=3", false },
        { "drop if status ~ \"^$\"", "R | S code=-1", true },
        { "drop if name = \"\"", "R | S", true },
        { "drop if span.a = 9223372036854775807", "R | S a:i:9223372036854775807", true },
        { "drop if span.a = 9223372036854775807", "R | S a:i:9223372036854775806", false },
        { "drop if span.a > 9223372036854775806", "R | S a:s:9223372036854775807", true },
    };
    struct arena arena = { 0 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(odd); i++) {
        struct mg_why why = { "" };
        struct buf out;
        buf_init(&out, SIZE_MAX);
        struct attribute_rules *rules = rules_make(odd[i].rule, &why);
        struct attribute_filter *filter = attribute_filter_new(rules);
        attribute_rules_unref(&rules);
        request_tell(filter, request_make(&arena, odd[i].before), true, &out);
        if (str_ends(buf_str(&out), STR("D0")) != odd[i].holds)
            fail_msg("%s on %s", odd[i].rule, odd[i].before);
        attribute_filter_free(&filter);
        buf_fini(&out);
    }
    arena_fini(&arena);
}

/* A resource's rule asks about the resource; the same rule for spans too asks the same. */
static void conditions_of_resources(void **state)
{
    static const struct { const char *rules, *before, *after; } resources[] = {
        { "insert resource a = 1 if resource.env = \"dev\"", "R env:s:dev | S", "R env:s:dev a:i:1 | S" },
        { "insert resource a = 1 if resource.env = \"dev\"", "R env:s:prod | S", "R env:s:prod | S" },
        { "delete resource,span a if service = \"x\"", "R a:i:1 service.name:s:x | S a:i:1", "R service.name:s:x | S" },
        { "delete resource,span a if service = \"x\"", "R a:i:1 service.name:s:y | S a:i:1", "R a:i:1 service.name:s:y | S a:i:1" },
        { "insert resource a = 1 if not resource.env exists and service ~ \"^x\"", "R service.name:s:xy | S",
          "R service.name:s:xy a:i:1 | S" },
        { "insert a = 1 if resource.env = \"dev\" and span.b exists", "R env:s:dev | S b:e | S", "R env:s:dev | S b:e a:i:1 | S" },
        { "insert a = 1 if span.b = resource.env", "R env:s:dev | S b:s:dev | S b:s:x | R | S b:s:dev",
          "R env:s:dev | S b:s:dev a:i:1 | S b:s:x | R | S b:s:dev" },
        { "insert a = 1 if resource.env = span.b", "R env:s:dev | S b:s:dev | R | S b:s:dev",
          "R env:s:dev | S b:s:dev a:i:1 | R | S b:s:dev" },
        { "upsert a = 2 if span.a = 1\nupsert a = 3 if span.a = 2", "R | S a:i:1", "R | S a:i:3" },
        { "hash a if span.b exists", "R | S a:s:abc", "R | S a:s:abc" },
        { "redact keys a if span.b exists", "R | S a:s:abc", "R | S a:s:abc" },
        { "redact pattern \"a\" if span.b exists", "R | S a:s:abc", "R | S a:s:abc" },
        { "rename a -> b if not span.b exists", "R | S a:s:abc b:i:1", "R | S a:s:abc b:i:1" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(resources); i++)
        expect_change(resources[i].rules, resources[i].before, resources[i].after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_hold_or_not),
        cmocka_unit_test(names_of_services_kinds_and_states),
        cmocka_unit_test(conditions_of_resources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
