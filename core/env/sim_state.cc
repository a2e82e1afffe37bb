#include "core/env/sim_state.h"

#include <algorithm>

namespace spillway::core::env {

Result<void> SimEnv::State::begin_step(SimStep kind, const std::string& path) {
  if (!powered) return fail(ErrorCode::kIo, "the power is off (simulated)");
  const std::uint64_t step = steps;
  if (cut_at == step) {
    powered = false;
    throw PowerCut{step};
  }
  ++steps;
  last_kind = kind;
  if (!may_fail(path)) return {};
  const auto failure = failures.find(step);
  if (failure != failures.end()) return tl::unexpected(failure->second);
  if (broken_from && step >= *broken_from) return tl::unexpected(broken_with);
  return {};
}

Result<void> SimEnv::State::begin_write(SimStep kind, SimInode& inode, const std::string& path,
                                        std::size_t offset, std::span<const std::byte> bytes) {
  // A word is stored whole; a longer copy is cut anywhere.
  if (powered && cut_at == steps && bytes.size() > sizeof(std::uint64_t) && random.chance(50)) {
    inode.write(offset, bytes.first(static_cast<std::size_t>(random.below(bytes.size()))));
  }
  auto step = begin_step(kind, path);
  // A write that fails may have come some of its way.
  if (!step && powered && kind == SimStep::kFileWrite && random.chance(50)) {
    inode.write(offset, bytes.first(static_cast<std::size_t>(random.below(bytes.size()))));
  }
  return step;
}

bool SimEnv::State::may_fail(const std::string& path) const {
  if (failing_place == FailingPlace::kEverywhere) return true;
  return is_in_memory(path) == (failing_place == FailingPlace::kMemory);
}

bool SimEnv::State::is_in_memory(const std::string& path) const {
  return std::any_of(volatile_roots.begin(), volatile_roots.end(),
                     [&path](const std::string& root) { return path.starts_with(root); });
}

Result<void> SimEnv::State::check_space(std::uint64_t more, const std::string& path) const {
  if (is_in_memory(path)) return {};
  std::uint64_t used = 0;
  for (const auto& [name, inode] : names.files()) used += is_in_memory(name) ? 0 : inode->size();
  if (used <= capacity_bytes && more <= capacity_bytes - used) return {};
  return fail(ErrorCode::kFull, "growing " + path + ": No space left on device (simulated)");
}

Uuid SimEnv::State::random_uuid() {
  const std::uint64_t high = random.next();
  return Uuid::from_random(high, random.next());
}

void SimEnv::State::restart() {
  ++life;
  powered = true;
  cut_at.reset();
  for (const auto& [path, inode] : names.files()) {
    inode->lock_holder = nullptr;
    inode->forget_mappings();
  }
}

}  // namespace spillway::core::env
