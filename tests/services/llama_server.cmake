# Read by llama.cpp's own CMakeLists.txt (CMAKE_PROJECT_INCLUDE), so that its server is built sooner:
# what does no arithmetic is not optimised, and the readers of pictures, which are linked but never used here,
# are compiled in few units.
function(casewire_compile_quickly)
  foreach(target llama-common mtmd server-context llama-server-impl llama-server cpp-httplib)
    if(TARGET ${target})
      target_compile_options(${target} PRIVATE -O0)
    endif()
  endforeach()
  get_target_property(sources mtmd SOURCES)
  list(FILTER sources EXCLUDE REGEX "^models/")
  get_target_property(folder mtmd SOURCE_DIR)
  list(TRANSFORM sources PREPEND "${folder}/")
  set_source_files_properties(${sources} TARGET_DIRECTORY mtmd PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  set_target_properties(mtmd PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 16)
endfunction()

if(PROJECT_NAME STREQUAL "llama.cpp")
  cmake_language(DEFER DIRECTORY ${CMAKE_SOURCE_DIR} CALL casewire_compile_quickly)
endif()
