#include "spillway/core/cursor.h"

#include <array>

#include "core/format/checksum.h"
#include "core/spill/paths.h"

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

}  // namespace

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
