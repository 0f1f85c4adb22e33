"""As much of HTTP/1.1 as clients, proxies and services of tests need, on asyncio's streams."""
import asyncio
import socket
import struct

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024


class Malformed(Exception):
    """Not HTTP/1.1 as this proxy knows it."""


class Message:
    """A request or an answer: its head as it came, and its body without chunks."""

    def __init__(self, head, body):
        self.head = head
        self.body = body
        self.first_line, *lines = head[:-4].split(b"\r\n")
        self.headers = {}
        for line in lines:
            name, _, value = line.partition(b":")
            self.headers[name.strip().lower()] = value.strip()

    def framed(self, without=()):
        """To be sent on, with the length of the body instead of chunks."""
        without = {b"content-length", b"transfer-encoding", *without}
        lines = [line for line in self.head[:-4].split(b"\r\n")
                 if line.partition(b":")[0].strip().lower() not in without]
        return b"\r\n".join([*lines, b"Content-Length: %d" % len(self.body), b"", b""]) + self.body

    def closes(self):
        return self.headers.get(b"connection", b"").lower() == b"close" or b" HTTP/1.0" in self.first_line


class WatchedReader(asyncio.StreamReader):
    """Tells that the other side is gone even while nobody reads."""

    def __init__(self):
        super().__init__(limit=MAX_HEAD)
        self.gone = asyncio.Event()

    def feed_eof(self):
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exception):
        super().set_exception(exception)
        self.gone.set()


async def connect(host, port):
    reader = WatchedReader()
    transport, protocol = await asyncio.get_running_loop().create_connection(
        lambda: asyncio.StreamReaderProtocol(reader), host, port)
    return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())


async def read_message(reader, before_body=None):
    """None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise Malformed("a head that ends in the middle") from None
        return None
    except asyncio.LimitOverrunError:
        raise Malformed("a head without end") from None
    message = Message(head, b"")
    if before_body:
        before_body(message)
    if message.headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        parts = []
        while size := int((await reader.readline()).partition(b";")[0], 16):
            if size > MAX_BODY or sum(map(len, parts)) > MAX_BODY:
                raise Malformed("a body without end")
            parts.append(await reader.readexactly(size))
            await reader.readline()
        while (await reader.readline()).strip():
            pass
        message.body = b"".join(parts)
    else:
        length = int(message.headers.get(b"content-length", 0))
        if length > MAX_BODY:
            raise Malformed("a body without end")
        message.body = await reader.readexactly(length)
    return message


def answer(status, body, *headers):
    lines = [f"HTTP/1.1 {status} Fault", "Content-Type: application/json", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def reset(writer):
    """Ends the connection so that the other side sees it was reset."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
