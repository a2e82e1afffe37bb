// toml++ with what is not used left out. Private to core/config.
#pragma once

#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>
