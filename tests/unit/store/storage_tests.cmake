# Partitions, commits, retention, views and tools: what needs LMDB.
add_library(store_test_rig STATIC EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/store_rig.c)
target_link_libraries(store_test_rig PRIVATE mg_flags PUBLIC store_test_rows PkgConfig::CMOCKA)

foreach(name conf catalog partition store recover retain view tools edges sealed handles pins damage strays disk backup week
             start fixture threads)
    mg_unit_test(MODULE store NAME ${name} LIBS store_test_rig)
endforeach()
foreach(name fault commit)
    mg_unit_test(MODULE store NAME ${name} LIBS store_test_rig LABELS fault)
endforeach()
target_compile_definitions(test_store_fixture PRIVATE MGTEST_FIXTURES="${CMAKE_SOURCE_DIR}/tests/fixtures")
foreach(name decisions decisions_merge generations verdicts why tools_decisions)
    mg_unit_test(MODULE store NAME ${name} SOURCES files.c LIBS store_test_rig)
endforeach()
target_compile_definitions(test_store_generations PRIVATE MGTEST_FIXTURES="${CMAKE_SOURCE_DIR}/tests/fixtures")
