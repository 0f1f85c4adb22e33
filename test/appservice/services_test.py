#!/usr/bin/env python3
"""What README.md says of the libraries that the services are built on: services_test.py [--modules DIRECTORY]. Ends with 77
where they cannot run."""
import json
import pathlib
import sys
import tempfile
import unittest

import counterparts
from http_messages import connect, read_message

V1 = "/_matrix/app/v1"


def events(*names, **more):
    return {"events": [{"event_id": f"${name}", "type": "m.room.message", "room_id": "!r:example.org", "content": {},
                        **more} for name in names]}


class ServiceTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.services = {}
        for kind in ("appservice", "bot_sdk"):
            service = counterparts.Service(kind, kind, pathlib.Path(self.directory.name), 1)
            await service.start(MODULES)
            self.services[kind] = service

    async def asyncTearDown(self):
        for service in self.services.values():
            await service.stop()
        self.directory.cleanup()

    async def ask(self, kind, method, path, content=None, token=None):
        service = self.services[kind]
        status, headers, body = await counterparts.request(("127.0.0.1", service.proxy.port), method, path,
                                                    token or service.hs_token, content)
        return status, headers, body

    async def put(self, kind, number, content, **more):
        status, _, body = await self.ask(kind, "PUT", f"{V1}/transactions/{number}", content, **more)
        return status, json.loads(body)

    def recorded(self, kind):
        return [json.loads(line) for line in self.services[kind].record.read_text().splitlines()]

    async def test_a_transaction_that_comes_again_at_once_is_acknowledged_and_dropped_whatever_it_holds(self):
        for kind in self.services:
            self.assertEqual(await self.put(kind, 1, events("a", "b")), (200, {}))
            self.assertEqual(await self.put(kind, 1, events("a", "b")), (200, {}))
            self.assertEqual(await self.put(kind, 1, events("lost")), (200, {}))
            self.assertEqual(await self.put(kind, 2, events("c")), (200, {}))
            self.assertEqual(self.recorded(kind), [{"event_id": "$a", "txn": "1", "request": 1},
                                                   {"event_id": "$b", "txn": "1", "request": 1},
                                                   {"event_id": "$c", "txn": "2", "request": 4}])

    async def test_matrix_appservice_remembers_the_latest_transaction_alone_and_the_bot_sdk_all(self):
        for kind, twice in [("appservice", 2), ("bot_sdk", 1)]:
            for number, name in [(1, "a"), (2, "b"), (1, "a")]:
                self.assertEqual(await self.put(kind, number, events(name)), (200, {}))
            self.assertEqual([line["event_id"] for line in self.recorded(kind)].count("$a"), twice)

    async def test_what_they_remember_in_memory_is_gone_when_they_start_again(self):
        for kind, service in self.services.items():
            await self.put(kind, 1, events("a"))
            await service.stop()
            await service.start(MODULES)
            self.assertEqual(await self.put(kind, 1, events("a")), (200, {}))
            self.assertEqual([line["event_id"] for line in self.recorded(kind)], ["$a", "$a"])

    async def test_neither_takes_what_is_no_json(self):
        for service in self.services.values():
            reader, writer = await connect("127.0.0.1", service.proxy.port)
            writer.write(f"PUT {V1}/transactions/1 HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer {service.hs_token}\r\n"
                         "Content-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"events\":[".encode())
            answer = await read_message(reader)
            writer.close()
            self.assertEqual(answer.first_line, b"HTTP/1.1 400 Bad Request")
            self.assertIn(b"text/html", answer.headers[b"content-type"])

    async def test_neither_takes_a_transaction_with_another_token(self):
        for kind, status in [("appservice", 403), ("bot_sdk", 401)]:
            self.assertEqual((await self.put(kind, 1, events("a"), token="wrong"))[0], status)
            self.assertEqual(self.recorded(kind), [])

    async def test_matrix_appservice_takes_5_megabytes_and_the_bot_sdk_more(self):
        for kind, status in [("appservice", 413), ("bot_sdk", 200)]:
            answer, _, _ = await self.ask(kind, "PUT", f"{V1}/transactions/1", events("a", big="x" * 4_999_000))
            self.assertEqual(answer, 200)
            answer, _, _ = await self.ask(kind, "PUT", f"{V1}/transactions/2", events("b", big="x" * 5_000_000))
            self.assertEqual(answer, status)

    async def test_both_answer_pings(self):
        for kind in self.services:
            self.assertEqual((await self.ask(kind, "POST", f"{V1}/ping", {"transaction_id": "1"}))[0], 200)
            self.assertEqual((await self.ask(kind, "POST", f"{V1}/ping", {}, token="wrong"))[0], 403)

    async def test_both_answer_queries_but_matrix_appservice_cannot_say_that_there_is_no_room(self):
        for kind, no_room in [("appservice", 200), ("bot_sdk", 404)]:
            for path, status in [("users/@u:example.org", 200), ("users/@nonexistent:example.org", 404),
                                 ("rooms/%23r:example.org", 200), ("rooms/%23nonexistent:example.org", no_room)]:
                answer, _, body = await self.ask(kind, "GET", f"{V1}/{path}")
                self.assertEqual((answer, type(json.loads(body))), (status, dict), f"{kind} {path}")

    async def test_matrix_appservice_redirects_from_the_old_path_and_the_bot_sdk_serves_it(self):
        status, headers, _ = await self.ask("appservice", "PUT", "/transactions/1", events("a"))
        self.assertEqual((status, headers[b"location"]), (308, b"/_matrix/app/v1/transactions/1"))
        self.assertEqual((await self.ask("bot_sdk", "PUT", "/transactions/1", events("a")))[0], 200)


if __name__ == "__main__":
    MODULES = counterparts.install_or_skip(sys.argv)
    unittest.main(verbosity=2)
