// spillway tail: prints a stream's records.
#include <chrono>
#include <iostream>
#include <limits>
#include <thread>

#include "edge-agent/cli/command.h"
#include "edge-agent/cli/record_printer.h"
#include "edge-agent/cli/schema_file.h"
#include "spillway/core/env/posix_env.h"

namespace spillway::cli {
namespace {

constexpr auto kFollowNap = std::chrono::milliseconds(20);

struct TailOptions {
  std::string stream;
  std::optional<std::uint64_t> from;
  bool follow = false;
  bool json = false;
  std::uint64_t count = std::numeric_limits<std::uint64_t>::max();
  std::string schema;
  Directories directories;
};

/// A stream's name has no '/' in it: a path is the stream's own directory, wherever it was copied to.
std::string directory_of(const std::string& stream, const std::string& spill_dir) {
  return stream.find('/') != std::string::npos ? stream : spill_dir + "/" + stream;
}

int run_tail(const TailOptions& options) {
  const auto config = options.directories.load();
  if (!config) return report(config.error());
  std::unique_ptr<core::RecordJson> schema;
  if (!options.schema.empty()) {
    const auto loaded = SchemaFile::load(options.schema);
    if (!loaded) return report(loaded.error());
    schema = core::RecordJson::make((*loaded)->bfbs(), SchemaFile::kBytesMax);
    if (!schema) return report(kWrongUse, "schema " + options.schema + ": it cannot be used");
  }
  auto reader = core::StreamReader::open(core::env::posix_env(),
                                         directory_of(options.stream, config->gateway.spill_dir));
  if (!reader) return report(reader.error());
  if (options.from) {
    if (const auto sought = (*reader)->seek(*options.from); !sought) return report(sought.error());
  }
  RecordPrinter printer(std::cout, options.json, std::move(schema), options.count);
  while (!printer.finished() && std::cout) {
    const auto item = (*reader)->next();
    if (!item) return report(item.error());
    if (*item) {
      printer.print(**item);
      continue;
    }
    if (!options.follow) break;
    std::cout.flush();
    std::this_thread::sleep_for(kFollowNap);
  }
  std::cout.flush();
  return kDone;
}

}  // namespace

void add_tail_command(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<TailOptions>();
  auto* command = app.add_subcommand("tail", "Print a stream's records and gaps");
  command
      ->add_option("stream", options->stream,
                   "the stream's name, or the path (with a '/') of its directory")
      ->required();
  command->add_option("--from", options->from, "offset to begin at (default: the oldest held)");
  command->add_flag("-f,--follow", options->follow, "go on when new records come");
  command->add_option("-n,--count", options->count, "end after this many records");
  command->add_option(
      "--schema", options->schema,
      "FlatBuffers schema (.fbs or .bfbs) of the records, instead of those that the spill holds");
  command->add_flag("--json", options->json, "one JSON object a line");
  options->directories.add_options(*command);
  command->callback([options, &exit_code] { exit_code = run_tail(*options); });
}

}  // namespace spillway::cli
