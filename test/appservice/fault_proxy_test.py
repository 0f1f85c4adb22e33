#!/usr/bin/env python3
"""What fault_proxy.py does to transactions, and what it knows of them."""
import asyncio
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

from counterparts import UNREACHABLE, request
from fault_proxy import FaultProxy, check_faults
from http_messages import connect, read_message

EVENTS = {"events": [{"event_id": "$a"}]}


class ProxyTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.got = []  # the paths of what the service was asked
        self.service = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.directory = tempfile.TemporaryDirectory()
        self.proxies = []
        self.proxy = await self.new_proxy("log")

    async def asyncTearDown(self):
        for proxy in self.proxies:
            await proxy.stop()
        self.service.close()
        self.directory.cleanup()

    async def new_proxy(self, log, seed=1):
        proxy = FaultProxy("127.0.0.1", self.service.sockets[0].getsockname()[1], seed,
                           pathlib.Path(self.directory.name) / log)
        await proxy.start()
        self.proxies.append(proxy)
        return proxy

    async def serve(self, reader, writer):
        while message := await read_message(reader):
            self.got.append(message.first_line.split()[1].decode())
            # In chunks, for services may answer so.
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{  }\r\n0\r\n\r\n")
        writer.close()

    async def put(self, number, content=None, proxy=None, path="/_matrix/app/v1/transactions/"):
        return await request(("127.0.0.1", (proxy or self.proxy).port), "PUT", f"{path}{number}", "t", content or EVENTS)

    async def meets(self, fault, number=1):
        """What a client is told under this fault: status and body, or None."""
        self.proxy.set_faults(script=[fault])
        return await self.meets_next(number)

    async def meets_next(self, number):
        try:
            status, _, body = await self.put(number)
            return status, body
        except UNREACHABLE:
            return None

    async def test_answers_without_asking_the_service(self):
        self.assertEqual((await self.meets("status:500"))[0], 500)
        self.assertEqual((await self.meets("status:413"))[0], 413)
        self.assertEqual(await self.meets("empty"), (200, b""))
        self.assertEqual(await self.meets("not_json"), (200, b"<html>It works!</html>"))
        self.assertIsNone(await self.meets("reset"))
        self.assertEqual(self.got, [])
        self.assertFalse(self.proxy.ledger.settled)

    async def test_hands_the_request_on_and_spoils_the_answer(self):
        self.assertIsNone(await self.meets("lose_answer"))
        self.assertIsNone(await self.meets("half_answer"))
        self.assertEqual(len(self.got), 2)
        self.assertFalse(self.proxy.ledger.settled)
        for fault in ("trickle", "close", "pass"):
            self.assertEqual(await self.meets(fault), (200, b"{  }"))
            self.assertTrue(self.proxy.ledger.settled)
        counts = self.proxy.ledger.counts()
        self.assertEqual([counts[key] for key in ("requests", "transactions", "delivered", "delivered_again", "acknowledged")],
                         [5, 1, 5, 4, 3])
        self.assertEqual(counts["problems"], [])

    async def test_hangs_until_it_is_released(self):
        for fault, delivered in [("hang", 0), ("hang_answer", 1)]:
            meets = asyncio.create_task(self.meets(fault))
            while not self.proxy.ledger.under_way or len(self.got) < delivered:
                await asyncio.sleep(0)
            self.assertFalse(meets.done())
            self.proxy.release()
            self.assertIsNone(await meets)
            self.assertEqual(len(self.got), delivered)

    async def test_a_client_that_gives_up_is_not_under_way_any_more(self):
        meets = asyncio.create_task(self.meets("hang"))
        while not self.proxy.ledger.under_way:
            await asyncio.sleep(0)
        meets.cancel()
        while self.proxy.ledger.under_way:
            await asyncio.sleep(0)
        self.assertEqual(await self.meets("pass"), (200, b"{  }"))
        self.assertEqual(self.proxy.ledger.problems, [])

    async def test_finds_no_transaction_too_large_that_the_service_has_taken(self):
        self.proxy.set_faults(script=["lose_answer", "status:413", "empty"])
        answers = [await self.meets_next(number) for number in (1, 1, 1, 2, 2)]
        self.assertEqual(answers, [None, (200, b""), (200, b"{  }"), (413, answers[3][1]), (200, b"{  }")])

    async def test_redirects_to_the_modern_path_once(self):
        self.proxy.set_faults(script=["redirect", "status:500"])
        status, headers, _ = await self.put(7, path="/old/_matrix/app/v1/transactions/")
        self.assertEqual((status, headers[b"location"]), (308, b"/_matrix/app/v1/transactions/7"))
        self.assertEqual((await self.put(7))[0], 200)
        self.assertEqual((await self.put(8))[0], 500)

    async def test_refuses_connections_while_it_is_down_and_keeps_its_port(self):
        reader, writer = await connect("127.0.0.1", self.proxy.port)
        self.proxy.go_down()
        await reader.gone.wait()
        writer.close()
        with self.assertRaises(ConnectionRefusedError):
            await self.put(1)
        await self.proxy.come_up()
        self.assertEqual((await self.put(1))[0], 200)

        self.assertIsNone(await self.meets("down:0.01", 2))
        await self.proxy.rising
        self.assertEqual((await self.put(2))[0], 200)

    async def test_lets_through_what_is_no_transaction(self):
        self.proxy.set_faults({"status:500": 1})
        status, _, _ = await request(("127.0.0.1", self.proxy.port), "POST", "/_matrix/app/v1/ping", "t", {})
        self.assertEqual((status, self.got), (200, ["/_matrix/app/v1/ping"]))
        self.assertEqual(self.proxy.ledger.requests, 0)

    async def test_says_go_on_to_a_client_that_asks_before_its_body(self):
        reader, writer = await connect("127.0.0.1", self.proxy.port)
        writer.write(b"PUT /_matrix/app/v1/transactions/1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        self.assertEqual((await read_message(reader)).first_line, b"HTTP/1.1 100 Continue")
        writer.write(b"{}")
        self.assertEqual((await read_message(reader)).first_line, b"HTTP/1.1 200 OK")
        writer.close()

    async def test_keeps_a_connection_that_is_used_again_and_again(self):
        reader, writer = await connect("127.0.0.1", self.proxy.port)
        for number in range(1, 200):
            writer.write(b"PUT /_matrix/app/v1/transactions/%d HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}" % number)
            self.assertEqual((await read_message(reader)).body, b"{  }")
        writer.close()
        self.assertEqual((len(self.got), self.proxy.ledger.problems), (199, []))

    async def test_notices_ids_that_are_used_wrongly(self):
        for number, content, problem in [
                (2, EVENTS, None), (2, EVENTS, None), (2, {"events": []}, "2 came again with other content"),
                (1, EVENTS, "1 came after 2"), ("x", EVENTS, "'x' is not a decimal number"),
                ("03", EVENTS, "'03' is not a decimal number")]:
            before = len(self.proxy.ledger.problems)
            await self.put(number, content)
            found = self.proxy.ledger.problems[before:]
            self.assertEqual(len(found), 1 if problem else 0, found)
            self.assertIn(problem or "", "".join(found))

    async def test_the_same_seed_has_the_same_faults_and_another_has_others(self):
        met = {}
        for name, seed in [("first", 5), ("second", 5), ("third", 6)]:
            proxy = await self.new_proxy(name, seed)
            proxy.set_faults({"status:500": 1, "status:429": 1, "empty": 1, "pass": 3})
            for number in range(1, 41):
                await self.put(number, proxy=proxy)
            with open(pathlib.Path(self.directory.name) / name, encoding="ascii") as log:
                met[name] = [json.loads(line)["fault"] for line in log]
        self.assertEqual(len(met["first"]), 40)
        self.assertEqual(met["first"], met["second"])
        self.assertNotEqual(met["first"], met["third"])

    def test_knows_no_other_faults(self):
        for wrong in ("stauts:500", "status", "pass:1", "down:soon"):
            with self.assertRaises(ValueError):
                check_faults([wrong])

    async def test_runs_as_a_program_that_is_told_what_to_do_and_does_it_again(self):
        log = pathlib.Path(self.directory.name) / "program"
        upstream = f"127.0.0.1:{self.service.sockets[0].getsockname()[1]}"

        async def begin(*options):
            process = await asyncio.create_subprocess_exec(
                sys.executable, pathlib.Path(__file__).with_name("fault_proxy.py"), "--to", upstream, *options,
                stdout=subprocess.PIPE)
            line = (await process.stdout.readline()).decode()
            ports = re.match(r"fault_proxy: listening on 127.0.0.1:(\d+), admin on 127.0.0.1:(\d+)$", line)
            return process, ("127.0.0.1", int(ports[1])), ("127.0.0.1", int(ports[2]))

        async def ask(address):
            return (await request(address, "PUT", "/_matrix/app/v1/transactions/1", "t", EVENTS))[0]

        process, proxy, admin = await begin("--log", str(log))
        status, _, _ = await request(admin, "POST", "/faults", "t", {"script": ["status:500", "redirect"], "mix": {"pass": 1}})
        self.assertEqual(status, 200)
        self.assertEqual((await request(admin, "POST", "/faults", "t", {"script": ["nonsense"]}))[0], 400)
        answers = [await ask(proxy) for _ in range(3)]
        self.assertEqual(answers, [500, 308, 200])
        self.assertEqual(json.loads((await request(admin, "GET", "/counts", "t", None))[2])["requests"], 3)
        process.terminate()
        self.assertEqual(await process.wait(), 0)

        process, proxy, admin = await begin("--replay", str(log))
        self.assertEqual([await ask(proxy) for _ in range(3)], answers)
        process.terminate()
        self.assertEqual(await process.wait(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
