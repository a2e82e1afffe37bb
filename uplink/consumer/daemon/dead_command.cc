// spillway-consumer dead: the records that could not be applied.
#include <algorithm>
#include <boost/json.hpp>
#include <iostream>

#include "spillway/core/topic.h"
#include "uplink/consumer/daemon/tool.h"

namespace spillway::consumer::tool {

namespace {

namespace json = boost::json;
using core::Result;

constexpr std::size_t kShownBytesMax = 4096;

struct Wishes {
  DeadFilter filter;
  std::vector<std::string> records;
  std::size_t limit = 1000;
  bool all = false;
  bool raw = false;
  bool as_json = false;
};

Result<std::unique_ptr<DeadStore>> open_rows(const std::string& config) {
  SPILLWAY_TRY(choice, load_inbox_choice(config));
  return open_dead_rows(choice);
}

std::string hex_of(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

json::object describe(const DeadRow& row) {
  json::object object{{"record", row.name.text()},
                      {"gateway", row.name.gateway},
                      {"journal", row.name.journal},
                      {"stream", row.name.stream},
                      {"offset", row.name.offset},
                      {"topic", row.topic},
                      {"reason", row.reason},
                      {"received_at_ns", row.received_at_ns},
                      {"record_bytes", row.record_bytes},
                      {"kept_bytes", row.kept_bytes},
                      {"schema_fingerprint", row.schema_fingerprint}};
  object["produced_at_ns"] = nullptr;
  if (row.produced_at_ns) object["produced_at_ns"] = *row.produced_at_ns;
  return object;
}

void print(const DeadRow& row) {
  std::cout << row.name.text() << '\n' << "  " << row.topic << ", " << row.record_bytes << " bytes";
  if (row.kept_bytes < row.record_bytes) std::cout << " (cut to " << row.kept_bytes << ")";
  std::cout << ", received " << utc_text(row.received_at_ns) << ": " << row.reason << '\n';
}

int run_list(const std::string& config, const Wishes& wishes) {
  auto rows = open_rows(config);
  if (!rows) return report(rows.error());
  const auto found = (*rows)->list(wishes.filter, wishes.limit);
  if (!found) return report(found.error());
  json::array list;
  for (const DeadRow& row : *found) {
    if (wishes.as_json) {
      list.push_back(describe(row));
    } else {
      print(row);
    }
  }
  const bool more = found->size() == wishes.limit;
  if (wishes.as_json) {
    std::cout << json::serialize(json::object{{"dead", std::move(list)}, {"may_be_more", more}})
              << '\n';
  } else if (found->empty()) {
    std::cout << "no dead record\n";
  } else if (more) {
    std::cout << "... there may be more: --limit\n";
  }
  return kDone;
}

int run_show(const std::string& config, const Wishes& wishes) {
  DeadFilter filter;
  filter.name = RecordName::parse(wishes.records.front());
  if (!filter.name) return report(kWrongUse, wishes.records.front() + " names no record");
  auto rows = open_rows(config);
  if (!rows) return report(rows.error());
  const auto found = (*rows)->list(filter, 1);
  if (!found) return report(found.error());
  if (found->empty()) return report(kNo, "there is no dead record " + filter.name->text());
  const auto payload = (*rows)->payload(*filter.name);
  if (!payload) return report(payload.error());
  if (wishes.raw) {
    std::cout.write(reinterpret_cast<const char*>(payload->data()),
                    static_cast<std::streamsize>(payload->size()));
    return kDone;
  }
  if (wishes.as_json) {
    json::object object = describe(found->front());
    object["payload_hex"] = hex_of(*payload);
    std::cout << json::serialize(object) << '\n';
    return kDone;
  }
  print(found->front());
  const auto shown = std::span(*payload).first(std::min(payload->size(), kShownBytesMax));
  std::cout << "  " << hex_of(shown) << (shown.size() < payload->size() ? " ..." : "") << '\n';
  return kDone;
}

using Change = Result<std::uint64_t> (DeadStore::*)(const DeadFilter&);

/// Those that are named, or all that the filters leave.
Result<std::uint64_t> change(DeadStore& rows, const Wishes& wishes, Change what) {
  if (wishes.all) return (rows.*what)(wishes.filter);
  std::uint64_t changed = 0;
  for (const std::string& record : wishes.records) {
    DeadFilter filter;
    filter.name = RecordName::parse(record);
    if (!filter.name) {
      return core::fail(core::ErrorCode::kInvalidArgument,
                        record + " names no record: see `spillway-consumer dead list`");
    }
    SPILLWAY_TRY(count, (rows.*what)(filter));
    changed += count;
  }
  return changed;
}

int run_change(const std::string& config, const Wishes& wishes, Change what, const char* done) {
  if (wishes.all == !wishes.records.empty()) {
    return report(kWrongUse, "name the records, or give --all (with filters, if you like)");
  }
  auto rows = open_rows(config);
  if (!rows) return report(rows.error());
  const auto changed = change(**rows, wishes, what);
  if (!changed) return report(changed.error());
  if (wishes.as_json) {
    std::cout << json::serialize(json::object{{done, *changed}}) << '\n';
  } else {
    std::cout << done << ' ' << *changed << '\n';
  }
  return *changed == 0 ? kNo : kDone;
}

void add_filters(CLI::App& command, Wishes& wishes) {
  command.add_option("--gateway", wishes.filter.gateway, "only this gateway's (its id)");
  command.add_option("--stream", wishes.filter.stream, "only this stream's");
  command.add_option("--topic", wishes.filter.topic, "only of topics that this filter matches")
      ->check([](const std::string& filter) {
        return core::is_valid_topic_filter(filter) ? std::string() : "not a topic filter";
      });
}

}  // namespace

void add_dead_command(CLI::App& app, const std::string& config, int& exit_code) {
  auto* command = app.add_subcommand("dead", "The records that could not be applied");
  command->require_subcommand(1)->fallthrough();
  auto wishes = std::make_shared<Wishes>();
  const auto add = [&](const char* name, const char* help) {
    auto* added = command->add_subcommand(name, help)->fallthrough();
    added->add_flag("--json", wishes->as_json, "answer as JSON");
    return added;
  };
  const char* named = "GATEWAY/JOURNAL/STREAM/OFFSET, as `dead list` prints it";
  auto* list = add("list", "List them with their reasons");
  add_filters(*list, *wishes);
  list->add_option("--limit", wishes->limit, "at most so many")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}))
      ->capture_default_str();
  list->callback([=, &config, &exit_code] { exit_code = run_list(config, *wishes); });
  auto* show = add("show", "Show one with its payload");
  show->add_option("record", wishes->records, named)->required()->expected(1);
  show->add_flag("--raw", wishes->raw, "the payload's bytes alone, to standard output");
  show->callback([=, &config, &exit_code] { exit_code = run_show(config, *wishes); });
  auto* requeue = add("requeue", "Make them received records again; exit code 1 if there was none");
  auto* drop = add("drop", "Remove them for good; exit code 1 if there was none");
  for (auto* change : {requeue, drop}) {
    change->add_option("record", wishes->records, named);
    change->add_flag("--all", wishes->all, "all that the filters leave");
    add_filters(*change, *wishes);
  }
  requeue->callback([=, &config, &exit_code] {
    exit_code = run_change(config, *wishes, &DeadStore::requeue, "requeued");
  });
  drop->callback([=, &config, &exit_code] {
    exit_code = run_change(config, *wishes, &DeadStore::drop, "dropped");
  });
}

}  // namespace spillway::consumer::tool
