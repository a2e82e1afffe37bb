#include "edge-agent/ingest/iceoryx/bridge_page.h"

#include <sys/mman.h>

#include <cerrno>
#include <new>

namespace spillway::agent::iceoryx {

void BridgePage::begin_life() {
  for (MapCounters& map : maps) {
    map.tracker = SequenceTracker();
    map.publishers.store(0, std::memory_order_relaxed);
  }
}

void UnmapPage::operator()(BridgePage* page) const {
  page->~BridgePage();
  ::munmap(page, sizeof(BridgePage));
}

core::Result<SharedPage> make_shared_page() {
  void* const address = ::mmap(nullptr, sizeof(BridgePage), PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return core::fail_errno(errno, "sharing memory with the reader");
  return SharedPage(new (address) BridgePage());
}

}  // namespace spillway::agent::iceoryx
