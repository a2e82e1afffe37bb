// Envelope: what a message in somebody's engine (Kafka, RabbitMQ, MQTT, NATS, HTTP) says of itself in
// the engine's own headers, so that whoever reads it knows the record without any Spillway library:
// docs/engines.md lists the names. Sinks write it, the consumer's sources read it.
//
// A reader trusts none of it: read_envelope() checks all.
//
// Invariants:
//  1. (gateway, journal, stream, offset) of a record is the same on every way to the consumer.
//  2. What a writer of this version leaves out reads as its zero, and unknown names are skipped: both
//     ends may be one version apart.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spillway/core/format.h"
#include "spillway/core/result.h"
#include "spillway/core/uuid.h"

namespace spillway::uplink {

/// What a message holds.
enum class EnvelopeKind : std::uint8_t {
  kRecord,  // one record; `offset` is its own
  kBlocks,  // blocks as they stand in the spill: the records from `offset` up to `next_offset`
  kGap,     // the records from `offset` up to `next_offset` are gone, by `reason`
  kLane,    // a lane's totals: what proves that its records are complete
  kClock,   // at `boottime_ns` of `boot` it was `utc_ns`: for the records without a time
  kSchema,  // the .bfbs that explains the records with this `schema`
};

struct Envelope {
  EnvelopeKind kind = EnvelopeKind::kRecord;
  core::Uuid gateway;
  std::string gateway_name;
  core::Uuid journal;
  std::uint64_t journal_sequence = 0;
  std::uint64_t journal_first_offset = 0;
  std::string stream;
  std::uint64_t offset = 0;
  std::uint64_t next_offset = 0;  // of kBlocks and kGap
  // Of a record, of blocks of one lane's records, and of a lane.
  std::uint64_t lane = 0;
  std::string topic;
  std::string producer;
  core::Uuid boot;
  std::uint64_t schema = 0;             // fingerprint; 0: the producer named none
  std::optional<std::uint64_t> utc_ns;  // when it was produced; nothing: not known (yet) ...
  std::uint64_t boottime_ns = 0;        // ... and then this is the time of its boot
  // Of a lane.
  std::uint64_t lane_end = 0;
  std::uint64_t rejected = 0;
  bool closed = false;
  // Of a gap.
  std::uint8_t reason = 0;  // format::GapReason
  std::uint64_t salt = 0;   // of kBlocks: what their checksums are seeded with

  friend bool operator==(const Envelope&, const Envelope&) = default;
};

/// A header of an engine's message: the name begins with "spillway-", the value is text.
using EnvelopeHeader = std::pair<std::string_view, std::string>;

/// What the message's kind needs; names are literals.
[[nodiscard]] std::vector<EnvelopeHeader> write_envelope(const Envelope& envelope);

/// The value of the header of this name, if the message has one.
using HeaderLookup = std::function<std::optional<std::string_view>(std::string_view name)>;

/// kProtocol: a header is missing or impossible; the message says which.
[[nodiscard]] core::Result<Envelope> read_envelope(const HeaderLookup& header);

}  // namespace spillway::uplink
