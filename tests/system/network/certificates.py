"""Certificates of a test's own authority, valid from long ago (so that a program that was built meanwhile may trust them)."""

import pathlib
import subprocess
import tempfile

AUTHORITY = """[ca]
default_ca = test
[test]
dir = .
new_certs_dir = .
database = index
serial = serial
default_md = sha256
policy = any
[any]
commonName = supplied
[authority]
basicConstraints = critical,CA:TRUE
[server]
subjectAltName = {kind}:{host}
[req]
distinguished_name = name
[name]
"""
VALID = ("-startdate", "20200101000000Z", "-enddate", "20490101000000Z")


def make_certificates(folder, host):
    """ca.pem, server.pem and server.key in `folder`; the server is `host`, a name or an address."""
    kind = "IP" if host.replace(".", "").isdigit() else "DNS"
    with tempfile.TemporaryDirectory() as scratch:
        at = pathlib.Path(scratch)
        (at / "config").write_text(AUTHORITY.format(kind=kind, host=host))
        (at / "index").touch()
        (at / "serial").write_text("01\n")

        def openssl(*words):
            subprocess.run(["openssl", *words], cwd=at, check=True, capture_output=True)

        for name in ("ca", "server"):
            openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "config",
                    "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        sign = ("ca", "-batch", "-notext", "-config", "config", *VALID)
        openssl(*sign, "-selfsign", "-keyfile", "ca.key", "-extensions", "authority", "-in", "ca.csr", "-out", "ca.pem")
        openssl(*sign, "-cert", "ca.pem", "-keyfile", "ca.key", "-extensions", "server", "-in", "server.csr", "-out", "server.pem")
        for name in ("ca.pem", "server.pem", "server.key"):
            (pathlib.Path(folder) / name).write_bytes((at / name).read_bytes())
