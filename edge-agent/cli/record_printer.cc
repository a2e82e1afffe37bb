#include "edge-agent/cli/record_printer.h"

#include <array>
#include <boost/json.hpp>
#include <cstring>
#include <ctime>
#include <ostream>

#include "edge-agent/cli/encoding.h"
#include "edge-agent/schemas/builtin_schemas.h"
#include "spillway/core/schema.h"

namespace spillway::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t kSchemasMax = 1024;
constexpr std::size_t kHexBytesMax = 64;  // of a record that nobody can read, in the text form

std::string quoted(const std::string& text) { return json::serialize(json::string(text)); }

}  // namespace

RecordPrinter::RecordPrinter(std::ostream& out, bool json, std::unique_ptr<core::RecordJson> schema,
                             std::uint64_t count_max)
    : out_(out), json_(json), schema_(std::move(schema)), count_max_(count_max) {}

void RecordPrinter::print(const core::StreamItem& item) {
  if (const auto* gap = std::get_if<core::Gap>(&item)) {
    print_gap(*gap);
    return;
  }
  const auto& block = std::get<core::Block>(item);
  clock_.learn(block.header, block.stored);
  switch (static_cast<format::BlockKind>(block.header.kind())) {
    case format::BlockKind::lane:
      learn_lane(block);
      return;
    case format::BlockKind::schema:
      learn_schema(block);
      return;
    case format::BlockKind::data:
      print_data(block);
      return;
    default:
      return;
  }
}

void RecordPrinter::print_gap(const core::Gap& gap) {
  if (!json_) {
    out_ << gap.first_offset << ".." << gap.next_offset << "  gap: " << gap.count()
         << " records dropped (" << core::name_of(gap.reason) << ")\n";
    return;
  }
  const json::object line{{"gap", json::object{{"first_offset", gap.first_offset},
                                               {"next_offset", gap.next_offset},
                                               {"count", gap.count()},
                                               {"reason", core::name_of(gap.reason)}}}};
  out_ << json::serialize(line) << '\n';
}

void RecordPrinter::learn_lane(const core::Block& block) {
  format::LaneDeclaration declaration;
  if (block.stored.size() != sizeof declaration) return;
  std::memcpy(&declaration, block.stored.data(), sizeof declaration);
  const auto& identity = declaration.identity();
  if (!core::check_lane_identity(identity)) return;
  auto& lane = lanes_[identity.lane_id()];
  lane.topic = core::topic_of(identity);
  lane.producer = core::producer_of(identity);
  lane.fingerprint = identity.schema_fingerprint();
}

void RecordPrinter::learn_schema(const core::Block& block) {
  // Each segment repeats them, so what is forgotten here comes again.
  if (known_.size() >= kSchemasMax) known_.clear();
  auto& known = known_[core::schema_fingerprint(block.stored)];
  if (!known) known = core::RecordJson::make(block.stored);
}

void RecordPrinter::print_data(const core::Block& block) {
  static const LaneFacts unknown;
  const auto found = lanes_.find(block.header.lane_id());
  const LaneFacts& lane = found == lanes_.end() ? unknown : found->second;
  core::FrameCursor cursor(block.stored);
  core::FrameView frame;
  for (std::uint64_t offset = block.header.base_offset(); cursor.next(frame); ++offset) {
    if (offset < block.skip_below) continue;
    if (finished()) return;
    print_record(block, lane, offset, frame);
    ++printed_;
  }
}

void RecordPrinter::print_record(const core::Block& block, const LaneFacts& lane,
                                 std::uint64_t offset, const core::FrameView& frame) {
  const auto produced = clock_.produced_at(block.header, frame.ticks);
  auto* schema = schema_of(lane.fingerprint);
  const auto text = schema == nullptr ? std::nullopt : schema->print(frame.record);
  if (!json_) {
    out_ << offset << "  "
         << (produced.certain ? utc_text(static_cast<std::int64_t>(produced.utc_ns)) : "-") << "  "
         << lane.topic << "  " << lane.producer << "  "
         << (text ? *text : hex_text(frame.record, kHexBytesMax)) << '\n';
    return;
  }
  out_ << "{\"offset\":" << offset << ",\"journal\":\"" << block.journal.text()
       << "\",\"topic\":" << quoted(lane.topic) << ",\"producer\":" << quoted(lane.producer);
  if (produced.certain) out_ << ",\"produced_at_ns\":" << produced.utc_ns;
  if (text) {
    out_ << ",\"record\":" << *text << "}\n";
  } else {
    out_ << ",\"payload\":\"" << base64_text(frame.record) << "\"}\n";
  }
}

core::RecordJson* RecordPrinter::schema_of(std::uint64_t fingerprint) {
  if (schema_) return schema_.get();
  if (fingerprint == 0) return nullptr;
  if (const auto known = known_.find(fingerprint); known != known_.end()) {
    return known->second.get();
  }
  const auto* builtin = agent::find_builtin_schema(fingerprint);
  auto& schema = known_[fingerprint];
  if (builtin != nullptr) schema = core::RecordJson::make(builtin->bfbs);
  return schema.get();
}

}  // namespace spillway::cli
