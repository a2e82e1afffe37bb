#include "core/spill/control_page.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "core/format/checksum.h"
#include "core/spill/paths.h"

namespace spillway::core {

namespace {

// Byte offsets of the words that are stored one by one; layout.cc pins them.
constexpr std::size_t kOldestAt = 32;
constexpr std::size_t kNextAt = 40;
constexpr std::size_t kDurableAt = 48;
constexpr std::size_t kAppendedAt = 56;
constexpr std::size_t kNewestAt = 64;
constexpr std::size_t kDurableChecksumAt = 72;
constexpr std::size_t kSuspectAt = 12;
constexpr std::size_t kJournalNextAt = 48;
constexpr std::size_t kJournalDurableAt = 56;
constexpr std::size_t kJournalCheckAt = 64;

template <typename T>
T copy_of(const env::Mapping& map) {
  T value;
  std::memcpy(&value, map.data(), sizeof(T));
  return value;
}

Result<std::unique_ptr<env::Mapping>> map_page(env::Env& env, const std::string& path) {
  SPILLWAY_TRY(file, env.open(path, env::OpenMode::kOpenOrCreate));
  SPILLWAY_TRY(size, file->size());
  if (size < kPageBytes) SPILLWAY_CHECKED(file->allocate(kPageBytes));
  return file->map(kPageBytes, env::MapAccess::kReadWrite);
}

}  // namespace

std::uint64_t durable_checksum(std::uint64_t durable_offset, const Uuid& journal) {
  std::uint64_t seed = 0;
  std::memcpy(&seed, journal.bytes.data(), sizeof(seed));
  return xxh3(bytes_of(durable_offset), seed);
}

ControlPage::ControlPage(std::unique_ptr<env::Mapping> map) : map_(std::move(map)) {}

Result<std::unique_ptr<ControlPage>> ControlPage::open(env::Env& env, const std::string& path) {
  SPILLWAY_TRY(map, map_page(env, path));
  return std::unique_ptr<ControlPage>(new ControlPage(std::move(map)));
}

std::uint64_t ControlPage::durable_hint(const Uuid& journal) const {
  const auto page = copy_of<format::StreamControl>(*map_);
  const bool believable =
      page.magic() == kControlMagic && page.version() == kFormatVersion &&
      page.durable_checksum() == durable_checksum(page.durable_offset(), journal);
  return believable ? page.durable_offset() : 0;
}

bool ControlPage::is_of_this_boot(env::Env& env) const {
  const auto page = copy_of<format::StreamControl>(*map_);
  return page.magic() == kControlMagic && page.version() == kFormatVersion &&
         uuid_of(*page.boot_id()) == env.boot_id();
}

std::optional<std::uint64_t> ControlPage::durable_in_this_boot(env::Env& env,
                                                               const Uuid& journal) const {
  if (!is_of_this_boot(env)) return std::nullopt;
  const auto page = copy_of<format::StreamControl>(*map_);
  if (page.durable_checksum() != durable_checksum(page.durable_offset(), journal)) {
    return std::nullopt;
  }
  return page.durable_offset();
}

void ControlPage::begin(env::Env& env, const State& state) {
  format::StreamControl page;
  page.mutate_magic(kControlMagic);
  page.mutate_version(kFormatVersion);
  page.mutate_agent_pid(static_cast<std::uint32_t>(::getpid()));
  if (state.for_readers) set_uuid(*page.mutable_boot_id(), env.boot_id());
  page.mutate_oldest_offset(state.oldest_offset);
  page.mutate_next_offset(state.next_offset);
  page.mutate_durable_offset(state.durable_offset);
  page.mutate_durable_checksum(durable_checksum(state.durable_offset, state.journal));
  page.mutate_newest_segment(state.newest_segment);
  oldest_ = state.oldest_offset;
  durable_ = state.durable_offset;
  map_->write(0, bytes_of(page));
}

// SYNC published: pairs with StreamReader::control, which loads the word with acquire.
void ControlPage::set_next(std::uint64_t offset) { map_->store_release(kNextAt, offset); }

void ControlPage::set_durable(std::uint64_t offset, const Uuid& journal) {
  if (offset == durable_) return;
  durable_ = offset;
  map_->store_release(kDurableAt, offset);
  map_->store_release(kDurableChecksumAt, durable_checksum(offset, journal));
}

void ControlPage::set_oldest(std::uint64_t offset) {
  if (offset == oldest_) return;
  oldest_ = offset;
  map_->store_release(kOldestAt, offset);
}

void ControlPage::set_newest_segment(std::uint64_t sequence) {
  map_->store_release(kNewestAt, sequence);
}

void ControlPage::add_appended_bytes(std::uint64_t bytes) {
  appended_bytes_ += bytes;
  map_->store_release(kAppendedAt, appended_bytes_);
}

Result<std::unique_ptr<JournalFile>> JournalFile::open(env::Env& env, const std::string& path) {
  SPILLWAY_CHECKED(env.make_directories(folder_of(path)));
  SPILLWAY_TRY(map, map_page(env, path));
  std::unique_ptr<JournalFile> file(new JournalFile(std::move(map)));
  const auto page = copy_of<format::JournalPage>(*file->map_);
  if (page.magic() == kJournalMagic && page.version() == kFormatVersion &&
      uuid_of(*page.boot_id()) == env.boot_id()) {
    file->found_ = page;
    file->found_->mutate_next_offset(std::min(page.next_offset(), ~page.next_check()));
  }
  return file;
}

void JournalFile::begin(env::Env& env, const Uuid& journal, std::uint64_t next_offset,
                        std::uint64_t durable_offset) {
  format::JournalPage page;
  page.mutate_magic(kJournalMagic);
  page.mutate_version(kFormatVersion);
  set_uuid(*page.mutable_boot_id(), env.boot_id());
  set_uuid(*page.mutable_journal(), journal);
  page.mutate_next_offset(next_offset);
  page.mutate_durable_offset(durable_offset);
  page.mutate_next_check(~next_offset);
  map_->write(0, bytes_of(page));
}

void JournalFile::set_next(std::uint64_t offset) {
  map_->store_release(kJournalCheckAt, ~offset);
  map_->store_release(kJournalNextAt, offset);
}
void JournalFile::set_durable(std::uint64_t offset) {
  map_->store_release(kJournalDurableAt, offset);
}

void JournalFile::set_suspect(bool suspect) {
  const std::uint32_t word = suspect ? 1 : 0;
  map_->write(kSuspectAt, bytes_of(word));
}

}  // namespace spillway::core
