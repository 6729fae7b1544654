"""Where the suites come from: one version of each, built or installed into target/suites if it is not there."""

import glob
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "target/suites"
VENV = HERE / "venv"
HTTPWG, SMUGGLEX = "0.2.5", "0.4.0"


def install(suite):
    HERE.mkdir(parents=True, exist_ok=True)
    {
        "httpwg": httpwg,
        "smugglex": smugglex,
        "sslyze": python,
        "schemathesis": python,
        "slowhttptest": lambda: debian("slowhttptest", "slowhttptest"),
        "h2load": lambda: debian("h2load", "nghttp2-client"),
    }[suite]()


def run(*words, **more):
    subprocess.run([str(word) for word in words], check=True, **more)


def gateway():
    """The binary that the tests use, with all its checks of itself."""
    run("cargo", "build", "--locked", "--quiet", "--bin", "pleo-gateway", cwd=ROOT)
    return ROOT / "target/debug/pleo-gateway"


def binary(name):
    return HERE / "bin" / name


def built():
    return {**os.environ, "CARGO_TARGET_DIR": str(HERE / "build")}


def smugglex():
    if not binary("smugglex").exists():
        print("installing: smugglex", flush=True)
        words = ["cargo", "install", "--quiet", "--locked", "--root", HERE, "smugglex", "--version", SMUGGLEX]
        run(*words, env=built())


def httpwg():
    """As published it asks for less of socket2 than it uses, and does not build: what is missing is written into a copy."""
    if binary("httpwg").exists():
        return
    print("installing: httpwg", flush=True)
    run("cargo", "info", "--quiet", f"httpwg-cli@{HTTPWG}", cwd=HERE, stdout=subprocess.DEVNULL)
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    source = glob.glob(str(home / "registry/src/*" / f"httpwg-cli-{HTTPWG}"))[0]
    copy = HERE / "httpwg"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy)
    with open(copy / "Cargo.toml", "a", encoding="utf-8") as manifest:
        manifest.write('\n[dependencies.socket2]\nversion = "0.5"\nfeatures = ["all"]\n\n[workspace]\n')
    run("cargo", "build", "--quiet", "--release", cwd=copy, env=built())
    (HERE / "bin").mkdir(exist_ok=True)
    shutil.copy(HERE / "build/release/httpwg", binary("httpwg"))


def python():
    wanted = Path(__file__).with_name("requirements.txt")
    mark = VENV / "installed"
    if mark.exists() and mark.read_text() == wanted.read_text():
        return
    print(f"installing: {', '.join(wanted.read_text().split())}", flush=True)
    run("python3", "-m", "venv", VENV)
    run(VENV / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted)
    mark.write_text(wanted.read_text())


def debian(command, package):
    if shutil.which(command):
        return
    print(f"installing: {package}", flush=True)
    root = [] if os.geteuid() == 0 else ["sudo"]
    run(*root, "apt-get", "update", "-qq")
    quietly = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    run(*root, "apt-get", "install", "-y", "-qq", package, **quietly)
