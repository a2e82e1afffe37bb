#include <algorithm>
#include <array>

#include "spillway/core/format.h"
#include "spillway/uplink/protocol_generated.h"
#include "uplink/protocol/messages.h"
#include "uplink/protocol/short_tag.h"
#include "uplink/protocol/varint.h"

namespace spillway::uplink {

namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

constexpr std::size_t kSmallMessageBytes = 512;

protocol::Id id_of(const core::Uuid& uuid) {
  protocol::Id id;
  std::copy(uuid.bytes.begin(), uuid.bytes.end(), reinterpret_cast<std::uint8_t*>(&id));
  return id;
}

template <typename Table>
Bytes finish(FlatBufferBuilder& builder, protocol::Body type, Offset<Table> body) {
  builder.Finish(protocol::CreateMessage(builder, type, body.Union()));
  const auto* begin = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {begin, begin + builder.GetSize()};
}

Offset<flatbuffers::Vector<std::uint8_t>> codecs_of(FlatBufferBuilder& builder, bool zstd) {
  const std::array<std::uint8_t, 2> codecs{static_cast<std::uint8_t>(format::Codec::none),
                                           static_cast<std::uint8_t>(format::Codec::zstd)};
  return builder.CreateVector(codecs.data(), zstd ? codecs.size() : 1);
}

Offset<protocol::HeldStream> held(FlatBufferBuilder& builder, const HeldStream& stream) {
  std::vector<Offset<protocol::HeldJournal>> journals;
  journals.reserve(stream.journals.size());
  for (const core::JournalRange& range : stream.journals) {
    const protocol::Id id = id_of(range.journal);
    journals.push_back(protocol::CreateHeldJournal(builder, &id, range.sequence, range.first_offset,
                                                   range.next_offset));
  }
  const auto list = builder.CreateVector(journals);
  const auto name = builder.CreateString(stream.name);
  if (stream.gateway.is_nil()) {
    return protocol::CreateHeldStream(builder, name, stream.oldest_offset, list);
  }
  const protocol::Id gateway = id_of(stream.gateway);
  const auto gateway_name = builder.CreateString(stream.gateway_name);
  return protocol::CreateHeldStream(builder, name, stream.oldest_offset, list, &gateway,
                                    gateway_name);
}

Offset<protocol::WantedStream> wanted(FlatBufferBuilder& builder, const WantedStream& stream) {
  std::vector<Offset<protocol::WantedJournal>> journals;
  journals.reserve(stream.journals.size());
  for (const WantedJournal& journal : stream.journals) {
    const protocol::Id id = id_of(journal.journal);
    journals.push_back(
        protocol::CreateWantedJournal(builder, &id, journal.next_offset, journal.last_record));
  }
  const auto list = builder.CreateVector(journals);
  Offset<flatbuffers::Vector<std::uint64_t>> dictionaries;
  if (!stream.dictionaries.empty()) dictionaries = builder.CreateVector(stream.dictionaries);
  return protocol::CreateWantedStream(builder, stream.stream, list, dictionaries);
}

}  // namespace

Bytes encode(const Hello& hello) {
  FlatBufferBuilder builder(kSmallMessageBytes);
  std::vector<Offset<protocol::HeldStream>> streams;
  streams.reserve(hello.streams.size());
  for (const HeldStream& stream : hello.streams) streams.push_back(held(builder, stream));
  const auto list = builder.CreateVector(streams);
  const auto gateway_name = builder.CreateString(hello.gateway_name);
  const auto uplink = builder.CreateString(hello.uplink);
  const auto codecs = codecs_of(builder, hello.zstd);
  const protocol::Id gateway = id_of(hello.gateway);
  return finish(builder, protocol::Body::Hello,
                protocol::CreateHello(builder, hello.version, &gateway, gateway_name, uplink, list,
                                      codecs, hello.short_form));
}

Bytes encode(const Welcome& welcome) {
  FlatBufferBuilder builder(kSmallMessageBytes);
  std::vector<Offset<protocol::WantedStream>> streams;
  streams.reserve(welcome.streams.size());
  for (const WantedStream& stream : welcome.streams) streams.push_back(wanted(builder, stream));
  const auto list = builder.CreateVector(streams);
  const auto codecs = codecs_of(builder, welcome.zstd);
  return finish(builder, protocol::Body::Welcome,
                protocol::CreateWelcome(builder, welcome.version, welcome.window_bytes, list,
                                        codecs, welcome.short_form));
}

Bytes encode(const Blocks& blocks) {
  std::size_t size = kSmallMessageBytes;
  for (const RunView& run : blocks.runs) size += run.blocks.size() + kSmallMessageBytes / 8;
  FlatBufferBuilder builder(size);
  std::vector<Offset<protocol::Run>> runs;
  runs.reserve(blocks.runs.size());
  for (const RunView& run : blocks.runs) {
    const auto bytes = builder.CreateVector(
        reinterpret_cast<const std::uint8_t*>(run.blocks.data()), run.blocks.size());
    runs.push_back(protocol::CreateRun(builder, run.salt, bytes));
  }
  const auto list = builder.CreateVector(runs);
  const protocol::Id journal = id_of(blocks.journal);
  return finish(builder, protocol::Body::Blocks,
                protocol::CreateBlocks(builder, blocks.stream, &journal, list));
}

Bytes encode(const GapMessage& gap) {
  FlatBufferBuilder builder(kSmallMessageBytes);
  const protocol::Id journal = id_of(gap.journal);
  return finish(
      builder, protocol::Body::Gap,
      protocol::CreateGap(builder, gap.stream, &journal, gap.first_offset, gap.next_offset,
                          gap.reason, gap.next_offset - gap.first_offset));
}

Bytes encode(const Ack& ack) {
  FlatBufferBuilder builder(kSmallMessageBytes);
  const protocol::Id journal = id_of(ack.journal);
  std::vector<Offset<protocol::Verdict>> verdicts;
  for (const Verdict& verdict : ack.verdicts) {
    const auto text = builder.CreateString(verdict.text.substr(0, kTextBytesMax));
    verdicts.push_back(protocol::CreateVerdict(builder, verdict.offset, text, verdict.kept));
  }
  Offset<flatbuffers::Vector<Offset<protocol::Verdict>>> list;
  if (!verdicts.empty()) list = builder.CreateVector(verdicts);
  return finish(builder, protocol::Body::Ack,
                protocol::CreateAck(builder, ack.stream, &journal, ack.next_offset,
                                    protocol::Durability::delivered, list, ack.dead));
}

Bytes encode(const Refusal& refusal) {
  FlatBufferBuilder builder(kSmallMessageBytes);
  const auto text = builder.CreateString(refusal.text.substr(0, kTextBytesMax));
  const auto code = static_cast<protocol::RefusalCode>(refusal.code);
  return finish(builder, protocol::Body::Refusal,
                protocol::CreateRefusal(builder, code, text, refusal.retry_after_ms));
}

Bytes encode(const DictionaryMessage& dictionary) {
  FlatBufferBuilder builder(kSmallMessageBytes + dictionary.bytes.size());
  const auto bytes = builder.CreateVector(
      reinterpret_cast<const std::uint8_t*>(dictionary.bytes.data()), dictionary.bytes.size());
  return finish(builder, protocol::Body::Dictionary,
                protocol::CreateDictionary(builder, dictionary.stream, bytes));
}

Bytes encode(const ShortBlocks& blocks) {
  Bytes message;
  message.reserve(kVarintBytesMax + sizeof blocks.checksum + blocks.content.size() + 1);
  message.push_back(
      static_cast<std::byte>(blocks.compressed ? ShortTag::kCompressedBlocks : ShortTag::kBlocks));
  put_varint(message, blocks.stream);
  const auto checksum = core::bytes_of(blocks.checksum);
  message.insert(message.end(), checksum.begin(), checksum.end());
  message.insert(message.end(), blocks.content.begin(), blocks.content.end());
  return message;
}

Bytes encode(const ShortAck& ack) {
  Bytes message;
  message.push_back(static_cast<std::byte>(ShortTag::kAck));
  put_varint(message, ack.stream);
  put_varint(message, ack.journal);
  put_varint(message, ack.next_offset);
  return message;
}

}  // namespace spillway::uplink
