#include "spillway/core/dead_letters.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <set>
#include <string_view>
#include <thread>
#include <utility>

#include "core/format/checksum.h"
#include "core/spill/paths.h"

namespace spillway::core {

namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kHeadBytes = sizeof(format::DeadLetterHead);

void put(Bytes& into, std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  into.insert(into.end(), bytes.begin(), bytes.end());
}

std::uint64_t checksum_of(std::span<const std::byte> letter) { return xxh3(letter.subspan(8), 0); }

/// What a file holds, and where the next letter goes.
struct Scan {
  DeadLetters::Contents contents;
  std::uint64_t end = kPageBytes;
  std::uint64_t next_number = 1;
};

Result<void> read_header(std::span<const std::byte> file, const std::string& path, Scan& scan) {
  format::DeadLetterHeader header;
  if (file.size() < sizeof(header)) return {};
  std::memcpy(&header, file.data(), sizeof(header));
  if (header.magic() != kDeadMagic || header.checksum() != checksum_of(bytes_of(header))) return {};
  if (header.version() > kFormatVersion) {
    return fail(ErrorCode::kNewerVersion,
                path + " was written by a newer version of Spillway (format " +
                    std::to_string(header.version()) +
                    "): install that version or a later one; nothing was changed");
  }
  scan.next_number = std::max<std::uint64_t>(1, header.next_number());
  scan.contents.taken_out = header.taken_out();
  return {};
}

/// The letter at the front of `rest`; its bytes in the file, or 0 if there is none.
std::size_t read_letter(std::span<const std::byte> rest, std::uint64_t above, DeadLetter& letter) {
  format::DeadLetterHead head;
  if (rest.size() < kHeadBytes) return 0;
  std::memcpy(&head, rest.data(), sizeof(head));
  const std::size_t size =
      kHeadBytes + head.topic_size() + head.reason_size() + std::size_t{head.payload_size()};
  const bool bounded = head.number() > above && head.topic_size() <= DeadLetters::kTopicBytesMax &&
                       head.reason_size() <= DeadLetters::kReasonBytesMax &&
                       head.payload_size() <= DeadLetters::kPayloadBytesMax &&
                       head.payload_size() <= head.record_size() && size <= rest.size();
  if (!bounded || head.checksum() != checksum_of(rest.first(size))) return 0;
  const auto* text = reinterpret_cast<const char*>(rest.data()) + kHeadBytes;
  letter.number = head.number();
  letter.journal = uuid_of(*head.journal());
  letter.offset = head.offset();
  letter.refused_utc_ns = head.refused_utc_ns();
  letter.schema_fingerprint = head.schema_fingerprint();
  letter.topic.assign(text, head.topic_size());
  letter.reason.assign(text + head.topic_size(), head.reason_size());
  letter.record_bytes = head.record_size();
  const auto payload = rest.first(size).last(head.payload_size());
  letter.payload.assign(payload.begin(), payload.end());
  return size;
}

/// Invariant 4: page by page, whatever stands between the letters.
Result<Scan> scan_file(std::span<const std::byte> file, const std::string& path) {
  Scan scan;
  SPILLWAY_CHECKED(read_header(file, path, scan));
  std::uint64_t above = 0;
  for (std::size_t at = kPageBytes; at < file.size();) {
    DeadLetter letter;
    const std::size_t size = read_letter(file.subspan(at), above, letter);
    if (size == 0) {
      at += kPageBytes;
      continue;
    }
    // What is torn behind the last letter was never acknowledged: that is no damage.
    scan.contents.damaged_pages += (at - scan.end) / kPageBytes;
    at += static_cast<std::size_t>(round_up(size, kPageBytes));
    scan.end = at;
    above = letter.number;
    scan.contents.letters.push_back(std::move(letter));
  }
  scan.next_number = std::max(scan.next_number, above + 1);
  scan.contents.file_bytes = scan.end;
  return scan;
}

/// As it stands in the file, up to the next page.
Bytes bytes_of_letter(const DeadLetter& letter, std::uint64_t number) {
  const auto topic = std::string_view(letter.topic).substr(0, DeadLetters::kTopicBytesMax);
  const auto reason = std::string_view(letter.reason).substr(0, DeadLetters::kReasonBytesMax);
  const auto payload = std::span<const std::byte>(letter.payload)
                           .first(std::min(letter.payload.size(), DeadLetters::kPayloadBytesMax));
  format::DeadLetterHead head;
  head.mutate_number(number);
  head.mutate_offset(letter.offset);
  set_uuid(*head.mutable_journal(), letter.journal);
  head.mutate_refused_utc_ns(letter.refused_utc_ns);
  head.mutate_schema_fingerprint(letter.schema_fingerprint);
  head.mutate_record_size(static_cast<std::uint32_t>(letter.record_bytes));
  head.mutate_payload_size(static_cast<std::uint32_t>(payload.size()));
  head.mutate_topic_size(static_cast<std::uint16_t>(topic.size()));
  head.mutate_reason_size(static_cast<std::uint16_t>(reason.size()));
  Bytes bytes(kHeadBytes);
  put(bytes, topic);
  put(bytes, reason);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  std::memcpy(bytes.data(), &head, sizeof(head));
  head.mutate_checksum(checksum_of(bytes));
  std::memcpy(bytes.data(), &head, sizeof(head));
  bytes.resize(static_cast<std::size_t>(round_up(bytes.size(), kPageBytes)));
  return bytes;
}

Bytes bytes_of_header(std::uint64_t next_number, std::uint64_t taken_out) {
  format::DeadLetterHeader header;
  header.mutate_magic(kDeadMagic);
  header.mutate_version(kFormatVersion);
  header.mutate_next_number(next_number);
  header.mutate_taken_out(taken_out);
  header.mutate_checksum(checksum_of(bytes_of(header)));
  Bytes bytes(kPageBytes);
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

/// A file that is larger than the bound is somebody else's work: what stands beyond is not read.
Result<Bytes> read_all(const env::File& file) {
  SPILLWAY_TRY(size, file.size());
  Bytes bytes(static_cast<std::size_t>(std::min(size, DeadLetters::kFileBytesMax)));
  SPILLWAY_TRY(got, file.read(0, bytes));
  bytes.resize(got);
  return bytes;
}

}  // namespace

DeadLetters::DeadLetters(env::Env& env, const std::string& directory, const std::string& uplink,
                         int lock_wait_ms)
    : env_(env),
      path_(join(join(directory, kCursorsName), uplink) + ".dead"),
      lock_wait_ms_(lock_wait_ms) {}

Result<std::unique_ptr<env::File>> DeadLetters::lock() {
  SPILLWAY_CHECKED(env_.make_directories(folder_of(path_)));
  SPILLWAY_TRY(file, env_.open(path_ + ".lock", env::OpenMode::kOpenOrCreate));
  for (int waited_ms = 0; waited_ms <= lock_wait_ms_; ++waited_ms) {
    SPILLWAY_TRY(locked, file->try_lock());
    if (locked) return std::move(file);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return fail(ErrorCode::kBusy, "locking " + path_ +
                                    ": another command or uplink has been writing it for " +
                                    std::to_string(lock_wait_ms_) + " ms; try again");
}

Result<DeadLetters::Contents> DeadLetters::load() const {
  auto file = env_.open(path_, env::OpenMode::kRead);
  if (!file && file.error().code == ErrorCode::kNotFound) return Contents{};
  if (!file) return tl::unexpected(std::move(file).error());
  SPILLWAY_TRY(bytes, read_all(**file));
  SPILLWAY_TRY(scan, scan_file(bytes, path_));
  return std::move(scan.contents);
}

Result<std::uint64_t> DeadLetters::append(std::span<const DeadLetter> letters) {
  const auto held = lock();
  if (!held) return tl::unexpected(held.error());
  SPILLWAY_TRY(file, env_.open(path_, env::OpenMode::kOpenOrCreate));
  SPILLWAY_TRY(bytes, read_all(*file));
  SPILLWAY_TRY(scan, scan_file(bytes, path_));
  std::set<std::pair<Uuid, std::uint64_t>> known;
  for (const DeadLetter& letter : scan.contents.letters) {
    known.emplace(letter.journal, letter.offset);
  }
  Bytes added;
  std::uint64_t count = 0;
  for (const DeadLetter& letter : letters) {
    if (!known.emplace(letter.journal, letter.offset).second) continue;
    const Bytes one = bytes_of_letter(letter, scan.next_number + count);
    added.insert(added.end(), one.begin(), one.end());
    ++count;
  }
  if (scan.end + added.size() > kFileBytesMax) {
    return fail(ErrorCode::kFull, path_ + " is full of records that the far end refused (" +
                                      std::to_string(scan.contents.letters.size()) +
                                      "): look at them with `spillway dead list`, then drop or "
                                      "requeue some; the stream waits until then");
  }
  // What was read may be a killed writer's and unsynced: it is relied on from here, too.
  if (count != 0) {
    SPILLWAY_CHECKED(file->allocate(scan.end + added.size()));
    if (bytes.size() < kPageBytes) SPILLWAY_CHECKED(file->write(0, bytes_of_header(1, 0)));
    SPILLWAY_CHECKED(file->write(scan.end, added));
  }
  SPILLWAY_CHECKED(file->sync_data());
  SPILLWAY_CHECKED(env_.sync_directory(folder_of(path_)));
  return count;
}

Result<std::uint64_t> DeadLetters::drop(std::span<const std::uint64_t> numbers) {
  const auto held = lock();
  if (!held) return tl::unexpected(held.error());
  auto file = env_.open(path_, env::OpenMode::kRead);
  if (!file && file.error().code == ErrorCode::kNotFound) return std::uint64_t{0};
  if (!file) return tl::unexpected(std::move(file).error());
  SPILLWAY_TRY(bytes, read_all(**file));
  SPILLWAY_TRY(scan, scan_file(bytes, path_));
  const std::set<std::uint64_t> wanted(numbers.begin(), numbers.end());
  Bytes letters;
  std::uint64_t dropped = 0;
  for (const DeadLetter& letter : scan.contents.letters) {
    if (wanted.contains(letter.number)) {
      ++dropped;
      continue;
    }
    const Bytes one = bytes_of_letter(letter, letter.number);
    letters.insert(letters.end(), one.begin(), one.end());
  }
  if (dropped == 0) return dropped;
  Bytes whole = bytes_of_header(scan.next_number, scan.contents.taken_out + dropped);
  whole.insert(whole.end(), letters.begin(), letters.end());
  SPILLWAY_CHECKED(env::replace_file(env_, path_, whole));
  return dropped;
}

}  // namespace spillway::core
