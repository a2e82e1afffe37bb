/* feed QUEUE_DIR NAME: a producer as a stranger writes it, with what libspillway-dev installs and nothing else. */
#include <spillway/spillway.h>
#include <stdio.h>
#include <string.h>

static int failed(const char* what, spillway_status status) {
  fprintf(stderr, "%s: %s; %s\n", what, spillway_status_text(status), spillway_error_detail());
  return 1;
}

int main(int argc, char** argv) {
  const uint64_t ten_seconds_ns = 10000000000u;
  spillway_producer* producer = NULL;
  char text[128];
  spillway_status status;
  if (argc != 3) return 2;
  snprintf(text, sizeof text, "from %s", argv[2]);
  status = spillway_producer_open(argv[1], "stranger/feed", NULL, &producer);
  if (status != SPILLWAY_OK) return failed("open", status);
  status = spillway_producer_put(producer, text, strlen(text) + 1);
  if (status != SPILLWAY_OK) return failed("put", status);
  status = spillway_producer_flush(producer, SPILLWAY_POWER_SAFE, ten_seconds_ns);
  if (status != SPILLWAY_OK) return failed("flush", status);
  spillway_producer_close(producer);
  return 0;
}
