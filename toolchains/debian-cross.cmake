# What the toolchains against a Debian sysroot share. The including file sets SPILLWAY_CROSS_TRIPLET, _ARCHITECTURE and _EMULATOR.
#
# The sysroot's place: -DCMAKE_SYSROOT, else $SPILLWAY_CACHE, else ~/.cache/spillway. Test programs run under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER ${SPILLWAY_CROSS_TRIPLET}-gcc)
set(CMAKE_CXX_COMPILER ${SPILLWAY_CROSS_TRIPLET}-g++)

if(NOT CMAKE_SYSROOT)
  if(DEFINED ENV{SPILLWAY_CACHE})
    set(CMAKE_SYSROOT $ENV{SPILLWAY_CACHE}/sysroot-${SPILLWAY_CROSS_ARCHITECTURE})
  else()
    set(CMAKE_SYSROOT $ENV{HOME}/.cache/spillway/sysroot-${SPILLWAY_CROSS_ARCHITECTURE})
  endif()
endif()
if(NOT EXISTS ${CMAKE_SYSROOT}/usr/include)
  message(FATAL_ERROR "No sysroot in ${CMAKE_SYSROOT}: run toolchains/sysroot.sh ${SPILLWAY_CROSS_ARCHITECTURE}")
endif()

set(CMAKE_CROSSCOMPILING_EMULATOR ${SPILLWAY_CROSS_EMULATOR} -L ${CMAKE_SYSROOT})
# Programs (flatc) are the build machine's; everything else is the sysroot's.
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_LIBRARY_ARCHITECTURE ${SPILLWAY_CROSS_TRIPLET})
# As Debian has it natively, which CMake does not guess for another architecture.
set(CMAKE_INSTALL_LIBDIR lib/${SPILLWAY_CROSS_TRIPLET} CACHE PATH "Libraries, from the prefix")
set(ENV{PKG_CONFIG_LIBDIR} ${CMAKE_SYSROOT}/usr/lib/${SPILLWAY_CROSS_TRIPLET}/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
