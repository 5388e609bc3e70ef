/* shop_service.c - see shop_service.h. */
#include "command/shop_service.h"
#include "command/shop_call.h"

/* --- what the services do -------------------------------------------------------------------- */

bool shop_cart_call(struct shop *shop, const struct shop_span *from, struct str method,
                    struct str command, struct str query, unsigned items, uint64_t *now)
{
    struct call call = shop_rpc_begin(shop, from, SERVICE_CART, method, now);
    bool is_fine;

    SPAN_TEXT(call.server, "app.user.id", shop->user);
    if (items)
        SPAN_INT(call.server, "app.cart.items.count", items);
    shop_work(shop, now, 300, FAULT_NONE);
    is_fine = shop_redis(shop, call.server, command, query, now);
    if (!is_fine)
        shop_raise(shop, call.server, *now);
    shop_work(shop, now, 200, FAULT_NONE);
    return shop_rpc_end(shop, &call, now, is_fine);
}

bool shop_cart_get(struct shop *shop, const struct shop_span *from, unsigned items, uint64_t *now)
{
    return shop_cart_call(shop, from, STR("meshshop.CartService/GetCart"), STR("HGET"),
                          STR("HGET ? cart"), items, now);
}

bool shop_currency_call(struct shop *shop, const struct shop_span *from, struct str method,
                        bool is_conversion, uint64_t *now)
{
    struct call call = shop_rpc_begin(shop, from, SERVICE_CURRENCY, method, now);
    bool is_fine = true;

    shop_work(shop, now, 250, FAULT_CURRENCY);
    if (is_conversion) {
        SPAN_TEXT(call.server, "app.currency.conversion.from", STR("USD"));
        SPAN_TEXT(call.server, "app.currency.conversion.to", shop->currency);
    }
    if (is_conversion && shop_fails(shop, FAULT_CURRENCY)) {
        *now += 2000000000;
        shop_raise(shop, call.server, *now);
        is_fine = false;
    }
    return shop_rpc_end(shop, &call, now, is_fine);
}

bool shop_convert(struct shop *shop, const struct shop_span *from, uint64_t *now)
{
    return shop_currency_call(shop, from, STR("meshshop.CurrencyService/Convert"), true, now);
}

bool shop_product_get(struct shop *shop, const struct shop_span *from, uint64_t *now)
{
    struct call call = shop_rpc_begin(shop, from, SERVICE_CATALOG,
                                      STR("meshshop.ProductCatalogService/GetProduct"), now);
    bool is_fine, is_hit = tale_below(&shop->tale, 10) < 7;

    if (shop->fault == FAULT_SQL || shop->slow == FAULT_SQL)
        is_hit = false; /* what is to go wrong goes wrong in the database */
    SPAN_TEXT(call.server, "app.product.id", shop_product(shop));
    shop_work(shop, now, 200, FAULT_NONE);
    is_fine = shop_redis(shop, call.server, STR("GET"), STR("GET ?"), now);
    if (is_fine && !is_hit)
        is_fine =
            shop_sql(shop, call.server, STR("SELECT products"),
                     STR("SELECT id, name, description, picture, price_units, price_nanos FROM "
                         "products WHERE id = $1"),
                     now);
    if (!is_fine)
        shop_raise(shop, call.server, *now);
    shop_work(shop, now, 150, FAULT_NONE);
    return shop_rpc_end(shop, &call, now, is_fine);
}

bool shop_product_list(struct shop *shop, const struct shop_span *from, uint64_t *now)
{
    struct call call = shop_rpc_begin(shop, from, SERVICE_CATALOG,
                                      STR("meshshop.ProductCatalogService/ListProducts"), now);
    bool is_fine;

    shop_work(shop, now, 250, FAULT_NONE);
    is_fine =
        shop_sql(shop, call.server, STR("SELECT products"),
                 STR("SELECT id, name, picture, price_units, price_nanos FROM products ORDER BY "
                     "rank LIMIT $1"),
                 now);
    if (is_fine)
        SPAN_INT(call.server, "app.products.count", (int64_t)SHOP_PRODUCTS);
    else
        shop_raise(shop, call.server, *now);
    shop_work(shop, now, 400, FAULT_NONE);
    return shop_rpc_end(shop, &call, now, is_fine);
}

bool shop_recommend(struct shop *shop, const struct shop_span *from, uint64_t *now)
{
    struct call call =
        shop_rpc_begin(shop, from, SERVICE_RECOMMENDATION,
                       STR("meshshop.RecommendationService/ListRecommendations"), now);
    bool is_fine;

    shop_work(shop, now, 1500, FAULT_RECOMMENDATION);
    is_fine = shop_product_list(shop, call.server, now);
    if (is_fine && shop_fails(shop, FAULT_RECOMMENDATION)) {
        shop_raise(shop, call.server, *now);
        is_fine = false;
    }
    if (is_fine)
        SPAN_INT(call.server, "app.products_recommended.count", 4);
    shop_work(shop, now, 600, FAULT_NONE);
    return shop_rpc_end(shop, &call, now, is_fine);
}

bool shop_quote(struct shop *shop, const struct shop_span *from, uint64_t *now)
{
    struct call call = shop_http_begin(shop, from, SERVICE_SHIPPING, STR("/get-quote"), now);
    bool is_fine = true;

    shop_work(shop, now, 4000, FAULT_SHIPPING);
    if (shop_fails(shop, FAULT_SHIPPING)) {
        shop_raise(shop, call.server, *now);
        is_fine = false;
    } else {
        span_double(call.server, STR("app.shipping.cost.total"),
                    4.5 + (double)tale_below(&shop->tale, 1200) / 100);
    }
    return shop_http_end(shop, &call, now, is_fine);
}

bool shop_ship(struct shop *shop, const struct shop_span *from, uint64_t *now)
{
    struct call call = shop_http_begin(shop, from, SERVICE_SHIPPING, STR("/ship-order"), now);

    shop_work(shop, now, 2500, FAULT_NONE);
    SPAN_TEXT(call.server, "app.shipping.tracking.id", shop_uuid(shop));
    return shop_http_end(shop, &call, now, true);
}

bool shop_charge(struct shop *shop, const struct shop_span *from, double amount, uint64_t *now)
{
    static const struct str cards[] = {STR_INIT("visa"), STR_INIT("mastercard"), STR_INIT("amex")};
    struct call call =
        shop_rpc_begin(shop, from, SERVICE_PAYMENT, STR("meshshop.PaymentService/Charge"), now);
    struct shop_span *span;
    bool is_fine;

    shop_work(shop, now, 300, FAULT_NONE);
    span = shop_begin(shop, call.server, call.server->instance, SCOPE_APP, SPAN_INTERNAL,
                      STR("charge"), *now);
    SPAN_TEXT(span, "app.payment.card_type", SHOP_PICK(shop, cards));
    span_double(span, STR("app.payment.amount"), amount);
    SPAN_TEXT(span, "app.payment.currency", shop->currency);
    shop_work(shop, now, 45000, FAULT_CARD);
    is_fine = !shop_fails(shop, FAULT_CARD);
    if (is_fine) {
        event_text(span_event(&shop->tale, span, *now, STR("charged")),
                   STR("app.payment.transaction.id"), shop_uuid(shop));
    } else {
        span_error(&shop->tale, span, shop->tale.failed.type);
        shop_raise(shop, span, *now);
    }
    span->span.end_ns = *now;
    shop_work(shop, now, 200, FAULT_NONE);
    return shop_rpc_end(shop, &call, now, is_fine);
}

/* --- the order's message --------------------------------------------------------------------- */

static void put_messaging(struct shop_span *span, struct str type, struct str operation,
                          int64_t offset)
{
    SPAN_TEXT(span, "messaging.system", STR("kafka"));
    SPAN_TEXT(span, "messaging.operation.type", type);
    SPAN_TEXT(span, "messaging.operation.name", operation);
    SPAN_TEXT(span, "messaging.destination.name", STR("orders"));
    SPAN_TEXT(span, "messaging.destination.partition.id", STR("2"));
    SPAN_INT(span, "messaging.kafka.offset", offset);
    shop_put_peer(span, STR("kafka"), 9092);
}

struct shop_span *shop_publish(struct shop *shop, const struct shop_span *from, int64_t offset,
                               uint64_t *now)
{
    struct shop_span *span = shop_begin(shop, from, from->instance, SCOPE_KAFKA, SPAN_PRODUCER,
                                        STR("send orders"), *now);

    put_messaging(span, STR("send"), STR("send"), offset);
    SPAN_TEXT(span, "messaging.client.id", shop->cast->instances[from->instance].name);
    shop_work(shop, now, 900, FAULT_NONE);
    span->span.end_ns = *now;
    return span;
}

static bool send_mail(struct shop *shop, const struct shop_span *from, uint64_t *now)
{
    struct shop_span *span = shop_begin(shop, from, from->instance, SCOPE_HTTP, SPAN_CLIENT,
                                        STR("POST /v3/mail/send"), *now);
    bool is_fine = !shop_fails(shop, FAULT_MAIL);

    SPAN_TEXT(span, "http.request.method", STR("POST"));
    SPAN_TEXT(span, "url.full", STR("https://api.mail.example.com/v3/mail/send"));
    SPAN_TEXT(span, "url.template", STR("/v3/mail/send"));
    shop_put_peer(span, STR("api.mail.example.com"), 443);
    SPAN_TEXT(span, "network.protocol.version", STR("1.1"));
    shop_work(shop, now, 60000, FAULT_MAIL);
    SPAN_INT(span, "http.response.status_code", is_fine ? 202 : 503);
    if (!is_fine)
        span_error(&shop->tale, span, STR("503"));
    span->span.end_ns = *now;
    return is_fine;
}

/* Asynchronous: begins after the producer has ended, and may end after the root. */
void shop_consume(struct shop *shop, const struct shop_span *producer, int64_t offset, uint64_t now)
{
    struct shop_span *span, *render;

    now += tale_work(&shop->tale, 12000);
    span = shop_begin(shop, producer, tale_instance(&shop->tale, SERVICE_EMAIL), SCOPE_KAFKA,
                      SPAN_CONSUMER, STR("process orders"), now);
    span_link(&shop->tale, span, producer);
    put_messaging(span, STR("process"), STR("process"), offset);
    SPAN_TEXT(span, "messaging.consumer.group.name", STR("email"));
    render = shop_begin(shop, span, span->instance, SCOPE_APP, SPAN_INTERNAL,
                        STR("render confirmation.erb"), now);
    SPAN_TEXT(render, "app.email.recipient.domain", STR("example.org"));
    shop_work(shop, &now, 3500, FAULT_NONE);
    render->span.end_ns = now;
    if (!send_mail(shop, span, &now)) {
        shop_raise(shop, span, now);
        span_error(&shop->tale, span, shop->tale.failed.type);
    }
    shop_work(shop, &now, 300, FAULT_NONE);
    span->span.end_ns = now;
}
