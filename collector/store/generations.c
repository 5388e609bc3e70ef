/* generations.c - the texts of sampling rules, by number (FORMAT.md 1, table `gen`).
 *
 * A decision names the generation of its rules, in the journal before it is in the store; so a number is on disk before any log
 * names it, and is never given for another text, whatever fails. What a partition carries on makes the open one the place where nearly all are found;
 * older ones still have those that it did not take over.
 *
 * At a start the rules are in force even when the store cannot take them, as on a full disk: they wait, every commit that is tried has them,
 * and live keeps what it decides in memory meanwhile. A crash then forgets the number together with all that named it.
 *
 * When a partition newer than all sound ones is set aside at start, nobody knows which numbers it gave. The next partition
 * then says that a generation far beyond was the newest, with an empty text. */
#include "base/bytes.h"
#include "store/private.h"

#define TEXT_MAX ((size_t)1 << 20)
#define CARRIED_MAX ((size_t)4 << 20)
#define NUMBER_MAX (((uint32_t)1 << 24) - 1)

/* What store_rules_put hands to the block thread. */
struct rules_order {
    struct str text;
    uint32_t generation;
    enum mg_err err;
    struct mg_why why;
    bool is_done;
};

/* --- a new partition's first transaction ------------------------------------------------------------------ */

/* The partition, other than the open one, that knows the newest. */
static struct partition *newest_source(struct store *store)
{
    struct partition *newest = NULL;

    for (size_t i = 0; i + 1 < store->shared.partitions.n; i++) {
        struct partition *partition = store->shared.partitions.at[i];
        if (partition->rules && (!newest || partition->rules >= newest->rules))
            newest = partition;
    }
    return newest;
}

static size_t text_bytes(struct kv_txn *txn)
{
    struct kv_cursor *cursor = NULL;
    struct str key, text;
    size_t bytes = 0;

    while (kv_next(txn, TABLE_GEN, &cursor, &key, &text))
        bytes += text.len;
    return bytes;
}

static enum mg_err copy_newest(struct kv_txn *from, struct kv_txn *to, struct mg_why *why)
{
    size_t left = text_bytes(from);
    struct kv_cursor *cursor = NULL;
    struct str key, text;
    enum mg_err err = MG_OK;

    while (err == MG_OK && kv_next(from, TABLE_GEN, &cursor, &key, &text)) {
        if (left <= CARRIED_MAX)
            err = kv_put(to, TABLE_GEN, key, text, why);
        left -= text.len;
    }
    kv_cursor_end(&cursor);
    return err;
}

static enum mg_err copy_from(struct partition *source, struct kv_txn *to, struct mg_why *why)
{
    MG_AUTO(kv_env_unref) struct kv_env *env = NULL;
    MG_AUTO(kv_abort) struct kv_txn *from = NULL;
    uint64_t errors = kv_read_errors();

    MG_TRY(partition_env(source, &env, why));
    MG_TRY(kv_begin(&from, env, false, why));
    MG_TRY(copy_newest(from, to, why));
    if (kv_read_errors() != errors) /* an error looks like the end */
        return mg_fail(why, MG_E_IO, "%s: its sampling rules cannot be read", source->path);
    return MG_OK;
}

enum mg_err store_carry_rules(struct store *store, struct kv_txn *txn, uint32_t *newest, struct mg_why *why)
{
    struct partition *source = newest_source(store);
    uint8_t key[4];

    if (source) {
        MG_TRY(copy_from(source, txn, why));
        *newest = source->rules;
    }
    if (!store->own.rules_gap)
        return MG_OK;
    partition_key(store->own.rules_gap, key);
    MG_TRY(kv_put(txn, TABLE_GEN, str_n(key, 4), STR(""), why));
    *newest = store->own.rules_gap;
    return MG_OK;
}

/* --- waiting ------------------------------------------------------------------------------------------- */

bool store_rules_wait(struct store *store)
{
    bool wait;

    pthread_mutex_lock(&store->shared.lock);
    wait = store->shared.waiting_rules.generation > 0;
    pthread_mutex_unlock(&store->shared.lock);
    return wait;
}

static void begin_waiting(struct store *store, struct str text, uint32_t generation)
{
    pthread_mutex_lock(&store->shared.lock);
    store->shared.waiting_rules.generation = generation;
    buf_init(&store->shared.waiting_rules.text, TEXT_MAX);
    buf_put_str(&store->shared.waiting_rules.text, text);
    pthread_mutex_unlock(&store->shared.lock);
    LOG(WARN, "the sampling rules are not stored yet: what they decide stays in memory until they are", F_U64("generation", generation));
}

void store_end_waiting(struct store *store)
{
    store->shared.waiting_rules.generation = 0;
    buf_fini(&store->shared.waiting_rules.text);
}

static bool copy_waiting(struct store *store, uint32_t generation, struct buf *text)
{
    bool is_it;

    pthread_mutex_lock(&store->shared.lock);
    is_it = store->shared.waiting_rules.generation == generation;
    if (is_it)
        buf_put_str(text, buf_str(&store->shared.waiting_rules.text));
    pthread_mutex_unlock(&store->shared.lock);
    return is_it && !text->failed;
}

/* --- get ------------------------------------------------------------------------------------------------ */

static bool text_in(struct partition *partition, uint32_t generation, struct buf *text)
{
    MG_AUTO(kv_env_unref) struct kv_env *env = NULL;
    MG_AUTO(kv_abort) struct kv_txn *txn = NULL;
    struct str value;
    uint8_t key[4];

    partition_key(generation, key);
    if (partition_env(partition, &env, NULL) != MG_OK || kv_begin(&txn, env, false, NULL) != MG_OK ||
        !kv_get(txn, TABLE_GEN, str_n(key, 4), &value) || value.len == 0)
        return false;
    buf_put_str(text, value);
    return !text->failed;
}

/* Partitions that may have it, the newest last; referenced. */
struct holders { VEC(struct partition *) at; };

static void find_holders(struct store *store, uint32_t generation, struct holders *out)
{
    pthread_mutex_lock(&store->shared.lock);
    for (size_t i = 0; i < store->shared.partitions.n; i++)
        if (store->shared.partitions.at[i]->rules >= generation)
            VEC_PUSH(&out->at, partition_ref(store->shared.partitions.at[i]));
    pthread_mutex_unlock(&store->shared.lock);
}

bool store_rules_get(struct store *store, uint32_t generation, struct buf *text)
{
    struct holders holders = { { 0 } };
    bool is_found = generation && copy_waiting(store, generation, text);

    if (generation && !is_found)
        find_holders(store, generation, &holders);
    while (holders.at.n) {
        struct partition *partition = VEC_POP(&holders.at);
        is_found = is_found || text_in(partition, generation, text);
        partition_unref(&partition);
    }
    VEC_FINI(&holders.at);
    return is_found;
}

/* --- put ------------------------------------------------------------------------------------------------ */

static bool is_newest(struct store *store, struct str text, uint32_t *generation)
{
    struct buf newest;
    bool is_equal;
    uint32_t number;

    pthread_mutex_lock(&store->shared.lock);
    number = MG_MAX(store->shared.rules, store->shared.waiting_rules.generation);
    pthread_mutex_unlock(&store->shared.lock);
    buf_init(&newest, TEXT_MAX);
    is_equal = store_rules_get(store, number, &newest) && str_eq(buf_str(&newest), text);
    buf_fini(&newest);
    if (is_equal)
        *generation = number;
    return is_equal;
}

/* Block thread, or the opener before it, whose rules may wait. */
static enum mg_err put_now(struct store *store, struct str text, uint32_t *generation, struct mg_why *why)
{
    uint32_t number = store->own.next_rules;
    enum mg_err err;

    if (number > NUMBER_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "there are %u generations of sampling rules, and no more numbers", NUMBER_MAX);
    store->own.next_rules++;
    err = store_commit_rules(store, number, text, why);
    if (err != MG_OK && (store->is_started || store_rules_wait(store)))
        return err;
    if (err != MG_OK)
        begin_waiting(store, text, number);
    *generation = number;
    return MG_OK;
}

void store_answer_rules(struct store *store)
{
    struct rules_order *order;

    pthread_mutex_lock(&store->shared.lock);
    order = store->shared.rules_order;
    pthread_mutex_unlock(&store->shared.lock);
    if (!order)
        return;
    order->err = put_now(store, order->text, &order->generation, &order->why);
    pthread_mutex_lock(&store->shared.lock);
    order->is_done = true;
    store->shared.rules_order = NULL;
    pthread_cond_broadcast(&store->shared.committed);
    pthread_mutex_unlock(&store->shared.lock);
}

static enum mg_err order_and_wait(struct store *store, struct str text, uint32_t *generation, struct mg_why *why)
{
    struct rules_order order = { .text = text };

    pthread_mutex_lock(&store->shared.lock);
    store->shared.rules_order = &order;
    pthread_mutex_unlock(&store->shared.lock);
    queue_wake(store->queue);
    pthread_mutex_lock(&store->shared.lock);
    while (!order.is_done)
        pthread_cond_wait(&store->shared.committed, &store->shared.lock);
    pthread_mutex_unlock(&store->shared.lock);
    if (order.err != MG_OK)
        return mg_fail(why, order.err, "%s", order.why.text);
    *generation = order.generation;
    return MG_OK;
}

enum mg_err store_rules_put(struct store *store, struct str text, uint32_t *generation, struct mg_why *why)
{
    if (text.len > TEXT_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "the sampling rules are too long: %zu bytes, at most %zu", text.len, TEXT_MAX);
    if (text.len == 0)
        return mg_fail(why, MG_E_FORMAT, "the text of sampling rules is empty");
    if (is_newest(store, text, generation))
        return MG_OK;
    return store->is_started ? order_and_wait(store, text, generation, why) : put_now(store, text, generation, why);
}
