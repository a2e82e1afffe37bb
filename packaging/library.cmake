# What of libspillway is installed: for whoever writes a producer. Read by packaging/CMakeLists.txt.

# The public headers, and those of core's and shm's that they include: a test compiles each from where it is installed.
set(public_headers fence.h flatbuffers.h producer.h record_template.h spillway.h status.h ticks.h)
list(TRANSFORM public_headers PREPEND ${PROJECT_SOURCE_DIR}/shm/include/spillway/)
install(FILES ${public_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/spillway COMPONENT libspillway-dev)
install(FILES ${PROJECT_SOURCE_DIR}/shm/include/spillway/shm/ring_writer.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/spillway/shm COMPONENT libspillway-dev)
set(core_headers atomic.h frame.h prefetch.h step.h)
list(TRANSFORM core_headers PREPEND ${PROJECT_SOURCE_DIR}/core/include/spillway/core/)
install(FILES ${core_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/spillway/core COMPONENT libspillway-dev)

set_target_properties(spillway_producer_shared PROPERTIES EXPORT_NAME spillway)
set_target_properties(spillway_producer PROPERTIES EXPORT_NAME static)
install(TARGETS spillway_producer_shared EXPORT spillway
        LIBRARY COMPONENT libspillway0 NAMELINK_COMPONENT libspillway-dev)
install(TARGETS spillway_producer EXPORT spillway ARCHIVE COMPONENT libspillway-dev)

set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/spillway)
install(EXPORT spillway NAMESPACE spillway:: FILE spillway-targets.cmake DESTINATION ${config_dir} COMPONENT libspillway-dev)
include(CMakePackageConfigHelpers)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/spillway-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES cmake/spillway-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/spillway-config-version.cmake
        DESTINATION ${config_dir} COMPONENT libspillway-dev)
configure_file(cmake/spillway.pc.in spillway.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/spillway.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT libspillway-dev)
