"""Who plays a part beside each other: real application services, each behind a proxy, and the daemon; all of them processes
that end when this one does."""
import argparse
import asyncio
import collections
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

from fault_proxy import FaultProxy
from http_messages import Malformed, connect, read_message

HERE = pathlib.Path(__file__).resolve().parent
DEFAULT_MODULES = str(HERE.parents[1] / "build/appservice-services")
SKIPPED = 77
DOMAIN = "example.org"
SUBMIT_TOKEN = "submit-token"


class Failed(Exception):
    """What was to be proven is not so; says what went wrong."""


class Skipped(Exception):
    """Nothing can be said here, and why."""


def install_services(modules):
    """Where node_modules is."""
    done = subprocess.run([HERE / "services/install.sh", modules], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode == SKIPPED:
        raise Skipped(done.stderr.strip())
    if done.returncode != 0:
        raise Failed(done.stderr.strip())
    return done.stdout.strip()


def install_or_skip(arguments):
    """For a test: takes `--modules DIRECTORY` out of the arguments, and ends where the services cannot run."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--modules", default=DEFAULT_MODULES)
    options, arguments[1:] = parser.parse_known_args(arguments[1:])
    try:
        return install_services(options.modules)
    except Skipped as skipped:
        print(skipped)
        sys.exit(SKIPPED)


async def start_process(*command, **options):
    """A process that ends when we do, however that comes, but not of a Ctrl-C that is meant for us."""
    return await asyncio.create_subprocess_exec("setpriv", "--pdeathsig", "KILL", "--", *map(str, command),
                                                stdin=subprocess.DEVNULL, start_new_session=True, **options)


async def end_process(process, number):
    """The exit code."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
    return await process.wait()


async def request(address, method, path, token, content):
    """The status, the headers and the body of the answer."""
    reader, writer = await connect(*address)
    try:
        body = b"" if content is None else json.dumps(content).encode()
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nConnection: close\r\n"
                     f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await asyncio.wait_for(read_message(reader), 60)
        if answer is None:
            raise Malformed("no answer")
        return int(answer.first_line.split(b" ")[1]), answer.headers, answer.body
    finally:
        writer.close()


UNREACHABLE = (OSError, EOFError, Malformed, asyncio.TimeoutError)


class Service:
    """One application service, its proxy, and what is expected of it."""

    def __init__(self, name, kind, directory, seed):
        self.name = name
        self.kind = kind
        self.directory = directory
        self.seed = seed
        self.as_token = f"as-{name}"
        self.hs_token = f"hs-{name}"
        self.record = directory / f"{name}.record"
        self.expected = []
        self.received = []  # the events of the record, as far as it was read
        self.arrived = set()  # the same
        self.read_bytes = 0
        self.process = None
        self.proxy = None

    async def start(self, modules):
        self.record.touch()
        with open(self.directory / f"{self.name}.log", "ab") as log:
            self.process = await start_process(
                "node", HERE / "services" / f"{self.kind}_service.js", "--name", self.name, "--domain", DOMAIN,
                "--hs-token", self.hs_token, "--as-token", self.as_token, "--record", self.record,
                stdout=subprocess.PIPE, stderr=log, env={**os.environ, "NODE_PATH": str(modules)})
        line = await self.process.stdout.readline()
        if not line.strip().isdigit():
            raise Failed(f"the service {self.name} did not start; its log is {log.name}")
        self.proxy = FaultProxy("127.0.0.1", int(line), f"{self.seed}/{self.name}",
                                self.directory / f"{self.name}.faults")
        await self.proxy.start()

    async def stop(self):
        if self.proxy:
            await self.proxy.stop()
        if self.process:
            await end_process(self.process, signal.SIGKILL)

    def registration(self):
        return (f"id: {self.name}\n"
                f"url: http://127.0.0.1:{self.proxy.port}\n"
                f"as_token: {self.as_token}\n"
                f"hs_token: {self.hs_token}\n"
                f"sender_localpart: {self.name}\n"
                "rate_limited: false\n"
                "namespaces:\n"
                f"  users: [{{exclusive: true, regex: '@{self.name}_.*:{DOMAIN}'}}]\n"
                f"  rooms: [{{exclusive: false, regex: '!({self.name}|everybody):{DOMAIN}'}}]\n"
                "  aliases: []\n")

    def read_record(self):
        """How many events it has recorded by now."""
        with open(self.record, "rb") as record:
            record.seek(self.read_bytes)
            lines = record.read()
        lines = lines[:lines.rfind(b"\n") + 1]
        self.read_bytes += len(lines)
        events = [json.loads(line)["event_id"] for line in lines.splitlines()]
        self.received += events
        self.arrived.update(events)
        return len(self.received)

    def caught_up(self):
        self.read_record()
        return self.arrived.issuperset(self.expected)

    def problems(self):
        """What was not as it must be, in words."""
        self.read_record()
        came = collections.Counter(self.received)
        wanted = collections.Counter(self.expected)
        found = [f"{len(events)} {what}, the first of them {events[0]}" for what, events in [
            ("events lost", [event for event in self.expected if event not in came]),
            ("events that are not for it", [event for event in came if event not in wanted]),
            ("events came more than once", [event for event, count in came.items() if count > 1]),
        ] if events]
        place = {event: number for number, event in enumerate(self.expected)}
        order = [event for event in came if event in place]  # of their first coming
        for before, after in zip(order, order[1:]):
            if place[before] > place[after]:
                found.append(f"out of order: {after} came after {before}")
                break
        return [f"{self.name}: {problem}" for problem in [*found, *self.proxy.ledger.problems]]


class Daemon:
    """The program under test. Its ports are new at every start."""

    def __init__(self, program, directory):
        self.program = program
        self.directory = directory
        self.process = None
        self.address = None
        self.starts = 0

    def configure(self, services):
        for service in services:
            (self.directory / f"{service.name}.yaml").write_text(service.registration())
        registrations = ", ".join(str(self.directory / f"{service.name}.yaml") for service in services)
        (self.directory / "appservice.yaml").write_text(
            "listen: 127.0.0.1:0\n"
            "admin: 127.0.0.1:0\n"
            f"submit_token: {SUBMIT_TOKEN}\n"
            f"store: sqlite:{self.directory}/appservice.db\n"
            f"registrations: [{registrations}]\n"
            f"homeserver_domain: {DOMAIN}\n"
            "limits:\n"
            "  connect_timeout: 2s\n"
            "  response_timeout: 2s\n"
            "log:\n"
            "  level: info\n"
            "  format: text\n")

    async def start(self):
        with open(self.directory / "appservice.log", "ab") as log:
            self.process = await start_process(self.program, "--config", self.directory / "appservice.yaml",
                                               stdout=subprocess.PIPE, stderr=log)
        line = (await self.process.stdout.readline()).decode()
        ready = re.match(r"appservice: listening on (?:tcp:)?(.+):(\d+), admin on .+:\d+$", line)
        if not ready:
            raise Failed(f"the daemon did not start, but said {line!r}; its log is {log.name}")
        self.address = (ready[1], int(ready[2]))
        self.starts += 1

    async def kill(self):
        if self.process:
            await end_process(self.process, signal.SIGKILL)

    async def stop(self):
        """The exit code."""
        return await end_process(self.process, signal.SIGTERM)

    def ended(self):
        return self.process.returncode is not None
