# find_package(spillway): spillway::spillway (the shared library) and spillway::static. Producers in C and C++ (C++20).
include(${CMAKE_CURRENT_LIST_DIR}/spillway-targets.cmake)
