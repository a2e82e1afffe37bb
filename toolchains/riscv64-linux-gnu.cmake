# Builds for 64-bit RISC-V (rv64gc) with Debian's cross compiler against the sysroot that toolchains/sysroot.sh makes: core, shm and
# the producer library. The sysroot's C library is Debian 13's, as Debian 12 has none for it, so programs that are linked
# dynamically want that release or a later one.
set(SPILLWAY_CROSS_TRIPLET riscv64-linux-gnu)
set(SPILLWAY_CROSS_ARCHITECTURE riscv64)
set(SPILLWAY_CROSS_EMULATOR qemu-riscv64-static)
set(CMAKE_SYSTEM_PROCESSOR riscv64)
include(${CMAKE_CURRENT_LIST_DIR}/debian-cross.cmake)
