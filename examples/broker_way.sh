#!/bin/bash
# A record's way from a gateway through a broker into a consumer's inbox, on this machine. Sourced by kafka/run.sh and
# rabbitmq/run.sh, which say which broker: `broker_way EXAMPLE UPLINK BROKER_SCRIPT DECLARED BIN [BROKER]`; EXAMPLE is the folder
# with gateway.toml and consumer.toml.

finish() {
  local daemon
  for daemon in "${daemons[@]}"; do kill "$daemon" 2> /dev/null || true; done
  wait
  rm -rf "$folder"
}

# wait_for SECONDS WHAT COMMAND...: until the command says yes.
wait_for() {
  local end=$((SECONDS + $1)) what="$2"
  shift 2
  until "$@"; do
    ((SECONDS < end)) || { echo "waited in vain: $what" >&2; tail -n 5 "$folder"/*.log >&2; exit 1; }
    sleep 0.2
  done
}

# start NAME COMMAND...: in the background, with a log.
start() {
  local name="$1"
  shift
  "$@" > "$folder/$name.log" 2>&1 &
  daemons+=($!)
}

# How many records the inbox has.
stored() {
  /usr/bin/python3 - "$folder/inbox.db" << 'PYTHON'
import sqlite3
import sys

try:
    print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("SELECT COUNT(*) FROM record").fetchone()[0])
except sqlite3.Error:
    print(0)
PYTHON
}

all_stored() { [[ $(stored) -ge $records ]]; }

# start_broker SCRIPT: one of our own; sets `broker`. Kafka's artifacts are fetched the first time, which takes minutes.
start_broker() {
  echo "== a broker of our own ($1)"
  start broker /usr/bin/python3 "$examples/../tests/system/engines/$1" "$folder/broker"
  wait_for 300 "the broker" grep -q '^ready ' "$folder/broker.log"
  broker="$(sed -n 's/^ready //p' "$folder/broker.log")"
}

broker_way() {
  local example="$1" uplink="$2" broker_script="$3" declared="$4" bin config
  bin="$(cd "$5" && pwd)"
  broker="${6:-}"
  records=1000
  daemons=()
  examples="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
  folder="$(mktemp -d)"
  trap finish EXIT

  [[ -n $broker ]] || start_broker "$broker_script"
  for config in gateway consumer; do
    sed -e "s|{folder}|$folder|" -e "s|{broker}|$broker|" "$example/$config.toml" > "$folder/$config.toml"
  done

  echo "== $declared, as gateway.toml describes it"
  "$bin/spillway" sink setup "$uplink" --config "$folder/gateway.toml"

  echo "== agent, uplink and consumer"
  start agent "$bin/spillway-agent" --config "$folder/gateway.toml"
  start uplink "$bin/spillway-uplink" --config "$folder/gateway.toml"
  start consumer "$bin/spillway-consumer" --config "$folder/consumer.toml"
  wait_for 30 "the agent" test -d "$folder/queue/lanes"

  echo "== $records records into the gateway's queue"
  seq "$records" | sed 's/.*/{"reading": &}/' |
    "$bin/spillway" put sensor/boiler/temperature --queue-dir "$folder/queue" --input lines --file - --level process-safe

  wait_for 120 "the records in the inbox" all_stored
  echo "== the consumer's inbox has $(stored) records"
  [[ $(stored) -eq $records ]]
}
