# Builds for 32-bit ARM (hard float, ARMv7 with NEON) with Debian's cross compiler against the sysroot that toolchains/sysroot.sh
# makes.
#
# A board without NEON (Tegra 2, some Marvell Armada): -DCMAKE_C_FLAGS=-mfpu=vfpv3-d16 -DCMAKE_CXX_FLAGS='-mfpu=vfpv3-d16 -Wno-psabi'.
#
# ARMv6 (Raspberry Pi 1 and Zero): not with Debian's armhf, whose C library alone is ARMv7 code. Take Raspberry Pi OS's files as the
# sysroot (-DCMAKE_SYSROOT=DIR), a compiler made for it, and -march=armv6kz+fp -marm. The sources need no change: that processor
# has the 64-bit exclusive loads and stores which the lanes' words need, and core/atomic.h refuses one that has not, as plain
# ARMv6 and everything before it.
set(SPILLWAY_CROSS_TRIPLET arm-linux-gnueabihf)
set(SPILLWAY_CROSS_ARCHITECTURE armhf)
set(SPILLWAY_CROSS_EMULATOR qemu-arm-static)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_C_FLAGS_INIT -mfpu=neon)
# GCC notes where it passed a type otherwise before version 7; nothing here is linked with code that old.
set(CMAKE_CXX_FLAGS_INIT "-mfpu=neon -Wno-psabi")
include(${CMAKE_CURRENT_LIST_DIR}/debian-cross.cmake)
