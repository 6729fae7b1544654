"""Schemathesis over the sandbox's own description of itself, once directly and once through the gateway: the same requests,
and for each the same answer, but where the contract says that the gateway answers itself."""

import json
from collections import Counter, defaultdict

import tools
from site_under_test import KEY

# Where the sandbox refuses as well, in whatever words, the gateway may do it itself. Beyond these an answer of the gateway's own is a fault: a path with two readings or a message that is malformed; a route or
# method that the catalogue does not have; what is longer than [limits] says.
EXPLAINED = {"bad-request", "route-denied", "method-refused", "uri-too-long", "headers-too-large"}


def compared(site, verdict, run):
    site.serve(callers="")
    bearer = site.order("POST", "/_sandbox/authorisations", {})["access_token"]
    direct, told = requests(site, run, "direct", site.sandbox, f"Bearer {bearer}")
    verdict.tell(f"directly {told}")
    through, told = requests(site, run, "through", site.door, f"Bearer {KEY}")
    verdict.tell(f"through the gateway {told}")
    both = direct.keys() & through.keys()
    verdict.check(len(both) > 1000, f"only {len(both)} requests were sent both ways")
    own, different = Counter(), []
    for request in both:
        for status, code in through[request]:
            if (status, "") in direct[request] and not 200 <= status < 300:
                continue  # the same refusal
            if code in EXPLAINED and all(known >= 400 for known, _ in direct[request]):
                own[code] += 1
            elif code or status not in {known for known, _ in direct[request]}:
                different.append(f"{request}: directly {direct[request]}, through the gateway {status} {code}")
    verdict.tell(f"{len(both)} requests compared, {len(different)} answered otherwise")
    verdict.tell("answered by the gateway itself: " + ", ".join(f"{code} {count}" for code, count in own.most_common()))
    broken = [request for seen in (direct, through) for request in seen if any(status >= 500 for status, _ in seen[request])]
    for fault in (different + [f"{request}: 5xx" for request in broken])[:20]:
        verdict.check(False, fault)
    return verdict


def requests(site, run, name, base, credential):
    """What was sent, with every answer to it: status, and the code of an error of the gateway's own."""
    folder = site.folder / name
    folder.mkdir()
    words = [tools.VENV / "bin/schemathesis", "run", f"{site.sandbox}/openapi.json", "--url", base, "-H", f"Authorization: {credential}"]
    words += ["--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "1", "--generation-deterministic"]
    words += ["--exclude-checks", "ignored_auth", "--continue-on-failure", "--no-color", "-w", "2"]
    # what "*" leaves out; the end of the installation would be the end of what can be compared as well
    words += ["--output-sanitize", "false", "--exclude-path-regex", "^/v1/(installations|subscriptions|introspect)"]
    _, said = run([*words, "--report", "har", "--report-dir", folder], 300, cwd=folder)
    reports = list(folder.glob("har-*.json"))
    assert reports, said
    seen = defaultdict(set)
    for entry in json.loads(reports[0].read_text())["log"]["entries"]:
        request, answer = entry["request"], entry["response"]
        target = request["url"].removeprefix(base)
        body = request.get("postData", {}).get("text", "")
        presented = {"": "nobody", credential: "the caller"}.get(field(request, "authorization"), "somebody")
        code = field(answer, "pleo-gateway-error")
        seen[f"{request['method']} {target} {body} by {presented}"].add((answer["status"], code))
    cases = next((line.strip() for line in said.splitlines() if "generated," in line), said[-500:])
    return seen, cases


def field(message, name):
    return next((field["value"] for field in message["headers"] if field["name"].lower() == name), "")
