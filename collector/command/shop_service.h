/* shop_service.h - what the services of the demo's shop do when they are called, each with all that
 * it calls in turn. `from` is the caller's span, *now moves on; false: it failed, and tale.failed
 * says how. Private to the shop's files. */
#pragma once
#include "command/shop_scene.h"

bool shop_cart_call(struct shop *shop, const struct shop_span *from, struct str method,
                    struct str command, struct str query, unsigned items, uint64_t *now);
bool shop_cart_get(struct shop *shop, const struct shop_span *from, unsigned items, uint64_t *now);
/* is_conversion: names the currencies, and may fail. */
bool shop_currency_call(struct shop *shop, const struct shop_span *from, struct str method,
                        bool is_conversion, uint64_t *now);
bool shop_convert(struct shop *shop, const struct shop_span *from, uint64_t *now);
bool shop_product_get(struct shop *shop, const struct shop_span *from, uint64_t *now);
bool shop_product_list(struct shop *shop, const struct shop_span *from, uint64_t *now);
bool shop_recommend(struct shop *shop, const struct shop_span *from, uint64_t *now);
bool shop_quote(struct shop *shop, const struct shop_span *from, uint64_t *now);
bool shop_ship(struct shop *shop, const struct shop_span *from, uint64_t *now);
bool shop_charge(struct shop *shop, const struct shop_span *from, double amount, uint64_t *now);

/* The message of an order: the producer's span, and everything that its consumer does later. */
struct shop_span *shop_publish(struct shop *shop, const struct shop_span *from, int64_t offset,
                               uint64_t *now);
void shop_consume(struct shop *shop, const struct shop_span *producer, int64_t offset,
                  uint64_t now);
