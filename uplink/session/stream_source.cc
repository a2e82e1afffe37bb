#include "uplink/session/stream_source.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include "spillway/core/format.h"

namespace spillway::uplink {

using core::Result;

namespace {

/// It may take the cursor later.
bool is_of_the_disk(const core::Error& error) {
  return error.code == core::ErrorCode::kReadOnly || error.code == core::ErrorCode::kFull ||
         error.code == core::ErrorCode::kIo;
}

bool is_same(const std::optional<core::CursorPosition>& a,
             const std::optional<core::CursorPosition>& b) {
  if (!a || !b) return !a && !b;
  return a->journal == b->journal && a->next_offset == b->next_offset;
}

}  // namespace

Result<std::unique_ptr<StreamSource>> StreamSource::open(core::env::Env& env,
                                                         const std::string& spill_dir,
                                                         const std::string& stream,
                                                         const std::string& uplink) {
  return open_in(env, spill_dir + "/" + stream, stream, uplink);
}

Result<std::unique_ptr<StreamSource>> StreamSource::open_foreign(core::env::Env& env,
                                                                 const core::ForeignPlace& place,
                                                                 const std::string& uplink) {
  SPILLWAY_TRY(source, open_in(env, place.directory, place.stream, uplink));
  // Without a segment nothing tells the reader what it reads.
  SPILLWAY_TRY(journals, source->journals());
  if (journals.empty()) {
    return core::fail(core::ErrorCode::kNotFound, "nothing is stored in " + place.directory);
  }
  source->origin_ = Origin{place.gateway, place.gateway_name};
  return std::move(source);
}

Result<std::unique_ptr<StreamSource>> StreamSource::open_in(core::env::Env& env,
                                                            const std::string& directory,
                                                            const std::string& stream,
                                                            const std::string& uplink) {
  // The reader first: it says whether the agent has been here, and nothing is made where it has
  // not.
  SPILLWAY_TRY(reader, core::StreamReader::open(env, directory));
  std::unique_ptr<StreamSource> source(
      new StreamSource(env, stream, directory, uplink, std::move(reader)));
  source->control_file_ = core::env::identify(source->control_path());
  if (auto opened = source->open_cursor(); !opened) {
    if (!is_of_the_disk(opened.error())) return tl::unexpected(std::move(opened).error());
    const auto known = core::Cursor::load(env, source->cursor_path());
    if (known) SPILLWAY_CHECKED(source->adopt(*known));
  }
  return source;
}

/// A cursor that was copied here from another spill names a journal that is still to come in this one, and
/// would stand above every position that is true.
Result<void> StreamSource::adopt(const std::optional<core::CursorPosition>& found) {
  if (position_ || !found) return {};
  SPILLWAY_TRY(held, reader_->journals());
  const bool is_foreign =
      !held.empty() &&
      (found->journal_sequence > held.back().sequence ||
       (found->journal_sequence == held.back().sequence && found->journal != held.back().journal));
  if (!is_foreign) position_ = found;
  return {};
}

Result<void> StreamSource::open_cursor() {
  SPILLWAY_TRY(cursor, core::Cursor::open_in(env_, directory_, uplink_));
  cursor_ = std::move(cursor);
  cursor_file_ = core::env::identify(cursor_path());
  SPILLWAY_CHECKED(adopt(cursor_->position()));
  unwritten_ = position_ && !is_same(position_, cursor_->position());
  return {};
}

/// A disk that answers nothing says nothing of that, either.
bool StreamSource::is_another(const std::string& path,
                              const std::optional<core::env::FileIdentity>& known) const {
  const auto found = core::env::identify(path);
  return found != known && (found || env_.exists(path).has_value());
}

bool StreamSource::moved() const {
  if (is_another(control_path(), control_file_)) return true;
  return cursor_ != nullptr && is_another(cursor_path(), cursor_file_);
}

Result<std::vector<core::JournalRange>> StreamSource::journals() { return reader_->journals(); }

std::optional<StreamSource::Published> StreamSource::published() {
  const auto page = reader_->control();
  if (!page) return std::nullopt;
  return Published{page->next_offset(), page->appended_bytes(), page->newest_segment(),
                   page->agent_pid()};
}

Result<std::optional<core::StreamItem>> StreamSource::next() {
  if (!origin_) return reader_->next();
  // Taken before the look: what comes behind it changes the page again.
  const auto now = published();
  if (now && now == dry_at_) return std::optional<core::StreamItem>();
  SPILLWAY_TRY(item, reader_->next());
  dry_at_ = item ? std::nullopt : now;
  return item;
}

Result<void> StreamSource::acknowledge(const core::CursorPosition& position) {
  if (position_ && std::tie(position_->journal_sequence, position_->next_offset) >=
                       std::tie(position.journal_sequence, position.next_offset)) {
    return {};
  }
  position_ = position;
  unwritten_ = cursor_ == nullptr || !cursor_->advance(position);
  return {};
}

namespace {

/// The record at `offset` of a data block; nothing if the block ends before it.
std::span<const std::byte> record_at(const core::Block& block, std::uint64_t offset) {
  core::FrameCursor frames(block.stored);
  core::FrameView frame;
  for (std::uint64_t at = block.header.base_offset(); frames.next(frame); ++at) {
    if (at == offset) return frame.record;
  }
  return {};
}

}  // namespace

/// In a foreign stream offsets alone do not say which record is meant.
Result<void> StreamSource::seek_record(core::StreamReader& reader, const core::Uuid& journal,
                                       std::uint64_t offset) const {
  if (!origin_) return reader.seek(offset);
  SPILLWAY_TRY(ranges, reader.journals());
  const auto found =
      std::find_if(ranges.begin(), ranges.end(),
                   [&](const core::JournalRange& range) { return range.journal == journal; });
  if (found == ranges.end()) return reader.seek(offset);
  return reader.seek_in(found->sequence, offset);
}

Result<core::DeadLetter> StreamSource::letter_of(core::StreamReader& reader,
                                                 const core::Uuid& journal,
                                                 const Verdict& verdict) const {
  core::DeadLetter letter;
  letter.journal = journal;
  letter.offset = verdict.offset;
  letter.reason = verdict.text;
  letter.refused_utc_ns = env_.utc_ns();
  std::map<std::uint64_t, format::LaneIdentity> lanes;
  SPILLWAY_CHECKED(seek_record(reader, journal, verdict.offset));
  while (true) {
    SPILLWAY_TRY(item, reader.next());
    const auto* block = item ? std::get_if<core::Block>(&*item) : nullptr;
    if (block == nullptr) return letter;
    const auto kind = static_cast<format::BlockKind>(block->header.kind());
    if (kind == format::BlockKind::lane &&
        block->stored.size() == sizeof(format::LaneDeclaration)) {
      format::LaneDeclaration declaration;
      std::memcpy(&declaration, block->stored.data(), sizeof(declaration));
      lanes[block->header.lane_id()] = declaration.identity();
    }
    if (kind != format::BlockKind::data) continue;
    if (origin_ && block->journal != journal) return letter;
    const auto lane = lanes.find(block->header.lane_id());
    if (lane != lanes.end()) {
      letter.topic = core::topic_of(lane->second);
      letter.schema_fingerprint = lane->second.schema_fingerprint();
    }
    const auto record = record_at(*block, verdict.offset);
    letter.record_bytes = record.size();
    const auto kept = record.first(std::min(record.size(), core::DeadLetters::kPayloadBytesMax));
    letter.payload.assign(kept.begin(), kept.end());
    return letter;
  }
}

Result<void> StreamSource::refuse(const Ack& ack) {
  if (!ack.verdicts.empty()) refused_.reason = ack.verdicts.front().text;
  refused_.kept_there += ack.dead;
  std::vector<core::DeadLetter> letters;
  std::unique_ptr<core::StreamReader> reader;  // its own: the session's stands where it sends
  for (const Verdict& verdict : ack.verdicts) {
    if (verdict.kept) continue;
    if (reader == nullptr) {
      SPILLWAY_TRY(opened, core::StreamReader::open(env_, directory_));
      reader = std::move(opened);
    }
    SPILLWAY_TRY(letter, letter_of(*reader, ack.journal, verdict));
    letters.push_back(std::move(letter));
  }
  if (letters.empty()) return {};
  SPILLWAY_TRY(added, core::DeadLetters(env_, directory_, uplink_).append(letters));
  refused_.kept_here += added;
  return {};
}

Result<void> StreamSource::write_cursor() {
  if (cursor_ == nullptr) SPILLWAY_CHECKED(open_cursor());
  if (unwritten_) SPILLWAY_CHECKED(cursor_->advance(*position_));
  unwritten_ = false;
  return {};
}

Result<void> StreamSource::sync_cursor() {
  SPILLWAY_CHECKED(write_cursor());
  return cursor_->sync();
}

Result<void> StreamSource::settle_cursor() {
  SPILLWAY_CHECKED(write_cursor());
  return cursor_->sync_to_disk();
}

}  // namespace spillway::uplink
