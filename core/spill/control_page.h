// The two small pages that a writer keeps up: `control` beside the segments and the boot-lived
// journal page. Private to core/spill. One thread, the writer's; others map the control page
// read-only.
//
// Invariants:
//  1. Neither is ever the truth about what a segment holds.
//  2. After a power cut the control page's durable offset counts only if its checksum fits, and the
//     journal page is gone.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "spillway/core/env/env.h"
#include "spillway/core/format.h"

namespace spillway::core {

/// XXH3-64 of the offset's 8 bytes, seeded with the journal's first 8.
[[nodiscard]] std::uint64_t durable_checksum(std::uint64_t durable_offset, const Uuid& journal);

class ControlPage {
 public:
  [[nodiscard]] static Result<std::unique_ptr<ControlPage>> open(env::Env& env,
                                                                 const std::string& path);
  /// What the page says was power-safe in `journal`, if it says so believably. Read before the
  /// first store.
  [[nodiscard]] std::uint64_t durable_hint(const Uuid& journal) const;
  /// The same of a page that was written in this boot: whoever was killed since, it is true.
  [[nodiscard]] std::optional<std::uint64_t> durable_in_this_boot(env::Env& env,
                                                                  const Uuid& journal) const;
  /// It was written in this boot.
  [[nodiscard]] bool is_of_this_boot(env::Env& env) const;
  struct State {
    std::uint64_t oldest_offset = 0;
    std::uint64_t next_offset = 0;
    std::uint64_t durable_offset = 0;
    std::uint64_t newest_segment = 0;
    Uuid journal;
    bool for_readers =
        true;  // false: it only says what was power-safe; no reader takes it for the living one
  };
  void begin(env::Env& env, const State& state);
  void set_next(std::uint64_t offset);
  void set_durable(std::uint64_t offset, const Uuid& journal);
  void set_oldest(std::uint64_t offset);
  void set_newest_segment(std::uint64_t sequence);
  void add_appended_bytes(std::uint64_t bytes);
  [[nodiscard]] bool lost() const { return map_->page_lost(); }

 private:
  explicit ControlPage(std::unique_ptr<env::Mapping> map);
  std::unique_ptr<env::Mapping> map_;
  std::uint64_t durable_ = 0;
  std::uint64_t oldest_ = 0;
  std::uint64_t appended_bytes_ = 0;
};

class JournalFile {
 public:
  /// Makes the page and its parent directories where they are not there yet.
  [[nodiscard]] static Result<std::unique_ptr<JournalFile>> open(env::Env& env,
                                                                 const std::string& path);
  /// What the page said when it was opened, if it is of this boot.
  [[nodiscard]] const std::optional<format::JournalPage>& found() const { return found_; }
  void begin(env::Env& env, const Uuid& journal, std::uint64_t next_offset,
             std::uint64_t durable_offset);
  void set_next(std::uint64_t offset);
  void set_durable(std::uint64_t offset);
  /// Notes that a sync has failed, for the writer that comes after a kill.
  void set_suspect(bool suspect);
  [[nodiscard]] bool lost() const { return map_->page_lost(); }

 private:
  explicit JournalFile(std::unique_ptr<env::Mapping> map) : map_(std::move(map)) {}
  std::unique_ptr<env::Mapping> map_;
  std::optional<format::JournalPage> found_;
};

}  // namespace spillway::core
