/* shop.c - see shop.h. A visit is a function that calls the services as their code would; each call
 * moves the time on and answers whether it went well. What goes wrong is chosen before the visit
 * and happens at the first place of its kind, so that the share of bad traces does not depend on
 * how long a visit is. */
#include "command/shop.h"
#include "base/mem.h"
#include "command/tale.h"

enum fault {
    FAULT_NONE,
    FAULT_SQL,
    FAULT_CART_STORE,
    FAULT_CARD,
    FAULT_RECOMMENDATION,
    FAULT_CURRENCY,
    FAULT_SHIPPING,
    FAULT_MAIL,
    FAULTS
};
#define BIT(fault) (1u << (fault))
enum { ERRORS_PER_MILLE = 20, SLOW_PER_MILLE = 30, RPC_PORT = 8080 };

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

struct shop {
    struct cast *cast;
    struct tale tale;
    enum fault fault, slow; /* what is still to happen in this trace */
    bool is_slow;
    struct str user, session, currency;
    struct shop_trace out;
};

static const struct str products[] = {
    STR_INIT("OLJCESPC7Z"), STR_INIT("66VCHSJNUP"), STR_INIT("1YMWWN1N4O"), STR_INIT("L9ECAV7KIM"),
    STR_INIT("2ZYFJ3GM2N"), STR_INIT("0PUK6V6EV0"), STR_INIT("LS4PSXUNUM"), STR_INIT("9SIQT8TOJO"),
    STR_INIT("6E92ZMYYFZ"), STR_INIT("HQTGWGPNH4"),
};
static const struct str currencies[] = {STR_INIT("EUR"), STR_INIT("USD"), STR_INIT("GBP"),
                                        STR_INIT("CHF"), STR_INIT("JPY")};
static const struct str agents[] = {
    STR_INIT("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
             "Chrome/141.0.0.0 Safari/537.36"),
    STR_INIT("Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"),
    STR_INIT("Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, "
             "like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"),
    STR_INIT("meshshop-app/7.3.0 (Android 16; Pixel 9)"),
};
#define PICK(shop, array) ((array)[tale_below(&(shop)->tale, MG_COUNT(array))])

/* --- pieces
 * ----------------------------------------------------------------------------------------- */

static struct str uuid(struct shop *shop)
{
    uint64_t a = random_u64(&shop->tale.random), b = random_u64(&shop->tale.random);

    return arena_printf(&shop->tale.arena, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32),
                        (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff,
                        0x8000 | ((unsigned)(b >> 48) & 0x3fff),
                        (unsigned long long)(b & 0xffffffffffff));
}

/* True once, at the first place of its kind; the failure is then under way. */
static bool fails(struct shop *shop, enum fault place)
{
    if (shop->fault != place)
        return false;
    shop->fault = FAULT_NONE;
    shop->tale.failed = failures[place];
    return true;
}

static void work(struct shop *shop, uint64_t *now, uint64_t median_us, enum fault place)
{
    uint64_t ns = tale_work(&shop->tale, median_us);

    if (place != FAULT_NONE && shop->slow == place) {
        shop->slow = FAULT_NONE;
        shop->is_slow = true;
        ns = 700000000 + tale_below(&shop->tale, 2500000000);
    }
    *now += ns;
}

static struct shop_span *begin(struct shop *shop, const struct shop_span *parent, unsigned instance,
                               enum scope scope, int32_t kind, struct str name, uint64_t now)
{
    return span_begin(&shop->tale, &(struct span_start){.instance = instance,
                                                        .scope = scope,
                                                        .kind = kind,
                                                        .name = name,
                                                        .at = now,
                                                        .parent = parent});
}

static void put_peer(struct shop_span *span, struct str name, unsigned port)
{
    SPAN_TEXT(span, "server.address", name);
    SPAN_INT(span, "server.port", port);
}

static void put_network(struct shop_span *span, struct str address, unsigned port)
{
    SPAN_TEXT(span, "network.peer.address", address);
    SPAN_INT(span, "network.peer.port", port);
}

static unsigned ephemeral_port(struct shop *shop)
{
    return 32768 + (unsigned)tale_below(&shop->tale, 28232);
}

/* --- calls between services
 * ------------------------------------------------------------------------- */

struct call {
    struct shop_span *client, *server;
};

static struct call call_begin(struct shop *shop, const struct shop_span *from, enum service to,
                              enum scope scope, struct str name, uint64_t *now)
{
    struct tale *tale = &shop->tale;
    unsigned instance = tale_instance(tale, to);
    struct call call;

    call.client = begin(shop, from, from->instance, scope, SPAN_CLIENT, name, *now);
    put_peer(call.client, service_name(to), RPC_PORT);
    put_network(call.client, shop->cast->instances[instance].address, RPC_PORT);
    *now += tale_work(tale, 180);
    call.server = begin(shop, call.client, instance, scope, SPAN_SERVER, name, *now);
    put_network(call.server, shop->cast->instances[from->instance].address, ephemeral_port(shop));
    return call;
}

static void call_end(struct shop *shop, const struct call *call, uint64_t *now)
{
    call->server->span.end_ns = *now;
    *now += tale_work(&shop->tale, 180);
    call->client->span.end_ns = *now;
}

static struct call rpc_begin(struct shop *shop, const struct shop_span *from, enum service to,
                             struct str method, uint64_t *now)
{
    struct call call = call_begin(shop, from, to, SCOPE_RPC, method, now);

    for (int i = 0; i < 2; i++) {
        struct shop_span *side = i ? call.server : call.client;
        SPAN_TEXT(side, "rpc.system.name", STR("grpc"));
        SPAN_TEXT(side, "rpc.method", method);
    }
    return call;
}

static bool rpc_end(struct shop *shop, const struct call *call, uint64_t *now, bool is_fine)
{
    const struct failure *failed = &shop->tale.failed;
    struct str status = is_fine ? STR("OK") : failed->rpc_status;

    SPAN_TEXT(call->client, "rpc.status_code", status);
    SPAN_TEXT(call->server, "rpc.status_code", status);
    if (!is_fine && failed->is_server_error)
        span_error(&shop->tale, call->server, status);
    if (!is_fine)
        span_error(&shop->tale, call->client, status);
    call_end(shop, call, now);
    return is_fine;
}

/* The place where a service finds out: its span gets the exception. */
static void raise_failure(struct shop *shop, struct shop_span *server, uint64_t now)
{
    span_exception(&shop->tale, server, now, &shop->tale.failed);
}

static struct call http_begin(struct shop *shop, const struct shop_span *from, enum service to,
                              struct str route, uint64_t *now)
{
    struct arena *arena = &shop->tale.arena;
    struct str name = arena_printf(arena, "POST %.*s", STR_ARG(route));
    struct call call = call_begin(shop, from, to, SCOPE_HTTP, name, now);

    SPAN_TEXT(call.client, "http.request.method", STR("POST"));
    SPAN_TEXT(call.client, "url.full",
              arena_printf(arena, "http://%.*s:%d%.*s", STR_ARG(service_name(to)), RPC_PORT,
                           STR_ARG(route)));
    SPAN_TEXT(call.client, "url.template", route);
    SPAN_TEXT(call.server, "http.request.method", STR("POST"));
    SPAN_TEXT(call.server, "url.scheme", STR("http"));
    SPAN_TEXT(call.server, "url.path", route);
    SPAN_TEXT(call.server, "http.route", route);
    put_peer(call.server, service_name(to), RPC_PORT);
    SPAN_TEXT(call.server, "network.protocol.version", STR("1.1"));
    return call;
}

static bool http_end(struct shop *shop, const struct call *call, uint64_t *now, bool is_fine)
{
    for (int i = 0; i < 2; i++) {
        struct shop_span *side = i ? call->server : call->client;
        SPAN_INT(side, "http.response.status_code", is_fine ? 200 : 500);
        if (!is_fine)
            span_error(&shop->tale, side, STR("500"));
    }
    call_end(shop, call, now);
    return is_fine;
}

/* --- databases
 * -------------------------------------------------------------------------------------- */

static bool sql(struct shop *shop, const struct shop_span *from, struct str summary,
                struct str query, uint64_t *now)
{
    struct shop_span *span =
        begin(shop, from, from->instance, SCOPE_SQL, SPAN_CLIENT, summary, *now);
    struct str operation, collection;
    bool is_fine = true;

    (void)str_split_at(summary, ' ', &operation, &collection); /* "SELECT products" */
    SPAN_TEXT(span, "db.system.name", STR("postgresql"));
    SPAN_TEXT(span, "db.namespace", STR("shop"));
    SPAN_TEXT(span, "db.operation.name", operation);
    SPAN_TEXT(span, "db.collection.name", collection);
    SPAN_TEXT(span, "db.query.summary", summary);
    SPAN_TEXT(span, "db.query.text", query);
    put_peer(span, STR("postgres"), 5432);
    put_network(span, STR("10.42.2.40"), 5432);
    work(shop, now, 1800, FAULT_SQL);
    if (fails(shop, FAULT_SQL)) {
        *now += 2000000000;
        SPAN_TEXT(span, "db.response.status_code", STR("57014"));
        span_error(&shop->tale, span, STR("57014"));
        is_fine = false;
    }
    span->span.end_ns = *now;
    return is_fine;
}

static bool redis(struct shop *shop, const struct shop_span *from, struct str command,
                  struct str query, uint64_t *now)
{
    struct shop_span *span =
        begin(shop, from, from->instance, SCOPE_REDIS, SPAN_CLIENT, command, *now);
    bool is_cart = shop->cast->instances[from->instance].service == SERVICE_CART, is_fine = true;

    SPAN_TEXT(span, "db.system.name", STR("redis"));
    SPAN_TEXT(span, "db.namespace", STR("0"));
    SPAN_TEXT(span, "db.operation.name", command);
    SPAN_TEXT(span, "db.query.text", query);
    put_peer(span, STR("redis"), 6379);
    work(shop, now, 350, is_cart ? FAULT_CART_STORE : FAULT_NONE);
    if (is_cart && fails(shop, FAULT_CART_STORE)) {
        span_error(&shop->tale, span, failures[FAULT_CART_STORE].type);
        is_fine = false;
    } else {
        put_network(span, STR("10.42.3.41"), 6379);
    }
    span->span.end_ns = *now;
    return is_fine;
}

/* --- what the services do
 * --------------------------------------------------------------------------- */

static bool cart_call(struct shop *shop, const struct shop_span *from, struct str method,
                      struct str command, struct str query, unsigned items, uint64_t *now)
{
    struct call call = rpc_begin(shop, from, SERVICE_CART, method, now);
    bool is_fine;

    SPAN_TEXT(call.server, "app.user.id", shop->user);
    if (items)
        SPAN_INT(call.server, "app.cart.items.count", items);
    work(shop, now, 300, FAULT_NONE);
    is_fine = redis(shop, call.server, command, query, now);
    if (!is_fine)
        raise_failure(shop, call.server, *now);
    work(shop, now, 200, FAULT_NONE);
    return rpc_end(shop, &call, now, is_fine);
}

static bool cart_get(struct shop *shop, const struct shop_span *from, unsigned items, uint64_t *now)
{
    return cart_call(shop, from, STR("meshshop.CartService/GetCart"), STR("HGET"),
                     STR("HGET ? cart"), items, now);
}

static bool currency_call(struct shop *shop, const struct shop_span *from, struct str method,
                          bool is_conversion, uint64_t *now)
{
    struct call call = rpc_begin(shop, from, SERVICE_CURRENCY, method, now);
    bool is_fine = true;

    work(shop, now, 250, FAULT_CURRENCY);
    if (is_conversion) {
        SPAN_TEXT(call.server, "app.currency.conversion.from", STR("USD"));
        SPAN_TEXT(call.server, "app.currency.conversion.to", shop->currency);
    }
    if (is_conversion && fails(shop, FAULT_CURRENCY)) {
        *now += 2000000000;
        raise_failure(shop, call.server, *now);
        is_fine = false;
    }
    return rpc_end(shop, &call, now, is_fine);
}

static bool convert(struct shop *shop, const struct shop_span *from, uint64_t *now)
{
    return currency_call(shop, from, STR("meshshop.CurrencyService/Convert"), true, now);
}

static bool product_get(struct shop *shop, const struct shop_span *from, uint64_t *now)
{
    struct call call = rpc_begin(shop, from, SERVICE_CATALOG,
                                 STR("meshshop.ProductCatalogService/GetProduct"), now);
    bool is_fine, is_hit = tale_below(&shop->tale, 10) < 7;

    if (shop->fault == FAULT_SQL || shop->slow == FAULT_SQL)
        is_hit = false; /* what is to go wrong goes wrong in the database */
    SPAN_TEXT(call.server, "app.product.id", PICK(shop, products));
    work(shop, now, 200, FAULT_NONE);
    is_fine = redis(shop, call.server, STR("GET"), STR("GET ?"), now);
    if (is_fine && !is_hit)
        is_fine = sql(shop, call.server, STR("SELECT products"),
                      STR("SELECT id, name, description, picture, price_units, price_nanos FROM "
                          "products WHERE id = $1"),
                      now);
    if (!is_fine)
        raise_failure(shop, call.server, *now);
    work(shop, now, 150, FAULT_NONE);
    return rpc_end(shop, &call, now, is_fine);
}

static bool product_list(struct shop *shop, const struct shop_span *from, uint64_t *now)
{
    struct call call = rpc_begin(shop, from, SERVICE_CATALOG,
                                 STR("meshshop.ProductCatalogService/ListProducts"), now);
    bool is_fine;

    work(shop, now, 250, FAULT_NONE);
    is_fine = sql(shop, call.server, STR("SELECT products"),
                  STR("SELECT id, name, picture, price_units, price_nanos FROM products ORDER BY "
                      "rank LIMIT $1"),
                  now);
    if (is_fine)
        SPAN_INT(call.server, "app.products.count", (int64_t)MG_COUNT(products));
    else
        raise_failure(shop, call.server, *now);
    work(shop, now, 400, FAULT_NONE);
    return rpc_end(shop, &call, now, is_fine);
}

static bool recommend(struct shop *shop, const struct shop_span *from, uint64_t *now)
{
    struct call call = rpc_begin(shop, from, SERVICE_RECOMMENDATION,
                                 STR("meshshop.RecommendationService/ListRecommendations"), now);
    bool is_fine;

    work(shop, now, 1500, FAULT_RECOMMENDATION);
    is_fine = product_list(shop, call.server, now);
    if (is_fine && fails(shop, FAULT_RECOMMENDATION)) {
        raise_failure(shop, call.server, *now);
        is_fine = false;
    }
    if (is_fine)
        SPAN_INT(call.server, "app.products_recommended.count", 4);
    work(shop, now, 600, FAULT_NONE);
    return rpc_end(shop, &call, now, is_fine);
}

static bool quote(struct shop *shop, const struct shop_span *from, uint64_t *now)
{
    struct call call = http_begin(shop, from, SERVICE_SHIPPING, STR("/get-quote"), now);
    bool is_fine = true;

    work(shop, now, 4000, FAULT_SHIPPING);
    if (fails(shop, FAULT_SHIPPING)) {
        raise_failure(shop, call.server, *now);
        is_fine = false;
    } else {
        span_double(call.server, STR("app.shipping.cost.total"),
                    4.5 + (double)tale_below(&shop->tale, 1200) / 100);
    }
    return http_end(shop, &call, now, is_fine);
}

static bool ship(struct shop *shop, const struct shop_span *from, uint64_t *now)
{
    struct call call = http_begin(shop, from, SERVICE_SHIPPING, STR("/ship-order"), now);

    work(shop, now, 2500, FAULT_NONE);
    SPAN_TEXT(call.server, "app.shipping.tracking.id", uuid(shop));
    return http_end(shop, &call, now, true);
}

static bool charge(struct shop *shop, const struct shop_span *from, double amount, uint64_t *now)
{
    static const struct str cards[] = {STR_INIT("visa"), STR_INIT("mastercard"), STR_INIT("amex")};
    struct call call =
        rpc_begin(shop, from, SERVICE_PAYMENT, STR("meshshop.PaymentService/Charge"), now);
    struct shop_span *span;
    bool is_fine;

    work(shop, now, 300, FAULT_NONE);
    span = begin(shop, call.server, call.server->instance, SCOPE_APP, SPAN_INTERNAL, STR("charge"),
                 *now);
    SPAN_TEXT(span, "app.payment.card_type", PICK(shop, cards));
    span_double(span, STR("app.payment.amount"), amount);
    SPAN_TEXT(span, "app.payment.currency", shop->currency);
    work(shop, now, 45000, FAULT_CARD);
    is_fine = !fails(shop, FAULT_CARD);
    if (is_fine) {
        event_text(span_event(&shop->tale, span, *now, STR("charged")),
                   STR("app.payment.transaction.id"), uuid(shop));
    } else {
        span_error(&shop->tale, span, shop->tale.failed.type);
        raise_failure(shop, span, *now);
    }
    span->span.end_ns = *now;
    work(shop, now, 200, FAULT_NONE);
    return rpc_end(shop, &call, now, is_fine);
}

/* --- the order's message
 * ---------------------------------------------------------------------------- */

static void put_messaging(struct shop_span *span, struct str type, struct str operation,
                          int64_t offset)
{
    SPAN_TEXT(span, "messaging.system", STR("kafka"));
    SPAN_TEXT(span, "messaging.operation.type", type);
    SPAN_TEXT(span, "messaging.operation.name", operation);
    SPAN_TEXT(span, "messaging.destination.name", STR("orders"));
    SPAN_TEXT(span, "messaging.destination.partition.id", STR("2"));
    SPAN_INT(span, "messaging.kafka.offset", offset);
    put_peer(span, STR("kafka"), 9092);
}

static struct shop_span *publish(struct shop *shop, const struct shop_span *from, int64_t offset,
                                 uint64_t *now)
{
    struct shop_span *span =
        begin(shop, from, from->instance, SCOPE_KAFKA, SPAN_PRODUCER, STR("send orders"), *now);

    put_messaging(span, STR("send"), STR("send"), offset);
    SPAN_TEXT(span, "messaging.client.id", shop->cast->instances[from->instance].name);
    work(shop, now, 900, FAULT_NONE);
    span->span.end_ns = *now;
    return span;
}

static bool send_mail(struct shop *shop, const struct shop_span *from, uint64_t *now)
{
    struct shop_span *span =
        begin(shop, from, from->instance, SCOPE_HTTP, SPAN_CLIENT, STR("POST /v3/mail/send"), *now);
    bool is_fine = !fails(shop, FAULT_MAIL);

    SPAN_TEXT(span, "http.request.method", STR("POST"));
    SPAN_TEXT(span, "url.full", STR("https://api.mail.example.com/v3/mail/send"));
    SPAN_TEXT(span, "url.template", STR("/v3/mail/send"));
    put_peer(span, STR("api.mail.example.com"), 443);
    SPAN_TEXT(span, "network.protocol.version", STR("1.1"));
    work(shop, now, 60000, FAULT_MAIL);
    SPAN_INT(span, "http.response.status_code", is_fine ? 202 : 503);
    if (!is_fine)
        span_error(&shop->tale, span, STR("503"));
    span->span.end_ns = *now;
    return is_fine;
}

/* Asynchronous: begins after the producer has ended, and may end after the root. */
static void consume(struct shop *shop, const struct shop_span *producer, int64_t offset,
                    uint64_t now)
{
    struct shop_span *span, *render;

    now += tale_work(&shop->tale, 12000);
    span = begin(shop, producer, tale_instance(&shop->tale, SERVICE_EMAIL), SCOPE_KAFKA,
                 SPAN_CONSUMER, STR("process orders"), now);
    span_link(&shop->tale, span, producer);
    put_messaging(span, STR("process"), STR("process"), offset);
    SPAN_TEXT(span, "messaging.consumer.group.name", STR("email"));
    render = begin(shop, span, span->instance, SCOPE_APP, SPAN_INTERNAL,
                   STR("render confirmation.erb"), now);
    SPAN_TEXT(render, "app.email.recipient.domain", STR("example.org"));
    work(shop, &now, 3500, FAULT_NONE);
    render->span.end_ns = now;
    if (!send_mail(shop, span, &now)) {
        raise_failure(shop, span, now);
        span_error(&shop->tale, span, shop->tale.failed.type);
    }
    work(shop, &now, 300, FAULT_NONE);
    span->span.end_ns = now;
}

/* --- visits
 * ----------------------------------------------------------------------------------------- */

/* Several calls at once: each begins now, and the time goes on when the last one has ended. */
#define AT_ONCE(now, end, call)                                                                    \
    ({                                                                                             \
        uint64_t at = (now);                                                                       \
        bool fine_ = (call);                                                                       \
        (end) = MG_MAX((end), at);                                                                 \
        fine_;                                                                                     \
    })

/* What every page shows above its content: the size of the cart, and the currencies to choose from.
 */
static void page_top(struct shop *shop, const struct shop_span *root, uint64_t *now)
{
    uint64_t end = *now;

    /* A page without them is still a page. */
    (void)AT_ONCE(*now, end, cart_get(shop, root, 1, &at));
    (void)AT_ONCE(*now, end,
                  currency_call(shop, root, STR("meshshop.CurrencyService/GetSupportedCurrencies"),
                                false, &at));
    *now = end;
}

static bool visit_home(struct shop *shop, struct shop_span *root, uint64_t *now)
{
    page_top(shop, root, now);
    return product_list(shop, root, now);
}

static bool visit_product(struct shop *shop, struct shop_span *root, uint64_t *now)
{
    uint64_t end;
    bool is_fine;

    page_top(shop, root, now);
    end = *now;
    is_fine = AT_ONCE(*now, end, product_get(shop, root, &at) && convert(shop, root, &at));
    (void)AT_ONCE(*now, end, recommend(shop, root, &at)); /* left out of the page when it fails */
    *now = end;
    return is_fine;
}

static bool visit_add(struct shop *shop, struct shop_span *root, uint64_t *now)
{
    if (!product_get(shop, root, now))
        return false;
    return cart_call(shop, root, STR("meshshop.CartService/AddItem"), STR("HSET"),
                     STR("HSET ? cart ?"), 1, now) &&
           cart_get(shop, root, 2, now);
}

static bool items_price(struct shop *shop, struct shop_span *from, unsigned items, uint64_t *now)
{
    uint64_t end = *now;
    bool is_fine = true;

    for (unsigned i = 0; i < items; i++)
        is_fine &= AT_ONCE(*now, end, product_get(shop, from, &at) && convert(shop, from, &at));
    *now = end;
    return is_fine;
}

static bool visit_cart(struct shop *shop, struct shop_span *root, uint64_t *now)
{
    unsigned items = 1 + (unsigned)tale_below(&shop->tale, 4);

    if (!cart_get(shop, root, items, now))
        return false;
    return items_price(shop, root, items, now) && quote(shop, root, now);
}

static bool place_order(struct shop *shop, struct shop_span *server, uint64_t *now)
{
    unsigned items = 1 + (unsigned)tale_below(&shop->tale, 3);
    double amount = 19.9 + (double)tale_below(&shop->tale, 40000) / 100;

    SPAN_TEXT(server, "app.user.id", shop->user);
    SPAN_TEXT(server, "app.order.id", uuid(shop));
    SPAN_INT(server, "app.order.items.count", items);
    span_double(server, STR("app.order.amount"), amount);
    if (!cart_get(shop, server, items, now) || !items_price(shop, server, items, now) ||
        !quote(shop, server, now))
        return false;
    (void)span_event(&shop->tale, server, *now, STR("prepared"));
    if (!charge(shop, server, amount, now))
        return false;
    (void)span_event(&shop->tale, server, *now, STR("charged"));
    return ship(shop, server, now) && sql(shop, server, STR("INSERT orders"),
                                          STR("INSERT INTO orders (id, user_id, amount, currency, "
                                              "tracking_id) VALUES ($1, $2, $3, $4, $5)"),
                                          now);
}

static bool visit_checkout(struct shop *shop, struct shop_span *root, uint64_t *now)
{
    struct call call =
        rpc_begin(shop, root, SERVICE_CHECKOUT, STR("meshshop.CheckoutService/PlaceOrder"), now);
    int64_t offset = 1000000 + (int64_t)tale_below(&shop->tale, 9000000);
    bool is_fine;

    work(shop, now, 500, FAULT_NONE);
    is_fine = place_order(shop, call.server, now);
    if (is_fine) {
        /* The order stands, whatever becomes of the cart. */
        (void)cart_call(shop, call.server, STR("meshshop.CartService/EmptyCart"), STR("DEL"),
                        STR("DEL ?"), 0, now);
        consume(shop, publish(shop, call.server, offset, now), offset, *now);
    }
    work(shop, now, 300, FAULT_NONE);
    return rpc_end(shop, &call, now, is_fine);
}

static const struct visit {
    unsigned weight; /* of 100 */
    const char *method, *route;
    unsigned faults; /* BITs of what can go wrong */
    bool (*tell)(struct shop *shop, struct shop_span *root, uint64_t *now);
} visits[] = {
    {25, "GET", "/", BIT(FAULT_SQL) | BIT(FAULT_CART_STORE), visit_home},
    {40, "GET", "/product/{id}", BIT(FAULT_SQL) | BIT(FAULT_CURRENCY) | BIT(FAULT_RECOMMENDATION),
     visit_product},
    {15, "POST", "/cart", BIT(FAULT_SQL) | BIT(FAULT_CART_STORE), visit_add},
    {10, "GET", "/cart", BIT(FAULT_SQL) | BIT(FAULT_CURRENCY) | BIT(FAULT_SHIPPING), visit_cart},
    {10, "POST", "/checkout",
     BIT(FAULT_SQL) | BIT(FAULT_CART_STORE) | BIT(FAULT_CARD) | BIT(FAULT_SHIPPING) |
         BIT(FAULT_MAIL),
     visit_checkout},
};

static const struct visit *visit_choose(struct shop *shop)
{
    uint64_t at = tale_below(&shop->tale, 100);
    size_t i = 0;

    for (; at >= visits[i].weight; i++)
        at -= visits[i].weight;
    return &visits[i];
}

static enum fault choose(struct shop *shop, unsigned faults, unsigned per_mille)
{
    unsigned skip;
    enum fault fault = FAULT_NONE;

    if (tale_below(&shop->tale, 1000) >= per_mille)
        return FAULT_NONE;
    skip = (unsigned)tale_below(&shop->tale, (uint64_t)__builtin_popcount(faults));
    for (fault = FAULT_SQL; !(faults & BIT(fault)) || skip > 0; fault++)
        skip -= (faults & BIT(fault)) != 0;
    return fault;
}

static struct str path_of(struct shop *shop, const struct visit *visit)
{
    struct str route = str_of(visit->route), before, after;

    if (!str_split_at(route, '{', &before, &after))
        return route;
    return arena_printf(&shop->tale.arena, "%.*s%.*s", STR_ARG(before),
                        STR_ARG(PICK(shop, products)));
}

static struct shop_span *root_begin(struct shop *shop, const struct visit *visit)
{
    struct arena *arena = &shop->tale.arena;
    unsigned instance = tale_instance(&shop->tale, SERVICE_FRONTEND);
    struct shop_span *root = begin(shop, NULL, instance, SCOPE_HTTP, SPAN_SERVER,
                                   arena_printf(arena, "%s %s", visit->method, visit->route), 0);

    SPAN_TEXT(root, "http.request.method", str_of(visit->method));
    SPAN_TEXT(root, "url.scheme", STR("https"));
    SPAN_TEXT(root, "url.path", path_of(shop, visit));
    SPAN_TEXT(root, "http.route", str_of(visit->route));
    put_peer(root, STR("shop.example.com"), 443);
    SPAN_TEXT(root, "client.address",
              arena_printf(arena, "198.51.100.%u", 1 + (unsigned)tale_below(&shop->tale, 254)));
    put_network(root, STR("10.42.0.5"), ephemeral_port(shop));
    SPAN_TEXT(root, "network.protocol.version", STR("1.1"));
    SPAN_TEXT(root, "user_agent.original", PICK(shop, agents));
    SPAN_TEXT(root, "session.id", shop->session);
    SPAN_TEXT(root, "app.user.id", shop->user);
    return root;
}

static int http_status(const struct failure *failure)
{
    if (!failure->is_server_error)
        return 422; /* the visitor's card, not the shop */
    if (str_eq(failure->rpc_status, STR("UNAVAILABLE")))
        return 503;
    return str_eq(failure->rpc_status, STR("DEADLINE_EXCEEDED")) ? 504 : 500;
}

static void root_end(struct shop *shop, struct shop_span *root, bool is_fine, uint64_t now)
{
    int status = is_fine ? 200 : http_status(&shop->tale.failed);

    SPAN_INT(root, "http.response.status_code", status);
    if (status >= 500)
        span_error(&shop->tale, root, arena_printf(&shop->tale.arena, "%d", status));
    root->span.end_ns = now;
}

/* --- the module's face
 * ------------------------------------------------------------------------------ */

struct shop *shop_new(uint64_t seed)
{
    struct shop *shop = MEM_NEW(struct shop);
    struct random random;

    random_init(&random, seed);
    shop->cast = cast_new(&random);
    tale_init(&shop->tale, shop->cast, random_u64(&random));
    return shop;
}

void shop_free(struct shop **pointer)
{
    struct shop *shop = *pointer;

    if (!shop)
        return;
    tale_fini(&shop->tale);
    cast_free(&shop->cast);
    mem_free(shop);
    *pointer = NULL;
}

const struct cast *shop_cast(const struct shop *shop)
{
    return shop->cast;
}

const struct shop_trace *shop_visit(struct shop *shop, uint64_t end_ns)
{
    const struct visit *visit = visit_choose(shop);
    struct shop_span *root;
    uint64_t now = 0;
    bool is_fine;

    tale_begin(&shop->tale);
    shop->user = uuid(shop);
    shop->session = uuid(shop);
    shop->currency = PICK(shop, currencies);
    shop->fault = choose(shop, visit->faults, ERRORS_PER_MILLE);
    shop->slow = choose(shop, visit->faults, SLOW_PER_MILLE);
    shop->is_slow = false;
    root = root_begin(shop, visit);
    work(shop, &now, 800, FAULT_NONE);
    is_fine = visit->tell(shop, root, &now);
    work(shop, &now, 1200, FAULT_NONE);
    root_end(shop, root, is_fine, now);
    tale_end(&shop->tale, end_ns);
    shop->out =
        (struct shop_trace){shop->tale.spans, shop->tale.n, shop->tale.has_error, shop->is_slow};
    return &shop->out;
}
