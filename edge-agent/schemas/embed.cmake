# cmake -DINPUT=x.bfbs -DOUTPUT=x_bfbs.h -DNAME=kXBfbs -P embed.cmake: a file's bytes as a C++ array.
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
# flatc's tables are read in place: aligned as a buffer from malloc would be.
file(WRITE ${OUTPUT} "#pragma once\nnamespace spillway::agent::schemas {\nalignas(16) inline constexpr unsigned char ${NAME}[] = {${bytes}};\n}\n")
