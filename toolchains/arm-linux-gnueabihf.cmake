# Builds for 32-bit ARM (hard float, ARMv7) with Debian's cross compiler against the sysroot that toolchains/sysroot.sh
# makes.
set(SPILLWAY_CROSS_TRIPLET arm-linux-gnueabihf)
set(SPILLWAY_CROSS_ARCHITECTURE armhf)
set(SPILLWAY_CROSS_EMULATOR qemu-arm-static)
set(CMAKE_SYSTEM_PROCESSOR arm)
# GCC notes where it passed a type otherwise before version 7; nothing here is linked with code that old.
set(CMAKE_CXX_FLAGS_INIT -Wno-psabi)
include(${CMAKE_CURRENT_LIST_DIR}/debian-cross.cmake)
