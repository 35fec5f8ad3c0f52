"""Not a test: one run on two hosts, compared to the bit with one rank.

The hosts are network namespaces of this machine. Each has a name, an address and an interface of its own, and knows the
other's name, as pods of a Kubernetes Job do. Nothing but a pair of virtual interfaces joins them. The line that starts
the ranks is that of docs/how-to/kubernetes.yaml, with fewer ranks and another recipe.
It needs Linux, root and `ip` (iproute2), and says so where they are missing. `make hosts` runs it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from distributed_runs import RECIPE, assert_same

HOSTS = {"ebmnist-0": "10.77.0.1", "ebmnist-1": "10.77.0.2"}  # name of host, namespace and interface -> address
MANIFEST = Path(__file__).parents[1] / "docs/how-to/kubernetes.yaml"
FILES = Path("/etc/netns")  # which ip lays over /etc: a namespace's own hosts file
WITHIN = 300  # seconds
# With the torchrun of this Python, whether or not its environment is activated.
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def missing() -> str | None:
    """What is missing for it, or None."""
    if sys.platform != "linux" or shutil.which("ip") is None or shutil.which("unshare") is None:
        return "needs Linux with ip (iproute2) and unshare (util-linux)"
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    tried = subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"network namespaces are not allowed here ({tried.stderr.strip()})"


def ip(*words: str) -> None:
    """Set up the network."""
    subprocess.run(["ip", *words], check=True)


@contextmanager
def hosts() -> Iterator[None]:
    """Two namespaces, joined by a pair of interfaces."""
    one, other = HOSTS
    known = "127.0.0.1 localhost\n" + "".join(f"{address} {host}.ebmnist {host}\n" for host, address in HOSTS.items())
    try:
        for host in HOSTS:
            ip("netns", "add", host)
            (FILES / host).mkdir(parents=True, exist_ok=True)
            (FILES / host / "hosts").write_text(known)
        ip("link", "add", one, "netns", one, "type", "veth", "peer", "name", other, "netns", other)
        for host, address in HOSTS.items():
            ip("-n", host, "address", "add", f"{address}/24", "dev", host)
            for interface in (host, "lo"):
                ip("-n", host, "link", "set", interface, "up")
        yield
    finally:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "delete", host], capture_output=True, check=False)
            shutil.rmtree(FILES / host, ignore_errors=True)


def train_on(host: str, run: Path) -> "subprocess.Popen[str]":
    """Start an agent of torchrun with two ranks on a host."""
    _, job = yaml.safe_load_all(MANIFEST.read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    launch = ["--nproc-per-node=2" if word.startswith("--nproc") else word for word in container["args"]]
    train = ["-m", "ebmnist", "train", *RECIPE, "--training.batch_size", "128", "--out", str(run)]
    words = [*container["command"], *launch[: launch.index("-m")], *train]
    named = ["unshare", "--uts", "sh", "-c", f'hostname {host} && exec "$@"', "sh"]
    command = ["ip", "netns", "exec", host, *named, *words]
    return subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)


def main() -> int:
    """Train on both, then on one rank, and compare. Returns the exit code."""
    if (why := missing()) is not None:
        print(f"not run: {why}")
        return 0
    folder = Path(tempfile.mkdtemp())
    with hosts():
        agents = [train_on(host, folder / "on-two-hosts") for host in HOSTS]
        told = [agent.communicate(timeout=WITHIN)[1] for agent in agents]
        if any(agent.returncode for agent in agents):
            print(*told, sep="\n")
            return 1
    words = ["torchrun", "--standalone", "--nproc-per-node", "1", "-m", "ebmnist", "train", *RECIPE]
    words += ["--training.batch_size", "128", "--out", str(folder / "on-one")]
    subprocess.run(words, check=True, capture_output=True, env=ENVIRONMENT)
    assert_same(folder / "on-two-hosts", folder / "on-one")
    print("two hosts of two ranks each, and one rank: the same bits")
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
