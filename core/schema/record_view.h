// RecordView: reads a FlatBuffer whose bytes nobody has checked: every read says whether it was
// inside. Private to core/schema; one thread.
//
// Positions are 64 bits wide, so that no sum of two of the buffer's numbers wraps, on 32-bit
// machines too.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace spillway::core {

/// A table whose own bytes and whose field index lie whole in the buffer.
struct TableView {
  std::uint64_t at = 0;
  std::uint64_t size = 0;
  std::uint64_t index_at = 0;
  std::uint64_t index_size = 0;
};

struct VectorView {
  std::uint64_t at = 0;  // of the first element
  std::uint64_t count = 0;
};

class RecordView {
 public:
  explicit RecordView(std::span<const std::byte> bytes) : bytes_(bytes) {}

  [[nodiscard]] bool holds(std::uint64_t at, std::uint64_t size) const {
    return at <= bytes_.size() && size <= bytes_.size() - at;
  }

  template <typename T>
  [[nodiscard]] std::optional<T> read(std::uint64_t at) const {
    if (!holds(at, sizeof(T))) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data() + at, sizeof(T));
    return value;
  }

  /// Where the offset that stands at `at` points.
  [[nodiscard]] std::optional<std::uint64_t> follow(std::uint64_t at) const {
    const auto offset = read<std::uint32_t>(at);
    if (!offset || *offset == 0) return std::nullopt;
    return at + *offset;
  }

  [[nodiscard]] std::optional<TableView> table(std::uint64_t at) const {
    const auto back = read<std::int32_t>(at);
    if (!back) return std::nullopt;
    const std::int64_t index_at = static_cast<std::int64_t>(at) - *back;
    if (index_at < 0) return std::nullopt;
    TableView view{at, 0, static_cast<std::uint64_t>(index_at), 0};
    const auto index_size = read<std::uint16_t>(view.index_at);
    const auto size = read<std::uint16_t>(view.index_at + sizeof(std::uint16_t));
    if (!index_size || !size || *index_size < 2 * sizeof(std::uint16_t)) return std::nullopt;
    view.index_size = *index_size;
    view.size = *size;
    if (!holds(view.index_at, view.index_size) || !holds(at, view.size)) return std::nullopt;
    return view;
  }

  /// Where a field stands; 0: it is not there.
  [[nodiscard]] std::uint64_t field(const TableView& table, std::uint16_t index) const {
    if (index + sizeof(std::uint16_t) > table.index_size) return 0;
    const std::uint16_t offset = read<std::uint16_t>(table.index_at + index).value_or(0);
    return offset == 0 ? 0 : table.at + offset;
  }

  [[nodiscard]] std::optional<VectorView> vector(std::uint64_t at, std::uint64_t element) const {
    const auto count = read<std::uint32_t>(at);
    const std::uint64_t first = at + sizeof(std::uint32_t);
    if (!count || element == 0 || !holds(first, *count * element)) return std::nullopt;
    return VectorView{first, *count};
  }

  [[nodiscard]] std::optional<std::string_view> text(std::uint64_t at) const {
    const auto bytes = vector(at, 1);
    if (!bytes) return std::nullopt;
    return std::string_view(reinterpret_cast<const char*>(bytes_.data() + bytes->at),
                            static_cast<std::size_t>(bytes->count));
  }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace spillway::core
