# SPDX-License-Identifier: Apache-2.0
"""How the proxy, llhttp, nginx, HAProxy and Apache read the same octets.

A server reads a client's octets and passes each request on to an origin of ours; the origin notes what arrived and
names the note in its answer (X-Report), so that the client knows, in order, what its octets were taken for. What
follows an answer that is not the origin's does not count: the server has refused."""
import asyncio
import dataclasses
import re
import subprocess

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
REFUSED, WAITING, THROUGH = "refused", "waiting", "through"


class Malformed(Exception):
    pass


@dataclasses.dataclass
class Note:
    """One request as an origin got it."""
    method: bytes
    target: bytes
    body: bytes
    raw: bytes = b""

    def meaning(self, judge):
        """What counts, without what @judge is known to do to a target whatever it is told."""
        target = plain_target(self.method, self.target)
        if judge == "apache":  # one slash at the start
            target = re.sub(rb"^/+", b"/", target)
        if judge == "nginx" and self.method == b"OPTIONS" and target == b"*":  # "OPTIONS http://a" is "/" to it
            target = b"/"
        return self.method, target, self.body

    def __str__(self):
        return f"{self.method!r} {self.target[:100]!r} {len(self.body)} octets {self.body[:60]!r}"


def plain_target(method, target):
    """The path of an absolute target; the rest as it is."""
    m = re.match(rb"(?i)https?://[^/?]*", target)
    if not m:
        return target
    path = target[m.end():]
    if path.startswith(b"?"):
        path = b"/" + path
    return path or (b"*" if method == b"OPTIONS" else b"/")


def fields_of(lines):
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name) or re.search(rb"[\0\r\n]", value):
            raise Malformed(f"field {line!r}")
        fields.append((name.lower(), value.strip(b" \t")))
    return fields


def unchunk(data, at):
    """(body, end) of a chunked body at @at; None if there is more to come."""
    body = b""
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        size = data[at:end].split(b";")[0].strip(b" \t")
        if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", size):
            raise Malformed(f"chunk size {data[at:end]!r}")
        n, at = int(size, 16), end + 2
        if n == 0:
            break
        if len(data) < at + n + 2:
            return None
        if data[at + n:at + n + 2] != b"\r\n":
            raise Malformed("no end of a chunk")
        body += data[at:at + n]
        at += n + 2
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        line, at = data[at:end], end + 2
        if not line:
            return body, at
        fields_of([line])


def body_of(data, at, fields):
    lengths = [v for k, v in fields if k == b"content-length"]
    codings = [v for k, v in fields if k == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise Malformed("more than one framing")
    if codings:
        if codings[0].lower() != b"chunked":
            raise Malformed(f"coding {codings[0]!r}")
        return unchunk(data, at)
    if not lengths:
        return b"", at
    if not re.fullmatch(rb"[0-9]{1,19}", lengths[0]):
        raise Malformed(f"length {lengths[0]!r}")
    end = at + int(lengths[0])
    return (data[at:end], end) if len(data) >= end else None


def parse_request(data):
    """(Note, octets used); None if there is more to come. As strict as can be: what a proxy sends is well-formed."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].split(b"\r\n")
    m = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^ \0-\x1f\x7f]+) HTTP/1\.[01]", lines[0])
    if not m:
        raise Malformed(f"request line {lines[0]!r}")
    whole = body_of(data, end + 4, fields_of(lines[1:]))
    if whole is None:
        return None
    return Note(m.group(1), m.group(2), whole[0], data[:whole[1]]), whole[1]


class Origin(asyncio.Protocol):
    """Behind one server. Notes requests by number; answers 204, so that HEAD makes no difference; or, to a path that
    @responses has octets for, with these and the end of the connection."""

    def __init__(self, notes, wrong, responses):
        self.notes, self.wrong, self.responses, self.data, self.transport = notes, wrong, responses, b"", None
        self.continued = False

    @classmethod
    async def listen(cls, notes, responses):
        """(server, port, wrong): what no origin should get from a server is in @wrong."""
        wrong = []
        server = await asyncio.get_running_loop().create_server(lambda: cls(notes, wrong, responses), "127.0.0.1", 0,
                                                                backlog=1024)
        return server, server.sockets[0].getsockname()[1], wrong

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data
        try:
            while parsed := parse_request(self.data):
                note, used = parsed
                self.data = self.data[used:]
                answer = self.responses(note.target)
                if answer is not None:
                    self.transport.write(answer)
                    self.transport.close()
                    return
                if self.data:
                    self.wrong.append(f"octets behind a request: {self.data[:200]!r}")
                self.notes.append(note)
                self.transport.write(b"HTTP/1.1 204 No Content\r\nX-Report: %d\r\nConnection: close\r\n\r\n" %
                                     (len(self.notes) - 1))
                self.transport.close()
                return
            if not self.continued and re.search(rb"(?i)\r\nexpect: *100-continue *\r\n(.*\r\n)?\r\n", self.data, re.S):
                self.continued = True
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        except Malformed as e:
            self.wrong.append(f"{e}: {self.data[:500]!r}")
            self.transport.abort()


@dataclasses.dataclass
class Reading:
    """What a server took a client's octets for."""
    notes: list
    end: str
    status: int = 0  # of the refusal

    def __str__(self):
        lines = [f"  {note}" for note in self.notes]
        return "\n".join([*lines, f"  ... {self.end} {self.status or ''}"])


async def ask(port, data, notes, last, quiet_seconds):
    """Sends @data and reads the answers until the request for @last was answered, the server refuses, or nothing more
    comes for so long."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reading, got = Reading([], WAITING), b""
    try:
        writer.write(data)
        while True:
            try:
                more = await asyncio.wait_for(reader.read(65536), quiet_seconds)
            except asyncio.TimeoutError:
                return reading
            if not more:
                reading.end = REFUSED
                return reading
            got += more
            while (end := got.find(b"\r\n\r\n")) >= 0:
                lines, got = got[:end].split(b"\r\n"), got[end + 4:]
                status = int(lines[0][9:12])
                if 100 <= status < 200 and status != 101:
                    continue
                report = [line for line in lines if line.lower().startswith(b"x-report:")]
                if status != 204 or not report:
                    reading.end, reading.status = REFUSED, status
                    return reading
                reading.notes.append(notes[int(report[0][9:])])
                if reading.notes[-1].target == last:
                    reading.end = THROUGH
                    return reading
    except ConnectionError:
        reading.end = REFUSED
        return reading
    finally:
        writer.transport.abort()


def disagreement(ours, theirs, judge):
    """None, or how two readings of the same octets differ although neither of the two has refused there."""
    for number, (a, b) in enumerate(zip(ours.notes, theirs.notes), 1):
        if a.meaning(judge) != b.meaning(judge):
            return f"request {number} is another"
    if len(theirs.notes) < len(ours.notes) and theirs.end != REFUSED:
        return "they read fewer requests and wait for more octets"
    if len(theirs.notes) > len(ours.notes) and ours.end != REFUSED:
        return "they read more requests where we wait for more octets"
    return None


class Llhttp:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _ask(self, kind, data):
        self.process.stdin.write(b"%s %d\n" % (kind, len(data)) + data)
        self.process.stdin.flush()
        messages = []
        while (words := self.process.stdout.readline().split())[0] == b"message":
            messages.append((words[1], bytes.fromhex(words[2][1:].decode()), bytes.fromhex(words[3][1:].decode())))
        return messages, words[1]

    def requests(self, data, last):
        messages, error = self._ask(b"q", data)
        reading = Reading([Note(*m) for m in messages], WAITING if error == b"HPE_OK" else REFUSED)
        if reading.notes and reading.notes[-1].target == last:
            reading.end = THROUGH
        return reading

    def response(self, data, head):
        """(status, body) of the first final response, or None."""
        messages, _ = self._ask(b"h" if head else b"r", data)
        return next((Response(int(m[0]), m[2]) for m in messages if int(m[0]) >= 200), None)

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


@dataclasses.dataclass
class Response:
    status: int
    body: bytes
    raw: bytes = b""
    ends: bool = False  # the end of the connection is its end

    def __str__(self):
        return f"{self.status}, {len(self.body)} octets {self.body[:80]!r}"


async def fetch(port, path, head, seconds):
    """The final response that a server has for @path; None if it is none, or is cut short."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = b""
    try:
        writer.write(b"%s %s HTTP/1.1\r\nHost: web\r\n\r\n" % (b"HEAD" if head else b"GET", path))
        async with asyncio.timeout(seconds):
            while more := await reader.read(65536):
                data += more
                if response := parse_response(data, head, False):
                    return response
        return parse_response(data, head, True)
    except (TimeoutError, ConnectionError, Malformed):
        return None
    finally:
        writer.transport.abort()


def parse_response(data, head, at_end):
    """The final one at the start of @data; None if there is more to come, or, @at_end, if it is cut short."""
    at = 0
    while True:
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            return None
        lines, at = data[at:end].split(b"\r\n"), end + 4
        m = re.match(rb"HTTP/1\.[01] ([1-9][0-9][0-9])(?: |$)", lines[0])
        if not m:
            raise Malformed(f"status line {lines[0]!r}")
        if int(m.group(1)) >= 200:
            break
    status, fields = int(m.group(1)), fields_of(lines[1:])
    if head or status in (204, 304):
        return Response(status, b"", data[:at])
    if not any(k in (b"content-length", b"transfer-encoding") for k, _ in fields):
        return Response(status, data[at:], data, ends=True) if at_end else None
    whole = body_of(data, at, fields)
    return Response(status, whole[0], data[:whole[1]]) if whole else None
