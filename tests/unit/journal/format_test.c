/* Headers, both directions; every single flipped bit must be noticed. */
#include "harness.h"
#include "base/bytes.h"

static const struct segment_head segment = {7, 0xabcdef, 100, 5000, 6000, 6, 8192, 99};
static const struct group_head group = {3, 64 + 3 * 64, 100, 5000, 7, 0xabcdef};

static void a_segment_header_reads_back(void **state)
{
    (void)state;
    uint8_t bytes[FORMAT_SEGMENT_HEAD];
    struct segment_head back;
    segment_head_write(bytes, &segment);
    assert_int_equal(segment_head_read(bytes, 7, &back), SEGMENT_BEGUN);
    assert_memory_equal(&back, &segment, sizeof back);
    assert_int_equal(segment_head_read(bytes, 8, &back), SEGMENT_UNUSED);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(segment_head_read(bytes, 7, &back), SEGMENT_DAMAGED);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(segment_head_read(bytes, 7, &back), SEGMENT_BLANK);
}

static void a_later_version_is_told_from_damage(void **state)
{
    (void)state;
    uint8_t bytes[FORMAT_SEGMENT_HEAD];
    struct segment_head back;
    segment_head_write(bytes, &segment);
    put_le32(bytes + 8, 2);
    assert_int_equal(segment_head_read(bytes, 7, &back), SEGMENT_DAMAGED);
    put_le64(bytes + 120, hash64(bytes, 120, 7));
    assert_int_equal(segment_head_read(bytes, 7, &back), SEGMENT_FOREIGN);
}

static void segment_numbers_have_a_limit(void **state)
{
    (void)state;
    static const struct {
        uint64_t first, log, prev_next;
        enum segment_state want;
    } cases[] = {
        {FORMAT_NUMBER_MAX, FORMAT_NUMBER_MAX, FORMAT_NUMBER_MAX, SEGMENT_BEGUN},
        {FORMAT_NUMBER_MAX + 1, 0, 0, SEGMENT_DAMAGED},
        {0, FORMAT_NUMBER_MAX + 1, 0, SEGMENT_DAMAGED},
        {0, 0, FORMAT_NUMBER_MAX + 1, SEGMENT_DAMAGED},
        {UINT64_MAX, 0, 0, SEGMENT_DAMAGED},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint8_t bytes[FORMAT_SEGMENT_HEAD];
        struct segment_head head = segment, back;
        head.first_position = cases[i].first;
        head.log_ns = cases[i].log;
        head.prev_next_position = cases[i].prev_next;
        segment_head_write(bytes, &head);
        assert_int_equal(segment_head_read(bytes, 7, &back), cases[i].want);
    }
}

static void a_group_header_reads_back(void **state)
{
    (void)state;
    uint8_t bytes[FORMAT_GROUP_HEAD];
    struct group_head back;
    group_head_write(bytes, &group);
    assert_true(group_head_read(bytes, 7, &back));
    assert_int_equal(back.count, group.count);
    assert_int_equal(back.bytes, group.bytes);
    assert_int_equal(back.first_position, group.first_position);
    assert_int_equal(back.log_ns, group.log_ns);
    assert_int_equal(back.nonce, group.nonce);
    assert_false(group_head_read(bytes, 8, &back));
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(group_head_read(bytes, 7, &back));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void group_headers_are_consistent(void **state)
{
    (void)state;
    static const struct {
        uint32_t count;
        uint64_t bytes, first;
        bool want;
    } cases[] = {
        {1, 128, 1, true},
        {1, 64, 1, false},
        {0, 128, 1, false},
        {2, 128, 1, false},
        {2, 192, 1, true},
        {1, 129, 1, false},
        {1, 0, 1, false},
        {UINT32_MAX, 128, 1, false},
        {1, 128, 0, false},
        {1, 128, FORMAT_NUMBER_MAX, true},
        {1, 128, FORMAT_NUMBER_MAX + 1, false},
        {1, FORMAT_NUMBER_MAX, 1, true},
        {1, FORMAT_NUMBER_MAX + 64, 1, false},
        {1, UINT64_MAX & ~(uint64_t)63, 1, false},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint8_t bytes[FORMAT_GROUP_HEAD];
        struct group_head head = {cases[i].count, cases[i].bytes, cases[i].first, 1, 7, 2}, back;
        group_head_write(bytes, &head);
        assert_int_equal(group_head_read(bytes, 7, &back), cases[i].want);
    }
}

static void a_record_reads_back(void **state)
{
    (void)state;
    struct hash64_stream *hash = hash64_new();
    uint8_t bytes[FORMAT_RECORD_HEAD];
    struct journal_record record = {.kind = JOURNAL_SERIES,
                                    .encoding = 2,
                                    .protocol = 9,
                                    .wall_ns = 77,
                                    .head = STR("head"),
                                    .body = STR("the body"),
                                    .position = 12,
                                    .log_ns = 34},
                          back;
    record_head_write(bytes, &record, 7, hash);
    assert_true(record_head_read(bytes, 7, &back));
    assert_int_equal(back.kind, JOURNAL_SERIES);
    assert_int_equal(back.encoding, 2);
    assert_int_equal(back.protocol, 9);
    assert_int_equal(back.wall_ns, 77);
    assert_int_equal(back.position, 12);
    assert_int_equal(back.log_ns, 34);
    assert_int_equal(back.head.len, 4);
    assert_int_equal(back.body.len, 8);
    assert_int_equal(record_bytes(&back), 128);
    back.head = record.head;
    back.body = record.body;
    assert_true(record_is_whole(bytes, &back, 7, hash));
    assert_false(record_is_whole(bytes, &back, 8, hash));
    assert_false(record_head_read(bytes, 8, &back));
    back.body = STR("the Body");
    assert_false(record_is_whole(bytes, &back, 7, hash));
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        bool is_read = record_head_read(bytes, 7, &back);
        back.head = record.head;
        back.body = record.body;
        assert_false(is_read && record_is_whole(bytes, &back, 7, hash));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    hash64_free(&hash);
}

static void record_lengths_have_a_limit(void **state)
{
    (void)state;
    static const struct {
        uint32_t head;
        uint64_t body;
        bool want;
    } cases[] = {
        {0, 0, true},
        {0, FORMAT_PAYLOAD_MAX - 1, true},
        {0, FORMAT_PAYLOAD_MAX, true},
        {1, FORMAT_PAYLOAD_MAX - 1, true},
        {1, FORMAT_PAYLOAD_MAX, false},
        {0, FORMAT_PAYLOAD_MAX + 1, false},
        {UINT32_MAX, 0, false},
        {0, UINT64_MAX, false},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint8_t bytes[FORMAT_RECORD_HEAD] = {0};
        struct journal_record back;
        put_le32(bytes, cases[i].head);
        put_le64(bytes + 8, cases[i].body);
        put_le64(bytes + 48, hash64(bytes, 48, 7));
        assert_int_equal(record_head_read(bytes, 7, &back), cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_header_reads_back),
        cmocka_unit_test(a_later_version_is_told_from_damage),
        cmocka_unit_test(segment_numbers_have_a_limit),
        cmocka_unit_test(a_group_header_reads_back),
        cmocka_unit_test(group_headers_are_consistent),
        cmocka_unit_test(a_record_reads_back),
        cmocka_unit_test(record_lengths_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
