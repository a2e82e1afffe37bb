#include "spillway/core/cursor.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "core/format/checksum.h"
#include "core/spill/memory_place.h"
#include "core/spill/paths.h"
#include "core/spill/segment_file.h"

namespace spillway::core {

namespace {

constexpr std::uint64_t kSlotStride = kPageBytes;
constexpr std::uint64_t kCursorFileBytes = 2 * kSlotStride;

std::uint64_t checksum_of(const format::CursorSlot& slot) {
  return xxh3(bytes_of(slot).subspan(8), 0);
}

/// Nothing if the slot is not valid; kNewerVersion if it is whole and newer.
Result<std::optional<format::CursorSlot>> read_slot(const env::File& file, const std::string& path,
                                                    std::uint64_t index) {
  format::CursorSlot slot;
  SPILLWAY_TRY(got, file.read(index * kSlotStride, writable_bytes_of(slot)));
  const bool whole = got == sizeof(slot) && slot.magic() == kCursorMagic &&
                     slot.checksum() == checksum_of(slot) && slot.version() != 0;
  if (!whole) return std::optional<format::CursorSlot>{};
  if (slot.version() > kFormatVersion) {
    return fail(ErrorCode::kNewerVersion,
                path + " was written by a newer version of Spillway (format " +
                    std::to_string(slot.version()) +
                    "): install that version or a later one; nothing was changed");
  }
  return std::optional<format::CursorSlot>(slot);
}

struct Newest {
  std::optional<format::CursorSlot> slot;
  std::uint64_t index = 1;
};

Result<Newest> read_newest(const env::File& file, const std::string& path) {
  Newest newest;
  for (std::uint64_t index = 0; index < 2; ++index) {
    SPILLWAY_TRY(slot, read_slot(file, path, index));
    if (!slot || (newest.slot && newest.slot->sequence() > slot->sequence())) continue;
    newest = {slot, index};
  }
  return newest;
}

CursorPosition position_of(const format::CursorSlot& slot) {
  return {uuid_of(*slot.journal()), slot.journal_sequence(), slot.next_offset()};
}

class FileCursor final : public Cursor {
 public:
  FileCursor(env::Env& env, std::unique_ptr<env::File> file, const Newest& newest)
      : env_(env), file_(std::move(file)), safe_index_(newest.index) {
    if (!newest.slot) return;
    position_ = position_of(*newest.slot);
    sequence_ = newest.slot->sequence();
  }

  const std::optional<CursorPosition>& position() const override { return position_; }

  Result<void> advance(const CursorPosition& position) override {
    format::CursorSlot slot;
    slot.mutate_magic(kCursorMagic);
    slot.mutate_version(kFormatVersion);
    slot.mutate_sequence(sequence_ + 1);
    set_uuid(*slot.mutable_journal(), position.journal);
    slot.mutate_journal_sequence(position.journal_sequence);
    slot.mutate_next_offset(position.next_offset);
    slot.mutate_updated_boottime_ns(env_.boottime_ns());
    slot.mutate_checksum(checksum_of(slot));
    // Until the next sync only one slot is written, however often: the other one is the last
    // synced.
    SPILLWAY_CHECKED(file_->write((1 - safe_index_) * kSlotStride, bytes_of(slot)));
    ++sequence_;
    position_ = position;
    dirty_ = true;
    return {};
  }

  Result<void> sync() override {
    if (!dirty_) return {};
    SPILLWAY_CHECKED(file_->sync_data());
    dirty_ = false;
    safe_index_ = 1 - safe_index_;
    return {};
  }

 private:
  env::Env& env_;
  std::unique_ptr<env::File> file_;
  std::optional<CursorPosition> position_;
  std::uint64_t sequence_ = 0;
  std::uint64_t safe_index_;
  bool dirty_ = false;
};

/// Two cursors that are one: that on the disk, and a newer one in memory while the stream has a
/// directory there.
class PlacedCursor final : public Cursor {
 public:
  PlacedCursor(env::Env& env, std::string directory, std::string uplink,
               std::unique_ptr<Cursor> disk)
      : env_(env),
        directory_(std::move(directory)),
        uplink_(std::move(uplink)),
        disk_(std::move(disk)),
        position_(disk_->position()) {}

  const std::optional<CursorPosition>& position() const override { return position_; }

  Result<void> advance(const CursorPosition& position) override {
    SPILLWAY_CHECKED((memory_ ? memory_ : disk_)->advance(position));
    position_ = position;
    return {};
  }

  Result<void> sync() override {
    SPILLWAY_CHECKED(look_for_memory());
    if (!memory_) return sync_to_disk();
    SPILLWAY_TRY(holds, disk_holds_segments());
    return holds ? sync_to_disk() : Result<void>{};
  }

  Result<void> sync_to_disk() override {
    if (position_ && is_before(disk_->position(), *position_)) {
      SPILLWAY_CHECKED(disk_->advance(*position_));
    }
    return disk_->sync();
  }

  /// The agent may have begun to use memory, or have ceased to.
  Result<void> look_for_memory() {
    std::string memory = find_memory(env_, directory_);
    if (memory == memory_directory_) return {};
    memory_.reset();
    memory_directory_.clear();
    if (memory.empty()) return {};
    SPILLWAY_TRY(opened, Cursor::open(env_, join(join(memory, kCursorsName), uplink_)));
    memory_ = std::move(opened);
    memory_directory_ = std::move(memory);
    if (memory_->position() && is_before(position_, *memory_->position())) {
      position_ = memory_->position();
    }
    return {};
  }

 private:
  static bool is_before(const std::optional<CursorPosition>& held, const CursorPosition& other) {
    return !held || std::tie(held->journal_sequence, held->next_offset) <
                        std::tie(other.journal_sequence, other.next_offset);
  }

  Result<bool> disk_holds_segments() {
    SPILLWAY_TRY(names, env_.list(directory_));
    return std::any_of(names.begin(), names.end(), [](const std::string& name) {
      std::uint64_t sequence = 0;
      std::uint64_t base_offset = 0;
      return parse_segment_file_name(name, sequence, base_offset);
    });
  }

  env::Env& env_;
  std::string directory_;
  std::string uplink_;
  std::unique_ptr<Cursor> disk_;
  std::unique_ptr<Cursor> memory_;
  std::string memory_directory_;  // where memory_ stands
  std::optional<CursorPosition> position_;
};

}  // namespace

Result<std::unique_ptr<Cursor>> Cursor::open_in(env::Env& env, const std::string& directory,
                                                const std::string& uplink) {
  const std::string cursors = join(directory, kCursorsName);
  SPILLWAY_CHECKED(env.make_directories(cursors));
  SPILLWAY_TRY(disk, Cursor::open(env, join(cursors, uplink)));
  auto cursor = std::make_unique<PlacedCursor>(env, directory, uplink, std::move(disk));
  SPILLWAY_CHECKED(cursor->look_for_memory());
  return std::unique_ptr<Cursor>(std::move(cursor));
}

Result<std::unique_ptr<Cursor>> Cursor::open(env::Env& env, const std::string& path) {
  SPILLWAY_TRY(file, env.open(path, env::OpenMode::kOpenOrCreate));
  SPILLWAY_TRY(locked, file->try_lock());
  if (!locked) {
    return fail(ErrorCode::kBusy,
                "locking the cursor " + path + ": another uplink of this name runs; stop it first");
  }
  SPILLWAY_TRY(newest, read_newest(*file, path));
  SPILLWAY_TRY(size, file->size());
  if (size < kCursorFileBytes) {
    SPILLWAY_CHECKED(file->allocate(kCursorFileBytes));
    SPILLWAY_CHECKED(file->sync_data());
    SPILLWAY_CHECKED(env.sync_directory(folder_of(path)));
  } else {
    // A killed uplink may have left its newest slot unsynced: only a synced one may be relied on.
    SPILLWAY_CHECKED(file->sync_data());
  }
  return std::unique_ptr<Cursor>(std::make_unique<FileCursor>(env, std::move(file), newest));
}

Result<std::optional<CursorPosition>> Cursor::load(env::Env& env, const std::string& path) {
  auto file = env.open(path, env::OpenMode::kRead);
  if (!file && file.error().code == ErrorCode::kNotFound) return std::optional<CursorPosition>{};
  if (!file) return tl::unexpected(std::move(file).error());
  SPILLWAY_TRY(newest, read_newest(**file, path));
  if (!newest.slot) return std::optional<CursorPosition>{};
  return std::optional<CursorPosition>(position_of(*newest.slot));
}

}  // namespace spillway::core
