// An environment that hands everything on to another one, for tests that change a single thing of it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "spillway/core/env/posix_env.h"

namespace spillway::core::testing {

class ForwardingMapping : public env::Mapping {
 public:
  explicit ForwardingMapping(std::unique_ptr<env::Mapping> mapping)
      : mapping_(std::move(mapping)) {}
  [[nodiscard]] const std::byte* data() const override { return mapping_->data(); }
  [[nodiscard]] std::size_t size() const override { return mapping_->size(); }
  void write(std::size_t offset, std::span<const std::byte> bytes) override {
    mapping_->write(offset, bytes);
  }
  void store_release(std::size_t offset, std::uint64_t value) override {
    mapping_->store_release(offset, value);
  }
  [[nodiscard]] std::uint64_t load_acquire(std::size_t offset) const override {
    return mapping_->load_acquire(offset);
  }
  [[nodiscard]] bool page_lost() const override { return mapping_->page_lost(); }

 private:
  std::unique_ptr<env::Mapping> mapping_;
};

class ForwardingFile : public env::File {
 public:
  explicit ForwardingFile(std::unique_ptr<env::File> file) : file_(std::move(file)) {}
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> into) const override {
    return file_->read(offset, into);
  }
  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    return file_->write(offset, bytes);
  }
  Result<std::uint64_t> size() const override { return file_->size(); }
  Result<void> allocate(std::uint64_t size) override { return file_->allocate(size); }
  Result<void> sync_data() override { return file_->sync_data(); }
  Result<std::unique_ptr<env::Mapping>> map(std::uint64_t size, env::MapAccess access) override {
    return file_->map(size, access);
  }
  Result<bool> try_lock() override { return file_->try_lock(); }

 private:
  std::unique_ptr<env::File> file_;
};

class ForwardingEnv : public env::Env {
 public:
  explicit ForwardingEnv(env::Env& env = env::posix_env()) : env_(env) {}
  Result<std::unique_ptr<env::File>> open(const std::string& path, env::OpenMode mode) override {
    return env_.open(path, mode);
  }
  Result<void> rename(const std::string& from, const std::string& to) override {
    return env_.rename(from, to);
  }
  Result<void> remove(const std::string& path) override { return env_.remove(path); }
  Result<void> make_directories(const std::string& path) override {
    return env_.make_directories(path);
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    return env_.list(path);
  }
  Result<std::vector<env::SizedName>> list_sizes(const std::string& path) override {
    return env_.list_sizes(path);
  }
  Result<bool> exists(const std::string& path) override { return env_.exists(path); }
  Result<void> sync_directory(const std::string& path) override {
    return env_.sync_directory(path);
  }
  std::string canonical(const std::string& path) override { return env_.canonical(path); }
  std::uint64_t boottime_ns() override { return env_.boottime_ns(); }
  std::uint64_t utc_ns() override { return env_.utc_ns(); }
  bool utc_is_certain() override { return env_.utc_is_certain(); }
  Uuid boot_id() override { return env_.boot_id(); }
  std::uint64_t random_u64() override { return env_.random_u64(); }

 private:
  env::Env& env_;
};

}  // namespace spillway::core::testing
