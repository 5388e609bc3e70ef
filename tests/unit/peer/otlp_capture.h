/* otlp_capture.h - a batch as a foreign client sends it: POST /v1/traces of opentelemetry-exporter-otlp-proto-http 1.45.2
 * (Python), uncompressed. Service "Portal" on host "h1", scope lib 1.2, two spans of trace 5982fe77008310cc80f1da5e10147517:
 *   0102030405060702  "db", client, child of …01, 2018-01-25T08:16:15.726Z, 1.5 ms, peer.service=Backend
 *   0102030405060701  "GET /m/n", server, 2018-01-24T08:16:15.726Z, 26 ms, failed, one event
 * The SDK counts the second first because it ended first. */
#pragma once
#include "unit/peer/rig.h"
#define OTLP_CAPTURE_SPANS 2
static const char otlp_capture_hex[] =
    "0ad3020a2d0a180a0c736572766963652e6e616d6512080a06506f7274616c0a110a09686f73742e6e616d6512040a02"
    "683112a1020a0a0a036c69621203312e3212610a105982fe77008310cc80f1da5e101475171208010203040506070222"
    "0801020304050607012a02646230033980373eb191ff0c1541e01a55b191ff0c154a190a0c706565722e736572766963"
    "6512090a074261636b656e647a0085010001000012af010a105982fe77008310cc80f1da5e1014751712080102030405"
    "0607012a08474554202f6d2f6e3002398037ef1ffdb00c154100f27b21fdb00c154a1c0a13687474702e726571756573"
    "742e6d6574686f6412050a034745544a200a19687474702e726573706f6e73652e7374617475735f636f6465120318f4"
    "034a080a026f6b120210015a170980402c20fdb00c15120277721a080a016b12030a01767a0a120662726f6b656e1802"
    "850100010000";

static inline struct str otlp_capture(void)
{
    static uint8_t bytes[sizeof otlp_capture_hex / 2];
    assert_true(hex_decode(str_of(otlp_capture_hex), bytes, sizeof bytes));
    return str_n(bytes, sizeof bytes);
}
