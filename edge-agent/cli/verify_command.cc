// spillway verify: checks every block of a spill, and lists damage and gaps exactly.
#include <boost/json.hpp>
#include <filesystem>
#include <iostream>

#include "edge-agent/cli/command.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/verify.h"

namespace spillway::cli {
namespace {

namespace json = boost::json;

struct StreamReport {
  std::string directory;
  core::VerifyReport report;
};

bool holds_segments(const std::string& directory) {
  const auto names = core::env::posix_env().list(directory);
  return names && std::any_of(names->begin(), names->end(), [](const std::string& name) {
           return name.ends_with(".spill") || name == "gaps";
         });
}

/// The streams in DIR: itself if it is one, else its folders that are.
core::Result<std::vector<std::string>> streams_in(const std::string& directory) {
  if (holds_segments(directory)) return std::vector{directory};
  SPILLWAY_TRY(names, core::env::posix_env().list(directory));
  std::vector<std::string> found;
  for (const auto& name : names) {
    std::string path = directory;
    path += "/" + name;
    if (holds_segments(path)) found.push_back(std::move(path));
  }
  if (found.empty()) {
    return core::fail(core::ErrorCode::kNotFound,
                      "no stream in " + directory +
                          ": give a spill directory, or one stream's directory inside it");
  }
  return found;
}

json::object describe(const StreamReport& stream) {
  const auto& report = stream.report;
  json::array segments;
  for (const auto& segment : report.segments) {
    json::object entry{{"path", segment.path},
                       {"base_offset", segment.base_offset},
                       {"next_offset", segment.next_offset},
                       {"blocks", segment.blocks},
                       {"records", segment.records},
                       {"used_bytes", segment.used_bytes},
                       {"sealed", segment.sealed},
                       {"readable", segment.readable}};
    if (!segment.problem.empty()) entry["problem"] = segment.problem;
    segments.push_back(std::move(entry));
  }
  json::array damages;
  for (const auto& damage : report.damages) {
    damages.push_back({{"path", damage.path},
                       {"position", damage.position},
                       {"first_offset", damage.first_offset},
                       {"next_offset", damage.next_offset},
                       {"reason", damage.reason},
                       {"records_behind", damage.records_behind}});
  }
  json::array gaps;
  for (const auto& gap : report.gaps) {
    gaps.push_back({{"first_offset", gap.first_offset},
                    {"next_offset", gap.next_offset},
                    {"count", gap.count()},
                    {"reason", core::name_of(gap.reason)}});
  }
  return {{"directory", stream.directory},   {"ok", report.ok()},
          {"records", report.records},       {"blocks", report.blocks},
          {"segments", std::move(segments)}, {"damages", std::move(damages)},
          {"gaps", std::move(gaps)}};
}

void print_text(const StreamReport& stream) {
  const auto& report = stream.report;
  std::cout << stream.directory << ": " << (report.ok() ? "good" : "DAMAGED") << ", "
            << report.records << " records in " << report.blocks << " blocks, "
            << report.segments.size() << " segments\n";
  for (const auto& segment : report.segments) {
    if (!segment.readable) std::cout << "  " << segment.path << ": " << segment.problem << '\n';
  }
  for (const auto& damage : report.damages) {
    std::cout << "  damage: " << damage.path << " at byte " << damage.position << ": "
              << damage.reason << "; ";
    if (damage.next_offset > damage.first_offset) {
      std::cout << "offsets " << damage.first_offset << ".." << damage.next_offset << " are lost";
    } else {
      std::cout << "how much is lost is not known";
    }
    if (damage.records_behind != 0) {
      std::cout << "; " << damage.records_behind << " good records stand behind it";
    }
    std::cout << '\n';
  }
  for (const auto& gap : report.gaps) {
    std::cout << "  gap: offsets " << gap.first_offset << ".." << gap.next_offset << ", "
              << gap.count() << " records dropped (" << core::name_of(gap.reason) << ")\n";
  }
}

int run_verify(const std::string& directory, bool as_json) {
  const auto streams = streams_in(directory);
  if (!streams) return report(streams.error());
  bool good = true;
  json::array documents;
  for (const auto& path : *streams) {
    auto verified = core::verify_stream(core::env::posix_env(), path);
    if (!verified) return report(verified.error());
    const StreamReport stream{path, std::move(*verified)};
    good = good && stream.report.ok();
    if (as_json) {
      documents.push_back(describe(stream));
    } else {
      print_text(stream);
    }
  }
  if (as_json) {
    std::cout << json::serialize(json::object{{"ok", good}, {"streams", std::move(documents)}})
              << '\n';
  }
  return good ? kDone : kNo;
}

}  // namespace

void add_verify_command(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand(
      "verify", "Check every block of a spill; list damage and gaps; exit code 1 if it is damaged");
  auto directory = std::make_shared<std::string>();
  auto as_json = std::make_shared<bool>(false);
  command->add_option("directory", *directory, "a spill directory, or one stream's")->required();
  command->add_flag("--json", *as_json, "report as JSON");
  command->callback(
      [directory, as_json, &exit_code] { exit_code = run_verify(*directory, *as_json); });
}

}  // namespace spillway::cli
