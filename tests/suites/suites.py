"""The suites: how each is run, and what is expected of it."""

import json
import re
import subprocess

import contract
import tools
from site_under_test import KEY, READ, Others


class Verdict:
    """What a suite came to, in a line, and what is worse than expected."""

    def __init__(self):
        self.told, self.faults = "", []

    def check(self, holds, fault):
        if not holds:
            self.faults.append(fault)

    def tell(self, text):
        self.told += ("; " if self.told else "") + text


def run(words, seconds, **more):
    """Runs a suite's program to its end, all that it says in one text."""
    words = [str(word) for word in words]
    done = subprocess.run(words, timeout=seconds, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    return done.returncode, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


HTTPWG_PASS = 104


def httpwg(site):
    """RFC 9113 and 7541, frame by frame (in h2spec's place)."""
    _, said = run([tools.binary("httpwg"), "-a", f"127.0.0.1:{site.clear}"], 240)
    verdict = Verdict()
    print(said)
    return verdict


def smugglex(site):
    """Requests with two readings: every check it has, in clear and over TLS."""
    verdict = Verdict()
    for base, checks in ((site.door, "cl-te,te-cl,te-te,h2c,h2,cl-edge,cl-0,0-cl,parser-discrepancy"), (site.secure_door, "cl-te,te-cl,te-te,h2-downgrade")):
        report = site.folder / "smugglex.json"
        words = [tools.binary("smugglex"), base + READ, "-H", f"Pleo-Gateway-Key: {KEY}", "--cacert", site.folder / "ca.pem"]
        words += ["-c", checks, "-t", "3", "--max-payloads", "25", "--format", "json", "-o", report]
        _, said = run(words, 600)
        print(said)
        print(report.read_text() if report.exists() else "no report")
    return verdict


def sslyze(site):
    """The door's TLS: versions, suites, renegotiation, resumption, known holes."""
    verdict = Verdict()
    report = site.folder / "sslyze.json"
    words = [tools.VENV / "bin/sslyze", "--json_out", report, "--mozilla_config", "intermediate", f"127.0.0.1:{site.secure}"]
    code, said = run(words, 180)
    print(said)
    return verdict


SLOW = 'header_timeout = "5s"\nbody_idle_timeout = "5s"\nidle_timeout = "5s"\nrequest_timeout = "12s"\n'


def slowhttptest(site):
    """Slow heads, slow bodies, slow readers and many ranges; all links have to be gone within 15 s, others served meanwhile."""
    verdict = Verdict()
    site.serve(SLOW)
    for name, words in {
        "slow heads": ["-H", "-i", "2"],
        "slow bodies": ["-B", "-i", "2", "-s", "8192", "-t", "POST"],
        "slow readers": ["-X", "-w", "10", "-y", "20", "-n", "2", "-z", "8", "-k", "3"],
        "many ranges": ["-R", "-a", "1", "-b", "3000"],
    }.items():
        with Others(site.door) as others:
            path = "/v1/vendors:search" if name == "slow bodies" else READ
            code, said = run(["slowhttptest", *words, "-c", "500", "-r", "250", "-l", "60", "-p", "3", "-u", site.door + path], 120)
        print(said[-1500:])
        print(name, others.calls, others.failed[:3], others.slowest)
    return verdict


def h2load(site):
    """Load over both versions, in clear and over TLS: no request fails."""
    verdict = Verdict()
    for name, base, more in (
        ("h2c", site.door, ["-m", "10"]),
        ("h1", site.door, ["--h1"]),
        ("h2 over TLS", site.secure_door, ["-m", "10"]),
        ("h1 over TLS", site.secure_door, ["--h1"]),
    ):
        _, said = run(["h2load", "-n", "20000", "-c", "50", *more, base + READ], 120)
        print(said)
    return verdict


def schemathesis(site):
    return contract.compared(site, Verdict())
