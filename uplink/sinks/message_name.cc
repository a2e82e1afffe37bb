#include "uplink/sinks/message_name.h"

#include <array>
#include <utility>

#include "spillway/core/schema.h"

namespace spillway::uplink {

namespace {

/// What is no record has a subject of its own, so that a binding can tell it from records.
std::string_view topic_of(const Envelope& envelope) {
  switch (envelope.kind) {
    case EnvelopeKind::kGap:
      return "_spillway/gap";
    case EnvelopeKind::kClock:
      return "_spillway/clock";
    case EnvelopeKind::kSchema:
      return "_spillway/schema";
    case EnvelopeKind::kBlocks:
    case EnvelopeKind::kRecord:
    case EnvelopeKind::kLane:
      break;
  }
  return envelope.topic;
}

}  // namespace

std::string fill_in(std::string_view form, const Envelope& envelope, WriteValue write) {
  const std::string gateway =
      envelope.gateway_name.empty() ? envelope.gateway.text() : envelope.gateway_name;
  const std::array<std::pair<std::string_view, std::string_view>, 3> words{
      {{"{gateway}", gateway}, {"{stream}", envelope.stream}, {"{topic}", topic_of(envelope)}}};
  std::string name;
  while (!form.empty()) {
    std::size_t taken = 0;
    for (const auto& [word, value] : words) {
      if (!form.starts_with(word)) continue;
      write(value, name);
      taken = word.size();
    }
    if (taken == 0) name += form[taken++];
    form.remove_prefix(taken);
  }
  return name;
}

std::string message_id(const Envelope& envelope) {
  const auto number = [](std::uint64_t value) { return std::to_string(value); };
  std::string stream =
      envelope.gateway.text() + "/" + envelope.journal.text() + "/" + envelope.stream + "/";
  switch (envelope.kind) {
    case EnvelopeKind::kRecord:
      return stream + number(envelope.offset);
    case EnvelopeKind::kBlocks:
      return stream + number(envelope.offset) + "-" + number(envelope.next_offset);
    case EnvelopeKind::kGap:
      return stream + "gap-" + number(envelope.offset) + "-" + number(envelope.next_offset);
    case EnvelopeKind::kLane:
      return stream + "lane-" + number(envelope.lane) + "-" + number(envelope.lane_end) + "-" +
             number(envelope.rejected) + (envelope.closed ? "-closed" : "");
    case EnvelopeKind::kClock:
      return stream + "clock-" + envelope.boot.text() + "-" + number(envelope.boottime_ns);
    case EnvelopeKind::kSchema:
      return stream + "schema-" + core::fingerprint_text(envelope.schema);
  }
  return stream;
}

}  // namespace spillway::uplink
