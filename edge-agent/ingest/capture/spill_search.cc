#include "edge-agent/ingest/capture/spill_search.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "spillway/core/format.h"
#include "spillway/core/stream_reader.h"

namespace spillway::agent::capture {
namespace {

using core::Result;

/// One stream's search.
class Search {
 public:
  Search(const std::string& producer, std::uint64_t epoch, SpillFindings& findings)
      : producer_(producer), epoch_(epoch), findings_(findings) {}

  void take(const core::StreamItem& item) {
    if (std::holds_alternative<core::Gap>(item)) {
      findings_.complete = false;
      return;
    }
    const auto& block = std::get<core::Block>(item);
    const auto kind = static_cast<format::BlockKind>(block.header.kind());
    if (kind == format::BlockKind::lane) learn(block);
    if (kind == format::BlockKind::data) look(block);
  }

 private:
  void learn(const core::Block& block) {
    format::LaneDeclaration declaration;
    if (block.stored.size() != sizeof declaration) return;
    std::memcpy(&declaration, block.stored.data(), sizeof declaration);
    const auto& identity = declaration.identity();
    if (!core::check_lane_identity(identity) || core::producer_of(identity) != producer_) return;
    topics_[identity.lane_id()] = core::topic_of(identity);
  }

  void look(const core::Block& block) {
    const auto lane = topics_.find(block.header.lane_id());
    if (lane == topics_.end()) return;
    core::FrameCursor frames(block.stored);
    core::FrameView frame;
    for (std::uint64_t offset = block.header.base_offset(); frames.next(frame); ++offset) {
      if (offset >= block.skip_below) look(lane->second, frame.record);
    }
  }

  void look(const std::string& topic, std::span<const std::byte> record) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(record.data());
    flatbuffers::Verifier verifier(bytes, record.size());
    if (!change::VerifyChangeBuffer(verifier)) return;
    const change::Change& found = *change::GetChange(bytes);
    if (found.epoch() != epoch_) return;
    const Key key{found.position(), found.index(), found.part()};
    Key& last = findings_.last[topic];
    last = std::max(last, key);
  }

  const std::string& producer_;
  std::uint64_t epoch_;
  SpillFindings& findings_;
  std::unordered_map<std::uint64_t, std::string> topics_;  // by lane
};

const StreamMark* mark_of(const SavedPosition& saved, const std::string& stream) {
  const auto found = std::find_if(saved.marks.begin(), saved.marks.end(),
                                  [&](const StreamMark& mark) { return mark.stream == stream; });
  return found == saved.marks.end() ? nullptr : &*found;
}

/// Goes to the mark, or to the oldest record where the mark is of no history that is there.
Result<void> go_to_mark(core::StreamReader& reader, const StreamMark* mark,
                        SpillFindings& findings) {
  SPILLWAY_TRY(oldest, reader.oldest_offset());
  SPILLWAY_TRY(journals, reader.journals());
  if (mark == nullptr) {
    // From the beginning of everything: what was freed may have been ours.
    findings.complete = findings.complete && oldest == 0;
    return reader.seek(oldest);
  }
  const bool known =
      std::any_of(journals.begin(), journals.end(),
                  [&](const core::JournalRange& range) { return range.journal == mark->journal; });
  if (!known || oldest > mark->offset) {
    // Nothing may have come since the mark: then nothing is missing.
    const bool nothing_since =
        !journals.empty() && journals.back().next_offset == mark->offset && known;
    findings.complete = findings.complete && nothing_since;
    return reader.seek(oldest);
  }
  return reader.seek(mark->offset);
}

Result<void> search_stream(core::env::Env& env, const std::string& directory,
                           const StreamMark* mark, Search& search, SpillFindings& findings) {
  auto reader = core::StreamReader::open(env, directory);
  if (!reader && reader.error().code == core::ErrorCode::kNotFound) {
    findings.complete = findings.complete && mark == nullptr;
    return {};
  }
  if (!reader) return tl::unexpected(std::move(reader).error());
  if (!(*reader)->control()) {
    return core::fail(core::ErrorCode::kUnavailable,
                      "the agent has not opened " + directory + " since this machine was started");
  }
  SPILLWAY_CHECKED(go_to_mark(**reader, mark, findings));
  while (true) {
    SPILLWAY_TRY(item, (*reader)->next());
    if (!item) return {};
    search.take(*item);
  }
}

}  // namespace

Result<SpillFindings> search_spill(core::env::Env& env, const core::Config& config,
                                   const std::string& producer, const SavedPosition& saved) {
  SpillFindings findings;
  // What stands in a stream that is configured no more is found by nobody.
  findings.complete =
      std::all_of(saved.marks.begin(), saved.marks.end(), [&](const StreamMark& mark) {
        return std::any_of(config.streams.begin(), config.streams.end(),
                           [&](const auto& stream) { return stream.name == mark.stream; });
      });
  for (const auto& stream : config.streams) {
    Search search(producer, saved.epoch, findings);
    SPILLWAY_CHECKED(search_stream(env, config.gateway.spill_dir + "/" + stream.name,
                                   mark_of(saved, stream.name), search, findings));
  }
  return findings;
}

std::vector<StreamMark> mark_streams(core::env::Env& env, const core::Config& config) {
  std::vector<StreamMark> marks;
  for (const auto& stream : config.streams) {
    const auto reader = core::StreamReader::open(env, config.gateway.spill_dir + "/" + stream.name);
    const auto control = reader ? (*reader)->control() : std::nullopt;
    if (!control) continue;
    const auto journals = (*reader)->journals();
    if (!journals || journals->empty()) continue;
    // What is not power-safe may be gone after a power cut, and others' records take its offsets.
    marks.push_back({stream.name, journals->back().journal, control->durable_offset()});
  }
  return marks;
}

}  // namespace spillway::agent::capture
