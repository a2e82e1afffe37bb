// spillway put: enqueues records.
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <deque>
#include <fstream>
#include <iostream>
#include <thread>

#include "edge-agent/cli/command.h"
#include "edge-agent/cli/put_input.h"
#include "spillway/core/fingerprint.h"
#include "spillway/producer.h"

namespace spillway::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct PutOptions {
  std::string topic;
  std::string file = "-";
  InputKind input = InputKind::kLines;
  std::string schema;
  std::uint64_t repeat = 1;
  double rate = 0;
  Level level = Level::kAccepted;
  std::string queue_dir;
  double timeout_s = 10;
  std::string name;
  std::uint64_t lane_bytes = 0;
  std::uint32_t max_record_bytes = 0;
  bool json = false;
};

struct PutResult {
  std::uint64_t accepted = 0;
  std::uint64_t process_safe = 0;
  std::uint64_t power_safe = 0;
  Level reached = Level::kAccepted;  // by all of them
};

const char* name_of(Level level) {
  switch (level) {
    case Level::kAccepted:
      return "accepted";
    case Level::kProcessSafe:
      return "process-safe";
    case Level::kPowerSafe:
      return "power-safe";
  }
  return "unknown";
}

Clock::time_point deadline_of(const PutOptions& options) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(options.timeout_s));
}

std::string detail() {
  const std::string text = error_detail();
  return text.empty() ? "" : ": " + text;
}

int exit_code_of(Status status) {
  switch (status) {
    case Status::kInvalid:
      return kWrongUse;
    case Status::kFull:
    case Status::kTooLarge:
    case Status::kTimeout:
    case Status::kNoQueue:
    case Status::kSetAside:
      return kNo;
    default:
      return kSystemFailed;
  }
}

class Putter {
 public:
  explicit Putter(const PutOptions& options) : options_(options) {}

  int run();
  [[nodiscard]] const PutResult& result() const { return result_; }

 private:
  int put_input(std::istream& stream);
  int open(std::span<const std::byte> schema);
  int put(const Record& record);
  void pace();
  int flush();
  void note_reached();

  const PutOptions& options_;
  Producer producer_;
  PutResult result_;
  /// Behind each record that has not reached the level asked for; a level below it reaches first.
  std::deque<std::uint64_t> ends_;
  std::uint64_t process_safe_ends_ = 0;  // so many of them are process-safe
  Clock::time_point started_ = Clock::now();
};

int Putter::run() {
  int code = kDone;
  if (options_.file == "-") {
    code = put_input(std::cin);
  } else {
    std::ifstream file(options_.file, std::ios::binary);
    if (!file) return report(kNo, "cannot read " + options_.file + ": is it there, and readable?");
    code = put_input(file);
  }
  // What was accepted before something went wrong is safe in the lane all the same.
  const int flushed = producer_.is_open() ? flush() : kDone;
  return code != kDone ? code : flushed;
}

int Putter::put_input(std::istream& stream) {
  auto input = make_input(options_.input, stream, options_.schema);
  if (!input) return report(input.error());
  if (const int code = open((*input)->schema()); code != kDone) return code;
  std::vector<Record> kept;  // for the rounds after the first
  while (true) {
    auto record = (*input)->next();
    if (!record) return report(record.error());
    if (!*record) break;
    if (const int code = put(**record); code != kDone) return code;
    if (options_.repeat > 1) kept.push_back(std::move(**record));
  }
  for (std::uint64_t round = 1; round < options_.repeat; ++round) {
    for (const auto& record : kept) {
      if (const int code = put(record); code != kDone) return code;
    }
  }
  return kDone;
}

int Putter::open(std::span<const std::byte> schema) {
  // Each put is a producer of its own: lanes of one name and topic are drained one after the other.
  const std::string name =
      options_.name.empty() ? "put-" + std::to_string(::getpid()) : options_.name;
  ProducerOptions lane;
  lane.producer_name = name.c_str();
  lane.lane_bytes = options_.lane_bytes;
  lane.max_record_bytes = options_.max_record_bytes;
  if (schema.size() <= core::kSchemaBytesMax) {
    lane.schema = schema;
  } else {
    // The records are worth more than what explains them.
    std::cerr << "spillway: the schema has " << schema.size() << " bytes, more than the "
              << core::kSchemaBytesMax
              << " that go into a spill: whoever prints the records needs the file\n";
    lane.schema_fingerprint = core::schema_fingerprint(schema);
  }
  const char* queue_dir = options_.queue_dir.empty() ? nullptr : options_.queue_dir.c_str();
  const auto status = producer_.open(queue_dir, options_.topic.c_str(), lane);
  if (status == Status::kOk) return kDone;
  return report(exit_code_of(status),
                "cannot open a lane for " + options_.topic + ": " + status_text(status) + detail());
}

int Putter::put(const Record& record) {
  pace();
  auto claim = producer_.claim_until(record.size(), deadline_of(options_));
  if (!claim) {
    const auto status = claim.status();
    std::string message = "record " + std::to_string(result_.accepted + 1) + " of " +
                          std::to_string(record.size()) + " bytes was not accepted: ";
    message += status_text(status) + detail();
    if (status == Status::kTooLarge) {
      message += "; the lane takes up to " + std::to_string(producer_.record_bytes_max()) +
                 " bytes: raise --max-record-bytes and --lane-bytes";
    } else if (status == Status::kTimeout || status == Status::kFull) {
      message += "; the lane stayed full: is an agent draining it? (spillway status)";
    }
    return report(exit_code_of(status), message);
  }
  std::memcpy(claim.data(), record.data(), record.size());
  if (const auto status = producer_.commit(claim, record.size()); status != Status::kOk) {
    return report(exit_code_of(status), std::string("cannot commit: ") + status_text(status));
  }
  ++result_.accepted;
  if (options_.level != Level::kAccepted) {
    ends_.push_back(producer_.position());
    note_reached();
  }
  return kDone;
}

/// Counts the records by the level that each is known to have reached.
void Putter::note_reached() {
  const auto process = producer_.reached_position(Level::kProcessSafe);
  while (process_safe_ends_ < ends_.size() &&
         ends_[static_cast<std::size_t>(process_safe_ends_)] <= process) {
    ++process_safe_ends_;
    ++result_.process_safe;
  }
  const auto asked_for = producer_.reached_position(options_.level);
  while (process_safe_ends_ > 0 && ends_.front() <= asked_for) {
    ends_.pop_front();
    --process_safe_ends_;
    if (options_.level == Level::kPowerSafe) ++result_.power_safe;
  }
}

void Putter::pace() {
  if (options_.rate <= 0) return;
  const auto due =
      std::chrono::duration<double>(static_cast<double>(result_.accepted) / options_.rate);
  std::this_thread::sleep_until(started_ + std::chrono::duration_cast<Clock::duration>(due));
}

int Putter::flush() {
  if (options_.level == Level::kAccepted || result_.accepted == 0) return kDone;
  const auto status = producer_.flush_until(deadline_of(options_), options_.level);
  note_reached();
  result_.reached = producer_.reached();
  if (status == Status::kOk) return kDone;
  if (status == Status::kTooLarge) {
    const std::uint64_t refused = producer_.refused();
    result_.process_safe -= std::min(result_.process_safe, refused);
    result_.power_safe -= std::min(result_.power_safe, refused);
    return report(kNo,
                  std::to_string(refused) + " of " + std::to_string(result_.accepted) +
                      " accepted records were larger than the segments of the stream take, and "
                      "were rejected: raise segment_bytes");
  }
  return report(exit_code_of(status),
                std::to_string(ends_.size()) + " of " + std::to_string(result_.accepted) +
                    " accepted records are not known to be " + name_of(options_.level) +
                    ", all are " + name_of(result_.reached) + ": " + status_text(status) +
                    detail() + "; is an agent running? (spillway status)");
}

void print(const PutOptions& options, const PutResult& result) {
  if (options.json) {
    const boost::json::object out{{"topic", options.topic},
                                  {"accepted", result.accepted},
                                  {"process_safe", result.process_safe},
                                  {"power_safe", result.power_safe},
                                  {"level", name_of(result.reached)}};
    std::cout << boost::json::serialize(out) << '\n';
    return;
  }
  std::cout << "accepted " << result.accepted;
  if (options.level >= Level::kProcessSafe) std::cout << ", process-safe " << result.process_safe;
  if (options.level == Level::kPowerSafe) std::cout << ", power-safe " << result.power_safe;
  std::cout << '\n';
}

}  // namespace

void add_put_command(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<PutOptions>();
  auto* command = app.add_subcommand("put", "Enqueue records; print how many reached which level");
  command->add_option("topic", options->topic, "topic, such as sensor/boiler/temperature")
      ->required();
  command->add_option("-f,--file", options->file, "file to read; - is standard input")
      ->capture_default_str();
  command
      ->add_option(
          "--input", options->input,
          "lines: each line is a record; flatbuffer: the whole file is one; json: each object "
          "is one (needs --schema)")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, InputKind>{{"lines", InputKind::kLines},
                                           {"flatbuffer", InputKind::kFlatbuffer},
                                           {"json", InputKind::kJson}}))
      ->option_text("lines|flatbuffer|json")
      ->default_str("lines");
  command->add_option(
      "--schema", options->schema,
      "FlatBuffers schema (.fbs or .bfbs) of the records; it goes into the spill with "
      "them. Needed for --input json");
  command->add_option("--repeat", options->repeat, "enqueue the whole input this many times")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40))
      ->capture_default_str();
  command->add_option("--rate", options->rate, "records per second; without it: as fast as it goes")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--level", options->level,
                   "wait until the records are: accepted, process-safe or power-safe")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Level>{{"accepted", Level::kAccepted},
                                       {"process-safe", Level::kProcessSafe},
                                       {"power-safe", Level::kPowerSafe}}))
      ->option_text("LEVEL")
      ->default_str("accepted");
  command
      ->add_option("--timeout", options->timeout_s, "seconds to wait for room, and for the level")
      ->check(CLI::Range(0.0, 86'400.0))
      ->capture_default_str();
  command->add_option(
      "--name", options->name,
      "producer name (default: put-PID). Lanes of one name and topic are drained one "
      "after the other, in the order they were opened");
  command->add_option("--lane-bytes", options->lane_bytes, "lane size, a power of two; 0: 256 KiB");
  command->add_option("--max-record-bytes", options->max_record_bytes, "largest record; 0: 64 KiB");
  command->add_option("--queue-dir", options->queue_dir, "queue directory");
  command->add_flag("--json", options->json, "report as JSON");
  command->callback([options, &exit_code] {
    Putter putter(*options);
    exit_code = putter.run();
    if (exit_code != kWrongUse) print(*options, putter.result());
  });
}

}  // namespace spillway::cli
