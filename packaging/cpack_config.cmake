# Read by cpack before it packs. In a cross build: adds what each package's programs depend on, for dpkg-shlibdeps cannot tell.
if(CPACK_SPILLWAY_CROSS)
  execute_process(
    COMMAND /usr/bin/python3 ${CPACK_SPILLWAY_SOURCE}/packaging/dependencies.py --build ${CPACK_SPILLWAY_BUILD} ${CPACK_COMPONENTS_ALL}
    OUTPUT_VARIABLE found COMMAND_ERROR_IS_FATAL ANY)
  file(WRITE ${CPACK_SPILLWAY_BUILD}/packaging/depends.cmake "${found}")
  include(${CPACK_SPILLWAY_BUILD}/packaging/depends.cmake)
  foreach(component ${CPACK_COMPONENTS_ALL})
    string(TOUPPER ${component} key)
    set(relations ${CPACK_DEBIAN_${key}_PACKAGE_DEPENDS} ${SPILLWAY_LIBRARIES_${key}})
    list(JOIN relations ", " CPACK_DEBIAN_${key}_PACKAGE_DEPENDS)
  endforeach()
endif()
