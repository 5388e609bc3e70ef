/* shop.c - see shop.h. A visit is a function that calls the services as their code would; each call
 * moves the time on and answers whether it went well.
 *
 *   visits ▶ shop_service.c: what each service does ▶ shop_call.c: calls ▶ shop_scene.c: pieces
 */
#include "command/shop.h"
#include "base/mem.h"
#include "command/shop_call.h"
#include "command/shop_service.h"

enum { ERRORS_PER_MILLE = 20, SLOW_PER_MILLE = 30 };

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

/* --- visits ---------------------------------------------------------------------------------- */

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
    (void)AT_ONCE(*now, end, shop_cart_get(shop, root, 1, &at));
    (void)AT_ONCE(*now, end,
                  shop_currency_call(shop, root,
                                     STR("meshshop.CurrencyService/GetSupportedCurrencies"), false,
                                     &at));
    *now = end;
}

static bool visit_home(struct shop *shop, struct shop_span *root, uint64_t *now)
{
    page_top(shop, root, now);
    return shop_product_list(shop, root, now);
}

static bool visit_product(struct shop *shop, struct shop_span *root, uint64_t *now)
{
    uint64_t end;
    bool is_fine;

    page_top(shop, root, now);
    end = *now;
    is_fine =
        AT_ONCE(*now, end, shop_product_get(shop, root, &at) && shop_convert(shop, root, &at));
    (void)AT_ONCE(*now, end,
                  shop_recommend(shop, root, &at)); /* left out of the page when it fails */
    *now = end;
    return is_fine;
}

static bool visit_add(struct shop *shop, struct shop_span *root, uint64_t *now)
{
    if (!shop_product_get(shop, root, now))
        return false;
    return shop_cart_call(shop, root, STR("meshshop.CartService/AddItem"), STR("HSET"),
                          STR("HSET ? cart ?"), 1, now) &&
           shop_cart_get(shop, root, 2, now);
}

static bool items_price(struct shop *shop, struct shop_span *from, unsigned items, uint64_t *now)
{
    uint64_t end = *now;
    bool is_fine = true;

    for (unsigned i = 0; i < items; i++)
        is_fine &=
            AT_ONCE(*now, end, shop_product_get(shop, from, &at) && shop_convert(shop, from, &at));
    *now = end;
    return is_fine;
}

static bool visit_cart(struct shop *shop, struct shop_span *root, uint64_t *now)
{
    unsigned items = 1 + (unsigned)tale_below(&shop->tale, 4);

    if (!shop_cart_get(shop, root, items, now))
        return false;
    return items_price(shop, root, items, now) && shop_quote(shop, root, now);
}

static bool place_order(struct shop *shop, struct shop_span *server, uint64_t *now)
{
    unsigned items = 1 + (unsigned)tale_below(&shop->tale, 3);
    double amount = 19.9 + (double)tale_below(&shop->tale, 40000) / 100;

    SPAN_TEXT(server, "app.user.id", shop->user);
    SPAN_TEXT(server, "app.order.id", shop_uuid(shop));
    SPAN_INT(server, "app.order.items.count", items);
    span_double(server, STR("app.order.amount"), amount);
    if (!shop_cart_get(shop, server, items, now) || !items_price(shop, server, items, now) ||
        !shop_quote(shop, server, now))
        return false;
    (void)span_event(&shop->tale, server, *now, STR("prepared"));
    if (!shop_charge(shop, server, amount, now))
        return false;
    (void)span_event(&shop->tale, server, *now, STR("charged"));
    return shop_ship(shop, server, now) &&
           shop_sql(shop, server, STR("INSERT orders"),
                    STR("INSERT INTO orders (id, user_id, amount, currency, "
                        "tracking_id) VALUES ($1, $2, $3, $4, $5)"),
                    now);
}

static bool visit_checkout(struct shop *shop, struct shop_span *root, uint64_t *now)
{
    struct call call = shop_rpc_begin(shop, root, SERVICE_CHECKOUT,
                                      STR("meshshop.CheckoutService/PlaceOrder"), now);
    int64_t offset = 1000000 + (int64_t)tale_below(&shop->tale, 9000000);
    bool is_fine;

    shop_work(shop, now, 500, FAULT_NONE);
    is_fine = place_order(shop, call.server, now);
    if (is_fine) {
        /* The order stands, whatever becomes of the cart. */
        (void)shop_cart_call(shop, call.server, STR("meshshop.CartService/EmptyCart"), STR("DEL"),
                             STR("DEL ?"), 0, now);
        shop_consume(shop, shop_publish(shop, call.server, offset, now), offset, *now);
    }
    shop_work(shop, now, 300, FAULT_NONE);
    return shop_rpc_end(shop, &call, now, is_fine);
}

static const struct visit {
    unsigned weight; /* of 100 */
    const char *method, *route;
    unsigned faults; /* BITs of what can go wrong */
    bool (*tell)(struct shop *shop, struct shop_span *root, uint64_t *now);
} visits[] = {
    {25, "GET", "/", FAULT_BIT(FAULT_SQL) | FAULT_BIT(FAULT_CART_STORE), visit_home},
    {40, "GET", "/product/{id}",
     FAULT_BIT(FAULT_SQL) | FAULT_BIT(FAULT_CURRENCY) | FAULT_BIT(FAULT_RECOMMENDATION),
     visit_product},
    {15, "POST", "/cart", FAULT_BIT(FAULT_SQL) | FAULT_BIT(FAULT_CART_STORE), visit_add},
    {10, "GET", "/cart",
     FAULT_BIT(FAULT_SQL) | FAULT_BIT(FAULT_CURRENCY) | FAULT_BIT(FAULT_SHIPPING), visit_cart},
    {10, "POST", "/checkout",
     FAULT_BIT(FAULT_SQL) | FAULT_BIT(FAULT_CART_STORE) | FAULT_BIT(FAULT_CARD) |
         FAULT_BIT(FAULT_SHIPPING) | FAULT_BIT(FAULT_MAIL),
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
    for (fault = FAULT_SQL; !(faults & FAULT_BIT(fault)) || skip > 0; fault++)
        skip -= (faults & FAULT_BIT(fault)) != 0;
    return fault;
}

static struct str path_of(struct shop *shop, const struct visit *visit)
{
    struct str route = str_of(visit->route), before, after;

    if (!str_split_at(route, '{', &before, &after))
        return route;
    return arena_printf(&shop->tale.arena, "%.*s%.*s", STR_ARG(before),
                        STR_ARG(shop_product(shop)));
}

static struct shop_span *root_begin(struct shop *shop, const struct visit *visit)
{
    struct arena *arena = &shop->tale.arena;
    unsigned instance = tale_instance(&shop->tale, SERVICE_FRONTEND);
    struct shop_span *root =
        shop_begin(shop, NULL, instance, SCOPE_HTTP, SPAN_SERVER,
                   arena_printf(arena, "%s %s", visit->method, visit->route), 0);

    SPAN_TEXT(root, "http.request.method", str_of(visit->method));
    SPAN_TEXT(root, "url.scheme", STR("https"));
    SPAN_TEXT(root, "url.path", path_of(shop, visit));
    SPAN_TEXT(root, "http.route", str_of(visit->route));
    shop_put_peer(root, STR("shop.example.com"), 443);
    SPAN_TEXT(root, "client.address",
              arena_printf(arena, "198.51.100.%u", 1 + (unsigned)tale_below(&shop->tale, 254)));
    shop_put_network(root, STR("10.42.0.5"), shop_port(shop));
    SPAN_TEXT(root, "network.protocol.version", STR("1.1"));
    SPAN_TEXT(root, "user_agent.original", SHOP_PICK(shop, agents));
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

/* --- the module's face ----------------------------------------------------------------------- */

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
    shop->user = shop_uuid(shop);
    shop->session = shop_uuid(shop);
    shop->currency = SHOP_PICK(shop, currencies);
    shop->fault = choose(shop, visit->faults, ERRORS_PER_MILLE);
    shop->slow = choose(shop, visit->faults, SLOW_PER_MILLE);
    shop->is_slow = false;
    root = root_begin(shop, visit);
    shop_work(shop, &now, 800, FAULT_NONE);
    is_fine = visit->tell(shop, root, &now);
    shop_work(shop, &now, 1200, FAULT_NONE);
    root_end(shop, root, is_fine, now);
    tale_end(&shop->tale, end_ns);
    shop->out =
        (struct shop_trace){shop->tale.spans, shop->tale.n, shop->tale.has_error, shop->is_slow};
    return &shop->out;
}
