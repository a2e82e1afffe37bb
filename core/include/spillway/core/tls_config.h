// What [uplink.tls] and [consumer.tls] say. Apart from the rest of the configuration, so that what
// speaks TLS, and takes minutes to compile, does not hang on every key.
#pragma once

#include <string>

namespace spillway::core {

struct TlsConfig {
  std::string ca;           // PEM file with the authorities that are trusted; empty: the system's
  std::string certificate;  // PEM file with the own chain; empty: none is presented
  std::string key;          // PEM file with its key
};

}  // namespace spillway::core
