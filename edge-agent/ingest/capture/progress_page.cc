#include "edge-agent/ingest/capture/progress_page.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "spillway/core/assert.h"
#include "spillway/core/format.h"
#include "spillway/core/step.h"

namespace spillway::agent::capture {
namespace {

constexpr std::uint64_t kMagic = core::magic_of("SPILLPRG");
constexpr std::size_t kEntriesAt = 512;
constexpr std::size_t kPageBytes =
    kEntriesAt + core::kCaptureTablesMax * sizeof(ProgressPage::Entry);

struct Header {
  std::uint64_t magic = 0;
  std::uint64_t epoch = 0;
  core::Uuid boot;
  std::uint64_t entries = 0;
};

std::uint64_t hash_of(const std::string& topic) {
  return core::content_checksum(std::as_bytes(std::span(topic)));
}

Header header_of(const core::env::Mapping& page) {
  Header header;
  std::memcpy(&header, page.data(), sizeof header);
  return header;
}

Key key_at(const ProgressPage::Entry& entry, std::uint64_t count) {
  const std::size_t first = count % 2 * 3;
  return {entry.keys.at(first), entry.keys.at(first + 1),
          static_cast<std::uint32_t>(entry.keys.at(first + 2))};
}

std::string lane_of(const ProgressPage::Entry& entry) {
  return {entry.lane.data(), ::strnlen(entry.lane.data(), entry.lane.size())};
}

}  // namespace

core::Result<std::unique_ptr<ProgressPage>> ProgressPage::open(core::env::Env& env,
                                                               const std::string& path) {
  SPILLWAY_TRY(there, env.exists(path));
  if (!there) return std::unique_ptr<ProgressPage>();
  SPILLWAY_TRY(file, env.open(path, core::env::OpenMode::kReadWrite));
  SPILLWAY_TRY(size, file->size());
  if (size < kPageBytes) return std::unique_ptr<ProgressPage>();
  SPILLWAY_TRY(page, file->map(kPageBytes, core::env::MapAccess::kReadWrite));
  return std::unique_ptr<ProgressPage>(new ProgressPage(env, std::move(page)));
}

core::Result<std::unique_ptr<ProgressPage>> ProgressPage::make(
    core::env::Env& env, const std::string& path, std::uint64_t epoch,
    const std::vector<std::pair<std::string, Key>>& topics) {
  SPILLWAY_ASSERT(topics.size() <= core::kCaptureTablesMax);
  const std::string draft = path + ".new";
  SPILLWAY_TRY(file, env.open(draft, core::env::OpenMode::kOpenOrCreate));
  SPILLWAY_CHECKED(file->allocate(kPageBytes));
  SPILLWAY_TRY(page, file->map(kPageBytes, core::env::MapAccess::kReadWrite));
  for (std::size_t i = 0; i < topics.size(); ++i) {
    Entry entry;
    const auto& [topic, done] = topics[i];
    entry.topic_hash = hash_of(topic);
    entry.keys = {done.position, done.index, done.part, 0, 0, 0};
    page->write(kEntriesAt + i * sizeof entry, core::bytes_of(entry));
  }
  const Header header{kMagic, epoch, env.boot_id(), topics.size()};
  page->write(0, core::bytes_of(header));
  SPILLWAY_STEP("capture.page_drafted");
  SPILLWAY_CHECKED(env.rename(draft, path));
  SPILLWAY_STEP("capture.page_named");
  return std::unique_ptr<ProgressPage>(new ProgressPage(env, std::move(page)));
}

bool ProgressPage::is_valid(std::uint64_t epoch) const {
  const Header header = header_of(*page_);
  return header.magic == kMagic && header.boot == boot_ && header.epoch == epoch &&
         header.entries <= core::kCaptureTablesMax;
}

ProgressPage::Entry ProgressPage::read(std::size_t entry) const {
  Entry copy;
  std::memcpy(&copy, page_->data() + kEntriesAt + entry * sizeof copy, sizeof copy);
  return copy;
}

std::optional<TopicProgress> ProgressPage::find(const std::string& topic) const {
  const Header header = header_of(*page_);
  const std::uint64_t hash = hash_of(topic);
  for (std::size_t i = 0; i < std::min<std::uint64_t>(header.entries, core::kCaptureTablesMax);
       ++i) {
    const Entry entry = read(i);
    if (entry.topic_hash != hash) continue;
    TopicProgress progress{key_at(entry, entry.done), {}, lane_of(entry)};
    if (entry.intended != entry.done) progress.perhaps = key_at(entry, entry.intended);
    return progress;
  }
  return std::nullopt;
}

std::vector<std::string> ProgressPage::lanes() const {
  std::vector<std::string> lanes;
  const Header header = header_of(*page_);
  if (header.magic != kMagic || header.boot != boot_) return lanes;
  for (std::size_t i = 0; i < std::min<std::uint64_t>(header.entries, core::kCaptureTablesMax);
       ++i) {
    if (std::string lane = lane_of(read(i)); !lane.empty()) lanes.push_back(std::move(lane));
  }
  return lanes;
}

void ProgressPage::set_lane(std::size_t entry, std::string_view path) {
  std::array<char, 440> lane{};
  path.copy(lane.data(), lane.size() - 1);
  page_->write(kEntriesAt + entry * sizeof(Entry) + offsetof(Entry, lane),
               std::as_bytes(std::span(lane)));
  SPILLWAY_STEP("capture.lane_noted");
}

void ProgressPage::write_word(std::size_t entry, std::size_t field, std::uint64_t value) {
  page_->store_release(kEntriesAt + entry * sizeof(Entry) + field, value);
}

void ProgressPage::intend(std::size_t entry, const Key& key) {
  const std::uint64_t count = done_.at(entry) + 1;
  const std::array<std::uint64_t, 3> words{key.position, key.index, key.part};
  page_->write(
      kEntriesAt + entry * sizeof(Entry) + offsetof(Entry, keys) + count % 2 * sizeof words,
      core::bytes_of(words));
  intended_.at(entry) = count;
  write_word(entry, offsetof(Entry, intended), count);
  SPILLWAY_STEP("capture.intended");
}

void ProgressPage::confirm(std::size_t entry) {
  SPILLWAY_STEP("capture.put");
  done_.at(entry) = intended_.at(entry);
  write_word(entry, offsetof(Entry, done), done_.at(entry));
  SPILLWAY_STEP("capture.put_noted");
}

void ProgressPage::distrust(std::size_t entry) {
  write_word(entry, offsetof(Entry, topic_hash), 0);
}

void ProgressPage::withdraw(std::size_t entry) {
  intended_.at(entry) = done_.at(entry);
  write_word(entry, offsetof(Entry, intended), intended_.at(entry));
}

}  // namespace spillway::agent::capture
