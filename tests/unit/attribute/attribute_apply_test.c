/* What each action makes of a span and of a resource. */
#include "spans.h"

#include <stdio.h>

#define SHA_ABC   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SHA_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA_42    "73475cb40a568e8da8a045ced110137e159f890ac4da883b6b17dc651b3a8049"

static const struct { const char *rules, *before, *after; } rows[] = {
    /* insert: only when absent */
    { "insert a = \"x\"", "R | S", "R | S a:s:x" },
    { "insert span a = \"x\"", "R | S b:i:1", "R | S b:i:1 a:s:x" },
    { "insert a = \"x\"", "R | S a:i:1", "R | S a:i:1" },
    { "insert a = \"x\"", "R | S a:i:1 a:i:2", "R | S a:i:1 a:i:2" },
    { "insert a = \"x\"", "R | S a:e", "R | S a:e" },
    { "insert a = \"x\"", "R | S A:i:1", "R | S A:i:1 a:s:x" },
    { "insert a = 12", "R | S", "R | S a:i:12" },
    { "insert a = -12", "R | S", "R | S a:i:-12" },
    { "insert a = 9223372036854775807", "R | S", "R | S a:i:9223372036854775807" },
    { "insert a = 1.5", "R | S", "R | S a:d:1.5" },
    { "insert a = -.5", "R | S a:i:1", "R | S a:i:1" },
    { "insert a = true", "R | S", "R | S a:b:1" },
    { "insert a = false", "R | S", "R | S a:b:0" },
    { "insert a = \"\"", "R | S", "R | S a:s:" },
    { "insert a = \"q\\\"b\\\\n\\nt\\t\"", "R | S", "R | S a:s:q\"b\\n%0at%09" },
    { "insert \"\" = 1", "R | S", "R | S :i:1" },
    { "insert \"\" = 1", "R | S :s:x", "R | S :s:x" },
    { "insert \"a b\" = 1", "R | S", "R | S a%20b:i:1" },
    { "insert a = \"\xc3\xa9\"", "R | S", "R | S a:s:%c3%a9" },
    { "insert resource a = \"x\"", "R | S", "R a:s:x | S" },
    { "insert resource a = \"x\"", "R a:i:1 | S", "R a:i:1 | S" },
    { "insert resource a = \"x\"", "S", "R a:s:x | S" },
    { "insert resource, span a = 1", "R | S", "R a:i:1 | S a:i:1" },
    { "insert span,resource a = 1", "R a:b:1 | S", "R a:b:1 | S a:i:1" },
    /* update: only when there; all of them */
    { "update a = \"x\"", "R | S", "R | S" },
    { "update a = \"x\"", "R a:i:1 | S b:i:1", "R a:i:1 | S b:i:1" },
    { "update a = \"x\"", "R | S a:i:1 b:i:2", "R | S a:s:x b:i:2" },
    { "update a = \"x\"", "R | S a:i:1 b:i:2 a:d:3", "R | S a:s:x b:i:2 a:s:x" },
    { "update a = 1", "R | S a:o:s:x", "R | S a:i:1" },
    { "update \"\" = 1", "R | S :s:x", "R | S :i:1" },
    { "update resource a = 1", "R a:s:x b:e | S a:s:x", "R a:i:1 b:e | S a:s:x" },
    /* upsert */
    { "upsert a = \"x\"", "R | S", "R | S a:s:x" },
    { "upsert a = \"x\"", "R | S a:b:1 a:b:0", "R | S a:s:x a:s:x" },
    { "upsert resource a = \"x\"", "R a:b:1 | S", "R a:s:x | S" },
    { "upsert resource, span a = \"x\"", "R b:b:1 | S a:i:1", "R b:b:1 a:s:x | S a:s:x" },
    /* values of other keys keep their types */
    { "insert a = span.b", "R | S b:i:7", "R | S b:i:7 a:i:7" },
    { "insert a = span.b", "R | S b:d:0.5", "R | S b:d:0.5 a:d:0.5" },
    { "insert a = span.b", "R | S b:b:0", "R | S b:b:0 a:b:0" },
    { "insert a = span.b", "R | S b:x:%00%ff", "R | S b:x:%00%ff a:x:%00%ff" },
    { "insert a = span.b", "R | S b:e", "R | S b:e a:e" },
    { "insert a = span.b", "R | S b:a:[s:x,i:1]", "R | S b:a:[s:x,i:1] a:a:[s:x,i:1]" },
    { "insert a = span.b", "R | S b:m:{k=s:v}", "R | S b:m:{k=s:v} a:m:{k=s:v}" },
    { "insert a = span.b", "R | S b:o:s:x", "R | S b:o:s:x a:s:x" },
    { "insert a = span.b", "R | S b:s:%ff", "R | S b:s:%ff a:s:%ff" },
    { "insert a = span.b", "R | S b:i:1 b:i:2", "R | S b:i:1 b:i:2 a:i:2" },
    { "insert a = span.b", "R b:i:1 | S", "R b:i:1 | S" },
    { "upsert a = span.b", "R | S a:i:1", "R | S a:i:1" },
    { "update a = span.b", "R | S a:i:1", "R | S a:i:1" },
    { "insert a = span.\"b c\"", "R | S b%20c:i:1", "R | S b%20c:i:1 a:i:1" },
    { "insert k8s.pod.name = resource.k8s.pod.name", "R k8s.pod.name:s:p-1 | S", "R k8s.pod.name:s:p-1 | S k8s.pod.name:s:p-1" },
    { "insert a = resource.b", "R b:m:{k=a:[i:1]} | S", "R b:m:{k=a:[i:1]} | S a:m:{k=a:[i:1]}" },
    { "insert a = resource.b", "R | S", "R | S" },
    { "insert a = resource.b", "R b:o:i:4 | S", "R b:o:i:4 | S a:i:4" },
    { "insert resource a = resource.b", "R b:i:4 | S", "R b:i:4 a:i:4 | S" },
    { "insert resource,span a = resource.b", "R b:i:4 | S", "R b:i:4 a:i:4 | S a:i:4" },
    { "update a = span.a", "R | S a:i:1 a:i:2", "R | S a:i:2 a:i:2" },
    /* delete */
    { "delete a", "R | S", "R | S" },
    { "delete a", "R a:i:1 | S a:i:1", "R a:i:1 | S" },
    { "delete a", "R | S a:i:1 b:i:2 a:i:3 c:i:4", "R | S b:i:2 c:i:4" },
    { "delete a, b", "R | S a:i:1 b:i:2 c:i:3", "R | S c:i:3" },
    { "delete span a,\"b c\"", "R | S b%20c:i:2", "R | S" },
    { "delete \"\"", "R | S :i:1 a:i:1", "R | S a:i:1" },
    { "delete a", "R | S a:o:i:1", "R | S" },
    { "delete a", "R | S ab:i:1 b:i:1 aa:i:1", "R | S ab:i:1 b:i:1 aa:i:1" },
    { "delete resource a", "R a:i:1 b:i:2 | S a:i:1", "R b:i:2 | S a:i:1" },
    { "delete resource a", "R a:i:1 | S", "R | S" },
    { "delete resource,span a", "R a:i:1 | S a:i:1", "R | S" },
    { "delete \"span\"", "R | S span:i:1", "R | S" },
    /* rename */
    { "rename a -> b", "R | S", "R | S" },
    { "rename a -> b", "R | S b:i:1", "R | S b:i:1" },
    { "rename a -> b", "R | S a:i:1 c:e", "R | S b:i:1 c:e" },
    { "rename a->b", "R | S a:d:1.5", "R | S b:d:1.5" },
    { "rename a-b->c", "R | S a-b:i:1", "R | S c:i:1" },
    { "rename a -> b", "R | S b:i:1 a:i:2 b:i:3", "R | S b:i:2" },
    { "rename a -> b", "R | S a:i:1 a:i:2", "R | S b:i:1 b:i:2" },
    { "rename a -> \"\"", "R | S a:i:1", "R | S :i:1" },
    { "rename \"\" -> a", "R | S :i:1", "R | S a:i:1" },
    { "rename a -> b", "R | S a:o:i:1", "R | S b:o:i:1" },
    { "rename resource a -> b", "R a:o:s:x b:i:1 | S a:e", "R b:o:s:x | S a:e" },
    { "rename resource, span a -> b", "R a:i:1 | S a:i:1", "R b:i:1 | S b:i:1" },
    /* hash */
    { "hash a", "R | S", "R | S" },
    { "hash a", "R | S a:s:abc", "R | S a:s:" SHA_ABC },
    { "hash a", "R | S a:s:abc a:s:", "R | S a:s:" SHA_ABC " a:s:" SHA_EMPTY },
    { "hash a", "R | S a:e", "R | S a:s:" SHA_EMPTY },
    { "hash a", "R | S a:i:42", "R | S a:s:" SHA_42 },
    { "hash a", "R | S a:o:i:42", "R | S a:s:" SHA_42 },
    { "hash a", "R | S a:b:1", "R | S a:s:b5bea41b6c623f7c09f1bf24dcae58ebab3c0cdd90ad966bc43a45b44867e12b" },
    { "hash a", "R | S a:a:[s:x,i:1]", "R | S a:s:59402b0471b497c05ad760c869c511f92a9fbdc78b7f4c51703964d9321bc031" },
    { "hash a", "R | S a:s:%ff", "R | S a:s:a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89" },
    { "hash a, b", "R | S a:s:abc c:s:abc b:s:abc", "R | S a:s:" SHA_ABC " c:s:abc b:s:" SHA_ABC },
    { "hash resource a", "R a:s:abc | S a:s:abc", "R a:s:" SHA_ABC " | S a:s:abc" },
    /* redact keys: in any case, at any place in the last part */
    { "redact keys password", "R | S password:s:x", "R | S password:s:***" },
    { "redact keys password", "R | S db.userPassWord_1:s:x", "R | S db.userPassWord_1:s:***" },
    { "redact keys PassWord", "R | S PASSWORD:i:1", "R | S PASSWORD:s:***" },
    { "redact keys password", "R | S password.length:i:1", "R | S password.length:i:1" },
    { "redact keys password", "R | S passwor:s:x", "R | S passwor:s:x" },
    { "redact keys password", "R | S drowssap:s:x", "R | S drowssap:s:x" },
    { "redact keys token, secret", "R | S a.secret:b:1 token:e tok:e", "R | S a.secret:s:*** token:s:*** tok:e" },
    { "redact keys token", "R | S token:o:s:x", "R | S token:s:***" },
    { "redact keys token", "R | S token:m:{k=s:v}", "R | S token:s:***" },
    { "redact keys header.cookie", "R | S http.request.header.cookie:s:x cookie:s:x", "R | S http.request.header.cookie:s:*** cookie:s:x" },
    { "redact keys Header.cookie", "R | S header.set-cookie:s:x myheader.cookie:s:x", "R | S header.set-cookie:s:*** myheader.cookie:s:x" },
    { "redact keys \"x y\"", "R | S a%20X%20y:s:x", "R | S a%20X%20y:s:***" },
    { "redact keys token", "R token:s:x | S", "R token:s:x | S" },
    { "redact resource keys token", "R token:s:x a.token:i:1 | S token:s:x", "R token:s:*** a.token:s:*** | S token:s:x" },
    { "redact resource,span keys token", "R token:s:x | S token:s:x", "R token:s:*** | S token:s:***" },
    /* redact pattern */
    { "redact pattern \"[0-9]{4}\"", "R | S a:s:pin%201234%20and%205678.", "R | S a:s:pin%20***%20and%20***." },
    { "redact pattern \"[0-9]\"", "R | S a:s:x12y3", "R | S a:s:x***y***" },
    { "redact pattern \"x\"", "R | S name=axb msg=x kind=1 a:s:y", "R | S name=a***b kind=1 msg=*** a:s:y" },
    { "redact pattern \"x*\"", "R | S a:s:yxxy", "R | S a:s:y***y" },
    { "redact pattern \"^x\"", "R | S a:s:xx", "R | S a:s:***x" },
    { "redact pattern \"(?i)bearer \\S+\"", "R | S a:s:BEARER%20abc%20d", "R | S a:s:***%20d" },
    { "redact pattern \"1\"", "R | S a:i:1 b:b:1 c:x:1 d:d:1 1:s:2", "R | S a:i:1 b:b:1 c:x:1 d:d:1 1:s:2" },
    { "redact pattern \"x\"", "R a:s:x | S", "R a:s:x | S" },
    { "redact resource pattern \"x\"", "R a:s:x | S name=x a:s:x", "R a:s:*** | S name=x a:s:x" },
    { "redact pattern \"x\"", "R | S a:s:%ffx%fe", "R | S a:s:%ff***%fe" },
    { "redact pattern \".\"", "R | S a:s:%c3%a9%ff", "R | S a:s:***" },
    { "redact pattern \"\xc3\xa9\"", "R | S a:s:%c3%a9%c3%a8", "R | S a:s:***%c3%a8" },
    { "redact pattern \"x\"", "R | S a:o:s:axb", "R | S a:o:s:a***b" },
    { "redact pattern \"q\\\"\"", "R | S a:s:q\"", "R | S a:s:***" },
    /* drop */
    { "drop if name = \"x\"", "R | S name=x", "R | D0" },
    { "drop if name = \"x\"", "R | S name=y", "R | S name=y" },
    { "drop if name = \"x\"", "R | S name=x | S name=y | S name=x", "R | D0 | S name=y | D2" },
    { "drop if resource.env = \"dev\"", "R env:s:dev | S | S | R env:s:prod | S", "R env:s:dev | D0 | D1 | R env:s:prod | S" },
};

static void actions_do_what_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        expect_change(rows[i].rules, rows[i].before, rows[i].after);
}

/* Every rule sees what those before it left. */
static void rules_apply_in_their_order(void **state)
{
    static const struct { const char *rules, *before, *after; } orders[] = {
        { "insert a = 1\ninsert a = 2", "R | S", "R | S a:i:1" },
        { "upsert a = 1\nupsert a = 2", "R | S", "R | S a:i:2" },
        { "delete a\ninsert a = 1", "R | S a:s:x", "R | S a:i:1" },
        { "insert a = 1\ndelete a", "R | S a:s:x", "R | S" },
        { "rename a -> b\nrename b -> c", "R | S a:i:1", "R | S c:i:1" },
        { "rename b -> c\nrename a -> b", "R | S a:i:1", "R | S b:i:1" },
        { "insert b = span.a\nupdate a = 2", "R | S a:i:1", "R | S a:i:2 b:i:1" },
        { "update a = 2\ninsert b = span.a", "R | S a:i:1", "R | S a:i:2 b:i:2" },
        { "redact keys token\nhash token", "R | S token:s:abc",
          "R | S token:s:596f4162a52f315b2ad0fa53fd30a2769d02a41ed7439123790966eee4ceb5cd" },
        { "hash a\nredact pattern \"^ba78\"", "R | S a:s:abc",
          "R | S a:s:***16bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "redact pattern \"a\"\nredact pattern \"\\*+b\"", "R | S a:s:abc", "R | S a:s:***c" },
        { "upsert resource env = \"x\"\ninsert e = resource.env", "R env:s:y | S", "R env:s:x | S e:s:x" },
        { "insert e = resource.env\nupsert resource env = \"x\"", "R env:s:y | S", "R env:s:x | S e:s:y" },
        { "upsert resource env = \"x\"\ninsert a = 1 if resource.env = \"x\"", "R env:s:y | S", "R env:s:x | S a:i:1" },
        { "insert a = 1 if resource.env = \"x\"\nupsert resource env = \"x\"", "R env:s:y | S", "R env:s:x | S" },
        { "insert a = 1 if span.b = resource.env\nupsert resource env = \"x\"", "R env:s:y | S b:s:y",
          "R env:s:x | S b:s:y a:i:1" },
        { "upsert resource service.name = \"x\"\ndrop if service = \"x\"", "R | S", "R service.name:s:x | D0" },
        { "drop if service = \"x\"\nupsert resource service.name = \"x\"", "R | S", "R service.name:s:x | S" },
        { "insert a = 1\ndrop if span.a exists", "R | S", "R | D0" },
        { "drop if span.a exists\ninsert a = 1", "R | S", "R | S a:i:1" },
        { "rename a -> b\ndrop if span.a exists\ndelete b", "R | S a:i:1 c:i:1", "R | S c:i:1" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(orders); i++)
        expect_change(orders[i].rules, orders[i].before, orders[i].after);
}

/* A resource's value may be one level too deep for a span: then it is not copied. */
static void a_value_too_deep_for_a_span_is_not_copied(void **state)
{
    (void)state;
    for (unsigned arrays = 29; arrays <= 30; arrays++) {
        char value[200] = "", before[300], after[600];
        for (unsigned i = 0; i < arrays; i++)
            memcpy(value + 3 * (size_t)i, "a:[", 3);
        memset(value + 3 * (size_t)arrays, ']', arrays);
        snprintf(before, sizeof before, "R deep:%s | S", value);
        snprintf(after, sizeof after, arrays == 29 ? "R deep:%s | S a:%s" : "R deep:%s | S", value, value);
        expect_change("insert a = resource.deep", before, after);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actions_do_what_they_say),
        cmocka_unit_test(rules_apply_in_their_order),
        cmocka_unit_test(a_value_too_deep_for_a_span_is_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
