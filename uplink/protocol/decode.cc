#include <algorithm>
#include <cstring>
#include <optional>

#include "spillway/core/format.h"
#include "spillway/uplink/protocol_generated.h"
#include "uplink/protocol/messages.h"
#include "uplink/protocol/short_tag.h"
#include "uplink/protocol/varint.h"

namespace spillway::uplink {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;

constexpr flatbuffers::uoffset_t kDepthMax = 8;
// Root, body, and for a Hello its streams and their journals; for Blocks one table a segment.
constexpr flatbuffers::uoffset_t kTablesMax = 20'000;

core::Uuid uuid_from(const protocol::Id& id) {
  core::Uuid uuid;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&id);
  std::copy(bytes, bytes + uuid.bytes.size(), uuid.bytes.begin());
  return uuid;
}

/// The verifier has not looked at the alignment of a vector's elements, and 32-bit ARM minds it.
std::uint64_t number_at(const flatbuffers::Vector<std::uint64_t>& numbers, std::size_t index) {
  std::uint64_t number = 0;
  std::memcpy(&number, numbers.Data() + index * sizeof(number), sizeof(number));
  return flatbuffers::EndianScalar(number);
}

Result<std::string> name_from(const flatbuffers::String& text, std::string_view what) {
  const std::string_view name(text.c_str(), text.size());
  if (name.size() > kNameBytesMax || printable(name) != name) {
    return fail(ErrorCode::kProtocol,
                "the peer's " + std::string(what) + " is too long or not printable text");
  }
  return std::string(name);
}

Result<void> check_offsets(std::uint64_t first, std::uint64_t next, std::string_view what) {
  if (first <= next && next < kOffsetLimit) return {};
  return fail(ErrorCode::kProtocol, std::string(what) + " with an impossible range of offsets, " +
                                        std::to_string(first) + " to " + std::to_string(next));
}

Result<HeldStream> held_from(const protocol::HeldStream& table) {
  HeldStream stream;
  SPILLWAY_TRY(name, name_from(*table.name(), "stream name"));
  stream.name = std::move(name);
  stream.oldest_offset = table.oldest_offset();
  if (table.journals()->size() > kJournalsMax) {
    return fail(ErrorCode::kProtocol, "Hello with too many journals");
  }
  for (const protocol::HeldJournal* journal : *table.journals()) {
    SPILLWAY_CHECKED(check_offsets(journal->first_offset(), journal->next_offset(), "Hello"));
    stream.journals.push_back({uuid_from(*journal->journal()), journal->sequence(),
                               journal->first_offset(), journal->next_offset()});
  }
  if (table.gateway() != nullptr) stream.gateway = uuid_from(*table.gateway());
  if (table.gateway_name() != nullptr) {
    SPILLWAY_TRY(gateway_name, name_from(*table.gateway_name(), "gateway name"));
    stream.gateway_name = std::move(gateway_name);
  }
  return stream;
}

/// What a peer does not know of it does not name.
bool names_zstd(const flatbuffers::Vector<std::uint8_t>* codecs) {
  return codecs != nullptr &&
         std::find(codecs->begin(), codecs->end(),
                   static_cast<std::uint8_t>(format::Codec::zstd)) != codecs->end();
}

Result<Message> read(const protocol::Hello& table) {
  Hello hello;
  hello.version = table.version();
  hello.gateway = uuid_from(*table.gateway());
  SPILLWAY_TRY(gateway_name, name_from(*table.gateway_name(), "gateway name"));
  hello.gateway_name = std::move(gateway_name);
  SPILLWAY_TRY(uplink, name_from(*table.uplink(), "uplink name"));
  hello.uplink = std::move(uplink);
  if (table.streams()->size() > kStreamsMax) {
    return fail(ErrorCode::kProtocol, "Hello with too many streams");
  }
  for (const protocol::HeldStream* stream : *table.streams()) {
    SPILLWAY_TRY(held, held_from(*stream));
    hello.streams.push_back(std::move(held));
  }
  hello.zstd = names_zstd(table.codecs());
  hello.short_form = table.short_form();
  return hello;
}

Result<Message> read(const protocol::Welcome& table) {
  Welcome welcome;
  welcome.version = table.version();
  welcome.window_bytes = table.window_bytes();
  if (table.streams()->size() > kStreamsMax) {
    return fail(ErrorCode::kProtocol, "Welcome with too many streams");
  }
  for (const protocol::WantedStream* stream : *table.streams()) {
    WantedStream wanted;
    wanted.stream = stream->stream();
    if (stream->journals()->size() > kJournalsMax) {
      return fail(ErrorCode::kProtocol, "Welcome with too many journals");
    }
    for (const protocol::WantedJournal* journal : *stream->journals()) {
      SPILLWAY_CHECKED(check_offsets(0, journal->next_offset(), "Welcome"));
      wanted.journals.push_back(
          {uuid_from(*journal->journal()), journal->next_offset(), journal->last_record()});
    }
    if (const auto* known = stream->dictionaries(); known != nullptr) {
      const std::size_t count = std::min<std::size_t>(known->size(), kDictionariesOfStreamMax);
      for (std::size_t i = 0; i < count; ++i) {
        wanted.dictionaries.push_back(number_at(*known, i));
      }
    }
    welcome.streams.push_back(std::move(wanted));
  }
  welcome.zstd = names_zstd(table.codecs());
  welcome.short_form = table.short_form();
  return welcome;
}

Result<Message> read(const protocol::Blocks& table) {
  Blocks blocks;
  blocks.stream = table.stream();
  blocks.journal = uuid_from(*table.journal());
  blocks.runs.reserve(table.runs()->size());
  for (const protocol::Run* run : *table.runs()) {
    const auto* data = reinterpret_cast<const std::byte*>(run->blocks()->data());
    blocks.runs.push_back({run->salt(), {data, run->blocks()->size()}});
  }
  return blocks;
}

Result<Message> read(const protocol::Gap& table) {
  GapMessage gap;
  gap.stream = table.stream();
  gap.journal = uuid_from(*table.journal());
  gap.first_offset = table.first_offset();
  gap.next_offset = table.next_offset();
  gap.reason = table.reason();
  SPILLWAY_CHECKED(check_offsets(gap.first_offset, gap.next_offset, "Gap"));
  if (table.count() != gap.next_offset - gap.first_offset) {
    return fail(ErrorCode::kProtocol, "Gap whose count does not fit its range");
  }
  return gap;
}

Result<Message> read(const protocol::Ack& table) {
  Ack ack;
  ack.stream = table.stream();
  ack.journal = uuid_from(*table.journal());
  ack.next_offset = table.next_offset();
  SPILLWAY_CHECKED(check_offsets(0, ack.next_offset, "Ack"));
  if (table.durability() != protocol::Durability::delivered) {
    return fail(ErrorCode::kProtocol, "Ack with a durability other than delivered");
  }
  ack.dead = table.dead();
  if (table.verdicts() == nullptr) return ack;
  if (table.verdicts()->size() > kVerdictsMax) {
    return fail(ErrorCode::kProtocol, "Ack with too many verdicts");
  }
  for (const protocol::Verdict* verdict : *table.verdicts()) {
    if (verdict->offset() >= ack.next_offset) {
      return fail(ErrorCode::kProtocol, "Ack with a verdict on what it does not acknowledge");
    }
    ack.verdicts.push_back({verdict->offset(),
                            printable({verdict->text()->c_str(), verdict->text()->size()}),
                            verdict->kept()});
  }
  return ack;
}

Result<Message> read(const protocol::Refusal& table) {
  Refusal refusal;
  if (table.code() <= protocol::RefusalCode::MAX) {
    refusal.code = static_cast<RefusalCode>(table.code());
  }
  refusal.text = printable({table.text()->c_str(), table.text()->size()});
  refusal.retry_after_ms = std::min(table.retry_after_ms(), kRetryAfterMsMax);
  return refusal;
}

Result<Message> read(const protocol::Dictionary& table) {
  const auto* data = reinterpret_cast<const std::byte*>(table.bytes()->data());
  return DictionaryMessage{table.stream(), {data, table.bytes()->size()}};
}

tl::unexpected<core::Error> bad_short(std::string_view what) {
  return fail(ErrorCode::kProtocol,
              "a short " + std::string(what) + " that is cut off or impossible");
}

Result<Message> read_short_blocks(std::span<const std::byte> bytes, bool compressed) {
  VarintReader reader(bytes);
  ShortBlocks blocks;
  const std::uint64_t stream = reader.next();
  const auto checksum = reader.take(sizeof blocks.checksum);
  if (!reader.good() || stream >= kStreamsMax) return bad_short("message");
  blocks.stream = static_cast<std::uint16_t>(stream);
  blocks.compressed = compressed;
  std::memcpy(&blocks.checksum, checksum.data(), checksum.size());
  blocks.content = reader.rest();
  return blocks;
}

Result<Message> read_short_ack(std::span<const std::byte> bytes) {
  VarintReader reader(bytes);
  const std::uint64_t stream = reader.next();
  const std::uint64_t journal = reader.next();
  const std::uint64_t next = reader.next();
  const bool possible = stream < kStreamsMax && journal < kJournalsMax && next < kOffsetLimit;
  if (!reader.good() || !reader.rest().empty() || !possible) return bad_short("acknowledgement");
  return ShortAck{static_cast<std::uint16_t>(stream), static_cast<std::size_t>(journal), next};
}

Result<Message> read_short(std::span<const std::byte> bytes) {
  const auto rest = bytes.subspan(1);
  switch (static_cast<ShortTag>(bytes.front())) {
    case ShortTag::kBlocks:
      return read_short_blocks(rest, false);
    case ShortTag::kCompressedBlocks:
      return read_short_blocks(rest, true);
    case ShortTag::kAck:
      return read_short_ack(rest);
  }
  return fail(ErrorCode::kProtocol, "a short message of a kind that this version does not know");
}

}  // namespace

Result<Message> decode(std::span<const std::byte> bytes) {
  if (bytes.size() > kMessageBytesMax)
    return fail(ErrorCode::kProtocol, "a message over the size limit");
  if (is_short(bytes)) return read_short(bytes);
  flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(),
                                 kDepthMax, kTablesMax);
  // Below 8 bytes the verifier would read a root that is not there.
  if (bytes.size() < 8 || !verifier.VerifyBuffer<protocol::Message>(nullptr)) {
    return fail(ErrorCode::kProtocol, "a message that is not of this protocol (" +
                                          std::to_string(bytes.size()) + " bytes)");
  }
  const auto& message = *flatbuffers::GetRoot<protocol::Message>(bytes.data());
  if (message.body_type() != protocol::Body::Blocks && bytes.size() > kControlBytesMax) {
    return fail(ErrorCode::kProtocol, "a control message over the size limit");
  }
  switch (message.body_type()) {
    case protocol::Body::Hello:
      return read(*message.body_as_Hello());
    case protocol::Body::Welcome:
      return read(*message.body_as_Welcome());
    case protocol::Body::Blocks:
      return read(*message.body_as_Blocks());
    case protocol::Body::Gap:
      return read(*message.body_as_Gap());
    case protocol::Body::Ack:
      return read(*message.body_as_Ack());
    case protocol::Body::Refusal:
      return read(*message.body_as_Refusal());
    case protocol::Body::Dictionary:
      return read(*message.body_as_Dictionary());
    case protocol::Body::NONE:
      break;
  }
  return fail(ErrorCode::kProtocol, "a message of a kind that this version does not know");
}

std::string printable(std::string_view text) {
  std::string out(text.substr(0, kTextBytesMax));
  std::replace_if(
      out.begin(), out.end(),
      [](char c) {
        return static_cast<unsigned char>(c) < 32 || static_cast<unsigned char>(c) == 127;
      },
      '?');
  return out;
}

Refusal refusal_of(const core::Error& error) {
  switch (error.code) {
    case ErrorCode::kProtocol:
    case ErrorCode::kCorrupt:
    case ErrorCode::kInvalidArgument:
      return {RefusalCode::kProtocol, error.message, 0};
    case ErrorCode::kNewerVersion:
      return {RefusalCode::kVersion, error.message, 0};
    default:
      return {RefusalCode::kUnavailable, error.message, 0};
  }
}

}  // namespace spillway::uplink
