"""buildah and podman where no init system is: no cgroups, the machine's network, everything in one folder."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

NAME = "localhost/evolution-webhook-worker:test"
BASE = "localhost/python:test"
RELEASE = "trixie"
"""Of Debian, whose Python stands in for that of the image's usual base: 3.13, as there."""

NOBODY, ANYBODY = "65532:65532", "1000650000:0"
"""The image's own user, and one as OpenShift picks them."""

MEBIBYTE = 1024 * 1024


class Tools:
    """What builds and runs images in `folder`, an empty one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._storage = ["--root", str(folder / "storage"), "--runroot", str(folder / "run"), "--storage-driver", "vfs"]

    @staticmethod
    def leave_cgroups() -> None:
        """crun takes a second hierarchy, which this machine may have, for the one to use."""
        if Path("/sys/fs/cgroup/unified").is_mount():
            run("umount", "--lazy", "/sys/fs/cgroup/unified")

    def make_base(self, mirror: str) -> None:
        """The base's stand-in: Debian's smallest root with Python and pip, named as Docker's image names them."""
        root = self._folder / "base"
        packages = "ca-certificates,python3,python3-venv,python3-pip"
        run("debootstrap", "--variant=minbase", f"--include={packages}", RELEASE, str(root), mirror)
        (root / "usr/bin/python").symlink_to("python3")
        shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
        shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
        container = self._buildah("from", "scratch").strip()
        self._buildah("add", "--quiet", container, str(root), "/")
        self._buildah("commit", "--quiet", "--rm", container, BASE)
        shutil.rmtree(root)

    def build(self, *, layout: str = "docker") -> None:
        """The image of deploy/Dockerfile, with the machine's own settings of pip and certificates lent to the build."""
        lent = [f"--volume={there}:{path}:ro" for path, there in self._lent().items() if Path(there).exists()]
        options = ["--isolation", "chroot", "--network", "host", "--format", layout, "--build-arg", f"PYTHON={BASE}"]
        self._buildah("build", *options, *_limits(), *lent, "--file", "deploy/Dockerfile", "--tag", NAME, ".")

    def mebibytes(self, image: str) -> float:
        """Of all its files."""
        container = self._buildah("from", image).strip()
        root = Path(self._buildah("mount", container).strip())
        files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
        found = sum(path.lstat().st_size for path in files)
        self._buildah("rm", container)
        return found / MEBIBYTE

    def health_check(self) -> str:
        """The program that HEALTHCHECK gives to `python -c`; "" if the image's format has left it out."""
        description = json.loads(self._buildah("inspect", "--type", "image", NAME))
        test = (description["Docker"]["config"].get("Healthcheck") or {}).get("Test", [])
        return str(test[-1]) if test[:3] == ["CMD", "python", "-c"] else ""

    def command(self, *arguments: str, user: str = NOBODY, data: Path, **settings: str) -> list[str]:
        """A container: read-only, without any capability, /tmp in memory, /data from outside."""
        engine = ["--cgroup-manager=cgroupfs", "--events-backend=file", "--runtime=crun"]
        podman = ["podman", *self._storage, *engine, "run", "--rm"]
        bare = [
            "--runtime=crun",
            "--cgroups=disabled",
            "--network=host",
            "--read-only",
            "--tmpfs=/tmp",
            "--cap-drop=ALL",
        ]
        given = [f"--env={name}={value}" for name, value in settings.items()]
        return [*podman, *bare, f"--user={user}", f"--volume={data}:/data", *given, NAME, *arguments]

    def _lent(self) -> dict[str, str]:
        """Path in the build -> path here. pip's settings as a file: as variables they would stay in the image."""
        settings, pip = self._folder / "pip.conf", ConfigParser(interpolation=None)
        pip.read("/etc/pip.conf")
        given = {name.removeprefix("PIP_"): value for name, value in os.environ.items() if name.startswith("PIP_")}
        pip.read_dict({"global": {name.lower().replace("_", "-"): value for name, value in given.items()}})
        with settings.open("w") as file:
            pip.write(file)
        same = ["/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt", *os.environ.get("PIP_FIND_LINKS", "").split()]
        return {"/etc/pip.conf": str(settings), **{path: path for path in same}}

    def _buildah(self, *arguments: str) -> str:
        return run("buildah", *self._storage, *arguments)


def run(*command: str) -> str:
    """Its standard output. Raises RuntimeError with the end of what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = f"{done.stdout}{done.stderr}"[-3000:]
        raise RuntimeError(f"{command[0]} {' '.join(command[1:])[:200]}: exit code {done.returncode}\n{said}")
    return done.stdout


def _limits() -> list[str]:
    """This process's own: without CAP_SYS_RESOURCE the engines' defaults cannot be set."""
    named = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    found = {name: resource.getrlimit(number) for name, number in named.items()}
    return [f"--ulimit={name}={soft}:{hard}" for name, (soft, hard) in found.items()]
