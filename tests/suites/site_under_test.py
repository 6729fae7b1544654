"""A sandbox, and a gateway before it with a door in clear and one over TLS; a tenant with every scope, and no rate limits.

Whoever presents nothing is a caller too: most of the suites cannot present a key."""

import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

KEY = "suite-key"
TENANT = "acme"
# A list that every suite reads.
READ = "/v2/employees"
CONFIG = """version = 1
[pleo]
environment    = "custom"
client_id      = "sandbox"
client_secret  = {{ file = "client-secret" }}
redirect_uri   = "http://127.0.0.1:{connect}/oauth/callback"
authorize_url  = "{sandbox}/oauth/authorize"
token_url      = "{sandbox}/oauth/token"
introspect_url = "{sandbox}/oauth/token/introspect"
api_url        = "{sandbox}"
[store]
sqlite = "data/gateway.db"
[[listen]]
address = "127.0.0.1:{clear}"
[[listen]]
address = "127.0.0.1:{secure}"
tls = {{ cert_file = "door.pem", key_file = "door.key" }}
[connect]
listen = "127.0.0.1:{connect}"
[admin]
listen = "127.0.0.1:{admin}"
[limits]
{limits}
[log]
access = false
[[callers]]
name = "suite"
key_sha256 = ["{digest}"]
tenants = ["{tenant}"]
{callers}
[[routes]]
catalogue = "*"
[[routes]]
name = "root"
path = "/"
scopes = []
"""
# Whoever presents nothing.
ANYBODY = f"""[[callers]]
name = "anybody"
anonymous = true
tenants = ["{TENANT}"]
"""


class Site:
    def __init__(self, binary):
        self.binary = str(binary)
        self.folder = Path(tempfile.mkdtemp(prefix="pleo-suites-"))
        self.programs = []
        self.clear, self.secure, self.connect, self.admin = (free_port() for _ in range(4))
        try:
            self.begin()
        except BaseException:
            self.__exit__()
            raise

    def begin(self):
        port = free_port()
        self.sandbox = f"http://127.0.0.1:{port}"
        words = ["--listen", f"127.0.0.1:{port}", "--requests-per-minute", "0", "--access-ttl", "2h"]
        self.spawn("sandbox", ["sandbox", *words])
        listening(port)
        self.pair = self.order("POST", "/_sandbox/authorisations", {})
        (self.folder / "data").mkdir(mode=0o700)
        self.write("client-secret", "sandbox-secret")
        self.certify()
        self.serve()

    def serve(self, limits="", callers=ANYBODY):
        """Starts the gateway, anew if it runs, with these lines of [limits] and these callers beside the one with a key."""
        config = CONFIG.format(
            sandbox=self.sandbox, clear=self.clear, secure=self.secure, connect=self.connect, admin=self.admin,
            limits=limits, callers=callers, tenant=TENANT, digest=hashlib.sha256(KEY.encode()).hexdigest(),
        )
        is_new = not (self.folder / "gateway.toml").exists()
        self.write("gateway.toml", config)
        if is_new:
            bundle = {name: value for name, value in self.pair.items() if name != "authorisation"}
            words = [self.binary, "connections", "import", TENANT, "-c", "gateway.toml"]
            subprocess.run(words, cwd=self.folder, input=json.dumps(bundle), text=True, check=True, stdout=subprocess.DEVNULL)
        else:
            self.end(self.programs.pop())
        self.spawn("gateway", ["serve", "-c", "gateway.toml"])
        for port in (self.clear, self.secure):
            listening(port)

    def certify(self):
        """An authority and the door's certificate."""
        names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        authority = ["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=suites", "-days", "2"]
        openssl(self.folder, "req", "-x509", *curve, *authority)
        openssl(self.folder, "req", "-new", *curve, "-keyout", "door.key", "-out", "door.csr", "-subj", "/CN=localhost", "-addext", names)
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-copy_extensions", "copyall"]
        openssl(self.folder, "x509", "-req", "-in", "door.csr", "-out", "door.pem", *signed)
        os.chmod(self.folder / "door.key", 0o600)

    def write(self, name, text):
        file = self.folder / name
        file.write_text(text, encoding="utf-8")
        file.chmod(0o600)

    def spawn(self, name, words):
        with open(self.folder / f"{name}.log", "ab") as log:
            self.programs.append(subprocess.Popen([self.binary, *words], cwd=self.folder, stdout=log, stderr=log))

    def end(self, program):
        program.terminate()
        try:
            program.wait(30)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()

    def order(self, method, path, order):
        status, text = ask(self.sandbox, method, path, json.dumps(order) if method == "POST" else None)
        assert status in (200, 201), (status, text)
        return json.loads(text)

    def descriptors(self):
        """How many files and links the gateway holds open."""
        return len(os.listdir(f"/proc/{self.programs[-1].pid}/fd"))

    def is_alive(self):
        return all(program.poll() is None for program in self.programs)

    def said(self):
        return "".join((self.folder / f"{name}.log").read_text(errors="replace") for name in ("sandbox", "gateway"))

    @property
    def door(self):
        return f"http://127.0.0.1:{self.clear}"

    @property
    def secure_door(self):
        return f"https://127.0.0.1:{self.secure}"

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        for program in reversed(self.programs):
            self.end(program)
        shutil.rmtree(self.folder)


class Others:
    """Somebody who goes on calling with a key while a suite does its worst, each call on a link of its own; and a look at how
    long the gateway holds the suite's links."""

    def __init__(self, site):
        self.site, self.calls, self.failed, self.slowest = site, 0, [], 0.0
        self.usual, self.cut = site.descriptors() + 20, 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.call_on)

    def call_on(self):
        start = time.monotonic()
        while not self.over.wait(0.1):
            begun = time.monotonic()
            try:
                status, text = ask(self.site.door, "GET", READ, headers={"Pleo-Gateway-Key": KEY})
                self.failed += [] if status == 200 else [f"{status}: {text}"]
            except OSError as error:
                self.failed.append(repr(error))
            self.calls += 1
            self.slowest = max(self.slowest, time.monotonic() - begun)
            if self.site.descriptors() > self.usual:
                self.cut = time.monotonic() - start

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *failure):
        self.over.set()
        self.thread.join()


def ask(base, method, path, body=None, headers=None):
    link = http.client.HTTPConnection(base.removeprefix("http://"), timeout=10)
    try:
        link.request(method, path, body, headers or {})
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def free_port():
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


def listening(port):
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
