/* Rules inside events, links, arrays and maps. */
#include "spans.h"

#include "model/otlp_write.h"
#include "model/otlp_scan.h"

#define SHA_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static const struct { const char *rules, *before, *after; } rows[] = {
    /* events and links */
    { "delete a", "R | S a:i:1 | E x a:i:1 b:i:2 | L a:i:1", "R | S | E x b:i:2 | L" },
    { "delete a", "R | S | E x a:i:1 a:i:2 | E y b:i:1 | E z a:e", "R | S | E x | E y b:i:1 | E z" },
    { "delete a, b", "R | S | E x a:i:1 c:i:1 b:i:2 | L b:e", "R | S | E x c:i:1 | L" },
    { "delete a", "R | S | E a b:i:1 | L b:i:1", "R | S | E a b:i:1 | L b:i:1" },
    { "delete a", "R | S | E x m:m:{a=i:1}", "R | S | E x m:m:{a=i:1}" },
    { "delete resource a", "R a:i:1 | S | E x a:i:1", "R | S | E x a:i:1" },
    { "delete a", "R | S | E x a:o:i:1", "R | S | E x" },
    { "delete \"\"", "R | S | E x :i:1 b:i:1", "R | S | E x b:i:1" },
    { "hash a", "R | S | E x a:s:abc | L a:s:abc b:s:abc", "R | S | E x a:s:" SHA_ABC " | L a:s:" SHA_ABC " b:s:abc" },
    { "hash a", "R | S a:s:abc | E x b:s:abc", "R | S a:s:" SHA_ABC " | E x b:s:abc" },
    { "hash a", "R | S | E x a:o:s:abc", "R | S | E x a:s:" SHA_ABC },
    { "hash a", "R | S | E x m:m:{a=s:abc}", "R | S | E x m:m:{a=s:abc}" },
    { "redact keys token", "R | S | E x my.Token:i:1 tok:e | L token:s:x", "R | S | E x my.Token:s:*** tok:e | L token:s:***" },
    { "redact pattern \"[0-9]+\"", "R | S | E e1 exception.message:s:card%204111 n:i:4 | L a:s:no | L a:s:5",
      "R | S | E e*** exception.message:s:card%20*** n:i:4 | L a:s:no | L a:s:***" },
    { "redact pattern \"x\"", "R | S | E y a:o:s:axb", "R | S | E y a:o:s:a***b" },
    { "redact pattern \"x\"", "R | S | E y a:x:x b:s:%ffx", "R | S | E y a:x:x b:s:%ff***" },
    { "insert a = 1", "R | S | E x | L", "R | S a:i:1 | E x | L" },
    { "update a = 1", "R | S | E x a:e", "R | S | E x a:e" },
    { "upsert a = 1", "R | S a:e | E x a:e", "R | S a:i:1 | E x a:e" },
    { "rename a -> b", "R | S a:e | E x a:e", "R | S b:e | E x a:e" },
    { "delete a if name = \"y\"", "R | S name=x | E x a:e | S name=y | E x a:e", "R | S name=x | E x a:e | S name=y | E x" },
    { "delete a\nredact pattern \"b\"", "R | S | E x a:e b:s:b", "R | S | E x b:s:***" },
    { "redact pattern \"b\"\ndelete a", "R | S | E x a:e b:s:b", "R | S | E x b:s:***" },
    /* arrays and maps */
    { "redact keys token", "R | S a:m:{token=s:x,b=i:1}", "R | S a:m:{token=s:***,b=i:1}" },
    { "redact keys token", "R | S a:m:{b=m:{my.Token=a:[i:1]},c=e}", "R | S a:m:{b=m:{my.Token=s:***},c=e}" },
    { "redact keys token", "R | S a:a:[i:1,m:{token=b:1},s:token]", "R | S a:a:[i:1,m:{token=s:***},s:token]" },
    { "redact keys token", "R | S a:a:[s:token] b:m:{tok=e}", "R | S a:a:[s:token] b:m:{tok=e}" },
    { "redact keys token", "R | S a:o:m:{token=i:1}", "R | S a:o:m:{token=s:***}" },
    { "redact keys token", "R | S | E x a:m:{b=a:[m:{token=i:1}]}", "R | S | E x a:m:{b=a:[m:{token=s:***}]}" },
    { "redact resource keys token", "R a:m:{token=s:x} | S a:m:{token=s:x}", "R a:m:{token=s:***} | S a:m:{token=s:x}" },
    { "redact pattern \"x\"", "R | S a:a:[s:axb,s:c,i:1]", "R | S a:a:[s:a***b,s:c,i:1]" },
    { "redact pattern \"x\"", "R | S a:m:{x=s:x,y=a:[s:x]}", "R | S a:m:{x=s:***,y=a:[s:***]}" },
    { "redact pattern \"x\"", "R | S a:a:[s:y] b:m:{x=i:1}", "R | S a:a:[s:y] b:m:{x=i:1}" },
    { "redact pattern \"x\"", "R | S a:a:[] b:m:{}", "R | S a:a:[] b:m:{}" },
    { "redact pattern \"x\"", "R | S | L a:a:[m:{k=s:x}]", "R | S | L a:a:[m:{k=s:***}]" },
    { "redact resource pattern \"x\"", "R a:a:[s:x] b:o:s:x | S", "R a:a:[s:***] b:o:s:*** | S" },
    { "delete token", "R | S a:m:{token=s:x}", "R | S a:m:{token=s:x}" },
    { "hash token", "R | S a:m:{token=s:x}", "R | S a:m:{token=s:x}" },
    { "redact keys a.token", "R | S | E x b:m:{a.token=i:1,token=i:1}", "R | S | E x b:m:{a.token=s:***,token=i:1}" },
};

static void rules_reach_where_they_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        expect_change(rows[i].rules, rows[i].before, rows[i].after);
}

/* --- what the text form does not show ----------------------------------------------------------- */

struct seen { struct str events, links; };

static void any_group(void *owner, struct str group)
{
    (void)owner;
    (void)group;
}

static void none_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)why;
    fail_msg("span %u refused", ordinal);
}

static void compare(void *owner, const struct span *span, uint32_t ordinal)
{
    const struct seen *wanted = owner;

    (void)ordinal;
    assert_int_equal(span->events.len, wanted->events.len);
    assert_memory_equal(span->events.ptr, wanted->events.ptr, wanted->events.len);
    assert_int_equal(span->links.len, wanted->links.len);
    assert_memory_equal(span->links.ptr, wanted->links.ptr, wanted->links.len);
}

/* Everything in an event and a link but the attribute stays, unknown fields and their place too. */
static void other_fields_of_events_and_links_stay(void **state)
{
    static const struct span_visitor comparing = { any_group, any_group, compare, none_refused };
    static const char ids[] = "\x0a\x10" "0123456789abcdef" "\x12\x08" "ABCDEFGH";
    static const char event[] = "\x09\x01\x02\x03\x04\x05\x06\x07\x08" "\x12\x01" "e" "\x1a\x05\x0a\x01" "k\x12\x00" "\x20\x03" "\x78\x07"
                                "\x1a\x05\x0a\x01" "a\x12\x00";
    static const char event_after[] = "\x09\x01\x02\x03\x04\x05\x06\x07\x08" "\x12\x01" "e" "\x20\x03" "\x78\x07" "\x1a\x05\x0a\x01" "a\x12\x00";
    static const char link[] = "\x0a\x10" "0123456789abcdef" "\x12\x08" "ABCDEFGH" "\x1a\x01" "t" "\x22\x05\x0a\x01" "k\x12\x00" "\x28\x02"
                               "\x35\x01\x00\x00\x00" "\x7d\x01\x02\x03\x04";
    static const char link_after[] = "\x0a\x10" "0123456789abcdef" "\x12\x08" "ABCDEFGH" "\x1a\x01" "t" "\x28\x02" "\x35\x01\x00\x00\x00"
                                     "\x7d\x01\x02\x03\x04";
    struct attribute_rules *rules = rules_make("delete k", NULL);
    struct attribute_filter *filter = attribute_filter_new(rules);
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct buf request, events, links;

    (void)state;
    buf_init(&request, SIZE_MAX);
    buf_init(&events, SIZE_MAX);
    buf_init(&links, SIZE_MAX);
    wire_put_bytes(&events, 11, str_n(event_after, sizeof event_after - 1));
    wire_put_bytes(&links, 13, str_n(link_after, sizeof link_after - 1));
    size_t group = wire_open(&request, 1), scope = wire_open(&request, 2), span = wire_open(&request, 2);
    buf_put(&request, ids, sizeof ids - 1);
    wire_put_bytes(&request, 11, str_n(event, sizeof event - 1));
    wire_put_bytes(&request, 13, str_n(link, sizeof link - 1));
    wire_close(&request, span);
    wire_close(&request, scope);
    wire_close(&request, group);
    struct seen wanted = { buf_str(&events), buf_str(&links) };
    attribute_filter_begin(filter, &comparing, &wanted, NULL, SIZE_MAX);
    assert_int_equal(otlp_scan(scanner, buf_str(&request), &attribute_visitor, filter, NULL), MG_OK);
    otlp_scanner_free(&scanner);
    attribute_filter_free(&filter);
    attribute_rules_unref(&rules);
    buf_fini(&request);
    buf_fini(&events);
    buf_fini(&links);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_reach_where_they_should),
        cmocka_unit_test(other_fields_of_events_and_links_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
