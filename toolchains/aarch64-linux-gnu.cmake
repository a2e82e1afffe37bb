# Builds for 64-bit ARM with Debian's cross compiler against the sysroot that toolchains/sysroot.sh makes.
set(SPILLWAY_CROSS_TRIPLET aarch64-linux-gnu)
set(SPILLWAY_CROSS_ARCHITECTURE arm64)
set(SPILLWAY_CROSS_EMULATOR qemu-aarch64-static)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
include(${CMAKE_CURRENT_LIST_DIR}/debian-cross.cmake)
