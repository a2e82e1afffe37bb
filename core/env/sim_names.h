// SimNames: the simulated directories: which name means which file, for processes and for the disk.
// Private to core/env.
//
// Each change of a name is an operation that waits for a sync of its directory. A power cut keeps
// or drops each one that waits; one that touches the same name or the same file as an earlier one
// depends on it and falls with it, so a file never has two names, and a renamed one always has
// exactly one of them.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/env/sim_inode.h"

namespace spillway::core::env {

using SimInodePointer = std::shared_ptr<SimInode>;

class SimNames {
 public:
  [[nodiscard]] SimInodePointer find(const std::string& path) const;
  [[nodiscard]] bool is_directory(const std::string& path) const;
  [[nodiscard]] std::vector<std::string> list(const std::string& directory) const;
  [[nodiscard]] const std::map<std::string, SimInodePointer>& files() const { return visible_; }

  void create(const std::string& path, SimInodePointer inode);
  void rename(const std::string& from, const std::string& to);
  void remove(const std::string& path);
  /// Directories are durable at once, as Env::make_directories promises.
  void make_directory(const std::string& path) { directories_.insert(path); }
  void remove_directory(const std::string& path) { directories_.erase(path); }
  void sync(const std::string& directory);

  /// Names and files become what the disk holds; everything below a volatile root goes.
  void cut_power(const std::vector<std::string>& volatile_roots, SimRandom& random);

 private:
  struct Operation {
    std::optional<std::string> from;  // the name that goes
    std::optional<std::string> to;    // the name that comes
    SimInodePointer inode;
    SimInodePointer replaced;
  };
  using Files = std::map<std::string, SimInodePointer>;

  static void apply(const Operation& operation, Files& files);
  static bool depends(const Operation& later, const Operation& earlier);
  static bool stands_in(const Operation& operation, const std::string& directory);
  void perform(Operation operation);

  Files visible_;
  Files durable_;
  std::vector<Operation> waiting_;
  std::set<std::string> directories_{"/", "."};
};

}  // namespace spillway::core::env
