# Tests of the router, the small formats and the client.
mg_unit_test(MODULE http NAME router)
mg_unit_test(MODULE http NAME status)
mg_unit_test(MODULE http NAME grpc)
mg_unit_test(MODULE http NAME query_string)
mg_unit_test(MODULE http NAME client SOURCES client_peer.c LIBS PkgConfig::NGHTTP2 Threads::Threads)
mg_unit_test(MODULE http NAME client_server DEPS codec LIBS PkgConfig::NGHTTP2 Threads::Threads)
