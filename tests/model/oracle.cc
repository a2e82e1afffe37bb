#include "tests/model/oracle.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "spillway/core/frame.h"

namespace spillway::model {

namespace {

/// As a commit word: a record of 16 bytes.
constexpr std::uint32_t kLikeACommitWord = 17;
constexpr Site kPayload{"scenario", "payload", 0};

template <typename T>
T read_at(const std::vector<std::byte>& bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

void require(bool holds, const std::string& what) {
  if (!holds) throw Violation{what};
}

}  // namespace

Oracle::Oracle(const Scenario& scenario) : capacity_(scenario.capacity) {
  for (const Action& action : scenario.actions) {
    sizes_.insert(sizes_.end(), action.sizes.begin(), action.sizes.end());
  }
}

std::uint64_t& Oracle::durable(Durable which) { return Machine::running().state().durable[which]; }

void Oracle::offer(std::uint64_t end) const {
  durable(kOffered) = std::max(durable(kOffered), end);
}

/// Where a header could stand, payload looks like a commit word; elsewhere it names its record.
std::byte Oracle::byte_of(std::uint64_t record, std::size_t at) const {
  if (at % kUnitBytes < kWordBytes) return at % kUnitBytes == 0 ? std::byte{17} : std::byte{0};
  return static_cast<std::byte>(0x10 * (record + 1) + at % 15);
}

void Oracle::scribble(std::byte* room, std::size_t bytes) const {
  for (std::size_t at = 0; at < bytes; at += kWordBytes) {
    plain_store(room + at, &kLikeACommitWord, std::min(bytes - at, kWordBytes), kPayload);
  }
}

void Oracle::write(std::byte* room, std::uint64_t record) const {
  for (std::size_t at = 0; at < sizes_[record]; at += kWordBytes) {
    std::array<std::byte, kWordBytes> word;
    for (std::size_t i = 0; i < kWordBytes; ++i) word[i] = byte_of(record, at + i);
    plain_store(room + at, word.data(), std::min(sizes_[record] - at, kWordBytes), kPayload);
  }
}

void Oracle::spill(const std::byte* frames, std::size_t bytes, std::uint64_t lane_end) const {
  const auto offset = static_cast<std::size_t>(frames - arena().ring.data());
  require(offset % kWordBytes == 0 && offset + bytes <= capacity_, "frames outside of the ring");
  Memory& memory = Machine::running().state().memory;
  std::vector<std::byte> copy(bytes);
  for (std::size_t at = 0; at < bytes; at += kWordBytes) {
    const std::uint32_t word =
        memory.load_plain(kAgent, static_cast<unsigned>((offset + at) / kWordBytes));
    std::memcpy(copy.data() + at, &word, sizeof word);
  }
  for (std::size_t at = 0; at < bytes;) {
    at += check_frame(copy, at, durable(kSpilledRecords));
    ++durable(kSpilledRecords);
  }
  durable(kSpilledEnd) = lane_end;
}

std::size_t Oracle::check_frame(const std::vector<std::byte>& frames, std::size_t at,
                                std::uint64_t record) const {
  const std::string name = "record " + std::to_string(record);
  require(record < durable(kOffered), name + " was found before anybody committed it");
  const std::size_t size = sizes_[record];
  const auto frame = static_cast<std::size_t>(core::frame_bytes(size));
  require(at + frame <= frames.size(), name + " is cut off, or another stands in its place");
  require(read_at<std::uint32_t>(frames, at) == size + 1, name + " has another record's size");
  require(read_at<std::uint32_t>(frames, at + 4) == 0, name + ": flags or reserved are not 0");
  require(read_at<std::uint64_t>(frames, at + 8) == ticks_of(record), name + " has other ticks");
  for (std::size_t i = 0; i < size; ++i) {
    require(frames[at + core::kFrameHeaderBytes + i] == byte_of(record, i),
            name + " is torn, or another stands in its place");
  }
  return frame;
}

std::uint64_t Oracle::spilled_end() const { return durable(kSpilledEnd); }

void Oracle::check_end(std::uint64_t acknowledged) const {
  const std::uint64_t found = durable(kSpilledRecords);
  // Whoever dies between publishing and returning has committed without knowing; all or nothing.
  require(found == acknowledged || found == durable(kOffered),
          std::to_string(acknowledged) + " records were committed, " + std::to_string(found) +
              " came to the spill");
}

void Oracle::fill_with_old_bytes(Memory& memory) const {
  for (unsigned word = 1; word < capacity_ / kWordBytes; ++word) {
    memory.set_first(word, kLikeACommitWord);
  }
}

}  // namespace spillway::model
