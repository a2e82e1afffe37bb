#!/bin/bash
# run.sh BIN [BROKER]: a record's way from a gateway through Kafka into a consumer's inbox, on this machine.
#
# BIN is the folder with Spillway's programs (build/release/bin). Without BROKER (host:port) it starts one of its own, from Kafka's
# published Java artifacts, which Maven fetches once. Everything it makes is in one folder, and gone at the end.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
[[ $# -ge 1 ]] || { sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

# shellcheck source=examples/broker_way.sh
source "$here/../broker_way.sh"
broker_way "$here" kafka kafka_server.py "the topic" "$@"
