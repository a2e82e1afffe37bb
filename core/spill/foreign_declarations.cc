#include "core/spill/foreign_declarations.h"

#include <algorithm>
#include <cstring>

#include "core/format/checksum.h"
#include "spillway/core/codec.h"
#include "spillway/core/fingerprint.h"

namespace spillway::core {

namespace {

using format::BlockKind;

/// Of the schemas that a session tells, so much is kept for the segments to come.
constexpr std::uint64_t kSchemaBytesKeptMax = 4U << 20;

BlockKind kind_of(const format::BlockHeader& header) {
  return static_cast<BlockKind>(header.kind());
}

/// Two that differ in no more than their offset declare the same.
std::uint64_t digest_of(const format::BlockHeader& header, std::span<const std::byte> stored) {
  return xxh3(stored, header.lane_end() * 31 + header.kind());
}

std::uint32_t id_of(std::span<const std::byte> dictionary) {
  std::uint32_t id = 0;
  std::memcpy(&id, dictionary.data() + sizeof(id), sizeof(id));
  return id;
}

format::ClockReading reading_of(std::span<const std::byte> stored) {
  format::ClockReading reading;
  std::memcpy(&reading, stored.data(), sizeof(reading));
  return reading;
}

Declaration copy_of(const format::BlockHeader& header, std::span<const std::byte> stored) {
  return {header, {stored.begin(), stored.end()}};
}

}  // namespace

void ForeignDeclarations::begin_session() {
  lanes_.clear();
  clocks_.clear();
  schemas_.clear();
  schema_bytes_ = 0;
  dictionaries_.clear();
}

void ForeignDeclarations::begin_segment() {
  written_.clear();
  written_lanes_.clear();
  written_clocks_.clear();
  written_schemas_.clear();
  written_dictionaries_.clear();
}

bool ForeignDeclarations::learn(const format::BlockHeader& header,
                                std::span<const std::byte> stored) {
  switch (kind_of(header)) {
    case BlockKind::lane:
      learn_lane(header, stored);
      break;
    case BlockKind::clock:
      learn_clock(header, stored);
      break;
    case BlockKind::schema:
      learn_schema(header, stored);
      break;
    case BlockKind::dictionary:
      learn_dictionary(header, stored);
      return false;  // written with the first block that names it
    default:
      return false;
  }
  return !written_.contains(digest_of(header, stored));
}

void ForeignDeclarations::learn_lane(const format::BlockHeader& header,
                                     std::span<const std::byte> stored) {
  format::LaneDeclaration declaration;
  std::memcpy(&declaration, stored.data(), sizeof(declaration));
  const format::LaneIdentity& identity = declaration.identity();
  if (declaration.closed() == 1) {  // drained to its end: no block of it follows
    lanes_.erase(identity.lane_id());
    return;
  }
  lanes_[identity.lane_id()] = {copy_of(header, stored), uuid_of(*identity.boot_id()),
                                identity.schema_fingerprint()};
}

/// As LaneClock takes them: a certain reading is the last word until there is a later certain one.
void ForeignDeclarations::learn_clock(const format::BlockHeader& header,
                                      std::span<const std::byte> stored) {
  const format::ClockReading reading = reading_of(stored);
  const auto [known, is_new] =
      clocks_.try_emplace(uuid_of(*reading.boot_id()), copy_of(header, stored));
  if (is_new) return;
  const bool was_certain = reading_of(known->second.stored).certain() == 1;
  if (!was_certain || reading.certain() == 1) known->second = copy_of(header, stored);
}

void ForeignDeclarations::learn_schema(const format::BlockHeader& header,
                                       std::span<const std::byte> stored) {
  if (schema_bytes_ + stored.size() > kSchemaBytesKeptMax) return;
  const bool is_new =
      schemas_.try_emplace(schema_fingerprint(stored), copy_of(header, stored)).second;
  if (is_new) schema_bytes_ += stored.size();
}

void ForeignDeclarations::learn_dictionary(const format::BlockHeader& header,
                                           std::span<const std::byte> stored) {
  const std::uint32_t id = id_of(stored);
  const auto known = std::find_if(dictionaries_.begin(), dictionaries_.end(),
                                  [id](const auto& other) { return id_of(other.stored) == id; });
  if (known != dictionaries_.end()) {
    std::rotate(known, known + 1, dictionaries_.end());
    return;
  }
  dictionaries_.push_back(copy_of(header, stored));
  if (dictionaries_.size() > kDictionariesMax) dictionaries_.pop_front();
}

std::vector<const Declaration*> ForeignDeclarations::missing_for(
    const format::BlockHeader& header, std::span<const std::byte> stored) {
  std::vector<const Declaration*> missing;
  const auto lane = lanes_.find(header.lane_id());
  if (lane != lanes_.end()) {
    const auto clock = clocks_.find(lane->second.boot_id);
    if (clock != clocks_.end() && !written_clocks_.contains(clock->first)) {
      missing.push_back(&clock->second);
    }
    if (!written_lanes_.contains(lane->first)) missing.push_back(&lane->second.declared);
    const auto schema = schemas_.find(lane->second.schema_fingerprint);
    if (schema != schemas_.end() && !written_schemas_.contains(schema->first)) {
      missing.push_back(&schema->second);
    }
  }
  if (is_compressed(header)) add_dictionary(stored, missing);
  return missing;
}

void ForeignDeclarations::add_dictionary(std::span<const std::byte> stored,
                                         std::vector<const Declaration*>& missing) const {
  const std::uint32_t id = dictionary_named_by(stored);
  const auto& standing = written_dictionaries_;
  if (id == 0 || std::find(standing.begin(), standing.end(), id) != standing.end()) return;
  for (const Declaration& known : dictionaries_) {
    if (id_of(known.stored) == id) missing.push_back(&known);
  }
}

void ForeignDeclarations::note_written(const format::BlockHeader& header,
                                       std::span<const std::byte> stored) {
  switch (kind_of(header)) {
    case BlockKind::lane:
      written_lanes_.insert(header.lane_id());
      break;
    case BlockKind::clock:
      written_clocks_.insert(uuid_of(*reading_of(stored).boot_id()));
      break;
    case BlockKind::schema:
      written_schemas_.insert(schema_fingerprint(stored));
      break;
    case BlockKind::dictionary:
      written_dictionaries_.push_back(id_of(stored));
      if (written_dictionaries_.size() > kDictionariesMax) written_dictionaries_.pop_front();
      return;
    default:
      return;
  }
  written_.insert(digest_of(header, stored));
}

}  // namespace spillway::core
