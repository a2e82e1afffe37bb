// Env: the one seam to the operating system for everything that is stored: files, mappings,
// directories, clocks, chance.
//
// PosixEnv is the real one; SimEnv (spillway/core/env/sim_env.h) is its twin for tests: it drops,
// tears and reorders what was not synced, fails calls, and cuts the power at any step.
//
// Threads: an Env may be used from any thread; a File and a Mapping by one thread at a time, except
// File::sync_data, which a second thread may call while the first one writes.
//
// Invariants:
//  1. What was not covered by a sync_data (bytes) or sync_directory (names) that returned may be
//     gone, torn or reordered after a power cut, in any combination of 512-byte sectors.
//  2. Every store to a mapped file goes through Mapping::write, so that the twin sees each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spillway/core/result.h"
#include "spillway/core/uuid.h"

namespace spillway::core::env {

enum class MapAccess : std::uint8_t { kRead, kReadWrite };

/// A shared mapping of a file's first bytes.
class Mapping {
 public:
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  virtual ~Mapping() = default;

  [[nodiscard]] virtual const std::byte* data() const = 0;
  [[nodiscard]] virtual std::size_t size() const = 0;
  /// Copies `bytes` to `offset`. Bounds are the caller's duty (asserted).
  virtual void write(std::size_t offset, std::span<const std::byte> bytes) = 0;
  /// Stores a u64 with release order (8-byte aligned), for words that other processes poll.
  virtual void store_release(std::size_t offset, std::uint64_t value) = 0;
  /// Loads a u64 with acquire order (8-byte aligned).
  [[nodiscard]] virtual std::uint64_t load_acquire(std::size_t offset) const = 0;
  /// A page of it could not be read, or was cut off: it reads as zero since, and what is stored
  /// there reaches no file.
  [[nodiscard]] virtual bool page_lost() const { return false; }
};

class File {
 public:
  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  virtual ~File() = default;

  /// Bytes read: fewer than asked for only at the file's end.
  [[nodiscard]] virtual Result<std::size_t> read(std::uint64_t offset,
                                                 std::span<std::byte> into) const = 0;
  [[nodiscard]] virtual Result<void> write(std::uint64_t offset,
                                           std::span<const std::byte> bytes) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> size() const = 0;
  /// Reserves disk space and sets the size: a later store into it cannot run out of space. New
  /// bytes are zero.
  [[nodiscard]] virtual Result<void> allocate(std::uint64_t size) = 0;
  /// fdatasync. After a failure the unsynced bytes' state is unknown, and trying again proves
  /// nothing.
  [[nodiscard]] virtual Result<void> sync_data() = 0;
  /// Maps [0, size). The mapping outlives the File.
  [[nodiscard]] virtual Result<std::unique_ptr<Mapping>> map(std::uint64_t size,
                                                             MapAccess access) = 0;
  /// Takes a whole-file write lock (OFD) without waiting, held until the File goes. False: somebody
  /// else has it.
  [[nodiscard]] virtual Result<bool> try_lock() = 0;
};

/// A regular file as its directory tells of it.
struct SizedName {
  std::string name;
  std::uint64_t bytes = 0;
};

enum class OpenMode : std::uint8_t { kRead, kReadWrite, kCreateNew, kOpenOrCreate };

class Env {
 public:
  Env() = default;
  Env(const Env&) = delete;
  Env& operator=(const Env&) = delete;
  virtual ~Env() = default;

  // --- files and names (paths are absolute or relative to the working directory) ---
  [[nodiscard]] virtual Result<std::unique_ptr<File>> open(const std::string& path,
                                                           OpenMode mode) = 0;
  /// Replaces `to` if it is there.
  [[nodiscard]] virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  [[nodiscard]] virtual Result<void> remove(const std::string& path) = 0;
  /// With parents; no error if it is there already.
  [[nodiscard]] virtual Result<void> make_directories(const std::string& path) = 0;
  /// Names in a directory, without "." and "..", sorted. kNotFound if there is no such directory.
  [[nodiscard]] virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
  /// The regular files among them with their sizes; none is opened.
  [[nodiscard]] virtual Result<std::vector<SizedName>> list_sizes(const std::string& path) = 0;
  [[nodiscard]] virtual Result<bool> exists(const std::string& path) = 0;
  [[nodiscard]] virtual Result<void> sync_directory(const std::string& path) = 0;
  /// The absolute path without links, "." and ".."; what is not there stays as it was given.
  [[nodiscard]] virtual std::string canonical(const std::string& path) { return path; }

  // --- clocks: nanoseconds ---
  [[nodiscard]] virtual std::uint64_t
  boottime_ns() = 0;                                 // goes on through suspend, 0 at boot; decides
  [[nodiscard]] virtual std::uint64_t utc_ns() = 0;  // the wall clock; never decides anything
  /// True if the kernel says that the wall clock is synchronised, or it stands after this build was
  /// made.
  [[nodiscard]] virtual bool utc_is_certain() = 0;

  [[nodiscard]] virtual Uuid boot_id() = 0;
  [[nodiscard]] virtual std::uint64_t random_u64() = 0;
};

/// Writes a small file as a whole: temporary name, write, sync, rename, sync the directory.
[[nodiscard]] Result<void> replace_file(Env& env, const std::string& path,
                                        std::span<const std::byte> bytes);
/// Reads a small file as a whole; kCorrupt if it is larger than `size_max`.
[[nodiscard]] Result<std::vector<std::byte>> read_file(Env& env, const std::string& path,
                                                       std::size_t size_max);

}  // namespace spillway::core::env
