# mg_module: one folder = one include prefix = one static library = one row of the layer table.
#
#   mg_module(NAME net RANK 2 SOURCES loop.c HEADERS loop.h DEPS base metric LIBS PkgConfig::UV)
#
# NAME may hold a slash (api/jaeger): the target is then mg_api_jaeger with alias mg::api_jaeger.
# DEPS are modules of lower rank; they are linked PUBLIC. LIBS are third-party and PRIVATE.
# Every call appends `name|folder|rank|deps` to layers.txt in the build tree, which lint.layers reads.

add_library(mg_flags INTERFACE)
target_compile_options(mg_flags INTERFACE -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes
    -Wmissing-prototypes -Wundef -Wimplicit-fallthrough -fno-strict-aliasing)
if(MG_WERROR)
    target_compile_options(mg_flags INTERFACE -Werror)
endif()
if(MG_SANITIZE)
    target_compile_options(mg_flags INTERFACE -fsanitize=${MG_SANITIZE} -fno-omit-frame-pointer
        -fno-sanitize-recover=all)
    target_link_options(mg_flags INTERFACE -fsanitize=${MG_SANITIZE})
endif()
if(MG_HARDEN)
    target_compile_options(mg_flags INTERFACE -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
        -fstack-clash-protection -fcf-protection)
    target_link_options(mg_flags INTERFACE -pie -Wl,-z,relro,-z,now,-z,noexecstack)
endif()

set(MG_LAYERS_FILE ${CMAKE_BINARY_DIR}/layers.txt)
file(WRITE ${MG_LAYERS_FILE} "")

function(mg_target_name out name)
    string(REPLACE "/" "_" flat "${name}")
    set(${out} "mg_${flat}" PARENT_SCOPE)
endfunction()

function(mg_module)
    cmake_parse_arguments(M "" "NAME;RANK" "SOURCES;HEADERS;DEPS;LIBS" ${ARGN})
    mg_target_name(target ${M_NAME})
    string(REPLACE "/" "_" flat "${M_NAME}")
    # The include root is the folder above the module's prefix.
    string(REGEX REPLACE "/?${M_NAME}$" "" root "${CMAKE_CURRENT_SOURCE_DIR}")
    add_library(${target} STATIC ${M_SOURCES})
    add_library(mg::${flat} ALIAS ${target})
    target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS ${root} FILES ${M_HEADERS})
    target_include_directories(${target} PUBLIC ${root})
    set_target_properties(${target} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
    target_link_libraries(${target} PRIVATE mg_flags ${M_LIBS})
    foreach(dep ${M_DEPS})
        mg_target_name(dep_target ${dep})
        target_link_libraries(${target} PUBLIC ${dep_target})
    endforeach()
    string(REPLACE ";" "," deps "${M_DEPS}")
    file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
    file(APPEND ${MG_LAYERS_FILE} "${M_NAME}|${folder}|${M_RANK}|${deps}\n")
endfunction()

# One cmocka program: tests/unit/<module>/<name>_test.c. LABELS default to "unit".
function(mg_unit_test)
    cmake_parse_arguments(T "" "MODULE;NAME" "SOURCES;DEPS;LIBS;LABELS" ${ARGN})
    string(REPLACE "/" "_" flat "${T_MODULE}")
    set(target test_${flat}_${T_NAME})
    add_executable(${target} EXCLUDE_FROM_ALL ${T_NAME}_test.c ${T_SOURCES})
    target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
    target_link_libraries(${target} PRIVATE mg_flags ${T_LIBS} PkgConfig::CMOCKA)
    foreach(dep ${T_MODULE} ${T_DEPS})
        mg_target_name(dep_target ${dep})
        target_link_libraries(${target} PRIVATE ${dep_target})
    endforeach()
    add_test(NAME unit.${T_MODULE}.${T_NAME} COMMAND ${target})
    if(NOT T_LABELS)
        set(T_LABELS unit)
    endif()
    set_tests_properties(unit.${T_MODULE}.${T_NAME} PROPERTIES LABELS "${T_LABELS}" TIMEOUT 900)
    add_dependencies(mg_unit_tests ${target})
endfunction()

# One fuzz target: tests/fuzz/<name>_fuzz.c with its corpus in tests/fuzz/corpus/<name>/ and an
# optional dictionary tests/fuzz/<name>.dict. With clang's libFuzzer (preset fuzz) it explores; in
# every other build a plain main replays the corpus.
function(mg_fuzz_target)
    cmake_parse_arguments(F "" "NAME" "DEPS;LIBS" ${ARGN})
    set(target fuzz_${F_NAME})
    if(MG_LIBFUZZER)
        add_executable(${target} EXCLUDE_FROM_ALL ${F_NAME}_fuzz.c)
        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    else()
        add_executable(${target} EXCLUDE_FROM_ALL ${F_NAME}_fuzz.c replay_main.c)
    endif()
    target_link_libraries(${target} PRIVATE mg_flags ${F_LIBS})
    foreach(dep ${F_DEPS})
        mg_target_name(dep_target ${dep})
        target_link_libraries(${target} PRIVATE ${dep_target})
    endforeach()
    add_test(NAME fuzz.${F_NAME} COMMAND ${target} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${F_NAME})
    set_tests_properties(fuzz.${F_NAME} PROPERTIES LABELS fuzz TIMEOUT 120)
    add_dependencies(mg_fuzz_targets ${target})
endfunction()
