/* block_format.h - the numbers of FORMAT.md 3 and 4, private to the block codec. */
#pragma once
#include <stdint.h>

#define BLOCK_MAGIC "MGBLK"      /* with its NUL: 6 bytes */
#define BLOCK_VERSION 1
#define BLOCK_HEADER_BYTES 32
#define BLOCK_ENTRY_BYTES 32
#define BLOCK_SEED_HEAD 1
#define BLOCK_SEED_SEGMENT 2
#define BLOCK_SEED_TRACE 3
#define BLOCK_SEED_KEY 6         /* 4 and 5 are a sealed partition's, 7 is that of decisions */
#define BLOCK_COLUMNS_MAX 2048   /* attribute columns; what does not fit goes to the wire column */
#define BLOCK_SEGMENTS_MAX (BLOCK_COLUMNS_MAX + 64)
#define BLOCK_FRAGMENT_ROWS_MAX 65000
#define BLOCK_FRAGMENT_VALUES_MAX ((uint32_t)1 << 22) /* unless one row has more */
#define BLOCK_VALUES_MAX ((uint32_t)1 << 28)          /* of one attribute column */
#define BLOCK_ROW_VALUES_MAX ((uint32_t)1 << 24)
#define BLOCK_PARENT_EXTERNAL 65535
#define BLOCK_OUTCOME_PLANES 8

enum segment_kind {
    SEG_STRINGS = 1, SEG_BLOBS = 2, SEG_SHAPES = 3,
    SEG_TRACE_IDS = 10, SEG_FRAGMENT_ROWS = 11, SEG_FRAGMENT_START = 12, SEG_FRAGMENT_POSITION = 13,
    SEG_OUTCOMES = 14, SEG_VOTES = 15,
    SEG_SPAN_IDS = 20, SEG_PARENTS = 21, SEG_EXTERNAL = 22, SEG_STARTS = 23, SEG_DURATIONS = 24,
    SEG_NAMES = 25, SEG_RESOURCES = 26, SEG_SCOPES = 27, SEG_KINDS = 28, SEG_WIDE = 29,
    SEG_FLAGS = 30, SEG_ROW_SHAPES = 31, SEG_HAS = 32,
    SEG_HAS_FIRST = 33, /* + number of the has bit: these eight */
    SEG_TRACE_STATES = 33, SEG_MESSAGES = 34, SEG_DROPPED_ATTRS = 35, SEG_DROPPED_EVENTS = 36,
    SEG_DROPPED_LINKS = 37, SEG_EVENTS = 38, SEG_LINKS = 39, SEG_UNKNOWN = 40,
    SEG_NESTED_KEYS = 41,
    SEG_FIXED_END = 42,
    SEG_ATTRIBUTE = 50
};
enum segment_codec { CODEC_RAW = 0, CODEC_ZSTD = 1 };
/* Forms of a text column: the entry's width. */
enum text_form { FORM_DICTIONARY = 1, FORM_STRINGS = 2, FORM_UUID = 3, FORM_HEX = 4 };

/* A type beside enum value_type: all attributes of the row as KeyValue fields 9. */
#define COLUMN_WIRE 9
#define KIND_WIDE 15

enum summary_tag {
    SUMMARY_ROWS = 1, SUMMARY_FRAGMENTS, SUMMARY_START_MIN, SUMMARY_START_MAX, SUMMARY_DURATION_MIN,
    SUMMARY_DURATION_MAX, SUMMARY_FLAGS, SUMMARY_BLOCK_BYTES, SUMMARY_WALL, SUMMARY_CATALOGUE,
    SUMMARY_OPERATIONS_CUT, SUMMARY_ATTRIBUTES
};
#define SUMMARY_OPERATIONS_MAX 4096
