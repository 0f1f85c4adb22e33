#!/usr/bin/env python3
"""Looks at the status page as a browser shows it.

    status_page_test.py SERVER [--pictures DIRECTORY]

SERVER is the program status_page_server. Needs chromium, else it is skipped (77). With --pictures it takes pictures of
the page, in the light, in the dark and on a phone, for people to look at.
"""
import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

PATIENCE = 60  # seconds, until a test fails
SKIPPED = 77
HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>\"'&amp;"


class WebSocket:
    """As much of RFC 6455 as a client of a browser's DevTools needs."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), PATIENCE)
        self.file = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade"
                            f"\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        assert b" 101 " in self.file.readline()
        while self.file.readline() != b"\r\n":
            pass

    def send(self, text, opcode=1):
        data = text.encode()
        size = len(data)
        head = bytes([0x80 | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += struct.pack(">BH", 0x80 | 126, size)
        else:
            head += struct.pack(">BQ", 0x80 | 127, size)
        self.socket.sendall(head + b"\0\0\0\0" + data)  # "masked" by zeros

    def receive(self):
        message = b""
        while True:
            first, size = self.file.read(2)
            size &= 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", self.file.read(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", self.file.read(8))
            data = self.file.read(size)
            if first & 0x0F in (0, 1):
                message += data
                if first & 0x80:
                    return message.decode()
            elif first & 0x0F == 8:
                raise EOFError("the browser has gone")


class Browser:
    """A headless Chromium with one page; what happens in it is remembered."""

    def __init__(self, program, directory):
        # A page is given nothing but what it asks this machine for.
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--mute-audio",
             "--remote-debugging-port=0", "--remote-allow-origins=*", f"--user-data-dir={directory}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port_file = os.path.join(directory, "DevToolsActivePort")
        wait_for(lambda: os.path.exists(port_file) and "\n" in open(port_file).read(), "the browser to start")
        port = int(open(port_file).read().split()[0])
        self.events = []
        self.number = 0

        def page():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
                return [one for one in json.load(answer) if one["type"] == "page"]
        wait_for(page, "the browser's page")
        self.connection = WebSocket(page()[0]["webSocketDebuggerUrl"])
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(domain + ".enable")

    def call(self, method, **parameters):
        self.number += 1
        self.connection.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.connection.receive())
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def open(self, url, width=1280, height=800):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)
        self.call("Page.navigate", url=url)

    def picture(self, path):
        height = self.evaluate("document.documentElement.scrollHeight")
        width = self.evaluate("innerWidth")
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                         clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1})["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def close(self):
        self.process.kill()
        self.process.wait()


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


class Test:
    def __init__(self, browser, url):
        self.browser = browser
        self.url = url

    def tell(self, command, **values):
        query = urllib.parse.urlencode(values)
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/test/{command}?{query}", method="POST"), timeout=PATIENCE)

    def see(self, expression, what):
        return wait_for(lambda: self.browser.evaluate(expression), what)

    def row(self, service):
        """JavaScript that finds a service's row."""
        return f"[...document.querySelectorAll('#rows > tr')].find((row) => row.querySelector('.name span')?.textContent === {json.dumps(service)})"

    def sees(self, service, text):
        self.see(f"{self.row(service)}?.innerText.includes({json.dumps(text)})", f"{text!r} in the row of {service}")

    def has(self, service, label, text):
        cell = f"""{self.row(service)}?.querySelector('[data-label="{label}"]')"""
        self.see(f"{cell}?.textContent === {json.dumps(text)}", f"{text} as {label} of {service}")

    def click(self, service, button, row=None):
        found = f"[...{row or self.row(service)}.querySelectorAll('button')].find((button) => button.textContent.startsWith({json.dumps(button)}) && !button.hidden)"
        self.see(found + " !== undefined", f"a button {button}")
        self.browser.evaluate(found + ".click()")

    def says(self, text):
        self.see(f"document.getElementById('said').textContent.includes({json.dumps(text)})", f"{text!r} to be said")

    # --- the tests, in this order ---

    def shows_services(self):
        self.browser.open(self.url)
        self.see("document.getElementById('connection')?.textContent.includes('live')", "a live connection")
        names = self.browser.evaluate("[...document.querySelectorAll('#rows .name span:first-child')].map((name) => name.textContent)")
        assert names == ["irc", "quiet", "signal", "telegram"], names
        self.sees("irc", "http://irc/base")
        self.sees("quiet", "is sent nothing")

    def follows_what_happens(self):
        self.tell("answer", service="telegram", status=500, error="on fire")
        self.tell("submit", service="telegram", events=3)
        self.sees("telegram", "HTTP 500: on fire")
        self.sees("telegram", "down")
        self.has("telegram", "Backlog, events", "3")
        self.see(f"/in (1|2) min/.test({self.row('telegram')}.innerText)", "when it is tried again")
        first = self.browser.evaluate("document.querySelector('#rows .name span').textContent")
        assert first == "telegram", f"{first} is above the service that is down"
        self.see("document.title.startsWith('(1 down)')", "it in the title")
        before = self.browser.evaluate(f"{self.row('telegram')}.querySelector('[data-label=\"Next retry\"]').textContent")
        self.see(f"{self.row('telegram')}.querySelector('[data-label=\"Next retry\"]').textContent !== {json.dumps(before)}",
                 "the countdown to go on")

    def runs_nothing_that_a_service_says(self):
        self.tell("answer", service="irc", status=503, error=HOSTILE)
        self.tell("submit", service="irc", events=1)
        self.sees("irc", HOSTILE)
        self.tell("answer", service="signal", status=400, error=HOSTILE)
        self.tell("submit", service="signal", events=2)
        self.click("signal", "Parked: 1")
        self.see(f"document.querySelector('.parked .reason')?.textContent.includes({json.dumps(HOSTILE)})", "the reason")
        self.tell("trouble", text=HOSTILE)
        self.see(f"document.getElementById('trouble').textContent.includes({json.dumps(HOSTILE)})", "the banner")
        assert self.browser.evaluate("document.querySelectorAll('img').length") == 0
        assert self.browser.evaluate("window.hacked") is None
        # And nothing could: not even what is in the page itself.
        blocked = self.browser.evaluate(
            "(() => { try { document.createElement('div').innerHTML = '<b>x</b>'; return false } catch { return true } })()")
        assert blocked, "markup can be made of text"

    def tells_what_went_wrong(self):
        self.click("telegram", "Pause")
        self.says("telegram: the store does not do that at the moment")
        self.tell("trouble", text="")
        self.see("document.getElementById('trouble').hidden", "the banner to go")

    def pictures(self, directory):
        os.makedirs(directory, exist_ok=True)
        self.tell("trouble", text="disk I/O error: No space left on device")
        self.tell("answer", service="irc", status=502, error="the bridge's database does not answer; tried 3 times")
        self.click("irc", "Retry now")
        self.sees("irc", "tried 3 times")
        self.see("!document.getElementById('trouble').hidden", "the banner")
        for name, width, scheme in (("light", 1280, "light"), ("dark", 1280, "dark"), ("phone", 390, "light"),
                                    ("phone-dark", 390, "dark"), ("tablet", 820, "light")):
            self.browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            self.browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1,
                              mobile=width < 600)
            time.sleep(0.5)
            self.browser.picture(os.path.join(directory, name + ".png"))
        self.browser.call("Emulation.setEmulatedMedia", features=[])
        self.tell("trouble", text="")

    def has_buttons_that_work(self):
        self.click("quiet", "Pause")
        self.says("quiet: paused")
        self.sees("quiet", "paused")
        self.click("quiet", "Resume")
        self.says("quiet: goes on")
        self.see(f"!/paused/.test({self.row('quiet')}.innerText)", "it not to be paused")
        self.tell("answer", service="telegram", status=200)
        self.click("telegram", "Retry now")
        self.says("telegram: is tried again now")
        self.sees("telegram", "up")
        self.click("telegram", "Ping")
        self.says("telegram: has answered within")
        self.tell("answer", service="signal", status=200)
        self.click("signal", "Requeue", "document.querySelector('.parked:has(li)')")
        self.says("signal: the events of transaction 1 wait to be sent again")
        self.has("signal", "Sent, events", "2")
        self.see("[...document.querySelectorAll('.parked')].every((list) => !list.getClientRects().length)", "the list to go")

    def filters(self):
        self.browser.evaluate("(() => { const filter = document.getElementById('filter'); filter.value = 'SIG';"
                              " filter.dispatchEvent(new Event('input')) })()")
        self.see("document.querySelectorAll('#rows > tr:not(.details)').length === 1", "one service")
        self.browser.evaluate("(() => { const filter = document.getElementById('filter'); filter.value = '';"
                              " filter.dispatchEvent(new Event('input')) })()")
        self.see("document.querySelectorAll('#rows > tr:not(.details)').length === 4", "all services")

    def fits_a_phone(self):
        self.browser.open(self.url, 360, 740)
        self.see("document.querySelectorAll('#rows > tr').length > 0", "the page on a phone")
        width = self.browser.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, f"{width} pixels wide"

    def can_be_used_without_eyes(self):
        nodes = self.browser.call("Accessibility.getFullAXTree")["nodes"]
        roles = [node.get("role", {}).get("value") for node in nodes if not node.get("ignored")]
        names = [(node.get("role", {}).get("value"), node.get("name", {}).get("value")) for node in nodes
                 if not node.get("ignored")]
        assert "table" in roles and roles.count("rowheader") == 4, roles
        assert ("columnheader", "Backlog") in names, names
        assert ("button", "Pause: irc") in names, names
        assert all(name for role, name in names if role in ("button", "searchbox", "link")), names

    def has_asked_nobody_else_and_has_not_complained(self):
        self.browser.evaluate("1")
        asked = [event["params"]["request"]["url"] for event in self.browser.events
                 if event["method"] == "Network.requestWillBeSent"]
        assert any("/watch?" in url for url in asked), asked
        for event in self.browser.events:
            if event["method"] == "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                assert url.startswith((self.url + "/", "data:")), f"asked for {url}"
            assert event["method"] != "Runtime.exceptionThrown", event
            if event["method"] == "Log.entryAdded":
                entry = event["params"]["entry"]
                # The store's trouble is said with 503, and the browser tells of each; and of the markup that was refused.
                expected = entry.get("url", "").endswith("/pause") or "TrustedHTML" in entry["text"]
                assert entry["level"] != "error" or expected, entry
            if event["method"] == "Runtime.consoleAPICalled":
                assert event["params"]["type"] not in ("error", "warning"), event

    def says_that_the_connection_is_lost(self, server):
        server.terminate()
        server.wait()
        self.see("document.getElementById('connection')?.textContent.includes('connection lost, retrying')", "the loss")


def main():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("skipped: chromium is not installed, so nobody has looked at the status page")
        sys.exit(SKIPPED)
    server = subprocess.Popen([sys.argv[1], "irc", "telegram", "signal", "quiet"], stdout=subprocess.PIPE, text=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        browser = None
        try:
            url = server.stdout.readline().strip()
            browser = Browser(chromium, directory)
            test = Test(browser, url)
            steps = [test.shows_services, test.follows_what_happens, test.runs_nothing_that_a_service_says,
                     test.tells_what_went_wrong]
            if sys.argv[2:3] == ["--pictures"]:
                steps.append(lambda: test.pictures(sys.argv[3]))
            steps += [test.has_buttons_that_work, test.filters, test.fits_a_phone, test.can_be_used_without_eyes,
                      test.has_asked_nobody_else_and_has_not_complained, lambda: test.says_that_the_connection_is_lost(server)]
            for step in steps:
                print(getattr(step, "__name__", "step"), flush=True)
                step()
        finally:
            if browser is not None:
                browser.close()
            server.kill()
            server.wait()


main()
