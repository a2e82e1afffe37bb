#include "edge-agent/ingest/capture/position_file.h"

#include <array>
#include <boost/json.hpp>
#include <cstring>
#include <filesystem>

#include "spillway/core/format.h"

namespace spillway::agent::capture {
namespace {

namespace json = boost::json;
using core::ErrorCode;
using core::Result;

constexpr std::uint64_t kMagic = core::magic_of("SPILLCAP");
constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kSlotBytes = core::kPageBytes;

struct SlotHeader {
  std::uint64_t checksum = 0;  // of the rest of the header and the text
  std::uint64_t magic = kMagic;
  std::uint64_t version = kVersion;
  std::uint64_t sequence = 0;
  std::uint64_t size = 0;
};
constexpr std::size_t kTextMax = kSlotBytes - sizeof(SlotHeader);
using Slot = std::array<std::byte, kSlotBytes>;

json::array json_of(const Key& key) { return {key.position, key.index, key.part}; }

Key key_of(const json::value& value) {
  const auto& parts = value.as_array();
  return {parts.at(0).to_number<std::uint64_t>(), parts.at(1).to_number<std::uint64_t>(),
          parts.at(2).to_number<std::uint32_t>()};
}

std::string render(const SavedPosition& position) {
  json::object text{{"epoch", position.epoch},
                    {"safe", json_of(position.safe)},
                    {"previous", json_of(position.previous)},
                    {"open", position.open},
                    {"phase", static_cast<std::uint8_t>(position.phase)},
                    {"source_position", position.source_position},
                    {"source_identity", position.source_identity}};
  json::array marks;
  for (const StreamMark& mark : position.marks) {
    marks.push_back({mark.stream, mark.journal.text(), mark.offset});
  }
  text["marks"] = std::move(marks);
  std::string rendered = json::serialize(text);
  // A stream without a mark is searched from its beginning: slower, and right.
  while (rendered.size() > kTextMax && !text["marks"].as_array().empty()) {
    text["marks"].as_array().pop_back();
    rendered = json::serialize(text);
  }
  return rendered;
}

SavedPosition parse(std::string_view text) {
  const json::value value = json::parse(json::string_view(text.data(), text.size()));
  SavedPosition position;
  position.epoch = value.at("epoch").to_number<std::uint64_t>();
  position.safe = key_of(value.at("safe"));
  position.previous = key_of(value.at("previous"));
  position.open = value.at("open").as_bool();
  position.phase = static_cast<Phase>(value.at("phase").to_number<std::uint8_t>());
  position.source_position = value.at("source_position").to_number<std::uint64_t>();
  position.source_identity = json::value_to<std::string>(value.at("source_identity"));
  for (const json::value& mark : value.at("marks").as_array()) {
    const auto journal = core::Uuid::parse(json::value_to<std::string>(mark.as_array().at(1)));
    position.marks.push_back({json::value_to<std::string>(mark.as_array().at(0)),
                              journal.value_or(core::Uuid{}),
                              mark.as_array().at(2).to_number<std::uint64_t>()});
  }
  return position;
}

std::uint64_t checksum_of(const SlotHeader& header, const Slot& slot) {
  return core::content_checksum(std::span(slot).subspan(
      sizeof header.checksum, sizeof header - sizeof header.checksum + header.size));
}

/// What a slot holds.
struct SlotContent {
  bool blank = true;           // nothing was ever written
  std::uint64_t sequence = 0;  // 0: it is not valid
  SavedPosition position;
};

Result<void> read_slot(const core::env::File& file, const std::string& path, std::uint64_t index,
                       SlotContent& content) {
  Slot slot{};
  SPILLWAY_TRY(got, file.read(index * kSlotBytes, slot));
  content.blank = got == 0 || slot == Slot{};
  SlotHeader header;
  std::memcpy(&header, slot.data(), sizeof header);
  if (got != slot.size() || header.magic != kMagic || header.size > kTextMax ||
      header.checksum != checksum_of(header, slot)) {
    return {};
  }
  if (header.version > kVersion) {
    return core::fail(ErrorCode::kNewerVersion,
                      path + " was written by a newer version of Spillway: install that one");
  }
  const auto* text = reinterpret_cast<const char*>(slot.data() + sizeof header);
  try {
    content.position = parse({text, static_cast<std::size_t>(header.size)});
    content.sequence = header.sequence;
  } catch (const std::exception&) {
    content.sequence = 0;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<PositionFile>> PositionFile::open(core::env::Env& env,
                                                         const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  SPILLWAY_CHECKED(env.make_directories(directory));
  std::unique_ptr<PositionFile> position(new PositionFile());
  SPILLWAY_TRY(there, env.exists(path));
  SPILLWAY_TRY(file, env.open(path, core::env::OpenMode::kOpenOrCreate));
  SPILLWAY_TRY(locked, file->try_lock());
  if (!locked) {
    return core::fail(ErrorCode::kBusy, "another spillway-capture holds " + path +
                                            ": two would send every change twice; stop the other");
  }
  position->file_ = std::move(file);
  SPILLWAY_TRY(size, position->file_->size());
  if (!there || size == 0) {
    SPILLWAY_CHECKED(position->file_->allocate(2 * kSlotBytes));
    SPILLWAY_CHECKED(position->file_->sync_data());
    SPILLWAY_CHECKED(env.sync_directory(directory));
    return position;
  }
  bool blank = true;
  for (std::uint64_t index = 0; index < 2; ++index) {
    SlotContent content;
    SPILLWAY_CHECKED(read_slot(*position->file_, path, index, content));
    blank = blank && content.blank;
    if (content.sequence <= position->sequence_) continue;
    position->sequence_ = content.sequence;
    position->saved_ = std::move(content.position);
    position->safe_slot_ = index;
  }
  if (!position->saved_ && !blank) {
    return core::fail(ErrorCode::kCorrupt,
                      path +
                          ": neither of its two slots is whole; if the disk was damaged, remove "
                          "it: all rows are brought again then, or a new snapshot has to be "
                          "asked for");
  }
  // The newest may have been stored without a sync: the other slot is not written before it is safe.
  SPILLWAY_CHECKED(position->file_->sync_data());
  return position;
}

Result<void> PositionFile::store(const SavedPosition& position, bool sync) {
  const std::string text = render(position);
  if (text.size() > kTextMax) {
    return core::fail(ErrorCode::kInvalidArgument, "a capture's position is too long to be stored");
  }
  Slot slot{};
  SlotHeader header;
  header.sequence = sequence_ + 1;
  header.size = text.size();
  std::memcpy(slot.data(), &header, sizeof header);
  std::memcpy(slot.data() + sizeof header, text.data(), text.size());
  header.checksum = checksum_of(header, slot);
  std::memcpy(slot.data(), &header, sizeof header);
  // Until the next sync only one slot is written, however often: the other one is the last synced.
  SPILLWAY_CHECKED(file_->write((1 - safe_slot_) * kSlotBytes, slot));
  ++sequence_;
  saved_ = position;
  if (!sync) return {};
  SPILLWAY_CHECKED(file_->sync_data());
  safe_slot_ = 1 - safe_slot_;
  return {};
}

}  // namespace spillway::agent::capture
