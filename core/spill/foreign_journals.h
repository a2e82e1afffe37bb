// ForeignJournals: the journals of a foreign stream that came before its newest one, with their ends:
// the file `journals` (docs/format.md, 'Foreign streams'). Private to core/spill; the writer's thread.
//
// An origin may still hold a journal that the relay has passed on and freed long ago: without this file
// it would be taken for a new one and come again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "spillway/core/env/env.h"

namespace spillway::core {

class ForeignJournals {
 public:
  /// As many as a Hello may name; the oldest are forgotten first.
  static constexpr std::size_t kJournalsMax = 4096;

  struct Ended {
    Uuid journal;
    std::uint64_t next_offset = 0;
  };

  ForeignJournals(env::Env& env, std::string path) : env_(env), path_(std::move(path)) {}
  /// False: the file is damaged or not there, and none is known.
  [[nodiscard]] Result<bool> load();
  /// Power-safe when it returns.
  [[nodiscard]] Result<void> add(const Ended& ended);
  [[nodiscard]] std::optional<std::uint64_t> end_of(const Uuid& journal) const;

 private:
  [[nodiscard]] bool parse(std::string_view lines);

  env::Env& env_;
  std::string path_;
  std::vector<Ended> ended_;
};

}  // namespace spillway::core
