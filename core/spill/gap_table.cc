#include "spillway/core/gap_table.h"

#include <algorithm>
#include <cstring>

#include "core/format/checksum.h"
#include "core/spill/paths.h"

namespace spillway::core {

namespace {

constexpr std::size_t kEntryBytes = sizeof(format::GapEntry);
constexpr std::uint64_t kTableBytes =
    kPageBytes + std::uint64_t{GapTable::kEntriesMax} * kEntryBytes;
constexpr std::uint64_t kFileBytes = 2 * kTableBytes;

std::uint64_t checksum_of(const format::GapTableHeader& header,
                          std::span<const std::byte> entries) {
  return xxh3(bytes_of(header).subspan(24), entries, 0);
}

struct Table {
  std::uint64_t sequence = 0;
  std::vector<Gap> gaps;
};

Gap gap_of(std::span<const std::byte> bytes) {
  format::GapEntry entry;
  std::memcpy(&entry, bytes.data(), sizeof(entry));
  return {entry.first_offset(), entry.next_offset(), static_cast<format::GapReason>(entry.reason()),
          entry.recorded_utc_ns()};
}

/// Nothing if the table is not valid.
Result<std::optional<Table>> read_table(const env::File& file, std::uint64_t index) {
  const std::optional<Table> none;
  std::vector<std::byte> bytes(static_cast<std::size_t>(kTableBytes));
  SPILLWAY_TRY(got, file.read(index * kTableBytes, bytes));
  format::GapTableHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (got < sizeof(header) || header.magic() != kGapMagic || header.version() != kFormatVersion) {
    return none;
  }
  if (header.count() > GapTable::kEntriesMax) return none;
  const std::size_t size = static_cast<std::size_t>(header.count()) * kEntryBytes;
  if (got < kPageBytes + size) return none;
  const std::span<const std::byte> entries(bytes.data() + kPageBytes, size);
  if (header.checksum() != checksum_of(header, entries)) return none;
  Table table;
  table.sequence = header.sequence();
  for (std::size_t at = 0; at < size; at += kEntryBytes) {
    table.gaps.push_back(gap_of(entries.subspan(at, kEntryBytes)));
  }
  return std::optional<Table>(std::move(table));
}

Result<Table> read_newest(const env::File& file) {
  Table newest;
  for (std::uint64_t index = 0; index < 2; ++index) {
    SPILLWAY_TRY(table, read_table(file, index));
    if (table && table->sequence > newest.sequence) newest = std::move(*table);
  }
  return newest;
}

/// Adds what `gap` covers and nothing else covered yet, keeps the order, merges neighbours.
void insert(std::vector<Gap>& gaps, const Gap& gap) {
  std::vector<Gap> parts;
  std::uint64_t at = gap.first_offset;
  for (const Gap& known : gaps) {
    if (known.next_offset <= at || known.first_offset >= gap.next_offset) continue;
    if (known.first_offset > at) {
      parts.push_back({at, known.first_offset, gap.reason, gap.recorded_utc_ns});
    }
    at = known.next_offset;
  }
  if (at < gap.next_offset) parts.push_back({at, gap.next_offset, gap.reason, gap.recorded_utc_ns});
  gaps.insert(gaps.end(), parts.begin(), parts.end());
  std::sort(gaps.begin(), gaps.end(),
            [](const Gap& a, const Gap& b) { return a.first_offset < b.first_offset; });
  std::vector<Gap> merged;
  for (const Gap& next : gaps) {
    if (!merged.empty() && merged.back().reason == next.reason &&
        merged.back().next_offset == next.first_offset) {
      merged.back().next_offset = next.next_offset;
      merged.back().recorded_utc_ns = next.recorded_utc_ns;
    } else {
      merged.push_back(next);
    }
  }
  while (merged.size() > GapTable::kEntriesMax) {
    if (merged[1].reason != merged[0].reason) merged[1].reason = format::GapReason::damage;
    merged[1].first_offset = merged[0].first_offset;
    merged.erase(merged.begin());
  }
  gaps = std::move(merged);
}

class FileGapTable final : public GapTable {
 public:
  FileGapTable(env::Env& env, std::unique_ptr<env::File> file, Table table)
      : env_(env), file_(std::move(file)), table_(std::move(table)) {}

  const std::vector<Gap>& all() const override { return table_.gaps; }

  Result<void> record(const Gap& gap) override {
    if (gap.first_offset >= gap.next_offset) return {};
    Table next{table_.sequence + 1, table_.gaps};
    insert(next.gaps, gap);
    const std::vector<std::byte> bytes = encode(next);
    SPILLWAY_CHECKED(file_->write(next.sequence % 2 * kTableBytes, bytes));
    SPILLWAY_CHECKED(file_->sync_data());
    table_ = std::move(next);
    return {};
  }

 private:
  [[nodiscard]] std::vector<std::byte> encode(const Table& table) {
    std::vector<std::byte> bytes(kPageBytes + table.gaps.size() * kEntryBytes);
    std::size_t at = kPageBytes;
    std::uint64_t number = 0;
    for (const Gap& gap : table.gaps) {
      format::GapEntry entry;
      entry.mutate_sequence(++number);
      entry.mutate_first_offset(gap.first_offset);
      entry.mutate_next_offset(gap.next_offset);
      entry.mutate_count(gap.count());
      entry.mutate_recorded_boottime_ns(env_.boottime_ns());
      entry.mutate_recorded_utc_ns(gap.recorded_utc_ns);
      entry.mutate_reason(static_cast<std::uint8_t>(gap.reason));
      entry.mutate_checksum(xxh3(bytes_of(entry).subspan(8), 0));
      std::memcpy(bytes.data() + at, &entry, kEntryBytes);
      at += kEntryBytes;
    }
    format::GapTableHeader header;
    header.mutate_magic(kGapMagic);
    header.mutate_version(kFormatVersion);
    header.mutate_capacity(kEntriesMax);
    header.mutate_sequence(table.sequence);
    header.mutate_count(table.gaps.size());
    header.mutate_checksum(
        checksum_of(header, std::span<const std::byte>(bytes).subspan(kPageBytes)));
    std::memcpy(bytes.data(), &header, sizeof(header));
    return bytes;
  }

  env::Env& env_;
  std::unique_ptr<env::File> file_;
  Table table_;
};

}  // namespace

std::string_view name_of(format::GapReason reason) {
  switch (reason) {
    case format::GapReason::none:
      return "not held";
    case format::GapReason::quota:
      return "quota";
    case format::GapReason::age:
      return "age";
    case format::GapReason::damage:
      return "damage";
    case format::GapReason::io_error:
      return "io-error";
    case format::GapReason::rolled_back:
      return "rolled-back";
    case format::GapReason::refused:
      return "refused";
  }
  return "unknown";
}

bool cover(const std::vector<Gap>& gaps, std::uint64_t first, std::uint64_t next) {
  for (const Gap& gap : gaps) {
    if (gap.first_offset <= first && first < gap.next_offset) first = gap.next_offset;
  }
  return first >= next;
}

Result<std::unique_ptr<GapTable>> GapTable::open(env::Env& env, const std::string& path) {
  SPILLWAY_TRY(file, env.open(path, env::OpenMode::kOpenOrCreate));
  SPILLWAY_TRY(table, read_newest(*file));
  SPILLWAY_TRY(size, file->size());
  if (size < kFileBytes) {
    SPILLWAY_CHECKED(file->allocate(kFileBytes));
    SPILLWAY_CHECKED(file->sync_data());
    SPILLWAY_CHECKED(env.sync_directory(folder_of(path)));
  } else {
    // The next record overwrites the older table: the newer one, perhaps of a killed writer, must
    // be safe by then.
    SPILLWAY_CHECKED(file->sync_data());
  }
  return std::unique_ptr<GapTable>(
      std::make_unique<FileGapTable>(env, std::move(file), std::move(table)));
}

Result<std::vector<Gap>> GapTable::load(env::Env& env, const std::string& path) {
  auto file = env.open(path, env::OpenMode::kRead);
  if (!file && file.error().code == ErrorCode::kNotFound) return std::vector<Gap>{};
  if (!file) return tl::unexpected(std::move(file).error());
  SPILLWAY_TRY(table, read_newest(**file));
  return std::move(table.gaps);
}

}  // namespace spillway::core
