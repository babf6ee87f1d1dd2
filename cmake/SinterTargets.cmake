# One way to declare each kind of target.

# A library without MLIR: C++17 (include/sinter, lib/Support) or C++20 (runtime).
function(sinter_add_library name)
  cmake_parse_arguments(ARG "" "STANDARD" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}
                             ${PROJECT_BINARY_DIR}/include)
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
  if(ARG_STANDARD)
    target_compile_features(${name} PUBLIC cxx_std_${ARG_STANDARD})
  endif()
endfunction()

# A library that links MLIR; exceptions off, as MLIR itself is built.
function(sinter_add_mlir_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}
                             ${PROJECT_BINARY_DIR}/include)
  target_compile_options(${name} PRIVATE -fno-exceptions)
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
  mlir_target_link_libraries(${name} PUBLIC MLIR)
  target_link_libraries(${name} PUBLIC LLVM)
  add_dependencies(${name} SinterDialectIncGen ${ARG_DEPENDS})
endfunction()

# A GoogleTest executable registered with ctest.
function(sinter_add_test name)
  cmake_parse_arguments(ARG "" "STANDARD" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE SINTER_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                             SINTER_BINARY_DIR="${PROJECT_BINARY_DIR}")
  if(ARG_STANDARD)
    target_compile_features(${name} PRIVATE cxx_std_${ARG_STANDARD})
  endif()
  add_test(NAME ${name} COMMAND ${name})
  if(SINTER_SANITIZE MATCHES address)
    # LLVM's allocators, instrumented in our objects, poison arenas that libMLIR.so fills without.
    set_tests_properties(${name} PROPERTIES ENVIRONMENT ASAN_OPTIONS=allow_user_poisoning=0)
  endif()
endfunction()
