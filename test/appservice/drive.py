#!/usr/bin/env python3
"""Proves that an application-service scheduler loses nothing, doubles nothing and keeps the order, whatever happens.

    drive.py --daemon PATH [--services 3] [--events 3000] [--seed 1] [--kill-every SECONDS] [--down 10] [--keep DIRECTORY]
    drive.py --daemon PATH --for-demo

It starts real services (services/) behind proxies that make transactions fail (fault_proxy.py), and the daemon with a
configuration for them; submits events through phases of faults, killing the daemon meanwhile if told; waits until the
services have recorded what was submitted; and looks what they recorded and what the proxies saw. Ends with 0 if each event
came to each service it is for, once and in order; no transaction id had two contents; ids only increased; and no service
had two transactions at a time. Everything is on loopback, and goes when this goes. Progress is on stderr.
"""
import argparse
import asyncio
import collections
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

from counterparts import (DEFAULT_MODULES, DOMAIN, SKIPPED, SUBMIT_TOKEN, UNREACHABLE, Daemon, Failed, Service, Skipped,
                          install_services, request)

ROUGH = {"pass": 60, "status:500": 6, "status:413": 3, "status:429": 4, "empty": 3, "not_json": 3, "hang": 2,
         "hang_answer": 2, "reset": 5, "lose_answer": 6, "half_answer": 3, "trickle": 3, "close": 4, "redirect": 2,
         "down:0.5": 1}
FORGETFUL = {"pass": 50, "lose_answer": 30, "hang_answer": 10, "half_answer": 10}


class Drive:
    """The services, the daemon, and what is done to them."""

    def __init__(self, options, directory, daemon, tell=lambda line: print(line, file=sys.stderr, flush=True)):
        self.options = options
        self.directory = directory
        self.daemon = daemon
        self.tell = tell
        self.random = random.Random(options.seed)
        self.services = [Service(f"s{number + 1}", ("appservice", "bot_sdk")[number % 2], directory, options.seed)
                         for number in range(options.services)]
        self.phase = "start"
        self.submitted = 0
        self.retried = collections.Counter()  # submits, by why
        self.pings = collections.Counter()  # by status
        self.problems = []
        self.alive = asyncio.Lock()  # held while the daemon is killed and started

    async def start(self):
        modules = install_services(self.options.modules)
        await asyncio.gather(*(service.start(modules) for service in self.services))
        self.daemon.configure(self.services)
        await self.daemon.start()

    async def stop(self):
        await self.daemon.kill()
        await asyncio.gather(*(service.stop() for service in self.services))

    # --- events ---

    def make_event(self, kind=None):
        """An event for one service, by its room or its sender, for all, or for none."""
        self.submitted += 1
        event_id = f"$event-{self.submitted}:{DOMAIN}"
        room, sender, interested = "!elsewhere", "@somebody", []
        kind = kind or self.random.choices(["room", "sender", "everybody", "nobody"], [8, 4, 3, 1])[0]
        service = self.random.choice(self.services)
        if kind == "room":
            room, interested = f"!{service.name}", [service]
        elif kind == "sender":
            sender, interested = f"@{service.name}_user", [service]
        elif kind == "everybody":
            room, interested = "!everybody", self.services
        for service in interested:
            service.expected.append(event_id)
        words = "".join(self.random.choices("abcdefghij \"\\äß☃😀\n", k=self.random.randrange(400)))
        return {"event_id": event_id, "room_id": f"{room}:{DOMAIN}", "sender": f"{sender}:{DOMAIN}",
                "type": "m.room.message", "origin_server_ts": 1700000000000 + self.submitted,
                "content": {"msgtype": "m.text", "body": words}, "depth": 1, "auth_events": [], "prev_events": []}

    async def submit(self, events):
        """Until they are accepted: with the same ids, so that it does not matter whether a lost answer was a yes."""
        waited = 0
        while True:
            try:
                status, headers, body = await request(self.daemon.address, "POST", "/_snowfox/appservice/v1/events",
                                                      SUBMIT_TOKEN, events)
            except UNREACHABLE:
                status, headers, body = 0, {}, b""
            if status == 200:
                missing = [event["event_id"] for event in events if event["event_id"] not in body.decode()]
                if missing:
                    raise Failed(f"the answer to a submit does not name {missing[0]}: {body[:200]!r}")
                return
            if status not in (0, 429, 503):
                raise Failed(f"a submit was answered {status}: {body[:200]!r}")
            if waited > self.options.patience:
                raise Failed(f"a submit was not accepted for {self.options.patience} s")
            self.retried[status or "no answer"] += 1
            # A minute is more than any Retry-After that is meant for a test.
            pause = min(float(headers.get(b"retry-after", 0)), 60) or 0.05
            waited += pause
            await asyncio.sleep(pause)

    async def submit_many(self, count):
        while count > 0:
            batch = [self.make_event() for _ in range(min(count, self.random.randint(1, 40)))]
            count -= len(batch)
            await self.submit(batch)
            await asyncio.sleep(self.random.uniform(0, 0.05))

    # --- what goes on meanwhile ---

    async def keep_killing(self):
        while True:
            await asyncio.sleep(self.options.kill_every * self.random.uniform(0.7, 1.3))
            async with self.alive:
                await self.daemon.kill()
                await self.daemon.start()

    async def keep_pinging(self):
        """A service that sees that it lacks something would do so: it spares us the scheduler's long waits."""
        while True:
            await asyncio.sleep(0.3)
            for service in self.services:
                if not service.caught_up():
                    await self.ping(service)

    async def ping(self, service):
        path = f"/_matrix/client/v1/appservice/{service.name}/ping"
        try:
            status, _, body = await request(self.daemon.address, "POST", path, service.as_token,
                                            {"transaction_id": f"ping-{sum(self.pings.values())}"})
        except UNREACHABLE:
            return None
        self.pings[status] += 1
        if status not in (200, 502, 503, 504):
            self.problems.append(f"{service.name}: a ping was answered {status}: {body[:200]!r}")
        return status

    async def keep_telling(self):
        while True:
            await asyncio.sleep(2)
            counts = ", ".join(f"{service.name} {service.read_record()}/{len(service.expected)}"
                               for service in self.services)
            self.tell(f"{self.phase}: {counts}; daemon started {self.daemon.starts} times")

    async def until(self, holds, what):
        """Waits, as long as something goes on: no event for a long time is a failure. Time in which we stand still ourselves
        does not count."""
        before, quiet = None, 0
        while not holds():
            now = [(service.read_record(), service.proxy.ledger.acknowledged) for service in self.services]
            quiet = 0 if now != before else quiet + 0.02
            before = now
            if quiet > self.options.patience:
                behind = [f"{service.name} got {len(service.received)} of {len(service.expected)}"
                          for service in self.services]
                raise Failed(f"waited in vain for {what}: nothing came for {self.options.patience} s; {', '.join(behind)}")
            if not self.alive.locked() and self.daemon.ended():
                raise Failed("the daemon has ended by itself")
            await asyncio.sleep(0.02)

    async def until_caught_up(self, services=None):
        services = services or self.services
        await self.until(lambda: all(service.caught_up() for service in services), f"events in the phase '{self.phase}'")

    # --- the phases ---

    def begin(self, phase, mix, script=()):
        self.phase = phase
        self.tell(f"{phase}")
        for service in self.services:
            faults = list(script)
            service.proxy.random.shuffle(faults)
            service.proxy.set_faults(mix, faults)
            service.proxy.release()

    async def one_down(self, count):
        """The others must get all of theirs while one service cannot be reached."""
        self.begin("one service is down", {})
        victim = self.random.choice(self.services)
        others = [service for service in self.services if service is not victim]
        victim.proxy.go_down()
        until = time.monotonic() + self.options.down
        await self.submit_many(count)
        await self.until_caught_up(others)
        missing = len(victim.expected) - victim.read_record()
        await asyncio.sleep(max(0, until - time.monotonic()))
        self.tell(f"{victim.name} lacks {missing} events, the others none: it comes back")
        await victim.proxy.come_up()
        await self.until_caught_up()

    async def phases(self):
        count = self.options.events
        self.begin("calm", {})
        await self.submit_many(count // 10)
        await self.until_caught_up()
        self.begin("every fault", ROUGH, [fault for fault in ROUGH if fault != "pass"])
        await self.submit_many(count * 4 // 10)
        await self.until_caught_up()
        # Each fault at least once at each service, however few transactions there were.
        while any(service.proxy.script for service in self.services):
            await self.submit([self.make_event("everybody")])
            await self.until_caught_up()
        await self.one_down(count * 2 // 10)
        self.begin("acknowledgements are lost", FORGETFUL)
        await self.submit_many(count * 2 // 10)
        await self.until_caught_up()
        self.begin("calm again", {})
        await self.submit_many(count // 10)
        await self.until_caught_up()

    async def finish(self):
        """What may still be sent again comes before this event, if anything is in order."""
        self.phase = "end"
        await self.submit([self.make_event("everybody")])
        await self.until_caught_up()
        await self.until(lambda: all(service.proxy.ledger.settled for service in self.services), "the last acknowledgement")
        code = await self.daemon.stop()
        if code != 0:
            self.problems.append(f"the daemon ended with {code} after SIGTERM")
    async def drive(self):
        meanwhile = [asyncio.create_task(self.keep_telling()), asyncio.create_task(self.keep_pinging())]
        if self.options.kill_every:
            meanwhile.append(asyncio.create_task(self.keep_killing()))
        work = asyncio.create_task(self.phases())
        try:
            await asyncio.wait([work, *meanwhile], return_when=asyncio.FIRST_COMPLETED)
            for task in meanwhile:
                if task.done():
                    task.result()
            await work
            # Not in the middle of a start.
            async with self.alive:
                for task in meanwhile:
                    task.cancel()
            await self.finish()
        finally:
            for task in [work, *meanwhile]:
                task.cancel()
            await asyncio.gather(work, *meanwhile, return_exceptions=True)

    def judge(self):
        for service in self.services:
            self.problems += service.problems()

    def report(self):
        lines = [f"{'service':<8} {'library':<11} {'events':>7} {'transactions':>13} {'attempts':>9} "
                 f"{'delivered again':>16}  faults"]
        for service in self.services:
            counts = service.proxy.ledger.counts()
            faults = ", ".join(f"{count} {fault}" for fault, count in counts["faults"].items() if fault != "pass")
            lines.append(f"{service.name:<8} {service.kind:<11} {len(service.received):>7} {counts['transactions']:>13} "
                         f"{counts['requests']:>9} {counts['delivered_again']:>16}  {faults}")
        lines.append(f"{self.submitted} events submitted, the daemon started {self.daemon.starts} times; submits tried again: "
                     f"{dict(self.retried) or 'none'}; pings by status: {dict(self.pings) or 'none'}")
        return lines


async def demo(drive):
    def show(*lines):
        print(*lines, sep="\n", flush=True)

    async def send(count):
        await drive.submit([drive.make_event("everybody") for _ in range(count)])

    def got():
        return ", ".join(f"{service.name} has {service.read_record()}" for service in drive.services)

    bridge, bot = drive.services
    show("", "== Two application services, and the scheduler between them and the homeserver",
         f"{bridge.name}: on matrix-appservice, {bot.name}: on matrix-bot-sdk")
    show("", "== 200 events for both")
    for _ in range(20):
        await send(10)
    await drive.until_caught_up()
    show(f"submitted 200; {got()}")

    show("", f"== {bridge.name} goes down; 200 more events")
    bridge.proxy.go_down()
    for _ in range(20):
        await send(10)
    await drive.until_caught_up([bot])
    show(f"submitted 400; {got()}: who is up waits for nobody")
    show(f"{bridge.name} asks for a ping while it cannot be reached: answered {await drive.ping(bridge)}")

    show("", "== The scheduler is killed, and comes back")
    await drive.daemon.kill()
    await drive.daemon.start()
    await send(100)
    await drive.until_caught_up([bot])
    show(f"submitted 500; {got()}: what waits is on disk")

    show("", f"== {bridge.name} comes back, but the first acknowledgement is lost")
    bridge.proxy.set_faults(script=["lose_answer"])
    await bridge.proxy.come_up()
    pinging = asyncio.create_task(drive.keep_pinging())
    await drive.until_caught_up()
    pinging.cancel()
    show(f"submitted 500; {got()}: its pings had the scheduler try again at once")

    await drive.finish()
    counts = bridge.proxy.ledger.counts()
    show("", "== Nothing lost, nothing doubled, in order",
         f"{bridge.name}: {counts['transactions']} transactions, {counts['delivered_again']} of them delivered twice under the "
         "same id, which the library took for what it was")


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--daemon", metavar="PATH", help="the program appservice")
    parser.add_argument("--services", type=int, default=3)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kill-every", type=float, default=0, metavar="SECONDS", help="kill -9 the daemon; 0: never")
    parser.add_argument("--down", type=float, default=10, metavar="SECONDS", help="how long a service is down at least")
    parser.add_argument("--patience", type=float, default=120, metavar="SECONDS", help="how long nothing may happen")
    parser.add_argument("--modules", metavar="DIRECTORY", default=DEFAULT_MODULES,
                        help="where the services' packages are installed")
    parser.add_argument("--keep", metavar="DIRECTORY", help="where all files go; else they stay only if something fails")
    parser.add_argument("--for-demo", action="store_true", help="tell a short story instead")
    options = parser.parse_args(arguments)
    if options.for_demo:
        options.services = 2
    return options


async def run(options, make_daemon, tell=None):
    """The drive, with its verdict in `problems`; its files are gone if there are none."""
    directory = pathlib.Path(options.keep or tempfile.mkdtemp(prefix="appservice-drive-"))
    directory.mkdir(parents=True, exist_ok=True)
    drive = Drive(options, directory.resolve(), make_daemon(directory.resolve()), **({"tell": tell} if tell else {}))
    work = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        await drive.start()
        await (demo(drive) if options.for_demo else drive.drive())
    except Failed as failure:
        drive.problems.append(str(failure))
    finally:
        drive.judge()
        await drive.stop()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)
        if not options.keep and not drive.problems:
            shutil.rmtree(directory)
    return drive


def main():
    options = parse()
    if not options.daemon:
        sys.exit("drive: --daemon is missing")
    try:
        drive = asyncio.run(run(options, lambda directory: Daemon(options.daemon, directory)))
    except Skipped as skipped:
        print(skipped)
        sys.exit(SKIPPED)
    except asyncio.CancelledError:
        sys.exit("drive: ended early")
    if not options.for_demo:
        print(*drive.report(), sep="\n")
    for problem in drive.problems:
        print(f"drive: {problem}", file=sys.stderr)
    if drive.problems:
        sys.exit(f"drive: FAILED, seed {options.seed}; everything is in {drive.directory}")
    print("\ndemo: ok" if options.for_demo else "drive: ok")


if __name__ == "__main__":
    main()
