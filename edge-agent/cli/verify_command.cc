// spillway verify: checks every block of a spill, lists damage and gaps exactly, and repairs it if
// asked to.
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <iostream>

#include "edge-agent/cli/command.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/repair.h"
#include "spillway/core/verify.h"

namespace spillway::cli {
namespace {

namespace json = boost::json;

struct Wishes {
  std::string directory;
  bool as_json = false;
  bool repair = false;
  core::RepairOptions options;
};

struct StreamReport {
  std::string directory;
  core::VerifyReport report;  // after the repair, if there was one
  std::optional<core::RepairReport> repair;
};

bool holds_segments(const std::string& directory) {
  const auto names = core::env::posix_env().list(directory);
  return names && std::any_of(names->begin(), names->end(), [](const std::string& name) {
           return name.ends_with(".spill") || name == "gaps";
         });
}

/// The streams in DIR: itself if it is one, else its folders that are, or those in them that are (a
/// relay's, one folder a gateway).
core::Result<std::vector<std::string>> streams_in(const std::string& directory) {
  if (holds_segments(directory)) return std::vector{directory};
  SPILLWAY_TRY(names, core::env::posix_env().list(directory));
  std::vector<std::string> found;
  for (const auto& name : names) {
    std::string path = directory;
    path += "/" + name;
    if (holds_segments(path)) {
      found.push_back(std::move(path));
      continue;
    }
    const auto inner = core::Uuid::parse(name) ? core::env::posix_env().list(path)
                                               : core::Result<std::vector<std::string>>();
    path += "/";
    for (const auto& stream : inner ? *inner : std::vector<std::string>()) {
      std::string foreign = path;
      foreign += stream;
      if (holds_segments(foreign)) found.push_back(std::move(foreign));
    }
  }
  if (found.empty()) {
    return core::fail(core::ErrorCode::kNotFound,
                      "no stream in " + directory +
                          ": give a spill directory, or one stream's directory inside it");
  }
  return found;
}

json::array describe(const std::vector<core::Gap>& gaps) {
  json::array entries;
  for (const auto& gap : gaps) {
    entries.push_back({{"first_offset", gap.first_offset},
                       {"next_offset", gap.next_offset},
                       {"count", gap.count()},
                       {"reason", core::name_of(gap.reason)}});
  }
  return entries;
}

json::array describe(const core::RepairReport& repair) {
  json::array entries;
  for (const auto& segment : repair.segments) {
    entries.push_back({{"path", segment.path},
                       {"kept_as", segment.kept_as},
                       {"rewritten", segment.rewritten},
                       {"records", segment.records},
                       {"records_salvaged", segment.records_salvaged},
                       {"blocks_healed", segment.blocks_healed},
                       {"lost", describe(segment.lost)}});
  }
  return entries;
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
                       {"nothing_lost", damage.nothing_lost},
                       {"records_behind", damage.records_behind}});
  }
  json::object document{{"directory", stream.directory},   {"ok", report.ok()},
                        {"records", report.records},       {"blocks", report.blocks},
                        {"segments", std::move(segments)}, {"damages", std::move(damages)},
                        {"gaps", describe(report.gaps)}};
  if (stream.repair) document["repaired"] = describe(*stream.repair);
  return document;
}

void print_damage(const core::Damage& damage) {
  std::cout << "  damage: " << damage.path << " at byte " << damage.position << ": "
            << damage.reason;
  if (damage.next_offset > damage.first_offset) {
    std::cout << "; offsets " << damage.first_offset << ".." << damage.next_offset << " are lost";
  } else if (!damage.nothing_lost) {
    std::cout << "; how much is lost is not known";
  }
  if (damage.records_behind != 0) {
    std::cout << "; " << damage.records_behind
              << " good records stand behind it, which --repair salvages";
  }
  std::cout << '\n';
}

void print_repair(const core::RepairReport& repair) {
  for (const auto& damage : repair.before.damages) print_damage(damage);
  for (const auto& segment : repair.segments) {
    std::cout << "  repaired: " << segment.path << ": " << segment.records
              << " records are readable, " << segment.records_salvaged << " of them again";
    if (segment.blocks_healed != 0) {
      std::cout << "; " << segment.blocks_healed << " blocks had one flipped bit";
    }
    for (const auto& gap : segment.lost) {
      std::cout << "; offsets " << gap.first_offset << ".." << gap.next_offset << " are lost";
    }
    if (!segment.kept_as.empty()) std::cout << "; the damaged file is now " << segment.kept_as;
    std::cout << '\n';
  }
}

void print_text(const StreamReport& stream) {
  const auto& report = stream.report;
  std::cout << stream.directory << ": " << (report.ok() ? "good" : "DAMAGED") << ", "
            << report.records << " records in " << report.blocks << " blocks, "
            << report.segments.size() << " segments\n";
  for (const auto& segment : report.segments) {
    if (!segment.readable) std::cout << "  " << segment.path << ": " << segment.problem << '\n';
  }
  if (stream.repair) print_repair(*stream.repair);
  for (const auto& damage : report.damages) print_damage(damage);
  for (const auto& gap : report.gaps) {
    std::cout << "  gap: offsets " << gap.first_offset << ".." << gap.next_offset << ", "
              << gap.count() << " records dropped (" << core::name_of(gap.reason) << ")\n";
  }
}

/// Files made by another user could not be written by the agent afterwards.
core::Result<void> check_owner(const std::string& directory) {
  struct stat facts {};
  if (::stat(directory.c_str(), &facts) != 0 || facts.st_uid == ::geteuid()) return {};
  return core::fail(core::ErrorCode::kPermission,
                    "repairing " + directory + ": it belongs to user " +
                        std::to_string(facts.st_uid) + ": run this as that user, or the agent " +
                        "could not write what is made here");
}

core::Result<StreamReport> look_at(const std::string& directory, const Wishes& wishes) {
  auto& env = core::env::posix_env();
  if (!wishes.repair) {
    SPILLWAY_TRY(verified, core::verify_stream(env, directory));
    return StreamReport{directory, std::move(verified), std::nullopt};
  }
  SPILLWAY_CHECKED(check_owner(directory));
  SPILLWAY_TRY(repaired, core::repair_stream(env, directory, wishes.options));
  StreamReport stream{directory, repaired.after, std::nullopt};
  stream.repair = std::move(repaired);
  return stream;
}

int run_verify(const Wishes& wishes) {
  const auto streams = streams_in(wishes.directory);
  if (!streams) return report(streams.error());
  bool good = true;
  json::array documents;
  for (const auto& path : *streams) {
    const auto stream = look_at(path, wishes);
    if (!stream) return report(stream.error());
    good = good && stream->report.ok();
    if (wishes.as_json) {
      documents.push_back(describe(*stream));
    } else {
      print_text(*stream);
    }
  }
  if (wishes.as_json) {
    std::cout << json::serialize(json::object{{"ok", good}, {"streams", std::move(documents)}})
              << '\n';
  }
  return good ? kDone : kNo;
}

}  // namespace

void add_verify_command(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand(
      "verify", "Check every block of a spill; list damage and gaps; exit code 1 if it is damaged");
  auto wishes = std::make_shared<Wishes>();
  command->add_option("directory", wishes->directory, "a spill directory, or one stream's")
      ->required();
  command->add_flag("--json", wishes->as_json, "report as JSON");
  auto* repair = command->add_flag("--repair", wishes->repair,
                                   "make what can be salvaged readable again, and write down what "
                                   "is lost; exit code 0 if all is good then");
  command
      ->add_flag("--remove-damaged", wishes->options.remove_damaged,
                 "with --repair: do not keep the damaged files as *.damaged")
      ->needs(repair);
  command->callback([wishes, &exit_code] { exit_code = run_verify(*wishes); });
}

}  // namespace spillway::cli
