// How a lane's schema comes into its stream, so that the spill explains its records: from what we
// build in, or from what its producer left in the queue. It is never a reason not to drain a lane.
#include <set>

#include "edge-agent/drain/drain.h"
#include "edge-agent/schemas/builtin_schemas.h"
#include "spillway/core/schema.h"

namespace spillway::agent {

namespace {

/// Those that were warned about are forgotten beyond this, and warned about once more.
constexpr std::size_t kWarnedMax = 1024;

std::string advice(const std::string& why) {
  return why +
         "; its records are kept, but whoever prints them must have the schema (tail --schema)";
}

}  // namespace

/// Before the lane's first data goes into the stream.
void Drain::explain(Lane& lane, StreamState& state) {
  const std::uint64_t fingerprint = lane.reader->identity().schema_fingerprint();
  lane.explained = true;
  if (fingerprint == 0 || state.stream->has_schema(fingerprint)) return;
  const auto* builtin = find_builtin_schema(fingerprint);
  std::vector<std::byte> left;
  if (builtin == nullptr) {
    auto found = find_left_schema(fingerprint);
    if (!found) {
      warn_of_schema(lane, fingerprint, found.error().message);
      return;
    }
    left = std::move(*found);
  }
  const auto added =
      state.stream->add_schema(fingerprint, builtin != nullptr ? builtin->bfbs : left);
  if (added) return;
  if (added.error().code == core::ErrorCode::kInvalidArgument) {
    warn_of_schema(lane, fingerprint, added.error().message);
  } else {
    // No room on the disk, or none that works: append will say the same, and all is tried again.
    lane.explained = false;
  }
}

/// What a producer left, once it is known to be what its name says.
core::Result<std::vector<std::byte>> Drain::find_left_schema(std::uint64_t fingerprint) {
  auto bytes = source_.read_schema(fingerprint);
  if (!bytes) {
    if (bytes.error().code == core::ErrorCode::kCorrupt) source_.remove_schema(fingerprint);
    if (bytes.error().code != core::ErrorCode::kNotFound) return bytes;
    return core::fail(core::ErrorCode::kNotFound, "nobody left it in the queue's schemas/");
  }
  core::Result<void> sound;
  if (core::schema_fingerprint(*bytes) != fingerprint) {
    sound = core::fail(core::ErrorCode::kCorrupt, "what stands under its name is something else");
  } else {
    sound = core::check_schema(*bytes);
  }
  if (sound) return bytes;
  // Or no good one could take the place: the next producer that opens leaves it again.
  source_.remove_schema(fingerprint);
  return tl::unexpected(sound.error());
}

void Drain::warn_of_schema(const Lane& lane, std::uint64_t fingerprint, const std::string& why) {
  if (warned_schemas_.size() >= kWarnedMax) warned_schemas_.clear();
  if (!warned_schemas_.insert(fingerprint).second) return;
  options_.log(Severity::kWarning, "lane " + lane.path + " (" + lane.topic + "): its schema " +
                                       core::fingerprint_text(fingerprint) +
                                       " does not go into the spill: " + advice(why));
}

void Drain::tidy_schemas(const Now& now) {
  if (now.boottime_ns < tidy_schemas_at_ns_) return;
  tidy_schemas_at_ns_ = now.boottime_ns + options_.tidy_schemas_interval_ns;
  std::set<std::uint64_t> named;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    named.insert(lanes_.at(i).reader->identity().schema_fingerprint());
  }
  source_.tidy_schemas(named);
}

}  // namespace spillway::agent
