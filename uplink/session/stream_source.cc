#include "uplink/session/stream_source.h"

#include <tuple>

namespace spillway::uplink {

using core::Result;

Result<std::unique_ptr<StreamSource>> StreamSource::open(core::env::Env& env,
                                                         const std::string& spill_dir,
                                                         const std::string& stream,
                                                         const std::string& uplink) {
  const std::string directory = spill_dir + "/" + stream;
  // The reader first: it says whether the agent has been here, and nothing is made where it has
  // not.
  SPILLWAY_TRY(reader, core::StreamReader::open(env, directory));
  SPILLWAY_TRY(cursor, core::Cursor::open_in(env, directory, uplink));
  return std::unique_ptr<StreamSource>(
      new StreamSource(stream, std::move(cursor), std::move(reader)));
}

Result<std::vector<core::JournalRange>> StreamSource::journals() { return reader_->journals(); }

Result<void> StreamSource::acknowledge(const core::CursorPosition& position) {
  const auto& held = cursor_->position();
  if (held && std::tie(held->journal_sequence, held->next_offset) >=
                  std::tie(position.journal_sequence, position.next_offset)) {
    return {};
  }
  return cursor_->advance(position);
}

Result<void> StreamSource::sync_cursor() { return cursor_->sync(); }

Result<void> StreamSource::settle_cursor() { return cursor_->sync_to_disk(); }

}  // namespace spillway::uplink
