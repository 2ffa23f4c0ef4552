"""A private RabbitMQ node for development and tests: loopback only, in a temporary folder, gone afterwards.

    python -m tests.support.local_broker    # prints its AMQP URI, runs until Ctrl-C

It uses the programs of Debian's `rabbitmq-server` package but not its service: own node name, ports, cookie
and data, no plugins unless asked for the management API. Standard library only, so it runs with any Python,
before anything is installed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.local_process import free_port, spawn, watch_over

# The scripts in /usr/sbin change to the user rabbitmq and to the service's data; these do neither.
PROGRAMS = Path("/usr/lib/rabbitmq/bin")
EPMD = "/usr/bin/epmd"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
MEMORY_LIMIT = "2000000000"
MAX_MESSAGE_SIZE = 134_217_728
LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"
AMQP_GREETING = b"AMQP\x00\x00\x09\x01"

# Erlang terms, not rabbitmq.conf: reading that format's schemas costs over a second of every start.
# The timeout: how long a delay queue waits before it offers again what its target has refused; 180 s by default.
# The size: 128 MiB, the default up to 3.13, is 16 MiB from 4.0 on, and Evolution's media in base64 are larger.
_NODE = f"""
  {{vm_memory_high_watermark, {{absolute, {MEMORY_LIMIT}}}}},
  {{disk_free_limit, 50000000}},
  {{dead_letter_worker_publisher_confirm_timeout, 4000}},
  {{max_message_size, {MAX_MESSAGE_SIZE}}},
  {{log, [{{file, [{{level, warning}}]}}]}}"""
CONFIG = f"[{{rabbit, [{_NODE}\n]}}].\n"

# %d: the port. RabbitMQ's usual intervals make figures of queues ten seconds old.
MANAGED_CONFIG = f"""[{{rabbit, [{_NODE},
  {{collect_statistics_interval, 500}},
  {{quorum_tick_interval, 500}}
]}},
{{rabbitmq_management, [{{tcp_config, [{{port, %d}}, {{ip, "127.0.0.1"}}]}}]}}].
"""


class BrokerError(RuntimeError):
    """The node did not start, or a command on it failed; the message holds what it printed."""


class LocalBroker:
    """One RabbitMQ node. Blocking calls; from asyncio use `asyncio.to_thread`.

    After `stop()` (clean) or `kill()` (SIGKILL) `start()` brings the same node back, with its data, on the
    same port. `close()`, or leaving the `with`, ends exactly what was started here and removes the data.
    """

    def __init__(self, port: int | None = None, *, management: bool = False) -> None:
        self.port = port or free_port()
        self._management_port = free_port() if management else None
        self.node = f"webhooks-{secrets.token_hex(4)}@localhost"
        self._epmd_port = free_port()
        self._folder: Path | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        assert self._folder is not None, "the broker has not been started"
        return self._folder

    def __enter__(self) -> LocalBroker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def uri(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def management_url(self) -> str:
        """Of the management API, which comes up within a second of AMQP. User and password: guest."""
        assert self._management_port is not None, "made without management=True"
        return f"http://127.0.0.1:{self._management_port}"

    @property
    def pid(self) -> int:
        """The node's process, for signals (SIGSTOP makes it hang)."""
        assert self._server is not None, "the broker has not been started"
        return self._server.pid

    @property
    def running(self) -> bool:
        return self._server is not None and self._server.poll() is None

    def start(self) -> None:
        """Returns when the node speaks AMQP. Raises BrokerError with the end of its log if it does not."""
        if not (PROGRAMS / "rabbitmq-server").exists():
            raise BrokerError("not installed: apt-get install --no-install-recommends rabbitmq-server")
        if self._folder is None:
            self._folder = self._prepare_folder()
        try:
            self._launch(self._folder)
            self._wait_until_ready()
        except BaseException:  # Ctrl-C included: whatever the reason, nothing of ours may stay behind
            self.close()
            raise

    def stop(self) -> None:
        """A clean shutdown: connections are closed with 320 CONNECTION_FORCED, data is kept."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """SIGKILL of the node. The data stays for the next `start()`, see `wait_durable`."""
        for process in (self._watch, self._server, self._epmd):
            if process is not None:
                process.kill()
                process.wait()
                if process.stdin is not None:
                    process.stdin.close()
        self._watch = self._server = self._epmd = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """The end, the quick way: nobody reads the data again."""
        self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def ctl(self, *arguments: str) -> str:
        """`rabbitmqctl` on this node, its standard output. About a second: it starts an Erlang of its own."""
        command = [str(PROGRAMS / "rabbitmqctl"), "--quiet", "--node", self.node, *arguments]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BrokerError(f"rabbitmqctl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def memory_alarm(self, on: bool) -> None:
        """While on, the node reads nothing from connections that publish."""
        self.ctl("set_vm_memory_high_watermark", "absolute", "1" if on else MEMORY_LIMIT)

    def begin_new_log(self) -> None:
        """Has the log of all quorum queues begin a new file, and waits until the one before is sorted into theirs.

        RabbitMQ does so itself at 512 MiB, and halts for more than 100 ms. Raises BrokerError after 20 s.
        """
        self.ctl("eval", "ra_log_wal:force_roll_over(ra_log_wal).")
        logs, deadline = self.folder / "data" / self.node / "quorum" / self.node, time.monotonic() + 20
        while len(list(logs.glob("*.wal"))) > 1:
            if time.monotonic() > deadline:
                raise BrokerError("the log before is not sorted")
            time.sleep(0.02)

    def max_message_size(self, size: int) -> None:
        """Bytes. From RabbitMQ 4.0 on the node reads it once, at its start, into the second place."""
        put = f"application:set_env(rabbit, max_message_size, {size}), persistent_term:put(max_message_size, {size})."
        self.ctl("eval", put)

    def wait_durable(self, *queues: str) -> None:
        """Until these quorum queues survive `kill()`. Raises BrokerError after 20 s.

        RabbitMQ writes the register of its quorum queues about three seconds late; a node that is killed before
        that starts such a queue anew and empty, confirmed messages lost (seen on 3.10.8).
        """
        register = self.folder / "data" / self.node / "quorum" / self.node / "names.dets"
        deadline = time.monotonic() + 20
        while missing := [queue for queue in queues if f"%2F_{queue}".encode() not in register.read_bytes()]:
            if time.monotonic() > deadline:
                raise BrokerError(f"not on disk: {missing}")
            time.sleep(0.05)

    def log(self) -> str:
        """What the node wrote, console output last."""
        files = sorted(self._folder.glob("*.log")) if self._folder is not None else []
        return "".join(file.read_text(errors="replace") for file in files)

    def _prepare_folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="webhooks-broker-"))
        port, plugin = self._management_port, "rabbitmq_management"
        (folder / "advanced.config").write_text(CONFIG if port is None else MANAGED_CONFIG % port)
        (folder / "enabled_plugins").write_text("[].\n" if port is None else f"[{plugin}].\n")
        cookie = folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        return folder

    def _launch(self, folder: Path) -> None:
        environment = self._environment()
        # A port mapper of our own, in the foreground: the one a node starts for itself outlives it.
        epmd = [EPMD, "-address", "127.0.0.1", "-port", str(self._epmd_port)]
        self._epmd = spawn(epmd, environment, folder / "epmd.log")
        self._server = spawn([str(PROGRAMS / "rabbitmq-server")], environment, folder / "node.log")
        self._watch = watch_over([self._server.pid, self._epmd.pid], folder)

    def _environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "HOME": folder,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_CRASH_DUMP_BYTES": "0",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script then becomes the node instead of a shell beside it
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
            "RABBITMQ_CONFIG_FILE": f"{folder}/none",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S 2:2 -start_epmd false {LOOPBACK}",
            "RABBITMQ_CTL_ERL_ARGS": f"+S 1:1 {LOOPBACK}",
        }

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not speaks_amqp(self.port):
            if not self.running or time.monotonic() > deadline:
                raise BrokerError(f"RabbitMQ did not start:\n{self.log()[-4000:]}")
            time.sleep(0.05)


def speaks_amqp(port: int) -> bool:
    """True once the broker answers the protocol header with Connection.Start (frame type 1, channel 0)."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(AMQP_GREETING)
            return connection.recv(3) == b"\x01\x00\x00"
    except OSError:
        return False


def main() -> int:
    # SIGINT too: a shell without job control starts background programs with it ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    broker = LocalBroker(int(os.environ["PORT"]) if "PORT" in os.environ else None)
    try:
        broker.start()
        print(broker.uri, flush=True)
        signal.pause()
    except BrokerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        broker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
