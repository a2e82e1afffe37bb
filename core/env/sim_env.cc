#include "spillway/core/env/sim_env.h"

#include "core/env/paths.h"
#include "core/env/sim_state.h"
#include "spillway/core/assert.h"

namespace spillway::core::env {

namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
constexpr std::uint64_t kFirstUtcNs = 1'750'000'000ULL * kNsPerSecond;
/// How long a machine without power stays so.
constexpr std::uint64_t kDarkNs = 30 * kNsPerSecond;

/// One spelling for each path.
std::string normal(const std::string& path) {
  std::vector<std::string> prefixes = prefixes_of(path);
  if (prefixes.empty()) return path.starts_with('/') ? "/" : ".";
  return std::move(prefixes.back());
}

tl::unexpected<Error> not_found(const char* what, const std::string& path) {
  return fail(ErrorCode::kNotFound, what + path + ": No such file or directory");
}

}  // namespace

SimEnv::SimEnv(std::uint64_t seed) : state_(std::make_shared<State>(seed)) {
  state_->boot_id = state_->random_uuid();
  state_->boottime_ns = kNsPerSecond + state_->random.below(10 * kNsPerSecond);
  state_->utc_ns = kFirstUtcNs;
}

SimEnv::~SimEnv() = default;

void SimEnv::cut_power_at(std::optional<std::uint64_t> step) { state_->cut_at = step; }
void SimEnv::fail_at(std::uint64_t step, Error error) { state_->failures[step] = std::move(error); }
void SimEnv::fail_from(std::uint64_t step, Error error) {
  state_->broken_from = step;
  state_->broken_with = std::move(error);
}
void SimEnv::stop_failing() {
  state_->failures.clear();
  state_->broken_from.reset();
  state_->syncs_fail = false;
}
void SimEnv::set_sector_bytes(std::size_t bytes) { state_->sector_bytes = bytes; }
void SimEnv::fail_syncs(bool fail) { state_->syncs_fail = fail; }
void SimEnv::set_capacity_bytes(std::uint64_t bytes) { state_->capacity_bytes = bytes; }
std::uint64_t SimEnv::steps() const { return state_->steps; }
std::uint64_t SimEnv::opens() const { return state_->opens; }
std::uint64_t SimEnv::reads() const { return state_->reads; }
SimStep SimEnv::kind_of_last_step() const { return state_->last_kind; }

void SimEnv::restart_after_power_cut() {
  state_->restart();
  state_->names.cut_power(state_->volatile_roots, state_->random);
  state_->boot_id = state_->random_uuid();
  state_->boottime_ns = kNsPerSecond + state_->random.below(10 * kNsPerSecond);
  state_->utc_ns += kDarkNs;
}

void SimEnv::restart_after_kill() { state_->restart(); }

void SimEnv::set_failing_place(FailingPlace place) { state_->failing_place = place; }

void SimEnv::set_volatile_root(std::string prefix) {
  state_->volatile_roots.push_back(std::move(prefix));
}

void SimEnv::advance_ns(std::uint64_t ns) {
  state_->boottime_ns += ns;
  state_->utc_ns += ns;
}

void SimEnv::set_utc_ns(std::uint64_t ns, bool certain) {
  state_->utc_ns = ns;
  state_->utc_certain = certain;
}

void SimEnv::flip_bit(const std::string& path, std::uint64_t bit) {
  const SimInodePointer inode = state_->names.find(normal(path));
  SPILLWAY_ASSERT(inode != nullptr);
  inode->flip_bit(bit);
}

Result<std::unique_ptr<File>> SimEnv::open(const std::string& path, OpenMode mode) {
  const std::string name = normal(path);
  SimNames& names = state_->names;
  if (names.is_directory(name)) {
    return fail(ErrorCode::kInvalidArgument, "opening " + path + ": it is not a regular file");
  }
  SimInodePointer inode = names.find(name);
  if (inode && mode == OpenMode::kCreateNew) {
    return fail(ErrorCode::kBusy, "opening " + path + ": File exists");
  }
  if (!inode) {
    const bool creates = mode == OpenMode::kCreateNew || mode == OpenMode::kOpenOrCreate;
    if (!creates || !names.is_directory(parent_of(name))) return not_found("opening ", path);
    SPILLWAY_CHECKED(state_->begin_step(SimStep::kCreate, name));
    inode = std::make_shared<SimInode>(state_->sector_bytes);
    names.create(name, inode);
  }
  ++state_->opens;
  return make_sim_file(state_, std::move(inode), path, mode != OpenMode::kRead);
}

Result<void> SimEnv::rename(const std::string& from, const std::string& to) {
  const std::string old_name = normal(from);
  const std::string new_name = normal(to);
  SimNames& names = state_->names;
  if (!names.find(old_name) || !names.is_directory(parent_of(new_name))) {
    return not_found("renaming ", from + " to " + to);
  }
  if (names.is_directory(new_name)) {
    return fail(ErrorCode::kInvalidArgument,
                "renaming " + from + " to " + to + ": a directory is in the way");
  }
  SPILLWAY_CHECKED(state_->begin_step(SimStep::kRename, new_name));
  names.rename(old_name, new_name);
  return {};
}

Result<void> SimEnv::remove(const std::string& path) {
  const std::string name = normal(path);
  SimNames& names = state_->names;
  const bool directory = names.is_directory(name);
  if (!directory && !names.find(name)) return not_found("removing ", path);
  if (directory && !names.list(name).empty()) {
    return fail(ErrorCode::kIo, "removing " + path + ": Directory not empty");
  }
  SPILLWAY_CHECKED(state_->begin_step(SimStep::kRemove, name));
  if (directory) {
    names.remove_directory(name);
  } else {
    names.remove(name);
  }
  return {};
}

Result<void> SimEnv::make_directories(const std::string& path) {
  SimNames& names = state_->names;
  for (const std::string& part : prefixes_of(path)) {
    if (names.is_directory(part)) continue;
    if (names.find(part)) {
      return fail(ErrorCode::kInvalidArgument,
                  "making directory " + part + ": a file of this name is in the way");
    }
    SPILLWAY_CHECKED(state_->begin_step(SimStep::kCreate, part));
    names.make_directory(part);
  }
  return {};
}

Result<std::vector<std::string>> SimEnv::list(const std::string& path) {
  const std::string name = normal(path);
  if (!state_->names.is_directory(name)) return not_found("listing ", path);
  return state_->names.list(name);
}

Result<std::vector<SizedName>> SimEnv::list_sizes(const std::string& path) {
  SPILLWAY_TRY(names, list(path));
  std::vector<SizedName> files;
  const std::string folder = normal(path) + "/";
  for (std::string& name : names) {
    const SimInodePointer inode = state_->names.find(folder + name);
    if (inode) files.push_back({std::move(name), inode->size()});
  }
  return files;
}

Result<bool> SimEnv::exists(const std::string& path) {
  const std::string name = normal(path);
  return state_->names.is_directory(name) || state_->names.find(name) != nullptr;
}

Result<void> SimEnv::sync_directory(const std::string& path) {
  const std::string name = normal(path);
  if (!state_->names.is_directory(name)) return not_found("syncing directory ", path);
  SPILLWAY_CHECKED(state_->begin_step(SimStep::kSyncDirectory, name));
  state_->names.sync(name);
  return {};
}

std::uint64_t SimEnv::boottime_ns() { return state_->boottime_ns; }
std::uint64_t SimEnv::utc_ns() { return state_->utc_ns; }
bool SimEnv::utc_is_certain() { return state_->utc_certain; }
Uuid SimEnv::boot_id() { return state_->boot_id; }
std::uint64_t SimEnv::random_u64() { return state_->random.next(); }

}  // namespace spillway::core::env
