"""Situations of a link that leads through an HTTP proxy (CONNECT, with a password), and of what proxies do."""

import base64
import contextlib
import selectors
import socket
import threading
import time

from scenes import healed, situation, suffer

PROXY_PORT = 3128
USER = "gateway:secret pass"
REFUSALS = {
    "wants another password": b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n",
    "cannot reach it": b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<html>no\n",
    "forbids it": b"HTTP/1.0 403 Forbidden\r\n\r\n<html>Your administrator says no</html>",
    "gives a page": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Please log in</html>",
}


class Proxy:
    """`mode` is "right", "silent", "cuts", or one of REFUSALS."""

    def __init__(self, namespace, target):
        self.target, self.namespace, self.mode = target, namespace, "right"
        self.tunnels = self.refused = 0
        self.open = []
        self.listener = namespace.inside(lambda: socket.create_server(("", PROXY_PORT)))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(near,), daemon=True).start()

    def _answer(self, near):
        with near, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                more = near.recv(4096)
                if not more:
                    return
                head += more
            if self.mode == "silent":
                near.recv(1)  # until the other end gives up
            elif self.mode in REFUSALS:
                self.refused += 1
                near.sendall(REFUSALS[self.mode])
            elif self.mode == "right":
                self._tunnel(near, head.decode())

    def _tunnel(self, near, head):
        expected = base64.b64encode(USER.encode()).decode()
        if not head.startswith("CONNECT ") or f"basic {expected}".lower() not in head.lower():
            self.refused += 1
            near.sendall(REFUSALS["wants another password"])
            return
        with self.namespace.inside(lambda: socket.create_connection(self.target, 5)) as far, selectors.DefaultSelector() as waiting:
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.tunnels += 1
            self.open.append(near)
            waiting.register(near, selectors.EVENT_READ, far)
            waiting.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in waiting.select():
                    data = key.fileobj.recv(65536)
                    if not data:
                        return
                    key.data.sendall(data)

    def fail(self, mode):
        """From now on; the tunnels that stand are cut."""
        self.mode = mode
        while self.open:
            with contextlib.suppress(OSError):
                self.open.pop().shutdown(socket.SHUT_RDWR)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.fail("cuts")


def behind_a_proxy(stage, scheme):
    """The consumer can be had through the proxy alone: the direct way leads nowhere."""
    world = stage.world(scheme=scheme, uplink_keys=f'proxy = "http://198.51.100.1:{PROXY_PORT}"\n')
    secret = world.root / "proxy-password"
    secret.write_text(USER + "\n")
    secret.chmod(0o600)
    lines = world.gateway_config.read_text().replace("proxy = ", f'proxy_credentials_file = "{secret}"\nproxy = ')
    world.gateway_config.write_text(lines)
    proxy = Proxy(world.net.far, (world.net.far.address, 7443))
    stage.cleanup.callback(proxy.close)
    world.start().load().wait_flowing()
    if not proxy.tunnels:
        raise AssertionError("records came, but not through the proxy")
    return world, proxy


@situation("proxy")
def proxy_refuses(stage):
    """One refusal after the other, each for a while."""
    world, proxy = behind_a_proxy(stage, "ws")

    def each():
        for mode in REFUSALS:
            proxy.fail(mode)
            refused = proxy.refused
            world.wait(lambda: proxy.refused > refused, f"a try at a proxy that {mode}")

    return suffer(world, lambda: proxy.fail("cuts"), lambda: proxy.fail("right"), 3, each)


@situation("proxy")
def proxy_is_silent(stage):
    world, proxy = behind_a_proxy(stage, "wss")
    return suffer(world, lambda: proxy.fail("silent"), lambda: proxy.fail("right"), 5)


@situation("proxy")
def proxy_cuts_tunnels(stage):
    world, proxy = behind_a_proxy(stage, "wss")
    for _ in range(8):
        time.sleep(0.2)
        proxy.fail("right")
    return f"{healed(world, '8 cuts')}, {proxy.tunnels} tunnels"
