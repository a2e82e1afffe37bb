# Builds the producer library for 64-bit ARM against musl, for static programs that run on any Linux: with SPILLWAY_PRODUCER_ONLY.
#
# Debian has musl itself for arm64 (toolchains/sysroot.sh musl), and no compiler made for it: GCC's C++ headers are tied to glibc,
# so this is clang with libc++'s headers, which know musl. The producer uses no more of a C++ library than headers.
set(SPILLWAY_CROSS_TRIPLET aarch64-linux-gnu)
set(SPILLWAY_CROSS_ARCHITECTURE musl)
set(SPILLWAY_CROSS_EMULATOR qemu-aarch64-static)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
include(${CMAKE_CURRENT_LIST_DIR}/debian-cross.cmake)
set(CMAKE_C_COMPILER clang-14)
set(CMAKE_CXX_COMPILER clang++-14)
set(CMAKE_C_COMPILER_TARGET aarch64-linux-musl)
set(CMAKE_CXX_COMPILER_TARGET aarch64-linux-musl)
set(CMAKE_AR ${SPILLWAY_CROSS_TRIPLET}-ar)
set(CMAKE_RANLIB ${SPILLWAY_CROSS_TRIPLET}-ranlib)

execute_process(COMMAND clang-14 -print-resource-dir OUTPUT_VARIABLE clang OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND ${SPILLWAY_CROSS_TRIPLET}-gcc -print-libgcc-file-name
  OUTPUT_VARIABLE libgcc OUTPUT_STRIP_TRAILING_WHITESPACE)
set(include ${CMAKE_SYSROOT}/usr/include)
set(musl ${CMAKE_SYSROOT}/usr/lib/aarch64-linux-musl)
string(JOIN " " headers -isystem ${clang}/include -isystem ${include}/aarch64-linux-musl
  -idirafter ${include} -idirafter ${include}/aarch64-linux-gnu)
# libgcc's own atomics ask glibc what the processor can do.
set(CMAKE_C_FLAGS_INIT "-nostdinc -mno-outline-atomics ${headers}")
set(CMAKE_CXX_FLAGS_INIT
  "-nostdinc -mno-outline-atomics -D_LIBCPP_HAS_MUSL_LIBC -isystem /usr/lib/llvm-14/include/c++/v1 ${headers}")
set(CMAKE_EXE_LINKER_FLAGS_INIT
  "-static -nostdlib --ld-path=/usr/bin/${SPILLWAY_CROSS_TRIPLET}-ld ${musl}/crt1.o ${musl}/crti.o")
set(CMAKE_C_STANDARD_LIBRARIES "${musl}/libc.a ${libgcc} ${musl}/libc.a ${musl}/crtn.o")
set(CMAKE_CXX_STANDARD_LIBRARIES "${CMAKE_C_STANDARD_LIBRARIES}")
