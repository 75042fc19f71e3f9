# SPDX-License-Identifier: Apache-2.0
"""A DNS server on loopback, UDP and TCP on one port, that answers as a test wants: well, or not at all."""
import socket
import struct
import threading
import time

A, CNAME, AAAA, SRV = 1, 5, 28, 33
NXDOMAIN, SERVFAIL = 3, 2


def pack_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"


def unpack_name(data, at):
    parts = []
    while data[at]:
        parts.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(parts), at + 1


def record(name, kind, ttl, data):
    return pack_name(name) + struct.pack("!2HIH", kind, 1, ttl, len(data)) + data


def address(name, ip, ttl=1):
    v6 = ":" in ip
    return record(name, AAAA if v6 else A, ttl, socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, ip))


class Nameserver:
    """.zone: {(name, type): ([answer records], [additional records])}; what is not in it does not exist.
    .way: "answer", "silent", "garbage", "spoofed", or a response code for everything.
    .questions: [(name, type, "udp" or "tcp", time)]"""

    def __init__(self):
        self.zone, self.way, self.questions = {}, "answer", []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while True:  # a port that is free for both
            self.tcp = socket.create_server(("127.0.0.1", 0), backlog=64)
            try:
                self.udp.bind(self.tcp.getsockname())
                break
            except OSError:
                self.tcp.close()
        self.address = "%s:%d" % self.tcp.getsockname()
        for run in (self._udp, self._tcp):
            threading.Thread(target=run, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def addresses(self, name, ips, ttl=1, kind=A):
        self.zone[name, kind] = ([address(name, ip, ttl) for ip in ips], [])

    def services(self, name, targets, glue=(), ttl=1):
        """targets: [(priority, weight, port, target)]; glue: [(target, ip)]"""
        self.zone[name, SRV] = ([record(name, SRV, ttl, struct.pack("!3H", *t[:3]) + pack_name(t[3])) for t in targets],
                                [address(target, ip, ttl) for target, ip in glue])

    def asked(self, name=None, kind=None):
        return [q for q in list(self.questions) if name in (None, q[0]) and kind in (None, q[1])]

    def _answer(self, query, way, limit):
        ident, _, _, _, _, extra = struct.unpack("!6H", query[:12])
        name, at = unpack_name(query, 12)
        kind = struct.unpack("!H", query[at:at + 2])[0]
        self.questions.append((name.lower(), kind, way, time.monotonic()))
        question = query[12:at + 4]
        if extra and way == "udp":  # EDNS: name, type, then the size that it can take
            limit = max(limit, struct.unpack("!H", query[at + 4 + 3:at + 4 + 5])[0])
        if self.way == "silent":
            return []
        if self.way == "garbage":
            return [query[:2] + b"\x81\x80" + struct.pack("!4H", 1, 999, 7, 7) + question + b"\xff" * 40]
        exists = any(k[0] == name.lower() for k in self.zone)
        answers, additional = self.zone.get((name.lower(), kind), ([], []))
        code = self.way if isinstance(self.way, int) else 0 if exists else NXDOMAIN
        if code:
            answers = additional = ()
        body = question + b"".join(answers) + b"".join(additional)
        flags = 0x8180 | code
        if len(body) + 12 > limit:
            flags, answers, additional, body = flags | 0x200, (), (), question
        reply = struct.pack("!6H", ident, flags, 1, len(answers), 0, len(additional)) + body
        if self.way == "spoofed":  # somebody guesses, before the answer
            forged = address(name, "127.0.0.66")
            return [struct.pack("!6H", (ident + i) & 0xffff, 0x8180, 1, 1, 0, 0) + question + forged
                    for i in range(1, 50)] + [reply]
        return [reply]

    def _udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
                if not query:
                    return
                for reply in self._answer(query, "udp", 512):
                    self.udp.sendto(reply, peer)
            except OSError:
                return

    def _tcp(self):
        while True:
            try:
                conn, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        with conn, conn.makefile("rb") as f:
            try:
                while size := f.read(2):
                    for reply in self._answer(f.read(struct.unpack("!H", size)[0]), "tcp", 65535):
                        conn.sendall(struct.pack("!H", len(reply)) + reply)
            except OSError:
                return
