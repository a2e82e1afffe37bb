SUMMARY = "Store-and-forward engine for edge gateways"
DESCRIPTION = "A lock-free queue in shared memory, a crash-safe spill file, and an uplink that drains it."
# The repository states no license yet.
LICENSE = "CLOSED"

# The tree that this layer stands in.
inherit externalsrc
EXTERNALSRC = "${@os.path.abspath(d.getVar('THISDIR') + '/../../../../..')}"
EXTERNALSRC_BUILD = "${WORKDIR}/build"

DEPENDS = "boost flatbuffers flatbuffers-native xxhash zstd tomlplusplus cli11 spdlog fmt tl-expected openssl sqlite3"

inherit cmake pkgconfig systemd useradd

EXTRA_OECMAKE = "-DSPILLWAY_TESTS=OFF -DSPILLWAY_PACKAGE_RELEASE=1 -DSPILLWAY_INGEST_ICEORYX=OFF \
    -DSPILLWAY_SINK_NATS=OFF -DSPILLWAY_SOURCE_NATS=OFF"

PACKAGECONFIG ??= ""
PACKAGECONFIG[kafka] = "-DSPILLWAY_SINK_KAFKA=ON -DSPILLWAY_SOURCE_KAFKA=ON,-DSPILLWAY_SINK_KAFKA=OFF -DSPILLWAY_SOURCE_KAFKA=OFF,librdkafka"
PACKAGECONFIG[rabbitmq] = "-DSPILLWAY_SINK_RABBITMQ=ON -DSPILLWAY_SOURCE_RABBITMQ=ON,-DSPILLWAY_SINK_RABBITMQ=OFF -DSPILLWAY_SOURCE_RABBITMQ=OFF,rabbitmq-c"
PACKAGECONFIG[mqtt] = "-DSPILLWAY_SINK_MQTT=ON -DSPILLWAY_SOURCE_MQTT=ON -DSPILLWAY_INGEST_MQTT=ON,-DSPILLWAY_SINK_MQTT=OFF -DSPILLWAY_SOURCE_MQTT=OFF -DSPILLWAY_INGEST_MQTT=OFF,mosquitto"
PACKAGECONFIG[http] = "-DSPILLWAY_SINK_HTTP=ON,-DSPILLWAY_SINK_HTTP=OFF,curl"
PACKAGECONFIG[postgresql] = "-DSPILLWAY_INBOX_POSTGRES=ON -DSPILLWAY_INGEST_CAPTURE_POSTGRES=ON,-DSPILLWAY_INBOX_POSTGRES=OFF -DSPILLWAY_INGEST_CAPTURE_POSTGRES=OFF,postgresql"

PACKAGE_BEFORE_PN = "${PN}-gateway ${PN}-consumer ${PN}-ingest-capture ${PN}-ingest-mqtt ${PN}-modules"

FILES:${PN}-gateway = "${bindir}/spillway ${bindir}/spillway-agent ${bindir}/spillway-uplink ${bindir}/spillway-api ${bindir}/spillway-sensor \
    ${sysconfdir}/spillway/spillway.toml ${nonarch_libdir}/sysusers.d/spillway.conf ${nonarch_libdir}/tmpfiles.d/spillway.conf"
FILES:${PN}-consumer = "${bindir}/spillway-consumer ${sysconfdir}/spillway/consumer.toml \
    ${nonarch_libdir}/sysusers.d/spillway-consumer.conf ${nonarch_libdir}/tmpfiles.d/spillway-consumer.conf"
FILES:${PN}-ingest-capture = "${bindir}/spillway-capture"
FILES:${PN}-ingest-mqtt = "${bindir}/spillway-mqtt"
FILES:${PN}-modules = "${libdir}/spillway/*.so"
FILES:${PN}-dev += "${libdir}/cmake/spillway"
CONFFILES:${PN}-gateway = "${sysconfdir}/spillway/spillway.toml"
CONFFILES:${PN}-consumer = "${sysconfdir}/spillway/consumer.toml"
RDEPENDS:${PN}-ingest-capture = "${PN}-gateway"
RDEPENDS:${PN}-ingest-mqtt = "${PN}-gateway"

SYSTEMD_PACKAGES = "${PN}-gateway ${PN}-consumer ${PN}-ingest-capture ${@bb.utils.contains('PACKAGECONFIG', 'mqtt', '${PN}-ingest-mqtt', '', d)}"
SYSTEMD_SERVICE:${PN}-gateway = "spillway-agent.service spillway-uplink.service spillway-api.service"
SYSTEMD_SERVICE:${PN}-consumer = "spillway-consumer.service"
SYSTEMD_SERVICE:${PN}-ingest-capture = "spillway-capture.service"
SYSTEMD_SERVICE:${PN}-ingest-mqtt = "spillway-mqtt.service"
FILES:${PN}-gateway += "${systemd_system_unitdir}/spillway-sensor.service"

USERADD_PACKAGES = "${PN}-gateway ${PN}-consumer"
USERADD_PARAM:${PN}-gateway = "--system --user-group --home-dir /var/lib/spillway --no-create-home --shell /sbin/nologin spillway; \
    --system --user-group --home-dir / --no-create-home --shell /sbin/nologin spillway-ingest"
USERADD_PARAM:${PN}-consumer = "--system --user-group --home-dir /var/lib/spillway-consumer --no-create-home --shell /sbin/nologin spillway-consumer"
