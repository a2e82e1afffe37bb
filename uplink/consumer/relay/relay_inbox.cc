#include "uplink/consumer/relay/relay_inbox.h"

#include <algorithm>
#include <set>

#include "spillway/core/log.h"
#include "spillway/core/relay_directory.h"
#include "uplink/protocol/messages.h"

namespace spillway::consumer {

using core::ErrorCode;
using core::fail;
using core::Result;

Result<std::unique_ptr<RelayInbox>> RelayInbox::open(core::env::Env& env, RelayOptions options) {
  std::unique_ptr<RelayInbox> relay(new RelayInbox(env, std::move(options)));
  SPILLWAY_CHECKED(relay->start());
  return relay;
}

Result<void> RelayInbox::start() {
  SPILLWAY_CHECKED(env_.make_directories(options_.directory));
  SPILLWAY_CHECKED(take_lock());
  SPILLWAY_TRY(gateway, core::claim_gateway(env_, options_.directory, options_.machine_id));
  gateway_ = gateway;
  SPILLWAY_TRY(places, core::list_foreign_streams(env_, options_.directory));
  for (const core::ForeignPlace& place : places) {
    const StreamKey key{place.gateway, place.stream};
    // One that cannot be opened keeps no other from being served.
    if (auto opened = open_stream(key); !opened) {
      if (opened.error().code == ErrorCode::kNewerVersion) return tl::unexpected(opened.error());
      spdlog::error("{}", opened.error().message);
      streams_[key] = nullptr;
    }
  }
  return {};
}

Result<void> RelayInbox::take_lock() {
  const std::string path = options_.directory + "/lock";
  SPILLWAY_TRY(lock, env_.open(path, core::env::OpenMode::kOpenOrCreate));
  SPILLWAY_TRY(locked, lock->try_lock());
  if (!locked) {
    return fail(ErrorCode::kBusy, "another consumer relays into " + options_.directory +
                                      " (it holds " + path + "): end it first");
  }
  lock_ = std::move(lock);
  return {};
}

Result<core::ForeignStream*> RelayInbox::open_stream(const StreamKey& key) {
  core::ForeignOptions options;
  options.directory = core::foreign_directory(options_.directory, key.first, key.second);
  options.gateway = key.first;
  options.stream = key.second;
  options.segment_bytes = options_.segment_bytes;
  options.max_bytes = options_.stream_bytes;
  options.when_full = options_.when_full;
  options.max_age_ns = options_.max_age_ns;
  options.uplinks = options_.uplinks;
  options.make_room = [this](std::uint64_t bytes) { return make_room(bytes); };
  SPILLWAY_TRY(stream, core::ForeignStream::open(env_, std::move(options)));
  if (!stream->damage().empty()) {
    spdlog::warn("set aside as damaged, its origin is asked for it again: {}", stream->damage());
  }
  StreamPointer& kept = streams_[key];
  kept = std::move(stream);
  return kept.get();
}

/// Null if there is none.
Result<core::ForeignStream*> RelayInbox::find_stream(const StreamKey& key) {
  const auto found = streams_.find(key);
  if (found == streams_.end()) return nullptr;
  if (found->second != nullptr) return found->second.get();
  return open_stream(key);
}

Result<core::ForeignStream*> RelayInbox::make_stream(const StreamKey& key) {
  SPILLWAY_TRY(there, find_stream(key));
  if (there != nullptr) return there;
  SPILLWAY_CHECKED(core::note_origin(env_, options_.directory, key.first, told_[key].gateway_name));
  return open_stream(key);
}

Result<std::optional<StoredPosition>> RelayInbox::position(const InboxKey& key) {
  if (!core::is_foreign_stream_name(key.stream)) {
    return fail(ErrorCode::kInvalidArgument,
                "a stream whose name cannot be a directory's: \"" + key.stream + "\"");
  }
  const StreamKey stream_key{key.gateway, key.stream};
  SPILLWAY_TRY(stream, find_stream(stream_key));
  if (stream == nullptr && streams_.size() + told_.size() >= 2 * core::kForeignStreamsMax) {
    told_.clear();  // of sessions that never stored anything
  }
  if (stream == nullptr && streams_.size() >= core::kForeignStreamsMax) {
    return fail(ErrorCode::kFull, "the relay in " + options_.directory + " holds " +
                                      std::to_string(streams_.size()) +
                                      " streams, and takes no more of them");
  }
  Told& told = told_[stream_key];
  if (told.journals.size() >= uplink::kJournalsMax) told.journals.clear();
  told.journals[key.journal] = {key.journal, key.journal_sequence, key.journal_first_offset};
  const bool renamed = told.gateway_name != key.gateway_name;
  told.gateway_name = key.gateway_name;
  if (stream == nullptr) return std::optional<StoredPosition>();
  if (renamed) {
    SPILLWAY_CHECKED(core::note_origin(env_, options_.directory, key.gateway, key.gateway_name));
  }
  stream->begin_session();
  const auto next = stream->position(key.journal);
  if (!next) return std::optional<StoredPosition>();
  return std::optional(StoredPosition(*next));
}

void RelayInbox::commit(std::span<const InboxBatch> batches, std::vector<Result<void>>& outcomes) {
  outcomes.assign(batches.size(), {});
  std::set<StreamKey> touched;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    outcomes[i] = apply(batches[i]);
    touched.insert({batches[i].key.gateway, batches[i].key.stream});
  }
  std::map<StreamKey, core::Error> failed;
  for (const StreamKey& key : touched) {
    const auto found = streams_.find(key);
    if (found == streams_.end() || found->second == nullptr) continue;
    if (auto synced = found->second->sync(); !synced) {
      failed[key] = synced.error();
      found->second = nullptr;
    }
  }
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const auto found = failed.find({batches[i].key.gateway, batches[i].key.stream});
    if (found != failed.end() && outcomes[i]) outcomes[i] = tl::unexpected(found->second);
  }
}

Result<std::vector<InboxMark>> RelayInbox::marks(const std::string& source) {
  return fail(ErrorCode::kInvalidArgument, "source " + source + " needs an inbox in a database; " +
                                               options_.directory + " is a relay's");
}

Result<void> RelayInbox::apply(const InboxBatch& batch) {
  if (batch.loose) {
    return fail(ErrorCode::kInvalidArgument, "a relay takes no records out of their order");
  }
  const StreamKey key{batch.key.gateway, batch.key.stream};
  SPILLWAY_TRY(stream, make_stream(key));
  const Told& told = told_[key];
  const auto journal = told.journals.find(batch.key.journal);
  const auto stored = stream->position(batch.key.journal);
  const bool fits = stored ? *stored == batch.from : batch.begins;
  if (!fits || journal == told.journals.end()) {
    return fail(ErrorCode::kBusy,
                "stream " + batch.key.stream + " was moved on by another session");
  }
  auto appended = append_all(*stream, journal->second, batch);
  // Without room it stays as it is; after anything else it is not known what stands in it.
  if (!appended && appended.error().code != ErrorCode::kFull) streams_[key] = nullptr;
  return appended;
}

Result<void> RelayInbox::append_all(core::ForeignStream& stream,
                                    const core::ForeignJournal& journal, const InboxBatch& batch) {
  for (const InboxBlock& block : batch.blocks) {
    SPILLWAY_CHECKED(stream.append(journal, block.header, block.stored));
  }
  for (const InboxGap& gap : batch.gaps) {
    SPILLWAY_CHECKED(
        stream.append_gap(journal, gap.next_offset, static_cast<format::GapReason>(gap.reason)));
  }
  return {};
}

/// Before a stream takes so much more: within what all together may take.
Result<void> RelayInbox::make_room(std::uint64_t bytes) {
  const auto fits = [this, bytes] { return totals().held_bytes + bytes <= options_.max_bytes; };
  if (!fits()) upkeep();
  while (!fits()) {
    bool dropped = false;
    if (options_.when_full == core::WhenFull::kDropOldest) {
      SPILLWAY_TRY(any, drop_from_largest());
      dropped = any;
    }
    if (dropped) continue;
    return fail(ErrorCode::kFull, "the relay in " + options_.directory + " is at its max_bytes (" +
                                      std::to_string(options_.max_bytes) +
                                      "); it takes more when its uplinks have delivered");
  }
  return {};
}

/// The longest backlog pays: a gateway that sends little loses nothing for one that sends much.
Result<bool> RelayInbox::drop_from_largest() {
  std::vector<core::ForeignStream*> streams;
  for (const auto& [key, stream] : streams_) {
    if (stream != nullptr) streams.push_back(stream.get());
  }
  std::sort(streams.begin(), streams.end(),
            [](const auto* a, const auto* b) { return a->held_bytes() > b->held_bytes(); });
  for (core::ForeignStream* stream : streams) {
    SPILLWAY_TRY(dropped, stream->drop_oldest(format::GapReason::quota));
    if (dropped) return true;
  }
  return false;
}

void RelayInbox::upkeep() {
  std::string error;
  for (const auto& [key, stream] : streams_) {
    if (stream == nullptr) continue;
    if (auto collected = stream->collect(); !collected) error = collected.error().message;
  }
  if (!error.empty() && error != upkeep_error_)
    spdlog::warn("freeing what was delivered: {}", error);
  upkeep_error_ = error;
}

RelayTotals RelayInbox::totals() const {
  RelayTotals totals;
  for (const auto& [key, stream] : streams_) {
    ++totals.streams;
    if (stream == nullptr) continue;
    totals.held_bytes += stream->held_bytes();
    totals.dropped_records += stream->dropped_records();
  }
  return totals;
}

}  // namespace spillway::consumer
