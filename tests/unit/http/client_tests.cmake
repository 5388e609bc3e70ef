# Tests of the router, the small formats and the client.
mg_unit_test(MODULE http NAME router)
mg_unit_test(MODULE http NAME status)
mg_unit_test(MODULE http NAME grpc)
mg_unit_test(MODULE http NAME query_string)
mg_unit_test(MODULE http NAME etag)
mg_unit_test(MODULE http NAME client SOURCES client_peer.c LIBS PkgConfig::NGHTTP2 Threads::Threads)
mg_unit_test(MODULE http NAME client_server SOURCES scene.c bare.c ../net/slow_resolver.c DEPS codec LIBS PkgConfig::NGHTTP2 Threads::Threads)
mg_unit_test(MODULE http NAME client_tls SOURCES scene.c bare.c ../net/certs.c LIBS OpenSSL::Crypto Threads::Threads)
