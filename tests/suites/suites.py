"""The suites: how each is run, and what is expected of it."""

import json
import re
import subprocess

import contract
import tools
from site_under_test import ANYBODY, READ, Others


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


# The others: docs/security.md, "Suites". Some of it is a matter of time on a busy machine.
HTTPWG_PASS = 99


def httpwg(site):
    """RFC 9113 and 7541, frame by frame (in h2spec's place)."""
    verdict = Verdict()
    words = [tools.binary("httpwg"), "-a", f"127.0.0.1:{site.clear}", "--frame-timeout", "3000", "--connect-timeout", "5000"]
    _, said = run(words, 240)
    count = re.search(r"Passed (\d+)/(\d+)", said)
    assert count, said
    verdict.tell(f"{count[1]} of {count[2]}")
    verdict.check(int(count[1]) >= HTTPWG_PASS, "\n     ".join(re.findall(r"Test failed: .*", said)))
    return verdict


def smugglex(site):
    """Requests with two readings: every check it has, in clear and over TLS, all of them forwarded."""
    verdict = Verdict()
    in_clear = "cl-te,te-cl,te-te,h2c,h2,cl-edge,cl-0,0-cl,parser-discrepancy"
    for base, checks in ((site.door, in_clear), (site.secure_door, "cl-te,te-cl,te-te,h2,cl-edge,h2-downgrade")):
        report = site.folder / "smugglex.json"
        words = [tools.binary("smugglex"), base + "/", "--cacert", site.folder / "ca.pem", "-c", checks, "-t", "5"]
        _, said = run([*words, "--format", "json", "-o", report], 300)
        assert report.exists(), said
        found = [check for result in json.loads(report.read_text())["results"] for check in result["checks"]]
        report.unlink()
        done = [check["check_type"] for check in found]
        verdict.check(len(done) == len(checks.split(",")), f"only these were carried out: {done}")
        bad = [check for check in found if check["vulnerable"]]
        verdict.tell(f"{base.split(':')[0]}: {len(bad)} of {len(found)} checks vulnerable")
        for check in bad:
            verdict.check(False, json.dumps(check))
    return verdict


def sslyze(site):
    """The door's TLS against Mozilla's intermediate terms: versions, suites, curves, renegotiation, known holes."""
    verdict = Verdict()
    words = [tools.VENV / "bin/sslyze", "--mozilla_config", "intermediate", f"127.0.0.1:{site.secure}"]
    _, said = run(words, 180)
    assert "COMPLIANCE" in said, said
    for old in ("SSL 2.0", "SSL 3.0", "TLS 1.0", "TLS 1.1"):
        section = said.split(f"* {old} Cipher Suites:")[1].split("* ")[0]
        verdict.check("rejected all" in section, f"{old} is spoken")
    accepted = sorted(set(re.findall(r"^ +(TLS_\w+) +\d+ ", said, re.M)))
    for suite in accepted:
        forward = suite.startswith("TLS_ECDHE_") or "_WITH_" not in suite
        verdict.check(forward and ("GCM" in suite or "POLY1305" in suite), f"{suite} is accepted")
    # The authority is made for this run: nobody's store has it. Everything else has to be as Mozilla wants it.
    findings = [line for line in re.findall(r"^ +\* (.*)", said.split("COMPLIANCE")[1], re.M) if "path_validation" not in line]
    holes = re.findall(r"^.*(?:VULNERABLE|WARNING).*$", said.split("COMPLIANCE")[0], re.M)
    for finding in findings + holes:
        verdict.check(False, finding.strip())
    verdict.tell(f"TLS 1.2 and 1.3 only, {len(accepted)} suites, {len(findings) + len(holes)} findings")
    return verdict


SLOW = """header_timeout = "5s"
body_idle_timeout = "5s"
idle_timeout = "5s"
request_timeout = "12s"
upstream_idle_timeout = "2s"
"""
CUT_WITHIN = 15


def slowhttptest(site):
    """Slow heads, slow bodies, slow readers and many ranges: all links are cut in time, and others are served meanwhile."""
    verdict = Verdict()
    site.serve(SLOW, ANYBODY)
    for name, path, words in (
        ("heads", READ, ["-H", "-i", "2"]),
        ("bodies", "/v1/vendors:search", ["-B", "-i", "2", "-s", "8192", "-t", "POST"]),
        ("readers", READ, ["-X", "-w", "10", "-y", "20", "-n", "2", "-z", "8", "-k", "3"]),
        ("ranges", READ, ["-R", "-a", "1", "-b", "3000"]),
    ):
        words = ["slowhttptest", *words, "-c", "400", "-r", "400", "-l", "20", "-p", "3", "-u", site.door + path]
        with Others(site) as others:
            _, said = run(words, 60)
        opened = re.search(r"Test ended on", said)
        assert opened, said
        verdict.check(others.cut <= CUT_WITHIN, f"{name}: links were held for {others.cut:.0f} s")
        verdict.check(others.calls and not others.failed, f"{name}: of {others.calls} others these failed: {others.failed[:3]}")
        verdict.tell(f"{name} cut after {others.cut:.0f} s, {others.calls} others served, the slowest in {others.slowest:.1f} s")
    return verdict


def h2load(site):
    """Load over both versions, in clear and over TLS: no request fails."""
    verdict = Verdict()
    for name, base, more in (
        ("h2", site.door, ["-m", "10"]),
        ("h1", site.door, ["--h1"]),
        ("h2 over TLS", site.secure_door, ["-m", "10"]),
        ("h1 over TLS", site.secure_door, ["--h1"]),
    ):
        _, said = run(["h2load", "-n", "2000", "-c", "20", *more, base + READ], 120)
        counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said)
        assert counts, said
        verdict.tell(f"{name}: {counts[1]}, {counts[2]} failed")
        verdict.check(counts.groups() == ("2000", "0", "0", "0"), f"{name}: {counts[0]}")
    return verdict


def schemathesis(site):
    """The sandbox's own description of itself, directly and through the gateway."""
    return contract.compared(site, Verdict(), run)
