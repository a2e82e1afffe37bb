// RecordTemplate: a prebuilt record that is copied into the lane and patched there, for samples of
// a fixed shape.
//
//   RecordTemplate sample(finished_bytes);                        // once, for instance a finished
//   FlatBuffer auto status = sample.put(producer, Patch{at_value, 21.5}, Patch{at_time, now_ns});
//
// The template only refers to its bytes, which must outlive it. One thread at a time, as the
// producer.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

#include "spillway/producer.h"

namespace spillway {

/// A scalar to be written at a byte offset of the record, in the machine's (little-endian) order.
template <typename T>
struct Patch {
  static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>, "a patch is a scalar");
  std::size_t offset;
  T value;
};
template <typename T>
Patch(std::size_t, T) -> Patch<T>;

class RecordTemplate {
 public:
  explicit RecordTemplate(std::span<const std::byte> bytes) : bytes_(bytes) {}

  [[nodiscard]] std::size_t size() const { return bytes_.size(); }

  /// Wait-free, as Producer::put. kInvalid, and nothing is put, if a patch does not lie inside the
  /// record.
  template <typename... T>
  [[nodiscard]] Status put(Producer& producer, const Patch<T>&... patches) const {
    if (!(... && holds(patches.offset, sizeof(T)))) [[unlikely]]
      return Status::kInvalid;
    return producer.put_in_place(bytes_.size(), [&](std::byte* room) {
      std::memcpy(room, bytes_.data(), bytes_.size());
      (std::memcpy(room + patches.offset, &patches.value, sizeof(T)), ...);
    });
  }

 private:
  [[nodiscard]] bool holds(std::size_t offset, std::size_t size) const {
    return offset <= bytes_.size() && size <= bytes_.size() - offset;
  }

  std::span<const std::byte> bytes_;
};

}  // namespace spillway
