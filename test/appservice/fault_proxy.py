#!/usr/bin/env python3
"""A proxy in front of one application service that makes transactions fail, and keeps account of them.

    fault_proxy.py --to HOST:PORT [--port 0] [--seed N] [--mix FAULT=WEIGHT,...] [--script FAULT,...] [--log FILE]

prints `fault_proxy: listening on HOST:PORT, admin on HOST:PORT`. Every PUT of a transaction meets one fault: the next one of
the script, or, when that is used up, one of the mix by its weight (`pass` where there is none). Anything else passes, but
not while the proxy is down. The decisions depend on the seed and the number of the transaction's request alone, and each is
a line of JSON in the log: `--replay LOG` has the same faults again.

    pass            hand the request on, and the answer back
    status:N        answer N, without asking the service (429 says when to come again; 413 waits for a transaction that the
                    service has not taken yet)
    empty           answer 200 with nothing
    not_json        answer 200 with HTML
    hang            keep the request and never answer, until released
    hang_answer     the same, but the service gets the request
    reset           reset the connection; the service does not get the request
    lose_answer     hand the request on, wait for the answer, and reset the connection
    half_answer     hand the request on, answer half the body, and close the connection
    trickle         hand the request on and the answer back a few bytes at a time
    close           like pass, and close the connection without having said so, as a server does with an idle one
    redirect        answer 308 to the modern path; what comes next for the same transaction passes
    down:SECONDS    reset all connections and refuse new ones for so long

Admin: GET /counts; POST /faults {"mix": {FAULT: WEIGHT}, "script": [FAULT]}, either may be left out; POST /release lets all
that hangs go on.
"""
import argparse
import asyncio
import collections
import hashlib
import json
import random
import re
import signal
import socket
import sys

from http_messages import Malformed, WatchedReader, answer, connect, read_message, reset

TRANSACTION = re.compile(rb"PUT ([^ ]*)/transactions/([^/? ]+)(\?[^ ]*)? HTTP/1\.1\r\n")
KINDS = ("pass", "status", "empty", "not_json", "hang", "hang_answer", "reset", "lose_answer", "half_answer", "trickle",
         "close", "redirect", "down")
TOO_LARGE = "status:413"


def check_faults(faults):
    for fault in faults:
        kind, _, argument = fault.partition(":")
        if kind not in KINDS or (kind in ("status", "down")) != bool(argument):
            raise ValueError(f"no such fault: {fault}")
        float(argument or 0)


class Ledger:
    """What is known of the transactions that came, and what was wrong with them."""

    def __init__(self):
        self.digests = {}  # of the first body of each id, in the order in which the ids came
        self.delivered = collections.Counter()  # how often the service was given each id
        self.requests = 0
        self.acknowledged = 0
        self.settled = True  # whether the latest request had its acknowledgement
        self.faults = collections.Counter()
        self.under_way = 0
        self.problems = []

    def problem(self, text):
        if len(self.problems) < 100:
            self.problems.append(text)

    def arrived(self, txn, body):
        self.requests += 1
        self.settled = False
        if self.under_way:
            self.problem(f"transaction {txn} came while another was under way")
        digest = hashlib.sha256(body).hexdigest()
        if txn in self.digests:
            if self.digests[txn] != digest:
                self.problem(f"transaction {txn} came again with other content")
            if txn != next(reversed(self.digests)):
                self.problem(f"transaction {txn} came again after {next(reversed(self.digests))}")
            return digest
        if not txn.isascii() or not txn.isdecimal() or txn != str(int(txn)):
            self.problem(f"transaction id {txn!r} is not a decimal number")
        elif self.digests and int(txn) <= int(next(reversed(self.digests))):
            self.problem(f"transaction {txn} came after {next(reversed(self.digests))}")
        self.digests[txn] = digest
        return digest

    def counts(self):
        return {
            "requests": self.requests,
            "transactions": len(self.digests),
            "delivered": sum(self.delivered.values()),
            "delivered_again": sum(count - 1 for count in self.delivered.values()),
            "acknowledged": self.acknowledged,
            "settled": self.settled and not self.under_way,
            "faults": dict(self.faults),
            "problems": self.problems,
        }


class FaultProxy:
    def __init__(self, host, port, seed=0, log=None):
        self.upstream = (host, port)
        self.random = random.Random(seed)
        self.log = open(log, "a", buffering=1, encoding="ascii") if log else None
        self.mix = {}
        self.script = collections.deque()
        self.ledger = Ledger()
        self.redirected = set()
        self.released = asyncio.Event()
        self.connections = {}  # the task of each connection and where it writes
        self.holder = None
        self.server = None
        self.rising = None

    # --- by whoever runs it ---

    async def start(self, port=0):
        # This socket never listens: it keeps the port ours while we are down.
        self.holder = socket.socket()
        self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.holder.bind(("127.0.0.1", port))
        self.port = self.holder.getsockname()[1]
        await self.come_up()
        return self.port

    async def stop(self):
        self.go_down()
        await asyncio.gather(*self.connections, return_exceptions=True)
        self.holder.close()
        if self.log:
            self.log.close()

    def set_faults(self, mix=None, script=None):
        """Of those that are None, what was set before stays."""
        check_faults([*(mix or {}), *(script or [])])
        if mix is not None:
            self.mix = {fault: float(weight) for fault, weight in mix.items()}
        if script is not None:
            self.script = collections.deque(script)

    def release(self):
        self.released.set()
        self.released = asyncio.Event()

    def go_down(self):
        if self.rising:
            self.rising.cancel()
            self.rising = None
        if self.server:
            self.server.close()
            self.server = None
        for task, writer in self.connections.items():
            reset(writer)
            task.cancel()

    async def come_up(self):
        if not self.server:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            self.server = await asyncio.get_running_loop().create_server(
                lambda: asyncio.StreamReaderProtocol(WatchedReader(), self.serve), sock=listener)

    # --- what a connection goes through ---

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.connections[task] = writer
        upstream = None
        try:
            def expected(message):
                if message.headers.get(b"expect", b"").lower() == b"100-continue":
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")

            while request := await read_message(reader, expected):
                if upstream is None or upstream[0].gone.is_set():
                    if upstream:
                        upstream[1].close()
                    upstream = await connect(*self.upstream)
                if not await self.meet(request, reader, writer, upstream) or request.closes():
                    break
        except (OSError, EOFError, ValueError, Malformed) as error:
            self.note(error=str(error) or type(error).__name__)
            reset(writer)
        except asyncio.CancelledError:
            pass  # we went down, or nobody waits any more for what hangs
        finally:
            del self.connections[task]
            for end in [writer, upstream and upstream[1]]:
                if end:
                    end.close()

    async def meet(self, request, reader, writer, upstream):
        """True if the connection goes on."""
        match = TRANSACTION.match(request.head)
        if not match:
            answered = await self.forward(request, upstream)
            writer.write(answered.framed())
            await writer.drain()
            return not answered.closes()

        txn = match[2].decode("latin-1")
        digest = self.ledger.arrived(txn, request.body)
        fault = self.decide(txn)
        self.ledger.faults[fault] += 1
        self.note(n=self.ledger.requests, txn=txn, fault=fault, sha256=digest, bytes=len(request.body))
        work = asyncio.create_task(self.suffer(fault, txn, request, (reader, writer), upstream, self.released))
        gone = asyncio.create_task(reader.gone.wait())
        self.ledger.under_way += 1
        try:
            await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            # Who has gone does not wait any more, so another may come while the service is still at it.
            self.ledger.under_way -= 1
            gone.cancel()
        if fault.startswith("hang"):
            work.cancel()
        return await work

    def decide(self, txn):
        if txn in self.redirected:
            self.redirected.discard(txn)
            return "redirected"
        # A service that has taken a transaction does not find it too large when it comes again.
        taken = self.ledger.delivered[txn] > 0
        for _ in range(len(self.script)):
            fault = self.script.popleft()
            if not (taken and fault == TOO_LARGE):
                return fault
            self.script.append(fault)
        # Drawn even if there is no mix, so that what comes later does not depend on when it was set.
        draw = self.random.random() * (sum(self.mix.values()) or 1)
        for fault, weight in self.mix.items():
            draw -= weight
            if draw < 0:
                return "pass" if taken and fault == TOO_LARGE else fault
        return "pass"

    async def suffer(self, fault, txn, request, client, upstream, released):
        """True if the connection goes on."""
        reader, writer = client
        kind, _, argument = fault.partition(":")
        if kind == "down":
            self.go_down()
            self.rising = asyncio.create_task(self.rise(float(argument)))
            return False
        if kind == "reset":
            reset(writer)
            return False
        if kind == "hang":
            await released.wait()
            reset(writer)
            return False
        if kind in ("status", "empty", "not_json", "redirect"):
            writer.write(self.invent(kind, argument, txn))
            await writer.drain()
            return True

        self.ledger.delivered[txn] += 1
        answered = await self.forward(request, upstream)
        text = answered.framed()
        if kind == "hang_answer":
            await released.wait()
        if kind in ("lose_answer", "hang_answer"):
            reset(writer)
            return False
        if kind == "half_answer":
            # Of a body of two bytes this is one.
            writer.write(text[:len(text) - (len(answered.body) + 1) // 2])
            await writer.drain()
            return False
        pieces = [text[at:at + 16] for at in range(0, len(text), 16)] if kind == "trickle" else [text]
        for piece in pieces[:-1]:
            if reader.gone.is_set():
                return False
            writer.write(piece)
            await asyncio.sleep(0.01)
        # Who is still there at this moment may have had the whole answer; who is not cannot.
        if answered.first_line.split(b" ")[1].startswith(b"2") and not reader.gone.is_set():
            self.ledger.acknowledged += 1
            self.ledger.settled = True
        writer.write(pieces[-1])
        await writer.drain()
        return kind != "close" and not answered.closes()

    def invent(self, kind, argument, txn):
        if kind == "empty":
            return answer(200, b"")
        if kind == "not_json":
            return answer(200, b"<html>It works!</html>")
        if kind == "redirect":
            self.redirected.add(txn)
            return answer(308, b"{}", f"Location: /_matrix/app/v1/transactions/{txn}")
        later = ["Retry-After: 1"] if argument == "429" else []
        return answer(int(argument), b'{"errcode":"M_UNKNOWN","error":"A fault of the proxy"}', *later)

    async def forward(self, request, upstream):
        reader, writer = upstream
        writer.write(request.framed(without=[b"expect"]))
        await writer.drain()
        answered = await read_message(reader)
        if answered is None:
            raise Malformed("the service closed the connection instead of answering")
        return answered

    async def rise(self, seconds):
        await asyncio.sleep(seconds)
        self.rising = None
        await self.come_up()

    def note(self, **what):
        if self.log and not self.log.closed:
            self.log.write(json.dumps(what) + "\n")


async def serve_admin(proxy, reader, writer):
    try:
        while request := await read_message(reader):
            method, path = request.first_line.decode().split(" ")[:2]
            status, reply = 200, {}
            if (method, path) == ("GET", "/counts"):
                reply = proxy.ledger.counts()
            elif (method, path) == ("POST", "/faults"):
                try:
                    wanted = json.loads(request.body)
                    proxy.set_faults(wanted.get("mix"), wanted.get("script"))
                except (ValueError, AttributeError, TypeError) as error:
                    status, reply = 400, {"error": str(error)}
            elif (method, path) == ("POST", "/release"):
                proxy.release()
            else:
                status, reply = 404, {"error": "no such path"}
            writer.write(answer(status, json.dumps(reply).encode()))
            await writer.drain()
            if request.closes():
                break
    except (OSError, EOFError, ValueError, Malformed):
        pass
    finally:
        writer.close()


async def run(arguments):
    host, _, port = arguments.to.rpartition(":")
    proxy = FaultProxy(host, int(port), arguments.seed, arguments.log)
    mix = dict(item.split("=") for item in arguments.mix.split(",")) if arguments.mix else None
    script = arguments.script.split(",") if arguments.script else None
    if arguments.replay:
        with open(arguments.replay, encoding="ascii") as log:
            script = [line["fault"] for line in map(json.loads, log)
                      if line.get("fault", "redirected") != "redirected"]
    proxy.set_faults(mix, script)
    await proxy.start(arguments.port)
    admin = await asyncio.start_server(lambda *ends: serve_admin(proxy, *ends), "127.0.0.1", 0)
    print(f"fault_proxy: listening on 127.0.0.1:{proxy.port}, "
          f"admin on 127.0.0.1:{admin.sockets[0].getsockname()[1]}", flush=True)
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    await over.wait()
    admin.close()
    await proxy.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mix", metavar="FAULT=WEIGHT,...")
    parser.add_argument("--script", metavar="FAULT,...")
    parser.add_argument("--replay", metavar="LOG")
    parser.add_argument("--log", metavar="FILE")
    try:
        asyncio.run(run(parser.parse_args()))
    except (OSError, ValueError) as error:
        sys.exit(f"fault_proxy: {error}")


if __name__ == "__main__":
    main()
