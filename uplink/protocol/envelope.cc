#include "uplink/protocol/envelope.h"

#include <array>
#include <charconv>

#include "spillway/core/gap_table.h"
#include "spillway/core/schema.h"
#include "uplink/protocol/messages.h"

namespace spillway::uplink {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;

/// More than this in one header is nobody's name, topic or number.
constexpr std::size_t kValueBytesMax = 1024;

constexpr std::array<std::string_view, 6> kKindNames{"record", "blocks", "gap",
                                                     "lane",   "clock",  "schema"};

std::string number(std::uint64_t value) { return std::to_string(value); }

void write_origin(const Envelope& envelope, std::vector<EnvelopeHeader>& headers) {
  headers.emplace_back("spillway-kind", kKindNames[static_cast<std::size_t>(envelope.kind)]);
  headers.emplace_back("spillway-gateway", envelope.gateway.text());
  if (!envelope.gateway_name.empty()) {
    headers.emplace_back("spillway-gateway-name", envelope.gateway_name);
  }
  headers.emplace_back("spillway-journal", envelope.journal.text());
  headers.emplace_back("spillway-journal-sequence", number(envelope.journal_sequence));
  headers.emplace_back("spillway-journal-first", number(envelope.journal_first_offset));
  headers.emplace_back("spillway-stream", envelope.stream);
}

void write_lane(const Envelope& envelope, std::vector<EnvelopeHeader>& headers) {
  headers.emplace_back("spillway-lane", number(envelope.lane));
  headers.emplace_back("spillway-topic", envelope.topic);
  headers.emplace_back("spillway-producer", envelope.producer);
  headers.emplace_back("spillway-boot", envelope.boot.text());
  if (envelope.schema != 0) {
    headers.emplace_back("spillway-schema", core::fingerprint_text(envelope.schema));
  }
}

void write_time(const Envelope& envelope, std::vector<EnvelopeHeader>& headers) {
  if (envelope.utc_ns) headers.emplace_back("spillway-time", number(*envelope.utc_ns));
  if (envelope.boottime_ns != 0) {
    headers.emplace_back("spillway-boottime", number(envelope.boottime_ns));
  }
}

/// Reads one header after another; keeps the first thing that was wrong.
class Reader {
 public:
  explicit Reader(const HeaderLookup& header) : header_(header) {}

  std::string text(std::string_view name, bool needed) {
    const auto value = find(name, needed);
    return value ? std::string(*value) : std::string();
  }
  std::uint64_t number(std::string_view name, bool needed, int base = 10) {
    return optional_number(name, needed, base).value_or(0);
  }
  std::optional<std::uint64_t> optional_number(std::string_view name, bool needed, int base = 10) {
    const auto value = find(name, needed);
    if (!value) return std::nullopt;
    std::uint64_t read = 0;
    const auto end = value->data() + value->size();
    const auto [at, error] = std::from_chars(value->data(), end, read, base);
    if (error != std::errc() || at != end || value->empty()) return complain(name, "is no number");
    return read;
  }
  core::Uuid uuid(std::string_view name, bool needed) {
    const auto value = find(name, needed);
    if (!value) return {};
    const auto read = core::Uuid::parse(*value);
    if (!read) complain(name, "is no UUID");
    return read.value_or(core::Uuid{});
  }
  std::uint8_t reason(std::string_view name) {
    const auto value = find(name, true);
    if (!value) return 0;
    for (const auto reason : format::EnumValuesGapReason()) {
      if (core::name_of(reason) == *value) return static_cast<std::uint8_t>(reason);
    }
    // A later version's: what is gone is gone, whatever the name.
    return static_cast<std::uint8_t>(format::GapReason::damage);
  }
  std::optional<EnvelopeKind> kind() {
    const auto value = find("spillway-kind", true);
    if (!value) return std::nullopt;
    for (std::size_t i = 0; i < kKindNames.size(); ++i) {
      if (kKindNames[i] == *value) return static_cast<EnvelopeKind>(i);
    }
    complain("spillway-kind", "is none that this version knows: " + std::string(*value));
    return std::nullopt;
  }
  std::nullopt_t complain(std::string_view name, const std::string& what) {
    if (complaint_.empty()) complaint_ = "header " + std::string(name) + " " + what;
    return std::nullopt;
  }
  [[nodiscard]] const std::string& complaint() const { return complaint_; }

 private:
  std::optional<std::string_view> find(std::string_view name, bool needed) {
    const auto value = header_(name);
    if (!value && needed) return complain(name, "is missing");
    if (value && value->size() > kValueBytesMax) return complain(name, "is too long");
    return value;
  }

  const HeaderLookup& header_;
  std::string complaint_;
};

void read_origin(Reader& reader, Envelope& envelope) {
  envelope.gateway = reader.uuid("spillway-gateway", true);
  envelope.gateway_name = reader.text("spillway-gateway-name", false);
  envelope.journal = reader.uuid("spillway-journal", true);
  envelope.journal_sequence = reader.number("spillway-journal-sequence", false);
  envelope.journal_first_offset = reader.number("spillway-journal-first", true);
  envelope.stream = reader.text("spillway-stream", true);
}

void read_lane(Reader& reader, Envelope& envelope, bool needed) {
  envelope.lane = reader.number("spillway-lane", needed);
  envelope.topic = reader.text("spillway-topic", needed);
  envelope.producer = reader.text("spillway-producer", false);
  envelope.boot = reader.uuid("spillway-boot", false);
  envelope.schema = reader.number("spillway-schema", false, 16);
}

void read_time(Reader& reader, Envelope& envelope) {
  envelope.utc_ns = reader.optional_number("spillway-time", false);
  envelope.boottime_ns = reader.number("spillway-boottime", false);
}

void read_range(Reader& reader, Envelope& envelope) {
  envelope.offset = reader.number("spillway-offset", true);
  envelope.next_offset = reader.number("spillway-next-offset", true);
  if (envelope.next_offset <= envelope.offset) {
    reader.complain("spillway-next-offset", "is not behind spillway-offset");
  }
}

}  // namespace

std::vector<EnvelopeHeader> write_envelope(const Envelope& envelope) {
  std::vector<EnvelopeHeader> headers;
  headers.reserve(16);
  write_origin(envelope, headers);
  switch (envelope.kind) {
    case EnvelopeKind::kRecord:
      headers.emplace_back("spillway-offset", number(envelope.offset));
      write_lane(envelope, headers);
      write_time(envelope, headers);
      break;
    case EnvelopeKind::kBlocks:
      headers.emplace_back("spillway-offset", number(envelope.offset));
      headers.emplace_back("spillway-next-offset", number(envelope.next_offset));
      headers.emplace_back("spillway-salt", number(envelope.salt));
      if (!envelope.topic.empty()) write_lane(envelope, headers);
      break;
    case EnvelopeKind::kGap:
      headers.emplace_back("spillway-offset", number(envelope.offset));
      headers.emplace_back("spillway-next-offset", number(envelope.next_offset));
      headers.emplace_back("spillway-reason",
                           core::name_of(static_cast<format::GapReason>(envelope.reason)));
      break;
    case EnvelopeKind::kLane:
      write_lane(envelope, headers);
      headers.emplace_back("spillway-lane-end", number(envelope.lane_end));
      headers.emplace_back("spillway-rejected", number(envelope.rejected));
      headers.emplace_back("spillway-closed", envelope.closed ? "1" : "0");
      break;
    case EnvelopeKind::kClock:
      headers.emplace_back("spillway-boot", envelope.boot.text());
      write_time(envelope, headers);
      break;
    case EnvelopeKind::kSchema:
      headers.emplace_back("spillway-schema", core::fingerprint_text(envelope.schema));
      break;
  }
  return headers;
}

Result<Envelope> read_envelope(const HeaderLookup& header) {
  Reader reader(header);
  Envelope envelope;
  envelope.kind = reader.kind().value_or(EnvelopeKind::kRecord);
  read_origin(reader, envelope);
  switch (envelope.kind) {
    case EnvelopeKind::kRecord:
      envelope.offset = reader.number("spillway-offset", true);
      read_lane(reader, envelope, true);
      read_time(reader, envelope);
      break;
    case EnvelopeKind::kBlocks:
      read_range(reader, envelope);
      envelope.salt = reader.number("spillway-salt", true);
      read_lane(reader, envelope, false);  // what counts stands in the blocks
      break;
    case EnvelopeKind::kGap:
      read_range(reader, envelope);
      envelope.reason = reader.reason("spillway-reason");
      break;
    case EnvelopeKind::kLane:
      read_lane(reader, envelope, true);
      envelope.lane_end = reader.number("spillway-lane-end", false);
      envelope.rejected = reader.number("spillway-rejected", false);
      envelope.closed = reader.number("spillway-closed", false) == 1;
      break;
    case EnvelopeKind::kClock:
      envelope.boot = reader.uuid("spillway-boot", true);
      read_time(reader, envelope);
      if (!envelope.utc_ns) reader.complain("spillway-time", "is missing");
      break;
    case EnvelopeKind::kSchema:
      envelope.schema = reader.number("spillway-schema", true, 16);
      break;
  }
  if (envelope.offset >= kOffsetLimit || envelope.next_offset > kOffsetLimit ||
      envelope.journal_first_offset >= kOffsetLimit) {
    reader.complain("spillway-offset", "is impossible");
  }
  if (!reader.complaint().empty()) return fail(ErrorCode::kProtocol, reader.complaint());
  return envelope;
}

}  // namespace spillway::uplink
