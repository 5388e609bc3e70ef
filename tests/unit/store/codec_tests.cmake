# The block codec, the filter and the lists: what needs no LMDB.
add_library(store_test_rows STATIC EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/rows.c)
target_include_directories(store_test_rows PUBLIC ${CMAKE_SOURCE_DIR}/tests)
target_link_libraries(store_test_rows PRIVATE mg_flags PUBLIC mg_store)
target_compile_definitions(store_test_rows PRIVATE
    MGTEST_CORPORA="${CMAKE_SOURCE_DIR}/../shared/corpora")

foreach(name block block_tags filter summary summary_tags tagged column)
    mg_unit_test(MODULE store NAME ${name} LIBS store_test_rows)
endforeach()
