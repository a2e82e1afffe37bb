// How PostgresBatches spells what names a row. Private to it.
#pragma once

#include <cinttypes>
#include <cstdio>
#include <string>
#include <tuple>

#include "uplink/consumer/inbox/postgres_connection.h"

namespace spillway::consumer {

/// A lane's id as the tables have it.
inline std::string hex_of(std::uint64_t id) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016" PRIx64, id);
  return text;
}

/// $1 to $3: gateway, journal, stream.
template <typename Key>
PgParameters& bind(PgParameters& parameters, const Key& key) {
  return parameters.text(std::get<0>(key)).text(std::get<1>(key)).text(std::get<2>(key));
}

}  // namespace spillway::consumer
