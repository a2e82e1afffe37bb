// Puts a page that nobody may touch on either side of each shared file mapping, so that a read out
// of a lane is a crash and not some neighbour's bytes. Linked with --wrap=mmap,--wrap=mmap64,--wrap=munmap.
//
// One thread; at most kMappingsMax at once, more go unguarded.
#include <sys/mman.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kMappingsMax = 64;

struct Guarded {
  std::byte* inside = nullptr;
  std::size_t bytes = 0;
};
std::array<Guarded, kMappingsMax> guarded;

std::size_t whole_pages(std::size_t bytes) { return (bytes + kPage - 1) & ~(kPage - 1); }

Guarded* find(const void* inside) {
  for (auto& one : guarded) {
    if (one.inside == inside) return &one;
  }
  return nullptr;
}

}  // namespace

extern "C" {

void* __real_mmap(void* address, std::size_t bytes, int rights, int flags, int fd, off_t offset);
int __real_munmap(void* address, std::size_t bytes);

void* __wrap_mmap(void* address, std::size_t bytes, int rights, int flags, int fd, off_t offset) {
  Guarded* const place = find(nullptr);
  if (address != nullptr || fd < 0 || (flags & MAP_SHARED) == 0 || place == nullptr) {
    return __real_mmap(address, bytes, rights, flags, fd, offset);
  }
  const std::size_t inner = whole_pages(bytes);
  void* all =
      __real_mmap(nullptr, inner + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return all;
  auto* const inside = static_cast<std::byte*>(all) + kPage;
  if (__real_mmap(inside, bytes, rights, flags | MAP_FIXED, fd, offset) == MAP_FAILED) {
    __real_munmap(all, inner + 2 * kPage);
    return MAP_FAILED;
  }
  *place = {inside, inner};
  return inside;
}

// What mmap is called where off_t has been made 64 bits wide.
void* __wrap_mmap64(void* address, std::size_t bytes, int rights, int flags, int fd, off_t offset) {
  return __wrap_mmap(address, bytes, rights, flags, fd, offset);
}

int __wrap_munmap(void* address, std::size_t bytes) {
  Guarded* const place = address == nullptr ? nullptr : find(address);
  if (place == nullptr) return __real_munmap(address, bytes);
  void* const all = place->inside - kPage;
  const std::size_t all_bytes = place->bytes + 2 * kPage;
  *place = {};
  return __real_munmap(all, all_bytes);
}

}  // extern "C"
