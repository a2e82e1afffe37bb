// FlatBuffers and the producer: optional; the rest of the library does not need FlatBuffers.
//
//   flatbuffers::FlatBufferBuilder builder;  ... builder.Finish(root);
//   status = spillway::put(producer, builder);                      // one copy
//
//   spillway::ClaimedBuilder record(producer, 256);                 // no copy, no allocation while
//   256 bytes are enough if (record) { auto root = ...(record.builder());
//   record.builder().Finish(root); status = record.commit(); }
//
// One thread at a time, as the producer; one ClaimedBuilder at a time for a producer.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "spillway/producer.h"

namespace spillway {

/// Copies a finished buffer in.
[[nodiscard]] inline Status put(Producer& producer, const flatbuffers::FlatBufferBuilder& builder) {
  return producer.put(
      {reinterpret_cast<const std::byte*>(builder.GetBufferPointer()), builder.GetSize()});
}

/// Hands a builder the claim's room; the heap's, once that is outgrown.
class ClaimAllocator final : public flatbuffers::Allocator {
 public:
  explicit ClaimAllocator(std::span<std::byte> room) : room_(room) {}

  std::uint8_t* allocate(std::size_t size) override {
    if (taken_ || size > room_.size()) return new std::uint8_t[size];
    taken_ = true;
    return reinterpret_cast<std::uint8_t*>(room_.data());
  }
  void deallocate(std::uint8_t* bytes, std::size_t /*size*/) override {
    if (!is_room(bytes)) delete[] bytes;
  }
  [[nodiscard]] bool is_room(const std::uint8_t* bytes) const {
    return bytes >= reinterpret_cast<const std::uint8_t*>(room_.data()) &&
           bytes < reinterpret_cast<const std::uint8_t*>(room_.data() + room_.size());
  }

 private:
  std::span<std::byte> room_;
  bool taken_ = false;
};

/// A record built straight into the lane. A record that outgrows `size_max` is finished on the heap
/// and copied.
class ClaimedBuilder {
 public:
  ClaimedBuilder(Producer& producer, std::size_t size_max)
      : producer_(producer),
        claim_(producer.claim(rounded(size_max))),
        allocator_(claim_ ? claim_.bytes() : std::span<std::byte>{}),
        builder_(claim_ ? claim_.size() : 1024, &allocator_) {}

  /// kOk, or why there is no room (kFull, kTooLarge ...).
  [[nodiscard]] Status status() const { return claim_.status(); }
  explicit operator bool() const { return static_cast<bool>(claim_); }
  [[nodiscard]] flatbuffers::FlatBufferBuilder& builder() { return builder_; }

  /// Publishes the finished buffer. Once.
  [[nodiscard]] Status commit() {
    if (!claim_) return claim_.status();
    const std::uint8_t* bytes = builder_.GetBufferPointer();
    const std::size_t size = builder_.GetSize();
    if (!allocator_.is_room(bytes)) return put(producer_, builder_);
    // A FlatBuffer grows downward from the room's end; the record begins at the room's start. Both
    // are 16-byte aligned to each other, because the room's size is, so the buffer's own alignment
    // is kept.
    std::memmove(claim_.data(), bytes, size);
    return producer_.commit(claim_, size);
  }

 private:
  [[nodiscard]] static std::size_t rounded(std::size_t size) {
    return (size + 15) & ~std::size_t{15};
  }

  Producer& producer_;
  Claim claim_;
  ClaimAllocator allocator_;
  flatbuffers::FlatBufferBuilder builder_;
};

}  // namespace spillway
