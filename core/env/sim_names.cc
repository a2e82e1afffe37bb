#include "core/env/sim_names.h"

#include <algorithm>
#include <array>

#include "core/env/paths.h"

namespace spillway::core::env {

SimInodePointer SimNames::find(const std::string& path) const {
  const auto found = visible_.find(path);
  return found == visible_.end() ? nullptr : found->second;
}

bool SimNames::is_directory(const std::string& path) const { return directories_.contains(path); }

std::vector<std::string> SimNames::list(const std::string& directory) const {
  std::vector<std::string> names;
  const auto add = [&](const std::string& path) {
    if (path != directory && parent_of(path) == directory) {
      names.push_back(path.substr(path.rfind('/') + 1));
    }
  };
  for (const auto& [path, inode] : visible_) add(path);
  for (const std::string& path : directories_) {
    if (path != "/" && path != ".") add(path);
  }
  std::sort(names.begin(), names.end());
  return names;
}

void SimNames::apply(const Operation& operation, Files& files) {
  if (operation.from) files.erase(*operation.from);
  if (operation.to) files[*operation.to] = operation.inode;
}

void SimNames::perform(Operation operation) {
  apply(operation, visible_);
  waiting_.push_back(std::move(operation));
}

void SimNames::create(const std::string& path, SimInodePointer inode) {
  perform({std::nullopt, path, std::move(inode), nullptr});
}

void SimNames::rename(const std::string& from, const std::string& to) {
  if (from == to) return;
  perform({from, to, find(from), find(to)});
}

void SimNames::remove(const std::string& path) {
  perform({path, std::nullopt, find(path), nullptr});
}

bool SimNames::depends(const Operation& later, const Operation& earlier) {
  const auto touches = [&](const std::optional<std::string>& name) {
    return name && (name == earlier.from || name == earlier.to);
  };
  if (touches(later.from) || touches(later.to)) return true;
  return later.inode == earlier.inode || later.inode == earlier.replaced ||
         (later.replaced &&
          (later.replaced == earlier.inode || later.replaced == earlier.replaced));
}

bool SimNames::stands_in(const Operation& operation, const std::string& directory) {
  // A rename between directories is one operation; the sync that counts is that of the directory it
  // goes to.
  return parent_of(operation.to ? *operation.to : *operation.from) == directory;
}

void SimNames::sync(const std::string& directory) {
  std::vector<bool> synced(waiting_.size());
  for (std::size_t i = waiting_.size(); i-- > 0;) {
    synced[i] = synced[i] || stands_in(waiting_[i], directory);
    if (!synced[i]) continue;
    for (std::size_t j = 0; j < i; ++j) {
      if (depends(waiting_[i], waiting_[j])) synced[j] = true;
    }
  }
  std::vector<Operation> left;
  for (std::size_t i = 0; i < waiting_.size(); ++i) {
    if (synced[i]) {
      apply(waiting_[i], durable_);
    } else {
      left.push_back(std::move(waiting_[i]));
    }
  }
  waiting_ = std::move(left);
}

void SimNames::cut_power(const std::vector<std::string>& volatile_roots, SimRandom& random) {
  // All, none, or each by itself: chance alone would hardly ever keep or drop all of many.
  const std::uint64_t percent =
      std::array<std::uint64_t, 4>{0, 100, 50, 80}[static_cast<std::size_t>(random.below(4))];
  std::vector<bool> dropped(waiting_.size());
  for (std::size_t i = 0; i < waiting_.size(); ++i) {
    dropped[i] = !random.chance(percent);
    for (std::size_t j = 0; j < i; ++j) {
      if (dropped[j] && depends(waiting_[i], waiting_[j])) dropped[i] = true;
    }
    if (!dropped[i]) apply(waiting_[i], durable_);
  }
  waiting_.clear();
  const auto is_volatile = [&](const std::string& path) {
    return std::any_of(volatile_roots.begin(), volatile_roots.end(),
                       [&](const std::string& root) { return path.starts_with(root); });
  };
  std::erase_if(durable_, [&](const auto& entry) { return is_volatile(entry.first); });
  std::erase_if(directories_, is_volatile);
  for (auto& [path, inode] : durable_) {
    inode = std::make_shared<SimInode>(inode->sector_bytes(), inode->after_power_cut(random));
  }
  visible_ = durable_;
}

}  // namespace spillway::core::env
