// ProgressPage: which record of each topic was put last, <state_dir>/<name>.progress.
//
// A mapped file: what stands there survives kill -9 at any instruction, and is worth nothing after
// the next boot, whose id it names. One thread.
//
// Invariants:
//  1. An entry's key is written whole beside the old one before its count is: whoever reads it after
//     a kill finds one of the two.
//  2. intended == done: every record up to the key is in the lane. intended == done + 1: the one that
//     is named next may be.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "edge-agent/ingest/capture/change.h"
#include "spillway/core/capture_config.h"
#include "spillway/core/env/env.h"

namespace spillway::agent::capture {

/// What a page says of one topic after its capture has died.
struct TopicProgress {
  Key done;                    // {0, 0, 0}: nothing
  std::optional<Key> perhaps;  // it may be in the lane, or not
  std::string lane;            // the lane's file; empty: none
};

class ProgressPage {
 public:
  struct Entry {
    std::uint64_t topic_hash = 0;
    std::uint64_t intended = 0;
    std::uint64_t done = 0;
    std::array<std::uint64_t, 6> keys{};  // two of position, index, part
    std::array<char, 440> lane{};
  };
  static_assert(sizeof(Entry) == 512);

  /// What is there, to be read; null if there is none.
  [[nodiscard]] static core::Result<std::unique_ptr<ProgressPage>> open(core::env::Env& env,
                                                                        const std::string& path);
  /// Takes the place of what is there, whole or not at all: an entry for each topic, by number, of
  /// which all up to its key was put.
  [[nodiscard]] static core::Result<std::unique_ptr<ProgressPage>> make(
      core::env::Env& env, const std::string& path, std::uint64_t epoch,
      const std::vector<std::pair<std::string, Key>>& topics);
  /// True if it is of this boot and epoch.
  [[nodiscard]] bool is_valid(std::uint64_t epoch) const;
  [[nodiscard]] std::optional<TopicProgress> find(const std::string& topic) const;
  /// The files of all lanes that it names.
  [[nodiscard]] std::vector<std::string> lanes() const;

  void set_lane(std::size_t entry, std::string_view path);
  void intend(std::size_t entry, const Key& key);
  void confirm(std::size_t entry);
  /// The lane was set aside: what was put is not what will arrive.
  void distrust(std::size_t entry);
  /// The one that was intended was not put.
  void withdraw(std::size_t entry);

 private:
  ProgressPage(core::env::Env& env, std::unique_ptr<core::env::Mapping> page)
      : page_(std::move(page)), boot_(env.boot_id()) {}
  [[nodiscard]] Entry read(std::size_t entry) const;
  void write_word(std::size_t entry, std::size_t field, std::uint64_t value);

  std::unique_ptr<core::env::Mapping> page_;
  core::Uuid boot_;
  std::array<std::uint64_t, core::kCaptureTablesMax> intended_{};
  std::array<std::uint64_t, core::kCaptureTablesMax> done_{};
};

}  // namespace spillway::agent::capture
