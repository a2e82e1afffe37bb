// The directories and small files of a queue: made if missing, refused if they are not the agent's
// own. Private to shm.
//
// Any process of the group may make names in a queue directory (3773), so nothing found there is
// taken on trust: no symlink is followed, and what belongs to somebody else is refused by name.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "shm/queue/descriptor.h"
#include "spillway/core/result.h"
#include "spillway/core/uuid.h"

namespace spillway::shm {

/// The queue directory (3773) with lanes (3773), journal and quarantine (0700).
[[nodiscard]] core::Result<void> make_rooms(const std::string& path);
/// Takes agent.lock; kBusy names the agent that has it.
[[nodiscard]] core::Result<Descriptor> lock_queue(const std::string& path);
/// Opens or makes a plain file of this user. What somebody else put there is removed: the directory
/// is ours.
[[nodiscard]] core::Result<Descriptor> open_own_file(const std::string& path, mode_t mode);
/// Names in a directory, sorted, without those that begin with a dot.
[[nodiscard]] core::Result<std::vector<std::string>> list_names(const std::string& path);
[[nodiscard]] core::Result<core::Uuid> read_boot_id();

}  // namespace spillway::shm
