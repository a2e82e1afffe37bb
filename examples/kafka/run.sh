#!/bin/bash
# run.sh BIN [BROKER]: a record's way from a gateway through Kafka into a consumer's inbox, on this machine.
#
# BIN is the folder with Spillway's programs (build/release/bin). Without BROKER (host:port) it starts one of its own, from Kafka's
# published Java artifacts, which Maven fetches once. Everything it makes is in one folder, and gone at the end.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
[[ $# -ge 1 ]] || { sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
bin="$(cd "$1" && pwd)"
broker="${2:-}"
records=1000

folder="$(mktemp -d)"
daemons=()
finish() {
  local daemon
  for daemon in "${daemons[@]}"; do kill "$daemon" 2> /dev/null || true; done
  wait
  rm -rf "$folder"
}
trap finish EXIT

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

if [[ -z $broker ]]; then
  echo "== a Kafka broker of our own"
  start broker /usr/bin/python3 "$here/../../tests/system/engines/kafka_server.py" "$folder/kafka"
  wait_for 300 "the broker" grep -q '^ready ' "$folder/broker.log"
  broker="$(sed -n 's/^ready //p' "$folder/broker.log")"
fi
for config in gateway consumer; do
  sed -e "s|{folder}|$folder|" -e "s|{broker}|$broker|" "$here/$config.toml" > "$folder/$config.toml"
done

echo "== the topic, as gateway.toml describes it"
"$bin/spillway" sink setup kafka --config "$folder/gateway.toml"

echo "== agent, uplink and consumer"
start agent "$bin/spillway-agent" --config "$folder/gateway.toml"
start uplink "$bin/spillway-uplink" --config "$folder/gateway.toml"
start consumer "$bin/spillway-consumer" --config "$folder/consumer.toml"
wait_for 30 "the agent" test -d "$folder/queue/lanes"

echo "== $records records into the gateway's queue"
seq "$records" | sed 's/.*/{"reading": &}/' |
  "$bin/spillway" put sensor/boiler/temperature --queue-dir "$folder/queue" --input lines --file - --level process-safe

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
wait_for 120 "the records in the inbox" all_stored

echo "== the consumer's inbox has $(stored) records"
[[ $(stored) -eq $records ]]
