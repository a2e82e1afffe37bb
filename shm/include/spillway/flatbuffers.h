// FlatBuffers and the producer: optional; the rest of the library does not need FlatBuffers.
//
//   flatbuffers::FlatBufferBuilder builder;  ... builder.Finish(root);
//   status = spillway::put(producer, builder);        // one copy
//
//   spillway::RecordBuilder records(producer, 256);   // once; each record of up to 256 bytes is then
//   if (auto* builder = records.begin()) {            // built in the lane: no copy, no allocation
//     builder->Finish(...);
//     status = records.commit();
//   } else {
//     status = records.status();
//   }
//
// One thread at a time, as the producer; one RecordBuilder at work at a time for a producer.
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
  /// The room of the next record; null: none.
  void give(std::byte* room, std::size_t size) {
    room_ = reinterpret_cast<std::uint8_t*>(room);
    size_ = size;
    taken_ = false;
  }
  std::uint8_t* allocate(std::size_t size) override {
    if (taken_ || size > size_) return new std::uint8_t[size];
    taken_ = true;
    return room_;
  }
  void deallocate(std::uint8_t* bytes, std::size_t /*size*/) override {
    if (bytes != room_) delete[] bytes;
  }

 private:
  std::uint8_t* room_ = nullptr;
  std::size_t size_ = 0;
  bool taken_ = false;
};

/// Builds record after record straight into the lane. A record that outgrows `size_max` is finished
/// on the heap and copied. It must not outlive the producer.
class RecordBuilder {
 public:
  RecordBuilder(Producer& producer, std::size_t size_max)
      : producer_(producer), size_max_(rounded(size_max)), builder_(size_max_, &allocator_) {}

  /// A builder for the next record, in a new claim; what was begun and not committed is dropped.
  /// Null if there is no room: status() says why (kFull, kTooLarge ...).
  [[nodiscard]] flatbuffers::FlatBufferBuilder* begin() {
    builder_.Reset();  // gives the last room back before another takes its place
    claim_ = producer_.claim(size_max_);
    allocator_.give(claim_.data(), claim_.size());
    return claim_ ? &builder_ : nullptr;
  }
  [[nodiscard]] Status status() const { return claim_.status(); }

  /// Publishes the finished buffer. Once for each begin; kInvalid for a second one.
  [[nodiscard]] Status commit() {
    if (!claim_) return claim_.status();
    const auto* bytes = reinterpret_cast<const std::byte*>(builder_.GetBufferPointer());
    const std::size_t size = builder_.GetSize();
    const bool in_room = bytes >= claim_.data() && bytes < claim_.data() + claim_.size();
    if (!in_room) {
      claim_ = Claim(Status::kInvalid);
      return producer_.put({bytes, size});
    }
    // A FlatBuffer grows downward from the room's end; the record begins at the room's start. Both
    // are 16-byte aligned to each other, because the room's size is, so the buffer's own alignment
    // is kept.
    std::memmove(claim_.data(), bytes, size);
    const Claim claim = claim_;
    claim_ = Claim(Status::kInvalid);
    return producer_.commit(claim, size);
  }

 private:
  [[nodiscard]] static std::size_t rounded(std::size_t size) {
    return (size + 15) & ~std::size_t{15};
  }

  Producer& producer_;
  std::size_t size_max_;
  Claim claim_ = Claim(Status::kInvalid);
  ClaimAllocator allocator_;
  flatbuffers::FlatBufferBuilder builder_;
};

}  // namespace spillway
