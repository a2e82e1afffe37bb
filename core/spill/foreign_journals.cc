#include "core/spill/foreign_journals.h"

#include <algorithm>
#include <charconv>

#include "core/spill/checked_text.h"

namespace spillway::core {

namespace {

constexpr std::size_t kLineBytesMax = 80;
constexpr std::size_t kFileBytesMax = (ForeignJournals::kJournalsMax + 1) * kLineBytesMax;
constexpr std::string_view kKey = "journal = ";
constexpr std::size_t kUuidBytes = 36;

std::optional<ForeignJournals::Ended> parse_line(std::string_view line) {
  if (!line.starts_with(kKey)) return std::nullopt;
  line.remove_prefix(kKey.size());
  if (line.size() < kUuidBytes + 2 || line[kUuidBytes] != ' ') return std::nullopt;
  const auto journal = Uuid::parse(line.substr(0, kUuidBytes));
  const std::string_view digits = line.substr(kUuidBytes + 1);
  std::uint64_t next = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), next);
  if (!journal || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return ForeignJournals::Ended{*journal, next};
}

}  // namespace

bool ForeignJournals::parse(std::string_view lines) {
  std::string_view line;
  while (take_line(lines, line)) {
    const auto ended = parse_line(line);
    if (!ended) return false;
    ended_.push_back(*ended);
  }
  return lines.empty();
}

Result<bool> ForeignJournals::load() {
  ended_.clear();
  const auto bytes = env::read_file(env_, path_, kFileBytesMax);
  if (!bytes && bytes.error().code != ErrorCode::kNotFound &&
      bytes.error().code != ErrorCode::kCorrupt) {
    return tl::unexpected(bytes.error());
  }
  if (!bytes) return false;
  const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  const auto lines = without_check(text);
  if (lines && parse(*lines)) return true;
  ended_.clear();
  return false;
}

Result<void> ForeignJournals::add(const Ended& ended) {
  std::erase_if(ended_, [&](const Ended& known) { return known.journal == ended.journal; });
  ended_.push_back(ended);
  if (ended_.size() > kJournalsMax) ended_.erase(ended_.begin());
  std::string lines;
  for (const Ended& known : ended_) {
    lines +=
        std::string(kKey) + known.journal.text() + " " + std::to_string(known.next_offset) + "\n";
  }
  const std::string text = with_check(lines);
  return env::replace_file(env_, path_, std::as_bytes(std::span(text)));
}

std::optional<std::uint64_t> ForeignJournals::end_of(const Uuid& journal) const {
  const auto found = std::find_if(ended_.rbegin(), ended_.rend(),
                                  [&](const Ended& known) { return known.journal == journal; });
  if (found == ended_.rend()) return std::nullopt;
  return found->next_offset;
}

}  // namespace spillway::core
