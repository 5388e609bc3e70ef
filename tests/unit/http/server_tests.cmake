# Tests of the server.
foreach(name conn gather h1 request server metrics)
    mg_unit_test(MODULE http NAME ${name} SOURCES wire.c)
endforeach()
mg_unit_test(MODULE http NAME h2 SOURCES wire.c LIBS PkgConfig::NGHTTP2)
mg_unit_test(MODULE http NAME pipe SOURCES wire.c LIBS Threads::Threads)
mg_unit_test(MODULE http NAME pool)
mg_unit_test(MODULE http NAME out)
mg_unit_test(MODULE http NAME conf)
