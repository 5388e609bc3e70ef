#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "base/map.h"
#include "base/random.h"

static void an_empty_map_has_nothing(void **state)
{
    struct map map = { 0 };
    size_t at = 0;
    void *value;
    (void)state;
    assert_null(map_find(&map, STR("a")));
    assert_false(map_remove(&map, STR("a"), &value));
    assert_false(map_next(&map, &at, NULL, NULL));
    map_fini(&map);
    map_init(&map);
    map_fini(&map);
}

static void put_finds_or_adds(void **state)
{
    struct map map = { 0 };
    char key[] = "key";
    int a, b;
    bool is_new;
    (void)state;
    void **place = map_put(&map, str_of(key), &is_new);
    assert_true(is_new);
    assert_null(*place);
    *place = &a;
    key[0] = 'x'; /* the map has its own copy */
    assert_ptr_equal(*map_find(&map, STR("key")), &a);
    assert_null(map_find(&map, str_of(key)));
    place = map_put(&map, STR("key"), &is_new);
    assert_false(is_new);
    *place = &b;
    assert_ptr_equal(*map_find(&map, STR("key")), &b);
    *map_put(&map, (struct str){ 0 }, NULL) = &a; /* the empty key is a key */
    assert_ptr_equal(*map_find(&map, STR("")), &a);
    assert_null(map_find(&map, STR("\0")));
    assert_int_equal(map.n, 2);
    map_fini(&map);
    assert_int_equal(map.n, 0);
}

static void remove_gives_the_value(void **state)
{
    struct map map = { 0 };
    int a;
    void *value = NULL;
    (void)state;
    *map_put(&map, STR("k"), NULL) = &a;
    assert_false(map_remove(&map, STR("other"), &value));
    assert_null(value);
    assert_true(map_remove(&map, STR("k"), &value));
    assert_ptr_equal(value, &a);
    assert_false(map_remove(&map, STR("k"), NULL));
    assert_int_equal(map.n, 0);
    map_fini(&map);
}

/* Random puts and removes against a plain array: this finds a broken run after a removal. */
static void agrees_with_an_array(void **state)
{
    enum { KEYS = 400, STEPS = 40000 };
    struct map map = { 0 };
    struct random random;
    uintptr_t model[KEYS] = { 0 };
    size_t n = 0;
    (void)state;
    random_init(&random, 1);
    for (uintptr_t step = 1; step <= STEPS; step++) {
        char text[16];
        size_t i = random_below(&random, KEYS);
        struct str key = str_n(text, (size_t)snprintf(text, sizeof text, "key %zu", i));
        void *value = NULL, **found = map_find(&map, key);
        bool is_new;

        assert_int_equal(found != NULL, model[i] != 0);
        if (found)
            assert_int_equal((uintptr_t)*found, model[i]);
        if (random_below(&random, 2)) {
            *map_put(&map, key, &is_new) = (void *)step;
            assert_int_equal(is_new, model[i] == 0);
            n += is_new;
            model[i] = step;
        } else {
            assert_int_equal(map_remove(&map, key, &value), model[i] != 0);
            assert_int_equal((uintptr_t)value, model[i]);
            n -= model[i] != 0;
            model[i] = 0;
        }
        assert_int_equal(map.n, n);
    }
    size_t seen = 0;
    struct str key;
    void *value;
    for (size_t at = 0; map_next(&map, &at, &key, &value); seen++) {
        uint64_t i = 0;
        assert_int_equal(str_u64(str_n(key.ptr + 4, key.len - 4), &i), MG_OK);
        assert_int_equal((uintptr_t)value, model[i]);
    }
    assert_int_equal(seen, n);
    map_fini(&map);
}

static void hashes_depend_on_everything(void **state)
{
    static const char zeros[64];
    uint8_t bytes[48] = { 0 };
    (void)state;
    assert_int_equal(hash_bytes("abc", 3, 1), hash_bytes("abc", 3, 1));
    assert_true(hash_bytes("abc", 3, 1) != hash_bytes("abc", 3, 2));
    assert_true(hash_bytes(NULL, 0, 1) != hash_bytes(NULL, 0, 2));
    for (size_t len = 0; len < 64; len++) /* lengths of equal bytes differ */
        assert_true(hash_bytes(zeros, len, 1) != hash_bytes(zeros, len + 1, 1));
    assert_int_equal(hash_seed(), hash_seed());
    for (size_t len = 1; len <= sizeof bytes; len++) { /* no byte is overlooked */
        for (size_t i = 0; i < len; i++) {
            uint64_t before = hash_bytes(bytes, len, 1);
            bytes[i] ^= 0x80;
            assert_true(hash_bytes(bytes, len, 1) != before);
            bytes[i] ^= 0x80;
        }
    }
}

/* Each input bit must change each output bit in about half of the cases. */
static void hashes_avalanche(void **state)
{
    enum { ROUNDS = 400 };
    static const size_t lens[] = { 1, 3, 4, 8, 16, 17, 33 };
    struct random random;
    (void)state;
    random_init(&random, 7);
    for (size_t l = 0; l < MG_COUNT(lens); l++) {
        for (size_t bit = 0; bit < lens[l] * 8; bit += 5) {
            unsigned flips[64] = { 0 };
            for (int round = 0; round < ROUNDS; round++) {
                uint8_t bytes[40];
                for (size_t i = 0; i < sizeof bytes; i++)
                    bytes[i] = (uint8_t)random_u64(&random);
                uint64_t change = hash_bytes(bytes, lens[l], 3);
                bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
                change ^= hash_bytes(bytes, lens[l], 3);
                for (int out = 0; out < 64; out++)
                    flips[out] += change >> out & 1;
            }
            for (int out = 0; out < 64; out++) /* half of 400, give or take six deviations */
                assert_in_range(flips[out], 140, 260);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_has_nothing),
        cmocka_unit_test(put_finds_or_adds),
        cmocka_unit_test(remove_gives_the_value),
        cmocka_unit_test(agrees_with_an_array),
        cmocka_unit_test(hashes_depend_on_everything),
        cmocka_unit_test(hashes_avalanche),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
