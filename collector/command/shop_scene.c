/* shop_scene.c - see shop_scene.h. What goes wrong is chosen before the visit and happens at the
 * first place of its kind, so that the share of bad traces does not depend on how long a visit is.
 */
#include "command/shop_scene.h"

/* By kind: the answer of the service where it happens. A slow trace has its long moment at the same
 * place. */
static const struct failure failures[FAULTS] = {
    [FAULT_SQL] = {STR_INIT("INTERNAL"), true, STR_INIT("*pgconn.PgError"),
                   STR_INIT("ERROR: canceling statement due to statement timeout (SQLSTATE 57014)"),
                   STR_INIT(
                       "goroutine 4127 [running]:\nmain.(*catalog).query(0xc00021e0c0, {0xe3f0a8, "
                       "0xc0004b1b90})\n"
                       "\t/src/catalog/store.go:118 "
                       "+0x2a5\nmain.(*catalog).GetProduct(...)\n\t/src/catalog/main.go:241\n")},
    [FAULT_CART_STORE] = {STR_INIT("UNAVAILABLE"), true,
                          STR_INIT("StackExchange.Redis.RedisConnectionException"),
                          STR_INIT("No connection is active/available to service this operation: "
                                   "HGET; UnableToConnect on redis:6379"),
                          STR_INIT("   at cart.cartstore.ValkeyCartStore.EnsureConnected() in "
                                   "/src/cartstore/ValkeyCartStore.cs:line 96\n"
                                   "   at cart.cartstore.ValkeyCartStore.GetCartAsync(String "
                                   "userId) in /src/cartstore/ValkeyCartStore.cs:line 171\n")},
    [FAULT_CARD] = {STR_INIT("INVALID_ARGUMENT"), false, STR_INIT("CardDeclinedError"),
                    STR_INIT("The card issuer declined the charge (do_not_honor)."),
                    STR_INIT("CardDeclinedError: The card issuer declined the charge "
                             "(do_not_honor).\n    at charge (/app/charge.js:87:11)\n"
                             "    at async chargeServiceHandler (/app/index.js:21:22)\n")},
    [FAULT_RECOMMENDATION] =
        {STR_INIT("UNKNOWN"), true, STR_INIT("ValueError"),
         STR_INIT("Sample larger than population or is negative"),
         STR_INIT("Traceback (most recent call last):\n  File \"/app/recommendation_server.py\", "
                  "line 64, in ListRecommendations\n"
                  "  File \"/usr/local/lib/python3.12/random.py\", line 430, in "
                  "sample\nValueError: Sample larger than population or is negative\n")},
    [FAULT_CURRENCY] = {STR_INIT("DEADLINE_EXCEEDED"), true, STR_INIT("std::runtime_error"),
                        STR_INIT("the exchange rates could not be refreshed within 2000 ms"),
                        STR_INIT("  at currency::rates::refresh(std::chrono::milliseconds) "
                                 "rates.cpp:73\n  at currency::Convert server.cpp:151\n")},
    [FAULT_SHIPPING] = {STR_INIT("INTERNAL"), true, STR_INIT("quote::Error"),
                        STR_INIT("carrier answered with status 502"),
                        STR_INIT("   0: shipping::quote::request_quote\n             at "
                                 "./src/quote.rs:58:13\n   1: shipping::get_quote\n"
                                 "             at ./src/main.rs:34:5\n")},
    [FAULT_MAIL] = {STR_INIT("UNAVAILABLE"), true, STR_INIT("Net::SMTPServerBusy"),
                    STR_INIT("451 4.3.2 Please try again later"),
                    STR_INIT("/app/email_server.rb:52:in 'send_email'\n/app/email_server.rb:31:in "
                             "'block in <main>'\n")},
};

static const struct str products[SHOP_PRODUCTS] = {
    STR_INIT("OLJCESPC7Z"), STR_INIT("66VCHSJNUP"), STR_INIT("1YMWWN1N4O"), STR_INIT("L9ECAV7KIM"),
    STR_INIT("2ZYFJ3GM2N"), STR_INIT("0PUK6V6EV0"), STR_INIT("LS4PSXUNUM"), STR_INIT("9SIQT8TOJO"),
    STR_INIT("6E92ZMYYFZ"), STR_INIT("HQTGWGPNH4"),
};

const struct failure *shop_failure(enum fault place)
{
    return &failures[place];
}

struct str shop_product(struct shop *shop)
{
    return SHOP_PICK(shop, products);
}

struct str shop_uuid(struct shop *shop)
{
    uint64_t a = random_u64(&shop->tale.random), b = random_u64(&shop->tale.random);

    return arena_printf(&shop->tale.arena, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32),
                        (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff,
                        0x8000 | ((unsigned)(b >> 48) & 0x3fff),
                        (unsigned long long)(b & 0xffffffffffff));
}

bool shop_fails(struct shop *shop, enum fault place)
{
    if (shop->fault != place)
        return false;
    shop->fault = FAULT_NONE;
    shop->tale.failed = failures[place];
    return true;
}

void shop_work(struct shop *shop, uint64_t *now, uint64_t median_us, enum fault place)
{
    uint64_t ns = tale_work(&shop->tale, median_us);

    if (place != FAULT_NONE && shop->slow == place) {
        shop->slow = FAULT_NONE;
        shop->is_slow = true;
        ns = 700000000 + tale_below(&shop->tale, 2500000000);
    }
    *now += ns;
}

struct shop_span *shop_begin(struct shop *shop, const struct shop_span *parent, unsigned instance,
                             enum scope scope, int32_t kind, struct str name, uint64_t now)
{
    return span_begin(&shop->tale, &(struct span_start){.instance = instance,
                                                        .scope = scope,
                                                        .kind = kind,
                                                        .name = name,
                                                        .at = now,
                                                        .parent = parent});
}

void shop_put_peer(struct shop_span *span, struct str name, unsigned port)
{
    SPAN_TEXT(span, "server.address", name);
    SPAN_INT(span, "server.port", port);
}

void shop_put_network(struct shop_span *span, struct str address, unsigned port)
{
    SPAN_TEXT(span, "network.peer.address", address);
    SPAN_INT(span, "network.peer.port", port);
}

unsigned shop_port(struct shop *shop)
{
    return 32768 + (unsigned)tale_below(&shop->tale, 28232);
}
