// Bytes and times as text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace spillway::cli {

/// At most bytes_max bytes as hex, then "... (N bytes)".
[[nodiscard]] std::string hex_text(std::span<const std::byte> bytes, std::size_t bytes_max);
/// RFC 4648, with padding.
[[nodiscard]] std::string base64_text(std::span<const std::byte> bytes);
/// "2026-01-02T03:04:05.678901Z".
[[nodiscard]] std::string utc_text(std::int64_t utc_ns);
/// "12.3 MiB".
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);

}  // namespace spillway::cli
