#!/usr/bin/env python3
"""Proves the driver itself, with a scheduler in this process that keeps what it must, and with ones that do not: drive_test.py
[TEST...]. Ends with 77 where the services cannot run."""
import asyncio
import json
import pathlib
import sys
import tempfile
import unittest

import drive
from counterparts import UNREACHABLE, install_or_skip
from http_messages import connect, read_message


class FakeDaemon:
    """A scheduler that does as it must, but for one flaw. What it holds would be on disk: kill() leaves it."""

    def __init__(self, flaw=None):
        self.flaw = flaw
        self.server = None
        self.starts = 0
        self.known = set()
        self.tasks = set()

    def configure(self, services):
        self.states = [Queue(service, self.flaw) for service in services]

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.address = self.server.sockets[0].getsockname()
        self.starts += 1
        for state in self.states:
            if self.flaw == "forgets ids" and self.starts > 1:
                state.next_id = 1
            self.tasks.add(asyncio.create_task(state.run()))

    async def kill(self):
        if self.server:
            self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()

    async def stop(self):
        await self.kill()
        return 0

    def ended(self):
        return any(task.done() for task in self.tasks)

    async def serve(self, reader, writer):
        # What no answer was given to must be submitted again: so a kill has some submits not answered.
        if message := await read_message(reader):
            answer = {}
            if b"/ping" in message.first_line:
                for state in self.states:
                    state.hurry.set()
            else:
                events = json.loads(message.body)
                fresh = [event for event in events if event["event_id"] not in self.known]
                answer["event_ids"] = [event["event_id"] for event in events]
                self.known.update(answer["event_ids"])
                for state in self.states:
                    state.add(fresh)
            body = json.dumps(answer).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()


class Queue:
    def __init__(self, service, flaw):
        self.service = service
        self.flaw = flaw
        self.events = []
        self.transaction = None  # its id, and its events
        self.next_id = 1
        self.most = 100
        self.more = asyncio.Event()
        self.hurry = asyncio.Event()

    def add(self, events):
        name = self.service.name
        self.events += [event for event in events if event["sender"].startswith(f"@{name}_")
                        or event["room_id"].startswith((f"!{name}:", "!everybody:"))]
        self.more.set()

    async def run(self):
        while True:
            if not self.transaction:
                while not self.events:
                    self.more.clear()
                    await self.more.wait()
                step = -1 if self.flaw == "reorders" else 1
                self.transaction = (self.next_id, self.events[:self.most][::step])
                self.next_id += 1
            number, events = self.transaction
            sending = self.put(number, events)
            if self.flaw == "two at a time":
                results = await asyncio.gather(sending, self.put(number, events))
                status = results[0]
            else:
                status = await sending
            if status == 200:
                del self.events[:len(events)]
                self.most = 100
                self.transaction = None
                continue
            self.fail(number, events, status)
            self.hurry.clear()
            try:
                await asyncio.wait_for(self.hurry.wait(), 0.02)
            except asyncio.TimeoutError:
                pass

    def fail(self, number, events, status):
        if status == 413 and len(events) > 1:
            self.most = len(events) // 2
            self.transaction = None
        elif self.flaw == "gives up":
            del self.events[:len(events)]
            self.transaction = None
        elif self.flaw == "packs again":
            self.transaction = (number, self.events[:100])
        elif self.flaw == "new id for a retry":
            self.transaction = (self.next_id, events)
            self.next_id += 1

    async def put(self, number, events):
        """The status; 0 if it is not to be trusted."""
        path = f"/_matrix/app/v1/transactions/{number}"
        body = json.dumps({"events": events}).encode()
        for _ in range(2):
            try:
                reader, writer = await connect("127.0.0.1", self.service.proxy.port)
                try:
                    writer.write(f"PUT {path} HTTP/1.1\r\nHost: service\r\nAuthorization: Bearer {self.service.hs_token}\r\n"
                                 f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                    answer = await asyncio.wait_for(read_message(reader), 1)
                finally:
                    writer.close()
                status = int(answer.first_line.split()[1])
                if status == 308:
                    path = answer.headers[b"location"].decode()
                    continue
                json.loads(answer.body)
                return status
            except (*UNREACHABLE, ValueError, AttributeError):
                return 0
        return 0


def driven(daemon, *options):
    options = drive.parse(["--down", "0", "--events", "200", *options])
    options.modules = str(pathlib.Path(MODULES).parent)
    with tempfile.TemporaryDirectory() as options.keep:
        return asyncio.run(drive.run(options, lambda directory: daemon, tell=lambda line: None))


class DriveTest(unittest.TestCase):
    def test_accepts_a_scheduler_that_keeps_its_promises(self):
        drive_ = driven(FakeDaemon(), "--events", "600", "--kill-every", "1")
        self.assertEqual(drive_.problems, [])
        for service in drive_.services:
            met = service.proxy.ledger.faults
            self.assertEqual([fault for fault in drive.ROUGH if fault not in met], [])
            self.assertGreater(service.proxy.ledger.counts()["delivered_again"], 0)

    def assert_found(self, daemon, text, *options):
        found = driven(daemon, "--patience", "5", *options).problems
        self.assertTrue(any(text in problem for problem in found), f"{text!r} is not in {found}")

    def test_notices_events_that_were_given_up(self):
        self.assert_found(FakeDaemon("gives up"), "events lost")

    def test_notices_events_out_of_order(self):
        self.assert_found(FakeDaemon("reorders"), "out of order")

    def test_notices_an_id_with_other_content(self):
        self.assert_found(FakeDaemon("packs again"), "came again with other content")

    def test_notices_ids_that_begin_anew(self):
        daemon = FakeDaemon("forgets ids")
        self.assert_found(daemon, "came again", "--kill-every", "0.5")
        self.assertGreater(daemon.starts, 1)

    def test_notices_events_that_came_twice(self):
        self.assert_found(FakeDaemon("new id for a retry"), "events came more than once")

    def test_notices_two_transactions_at_a_time(self):
        self.assert_found(FakeDaemon("two at a time"), "while another was under way")


if __name__ == "__main__":
    MODULES = install_or_skip(sys.argv)
    unittest.main(verbosity=2)
