// spillway dead: the records of this machine that a far end refused for good.
#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <iostream>
#include <set>

#include "edge-agent/cli/command.h"
#include "edge-agent/cli/encoding.h"
#include "spillway/core/dead_letters.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/producer.h"

namespace spillway::cli {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kRequeueTimeout{10};

struct Wishes {
  std::string stream;
  std::string uplink;
  std::vector<std::uint64_t> numbers;
  bool all = false;
  bool raw = false;
  bool as_json = false;
  Directories directories;
};

/// One file: what one uplink's far end refused of one stream.
struct Shelf {
  std::string stream;
  std::string uplink;
  core::DeadLetters letters;
  core::DeadLetters::Contents contents;
};

/// Those of the configured uplinks that the wishes leave.
core::Result<std::vector<Shelf>> load_shelves(const Wishes& wishes) {
  SPILLWAY_TRY(config, wishes.directories.load());
  std::vector<Shelf> shelves;
  for (const auto& uplink : config.uplinks) {
    if (!wishes.uplink.empty() && uplink.name != wishes.uplink) continue;
    for (const std::string& stream : uplink.streams) {
      if (!wishes.stream.empty() && stream != wishes.stream) continue;
      core::DeadLetters letters(core::env::posix_env(), config.gateway.spill_dir + "/" + stream,
                                uplink.name);
      SPILLWAY_TRY(contents, letters.load());
      shelves.push_back({stream, uplink.name, std::move(letters), std::move(contents)});
    }
  }
  if (!shelves.empty()) return shelves;
  return core::fail(core::ErrorCode::kInvalidArgument,
                    "no configured uplink drains such a stream: see [[uplink]] in the "
                    "configuration, and give it with --config");
}

json::object describe(const core::DeadLetter& letter) {
  return {{"number", letter.number},
          {"journal", letter.journal.text()},
          {"offset", letter.offset},
          {"topic", letter.topic},
          {"reason", letter.reason},
          {"refused_utc_ns", letter.refused_utc_ns},
          {"record_bytes", letter.record_bytes},
          {"kept_bytes", letter.payload.size()}};
}

void print(const core::DeadLetter& letter) {
  std::cout << "  " << letter.number << ": offset " << letter.offset << " of journal "
            << letter.journal.text() << ", " << letter.topic << ", " << letter.record_bytes
            << " bytes";
  if (!letter.whole()) std::cout << " (cut to " << letter.payload.size() << ")";
  std::cout << ": " << letter.reason << '\n';
}

void print(const Shelf& shelf) {
  const auto& contents = shelf.contents;
  std::cout << "stream " << shelf.stream << ", uplink " << shelf.uplink << ": "
            << contents.letters.size() << " dead letters, " << contents.file_bytes << " of "
            << core::DeadLetters::kFileBytesMax << " bytes, " << contents.taken_out
            << " taken out so far\n";
  if (contents.damaged_pages != 0) {
    std::cout << "  DAMAGE: " << contents.damaged_pages << " pages of " << shelf.letters.path()
              << " cannot be read\n";
  }
  for (const auto& letter : contents.letters) print(letter);
}

int run_list(const Wishes& wishes) {
  const auto shelves = load_shelves(wishes);
  if (!shelves) return report(shelves.error());
  json::array list;
  for (const Shelf& shelf : *shelves) {
    json::array letters;
    for (const auto& letter : shelf.contents.letters) letters.push_back(describe(letter));
    list.push_back({{"stream", shelf.stream},
                    {"uplink", shelf.uplink},
                    {"file_bytes", shelf.contents.file_bytes},
                    {"taken_out", shelf.contents.taken_out},
                    {"damaged_pages", shelf.contents.damaged_pages},
                    {"letters", std::move(letters)}});
    if (!wishes.as_json) print(shelf);
  }
  if (wishes.as_json) {
    std::cout << json::serialize(json::object{{"dead", std::move(list)}}) << '\n';
  }
  return kDone;
}

/// A number means something in one file alone.
core::Result<Shelf> load_one(const Wishes& wishes) {
  SPILLWAY_TRY(shelves, load_shelves(wishes));
  if (shelves.size() == 1) return std::move(shelves.front());
  return core::fail(core::ErrorCode::kInvalidArgument,
                    "there are several streams and uplinks: say which one with --stream and "
                    "--uplink");
}

int run_show(const Wishes& wishes) {
  const auto shelf = load_one(wishes);
  if (!shelf) return report(shelf.error());
  for (const auto& letter : shelf->contents.letters) {
    if (letter.number != wishes.numbers.front()) continue;
    if (wishes.raw) {
      std::cout.write(reinterpret_cast<const char*>(letter.payload.data()),
                      static_cast<std::streamsize>(letter.payload.size()));
    } else if (wishes.as_json) {
      auto object = describe(letter);
      object["payload_base64"] = base64_text(letter.payload);
      std::cout << json::serialize(object) << '\n';
    } else {
      print(letter);
      std::cout << "  " << base64_text(letter.payload) << '\n';
    }
    return kDone;
  }
  return report(kNo, "there is no dead letter " + std::to_string(wishes.numbers.front()));
}

std::vector<core::DeadLetter> chosen(const Shelf& shelf, const Wishes& wishes) {
  const std::set<std::uint64_t> numbers(wishes.numbers.begin(), wishes.numbers.end());
  auto letters = shelf.contents.letters;
  if (wishes.all) return letters;
  std::erase_if(letters,
                [&](const core::DeadLetter& letter) { return !numbers.contains(letter.number); });
  return letters;
}

/// As a new record of a producer whose name says where it comes from.
core::Result<void> put_again(const core::DeadLetter& letter, const std::string& queue_dir) {
  const std::string name =
      "requeue-" + letter.journal.text().substr(0, 8) + "-" + std::to_string(letter.offset);
  ProducerOptions options;
  options.producer_name = name.c_str();
  options.schema_fingerprint = letter.schema_fingerprint;
  options.max_record_bytes =
      static_cast<std::uint32_t>(std::max<std::uint64_t>(letter.payload.size(), 64U * 1024));
  std::uint64_t lane_bytes = 256U * 1024;
  while (lane_bytes / 4 < letter.payload.size()) lane_bytes *= 2;
  options.lane_bytes = lane_bytes;
  Producer producer;
  auto status = producer.open(queue_dir.c_str(), letter.topic.c_str(), options);
  if (status == Status::kOk) status = producer.put(letter.payload);
  // The letter is power-safe: so must be what takes its place.
  if (status == Status::kOk) {
    status = producer.flush_until(Clock::now() + kRequeueTimeout, Level::kPowerSafe);
  }
  if (status == Status::kOk) return {};
  return core::fail(core::ErrorCode::kUnavailable, "dead letter " + std::to_string(letter.number) +
                                                       " stays: " + status_text(status) +
                                                       "; is an agent running? (spillway status)");
}

int say(const Wishes& wishes, const char* what, std::uint64_t count) {
  if (wishes.as_json) {
    std::cout << json::serialize(json::object{{what, count}}) << '\n';
  } else {
    std::cout << what << ' ' << count << '\n';
  }
  return count == 0 ? kNo : kDone;
}

int check_choice(const Wishes& wishes) {
  if (wishes.all != wishes.numbers.empty()) {
    return report(kWrongUse, "give the letters' numbers, or --all");
  }
  return kDone;
}

int run_requeue(const Wishes& wishes) {
  if (const int wrong = check_choice(wishes); wrong != kDone) return wrong;
  const auto config = wishes.directories.load();
  if (!config) return report(config.error());
  auto shelf = load_one(wishes);
  if (!shelf) return report(shelf.error());
  std::uint64_t requeued = 0;
  for (const auto& letter : chosen(*shelf, wishes)) {
    if (!letter.whole() || letter.topic.empty()) {
      std::cerr << "spillway: dead letter " << letter.number
                << " is not whole and can only be dropped\n";
      continue;
    }
    if (const auto put = put_again(letter, config->gateway.queue_dir); !put) {
      say(wishes, "requeued", requeued);
      return report(kNo, put.error().message);
    }
    const auto dropped = shelf->letters.drop({&letter.number, 1});
    if (!dropped) return report(dropped.error());
    ++requeued;
  }
  return say(wishes, "requeued", requeued);
}

int run_drop(const Wishes& wishes) {
  if (const int wrong = check_choice(wishes); wrong != kDone) return wrong;
  auto shelf = load_one(wishes);
  if (!shelf) return report(shelf.error());
  std::vector<std::uint64_t> numbers;
  for (const auto& letter : chosen(*shelf, wishes)) numbers.push_back(letter.number);
  const auto dropped = shelf->letters.drop(numbers);
  if (!dropped) return report(dropped.error());
  return say(wishes, "dropped", *dropped);
}

}  // namespace

void add_dead_command(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand(
      "dead", "The records that a far end refused for good and does not keep itself");
  command->require_subcommand(1);
  auto wishes = std::make_shared<Wishes>();
  const auto add = [&](const char* name, const char* help) {
    auto* added = command->add_subcommand(name, help);
    added->add_option("--stream", wishes->stream, "of this stream");
    added->add_option("--uplink", wishes->uplink, "of this uplink");
    added->add_flag("--json", wishes->as_json, "answer as JSON");
    wishes->directories.add_options(*added);
    return added;
  };
  auto* list = add("list", "List them with their reasons");
  list->callback([wishes, &exit_code] { exit_code = run_list(*wishes); });
  auto* show = add("show", "Show one with its payload, in base 64");
  show->add_option("number", wishes->numbers, "its number, as `dead list` prints it")
      ->required()
      ->expected(1);
  show->add_flag("--raw", wishes->raw, "the payload's bytes alone, to standard output");
  show->callback([wishes, &exit_code] { exit_code = run_show(*wishes); });
  auto* requeue = add("requeue",
                      "Put them into the queue as new records, of a producer named after their "
                      "origin; exit code 1 if there was none");
  requeue->callback([wishes, &exit_code] { exit_code = run_requeue(*wishes); });
  auto* drop = add("drop", "Remove them for good; exit code 1 if there was none");
  drop->callback([wishes, &exit_code] { exit_code = run_drop(*wishes); });
  for (auto* change : {requeue, drop}) {
    change->add_option("number", wishes->numbers, "their numbers, as `dead list` prints them");
    change->add_flag("--all", wishes->all, "all of this stream and uplink");
  }
}

}  // namespace spillway::cli
