"""Another MQTT client than Spillway's, for the tests: it publishes, and knows what the broker has acknowledged."""

import subprocess
import time

TOPIC = "spillway/test"


class Publisher:
    """publish() waits for each acknowledgement; send() does not, and acknowledged() tells of what went out so: at most 65,535."""

    def __init__(self, server, tls=None, name="publisher"):
        import paho.mqtt.client as mqtt

        self.client = mqtt.Client(name, protocol=mqtt.MQTTv5)
        if tls:
            self.client.tls_set(tls)
        self.client.max_inflight_messages_set(100)
        self.client.reconnect_delay_set(1, 1)
        self.sent = {}  # packet id -> what it was called
        self.times = {}  # packet id -> when its acknowledgement came
        self.client.on_publish = lambda _client, _data, packet_id: self.times.setdefault(packet_id, time.time())
        self.client.connect("127.0.0.1", server.port)
        self.client.loop_start()

    def send(self, topic, payload, name):
        """QoS 1."""
        self.sent[self.client.publish(topic, payload, 1).mid] = name

    def acknowledged(self):
        """When the broker acknowledged what: by the names."""
        return {name: self.times[packet_id] for packet_id, name in self.sent.items() if packet_id in self.times}

    def publish(self, messages, qos=1, topic=TOPIC, retain=False):
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        waiting = []
        for headers, payload in messages:
            properties = Properties(PacketTypes.PUBLISH)
            pairs = list(headers.items()) if isinstance(headers, dict) else headers
            if pairs:
                properties.UserProperty = pairs
            waiting.append(self.client.publish(topic, payload, qos, retain, properties))
        for one in waiting:
            one.wait_for_publish(60)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def make_certificate(folder, name):
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)  # fmt: skip
    return certificate, key
