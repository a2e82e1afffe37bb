#include "uplink/daemon/own_files.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

namespace spillway::uplink {

namespace {

constexpr std::string_view kCursors = "/cursors";
/// "<stream>", or in a relay "<gateway>/<stream>".
constexpr std::ptrdiff_t kLevelsMax = 2;

/// A directory as it is configured, and as it is without links: the agent may name either.
void add_both(std::vector<std::string>& paths, const std::string& directory) {
  std::error_code none;
  const std::filesystem::path given(directory);
  for (const auto& path : {given, std::filesystem::weakly_canonical(given, none)}) {
    std::string plain = path.lexically_normal().string();
    while (plain.size() > 1 && plain.ends_with('/')) plain.pop_back();
    if (!plain.empty()) paths.push_back(std::move(plain));
  }
}

}  // namespace

OwnFiles::OwnFiles(const core::Config& config, const std::vector<core::UplinkConfig>& uplinks) {
  std::vector<std::string> queues;
  add_both(queues, config.gateway.queue_dir);
  add_both(spills_, config.gateway.spill_dir);
  for (const std::string& queue : queues) spills_.push_back(queue + "/spill");
  for (const core::UplinkConfig& uplink : uplinks) {
    uplinks_.push_back(uplink.name);
    for (const std::string& queue : queues) {
      notes_.push_back(queue + "/uplink-" + uplink.name + ".status");
    }
    if (uplink.relay.empty()) continue;
    std::vector<std::string> relays;
    add_both(relays, uplink.relay);
    for (const std::string& relay : relays) {
      spills_.push_back(relay);
      notes_.push_back(relay + "/uplink-" + uplink.name + ".");
    }
  }
}

bool OwnFiles::holds(const std::string& path) const {
  return is_cursors_path(path) || is_note(path);
}

/// <spill>/<stream>/cursors, or below it <uplink> or <uplink>.<anything>
bool OwnFiles::is_cursors_path(const std::string& path) const {
  std::string_view directory = path;
  if (!path.ends_with(kCursors)) {
    const std::size_t slash = directory.rfind('/');
    if (slash == std::string_view::npos) return false;
    const std::string_view name = directory.substr(slash + 1);
    const auto is_its = [name](const std::string& uplink) {
      return name == uplink || name.starts_with(uplink + ".");
    };
    if (!std::any_of(uplinks_.begin(), uplinks_.end(), is_its)) return false;
    directory = directory.substr(0, slash);
    if (!directory.ends_with(kCursors)) return false;
  }
  const std::string_view stream = directory.substr(0, directory.size() - kCursors.size());
  return std::any_of(spills_.begin(), spills_.end(), [stream](const std::string& spill) {
    if (!stream.starts_with(spill + "/")) return false;
    const std::string_view below = stream.substr(spill.size());
    return below.size() > 1 && std::count(below.begin(), below.end(), '/') <= kLevelsMax;
  });
}

bool OwnFiles::is_note(const std::string& path) const {
  return std::any_of(notes_.begin(), notes_.end(), [&path](const std::string& note) {
    return path.starts_with(note) && path.find('/', note.size()) == std::string::npos;
  });
}

}  // namespace spillway::uplink
