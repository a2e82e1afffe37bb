// The native link's messages as plain structs, and the one way in and out of their bytes
// (protocol.fbs).
//
// Pure functions, any thread, no I/O. Shared by both ends: uplink/session and
// uplink/consumer/session.
//
// Invariants:
//  1. decode() trusts nothing: it verifies the buffer with bounded depth, table count and size
//     before it reads a field, and checks every bound below. What it hands out points into the
//     caller's bytes.
//  2. Text from a peer is made printable and cut to kTextBytesMax, so that it can stand in a log
//     line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "spillway/core/result.h"
#include "spillway/core/stream_reader.h"
#include "spillway/core/uuid.h"

namespace spillway::uplink {

using Bytes = std::vector<std::byte>;

inline constexpr std::string_view kSubprotocol = "spillway.v1";
inline constexpr std::uint16_t kProtocolVersion = 1;
/// No WebSocket message is larger: the largest record, its block, and room for declarations beside
/// it.
inline constexpr std::size_t kMessageBytesMax = 40U * 1024 * 1024;
/// Blocks messages are filled up to this; only a single block that is larger by itself may stand
/// over.
inline constexpr std::size_t kMessageBytesTarget = 256U * 1024;
/// What the compressed blocks of one message decode to, at most: so much memory a peer can ask for
/// with few bytes. Messages are filled up to the target by what their blocks decode to.
inline constexpr std::size_t kDecodedBytesPerMessageMax = 4 * kMessageBytesTarget;
/// Control messages (all but Blocks) are no larger.
inline constexpr std::size_t kControlBytesMax = 1024U * 1024;
/// The short forms of Blocks and Ack that this build knows.
inline constexpr std::uint8_t kShortForm = 1;
/// The content of a short message, and what it stands for, are no larger; what is goes as Blocks.
inline constexpr std::size_t kShortBytesMax = kDecodedBytesPerMessageMax;
/// Of one stream the consumer keeps this many dictionaries, the latest ones.
inline constexpr std::size_t kDictionariesOfStreamMax = 2;
/// A relay's session names the streams of all gateways behind it.
inline constexpr std::size_t kStreamsMax = 4096;
inline constexpr std::size_t kJournalsMax = 4096;
/// Streams and journals that one Hello names, at most; what is more, the next session's does.
inline constexpr std::size_t kHeldMax = 16'000;
inline constexpr std::size_t kNameBytesMax = 255;
inline constexpr std::size_t kTextBytesMax = 500;
/// Verdicts in one Ack, at most.
inline constexpr std::size_t kVerdictsMax = 1024;
/// Of those on records that the far end keeps, the first ones are enough: dead letters are looked at
/// there.
inline constexpr std::size_t kVerdictsPerAck = 4;
/// No far end may send an uplink away for longer.
inline constexpr std::uint64_t kRetryAfterMsMax = 600'000;
/// Offsets stay below this, so that sums cannot wrap and every database can hold them.
inline constexpr std::uint64_t kOffsetLimit = 1ULL << 62;

struct HeldStream {
  std::string name;
  std::uint64_t oldest_offset = 0;
  std::vector<core::JournalRange> journals;  // ascending
  core::Uuid gateway{};                      // whose it is; nil: the Hello's
  std::string gateway_name{};                // of that gateway, if it is another one
};

struct Hello {
  std::uint16_t version = kProtocolVersion;
  core::Uuid gateway;
  std::string gateway_name;
  std::string uplink;
  std::vector<HeldStream> streams;
  bool zstd = false;            // blocks may be stored with it
  std::uint8_t short_form = 0;  // the version that this end may use; 0: none
};

struct WantedJournal {
  core::Uuid journal;
  std::uint64_t next_offset = 0;
  std::uint64_t last_record = 0;  // core::record_checksum of the one below; 0: not known
};

struct WantedStream {
  std::uint16_t stream = 0;
  std::vector<WantedJournal> journals;
  std::vector<std::uint64_t> dictionaries = {};  // core::content_checksum of those that are known
};

struct Welcome {
  std::uint16_t version = kProtocolVersion;
  std::uint64_t window_bytes = 0;
  std::vector<WantedStream> streams;
  bool zstd = false;            // and may be sent so; else they are decoded first
  std::uint8_t short_form = 0;  // the version that both ends know; 0: none
};

struct RunView {
  std::uint64_t salt = 0;
  std::span<const std::byte> blocks;
};

struct Blocks {
  std::uint16_t stream = 0;
  core::Uuid journal;
  std::vector<RunView> runs;
};

struct GapMessage {
  std::uint16_t stream = 0;
  core::Uuid journal;
  std::uint64_t first_offset = 0;
  std::uint64_t next_offset = 0;
  std::uint8_t reason = 0;
};

/// Good for the short messages of its stream from then on. Points into the caller's bytes.
struct DictionaryMessage {
  std::uint16_t stream = 0;
  std::span<const std::byte> bytes;
};

/// A Blocks message in its short form, still to be unpacked (message_unpacker.h).
struct ShortBlocks {
  std::uint16_t stream = 0;
  bool compressed = false;
  std::uint32_t checksum = 0;          // the lower half of the content's content_checksum
  std::span<const std::byte> content;  // or, compressed, its zstd frame without the magic number
};

/// An Ack that names its journal by the place in Hello's list.
struct ShortAck {
  std::uint16_t stream = 0;
  std::size_t journal = 0;
  std::uint64_t next_offset = 0;
};

/// Why one record could not be applied.
struct Verdict {
  std::uint64_t offset = 0;
  std::string text;
  bool kept = false;  // by the far end, as a dead letter; else it is this end's to keep
};

struct Ack {
  std::uint16_t stream = 0;
  core::Uuid journal;
  std::uint64_t next_offset = 0;
  std::uint64_t dead = 0;  // so many of them the far end keeps as dead letters
  std::vector<Verdict> verdicts = {};
};

/// The values are those of protocol.fbs.
enum class RefusalCode : std::uint8_t {
  kNone,
  kProtocol,
  kUnavailable,
  kFenced,
  kRolledBack,
  kVersion,
  kNotAllowed
};

struct Refusal {
  RefusalCode code = RefusalCode::kNone;
  std::string text;
  std::uint64_t retry_after_ms = 0;  // not to come back sooner
};

using Message = std::variant<Hello, Welcome, Blocks, GapMessage, Ack, Refusal, DictionaryMessage,
                             ShortBlocks, ShortAck>;

[[nodiscard]] Bytes encode(const Hello& hello);
[[nodiscard]] Bytes encode(const Welcome& welcome);
[[nodiscard]] Bytes encode(const Blocks& blocks);
[[nodiscard]] Bytes encode(const GapMessage& gap);
[[nodiscard]] Bytes encode(const Ack& ack);
[[nodiscard]] Bytes encode(const Refusal& refusal);
[[nodiscard]] Bytes encode(const DictionaryMessage& dictionary);
[[nodiscard]] Bytes encode(const ShortBlocks& blocks);
[[nodiscard]] Bytes encode(const ShortAck& ack);

/// kProtocol with the rule that is broken. `bytes` must be 8-byte aligned (the heap's are) and
/// outlive what points into them.
[[nodiscard]] core::Result<Message> decode(std::span<const std::byte> bytes);

/// A peer's text for a log line: control characters replaced, cut to kTextBytesMax.
[[nodiscard]] std::string printable(std::string_view text);

/// An Error of this end as the code and text that the peer is told.
[[nodiscard]] Refusal refusal_of(const core::Error& error);

}  // namespace spillway::uplink
