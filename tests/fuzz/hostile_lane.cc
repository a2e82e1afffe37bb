#include "tests/fuzz/hostile_lane.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <iterator>

#include "spillway/core/uuid.h"

namespace spillway::fuzz {

namespace {

constexpr std::uint64_t kProducerLineAt = 4096;
constexpr std::uint64_t kAgentLineAt = 4224;
constexpr std::uint64_t kBootTime = 1'000'000'000;
constexpr int kFramesMax = 40;

struct Field {
  std::uint16_t at;
  std::uint16_t bytes;
};
// docs/format.md, 'The queue': each field of page 0 and of the two lines.
constexpr Field kHeaderFields[] = {
    {0, 8},  {8, 4},   {12, 4},  {16, 8},  {24, 8},  {32, 8},  {40, 8}, {48, 8}, {56, 8},
    {64, 8}, {72, 8},  {80, 4},  {84, 4},  {88, 4},  {92, 1},  {93, 1}, {94, 1}, {95, 1},
    {96, 8}, {104, 8}, {344, 8}, {352, 8}, {408, 8}, {416, 8}, {536, 8}};
constexpr Field kProducerFields[] = {{0, 8}, {8, 8}, {16, 4}, {20, 4}, {24, 4}, {28, 8}, {120, 8}};
constexpr Field kAgentFields[] = {{0, 8}, {8, 8}, {16, 4}, {20, 4}, {24, 4}, {28, 8}, {120, 8}};

std::uint64_t value_for(Program& program) {
  static constexpr std::uint64_t kTelling[] = {0,
                                               1,
                                               16,
                                               17,
                                               8160,
                                               8161,
                                               HostileLane::kCapacity,
                                               HostileLane::kCapacity * 2,
                                               0x7FFF'FFFF,
                                               0xFFFF'FFFE,
                                               0xFFFF'FFFF,
                                               1ULL << 62,
                                               (1ULL << 62) - 16,
                                               ~0ULL,
                                               ~0ULL - 15};
  const std::uint32_t which = program.choice(std::size(kTelling) + 2);
  if (which < std::size(kTelling)) return kTelling[which];
  return which == std::size(kTelling) ? program.u16() : program.u64();
}

void set_text(std::uint8_t* into, const char* text) { std::memcpy(into, text, std::strlen(text)); }

void lock(int fd) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(fd, F_OFD_SETLK, &whole) != 0) std::abort();
}

}  // namespace

HostileLane::HostileLane(std::string folder) : folder_(std::move(folder)) {
  format::LaneIdentity identity;
  identity.mutate_lane_id(0xBAD);
  identity.mutate_created_boottime_ns(kBootTime);
  identity.mutate_tick_rate_hz(1'000'000'000);
  identity.mutate_max_record_bytes(kCapacity / 2 - 32);
  identity.mutate_clock_kind(1);
  identity.mutate_topic_size(3);
  identity.mutate_producer_size(7);
  set_text(identity.mutable_topic()->Data(), "bad");
  set_text(identity.mutable_producer()->Data(), "mallory");
  header_ = format::LaneHeader(core::kLaneMagic, core::kFormatVersion, kDataOffset, 0, kCapacity,
                               identity);
  add_name();
}

HostileLane::~HostileLane() {
  release_lock();
  if (fd_ >= 0) close(fd_);
  for (const auto& name : names_) unlink(name.c_str());
}

void HostileLane::act(Program& program) {
  switch (program.choice(kActions)) {
    case 0:
    case 1:
      return write_honest_frames(program);
    case 2:
      return write_word(program);
    case 3:
      return write_header_field(program);
    case 4:
      return write_producer_line(program);
    case 5:
      return write_agent_line(program);
    case 6:
      return write_bytes(program);
    case 7:
      return truncate(program);
    case 8:
      return release_lock();
    default:
      return add_name();
  }
}

void HostileLane::write(std::uint64_t at, const void* bytes, std::size_t size) const {
  // By system call: a store to a page that he has cut off himself would be his own death.
  if (size != 0 && pwrite(fd_, bytes, size, static_cast<off_t>(at)) < 0) std::abort();
}

void HostileLane::write_header() {
  core::seal_lane_header(header_);
  write(0, &header_, sizeof header_);
}

/// A run of frames as a producer would leave it, so that the walks get far.
void HostileLane::write_honest_frames(Program& program) {
  const int count = 1 + program.byte() % kFramesMax;
  const std::size_t size = 1 + program.u16() % 2000;
  const std::array<std::byte, 2000> record{};
  for (int i = 0; i < count; ++i) {
    const std::uint64_t frame = core::frame_bytes(size);
    std::uint64_t offset = position_ % kCapacity;
    if (frame > kCapacity - offset) {
      write(kDataOffset + offset, &core::kCommitPadding, 4);
      position_ += kCapacity - offset;
      offset = 0;
    }
    const format::FrameHeader header(static_cast<std::uint32_t>(size) + 1, 0, 0, position_);
    write(kDataOffset + offset + sizeof header, record.data(), size);
    write(kDataOffset + (offset + frame) % kCapacity, &core::kCommitNothing, 4);
    write(kDataOffset + offset, &header, sizeof header);
    position_ += frame;
  }
}

void HostileLane::write_word(Program& program) {
  const std::uint64_t at = program.u16() % (kCapacity / 16) * 16;
  const auto word = static_cast<std::uint32_t>(value_for(program));
  write(kDataOffset + at, &word, sizeof word);
}

void HostileLane::write_header_field(Program& program) {
  const Field field = kHeaderFields[program.choice(std::size(kHeaderFields))];
  const bool seal = program.choice(4) != 0;  // else the checksum tells of it
  const std::uint64_t value = value_for(program);
  std::memcpy(reinterpret_cast<std::byte*>(&header_) + field.at, &value, field.bytes);
  if (seal) return write_header();
  write(field.at, &value, field.bytes);
}

void HostileLane::write_producer_line(Program& program) {
  const Field field = kProducerFields[program.choice(std::size(kProducerFields))];
  const std::uint64_t value = value_for(program);
  write(kProducerLineAt + field.at, &value, field.bytes);
}

void HostileLane::write_agent_line(Program& program) {
  const Field field = kAgentFields[program.choice(std::size(kAgentFields))];
  const std::uint64_t value = value_for(program);
  write(kAgentLineAt + field.at, &value, field.bytes);
}

void HostileLane::write_bytes(Program& program) {
  const std::uint64_t at = program.u16() % (kDataOffset + kCapacity);
  const auto bytes = program.bytes(1 + program.choice(64));
  write(at, bytes.data(), bytes.size());
}

void HostileLane::truncate(Program& program) {
  static constexpr off_t kSizes[] = {0,
                                     100,
                                     4096,
                                     4224,
                                     kDataOffset,
                                     kDataOffset + 4096,
                                     kDataOffset + kCapacity - 1,
                                     kDataOffset + kCapacity,
                                     kDataOffset + kCapacity + 1,
                                     1 << 20};
  const std::uint32_t which = program.choice(std::size(kSizes) + 1);
  const off_t size = which < std::size(kSizes) ? kSizes[which] : program.u16();
  if (ftruncate(fd_, size) != 0) std::abort();
}

void HostileLane::release_lock() {
  if (lock_fd_ >= 0) close(lock_fd_);
  lock_fd_ = -1;
}

/// A lane made anew, with the identity as it now stands; the one before is out of his hands.
void HostileLane::add_name() {
  if (made_ == kNamesMax) return;
  release_lock();
  if (fd_ >= 0) close(fd_);
  names_.push_back(folder_ + "/bad" + std::to_string(made_++) + ".lane");
  fd_ = open(names_.back().c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0660);
  lock_fd_ = open(names_.back().c_str(), O_RDWR | O_CLOEXEC);
  if (fd_ < 0 || lock_fd_ < 0 || ftruncate(fd_, kDataOffset + kCapacity) != 0) std::abort();
  lock(lock_fd_);
  position_ = 0;
  write_header();
}

}  // namespace spillway::fuzz
