# SPDX-License-Identifier: Apache-2.0
"""A seeded generator of HTTP/1 messages: valid ones, and ones with a wrong thing or two that parsers have been known
to read in more than one way. The same seed and number give the same octets."""
import random

SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: web\r\n\r\n"
EXTRA = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nextra"
INNER = b"GET /inner HTTP/1.1\r\nHost: web\r\n\r\n"

METHODS = [b"GET"] * 8 + [b"POST"] * 9 + [b"PUT"] * 4 + [
    b"HEAD", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND", b"M-SEARCH", b"PURGE", b"QUERY", b"LINK"]
ODD_METHODS = [b"get", b"FOO", b"TRACE", b"CONNECT", b"G!T", b"GET" * 11, b"POST\t", b"G,T", b"PRI", b"", b"P\xd6ST",
               b"HTTP/1.1", b"G(T"]
TARGETS = [b"/", b"/a/b", b"/a?x=1&y=2", b"/a%20b", b"/a%2Fb", b"//a//b", b"/a/../b", b"/a/./b", b"/?", b"/a?b?c",
           b"/a;b=c", b"/~x", b"/a:b@c", b"/!$&'()*+,;=", b"/a?/../b", b"/%41%7e", b"http://web/x", b"HTTP://WEB/x?y",
           b"http://web:80/x", b"http://web", b"https://web/x"]
ODD_TARGETS = [b"*", b"a", b"/a#b", b"/a|b", b"/a\\b", b"/{a}", b'/"a"', b"/<a>", b"/a^b", b"/a`b", b"/\xc3\xa4", b"/\xff",
               b"/%zz", b"/%", b"/%00", b"/..", b"/../..", b"/a\x7fb", b"/a\x01b", b"/a b", b"http://web?x", b"http:///x",
               b"http://user@web/x", b"ftp://web/x", b"web:80", b"http://web:x/", b"http://other/x", b"/a\tb", b"",
               b"http://[::1]/x", b"/\x00", b"http:/x", b"://x", b"/a%2e%2e/b", b"/%2e%2e/%2e%2e", b"/a?%"]
VERSIONS = [b"HTTP/1.1"] * 30 + [b"HTTP/1.0"] * 3
ODD_VERSIONS = [b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1.1 ", b"HTTP/01.1", b"HTTP/1.10",
                b"HTTP/1,1", b"HTTP/11", b"HTTP/1.", b"HTTP /1.1", b"HTTP/1.1\t", b"", b"HTTPS/1.1", b"HTTP/1.1\x00",
                b"HTTP/+1.1", b"HTP/1.1", b"ICY/1.1", b"RTSP/1.0", b" HTTP/1.1"]
FIELDS = [b"Accept: */*", b"X-A: b", b"X-Empty:", b"X-Tab:\tb\tc\t", b"X-Spaces:   b   c   ", b"Cookie: a=b; c=d",
          b"X-Obs: \xe4\xf6\xfc", b"User-Agent: x (y; z)", b"x-lower: 1", b"X-Quote: \"a\\\"b\"", b"X_Under: 1", b"!#$%&'*+-.^_`|~: 1",
          b"Connection: keep-alive", b"Connection: close", b"Connection: X-A", b"Connection: ,", b"Keep-Alive: timeout=5",
          b"TE: trailers", b"TE: gzip", b"Expect: 100-continue", b"Trailer: X-T", b"Proxy-Connection: keep-alive",
          b"Connection: Upgrade\r\nUpgrade: websocket", b"Upgrade: h2c", b"Max-Forwards: 0", b"Via: 1.1 x",
          b"Content-Type: text/plain", b"Content-Encoding: gzip", b"Range: bytes=0-1", b"X-Colon: a:b:c", b"X-Crumbs: ;,;,"]
ODD_FIELDS = [b"Expect: 200-ok", b"Expect:", b"Connection: Content-Length", b"Connection: Transfer-Encoding",
              b"Connection: close, keep-alive", b"Connection: Host", b": empty", b"X Y: 1", b"X-Before : 1", b"NoColon",
              b" X-Fold: 1", b"\tX-Fold: 1", b"X-Nul: a\0b", b"X-Cr: a\rb", b"X-Lf: a\nb", b"X-Ctl: a\x01b", b"X-Del: a\x7fb",
              b"X-Vt: a\x0bb", b"X-Lf: a\nContent-Length: 5", b"X-Cr: a\rContent-Length: 5", b"X-Fold: a\r\n b",
              b"X-Fold: a\r\n\tContent-Length: 5", b"X-Fold: a\r\n \r\n b", b"X(Y): 1", b"X\xe4: 1", b"\0: 1", b"X\0: 1",
              b"Host: web", b"Host: other", b"Host:", b"Hos\xd4: x", b"X-Cr: a\r", b"X-CrCr: a\r\r", b"HTTP/1.1 200 OK: x",
              b"GET / HTTP/1.1", b"\"Content-Length\": 5", b"Content-Length\x0b: 5", b"X-N: \r\n", b":", b"X-Bom: \xef\xbb\xbf"]
HOSTS = [b"Host: web"] * 30 + [b"host: WEB", b"Host:web", b"Host:\tweb\t", b"HOST: web:80", b"Host: 127.0.0.1", b"Host: [::1]:80"]
ODD_HOSTS = [None, b"Host: web:", b"Host: web, web", b"Host: web/x", b"Host: we b", b"Host: user@web", b"Host: web:x",
             b"Host : web", b"Host:", b"Host: web#", b"Host: \xe4", b"Host: web?x", b"Host: [::1", b"Host: web\\x", b"Host: web:99999"]
ODD_TE = [b"chunked, chunked", b"chunked,", b",chunked", b"gzip, chunked", b"chunked, gzip", b"identity", b"identity, chunked",
          b"chunked;q=1", b"\"chunked\"", b"'chunked'", b"chunked\0", b"\x0bchunked", b"chunked\x0b", b"chunked chunked", b"xchunked",
          b"chunkedx", b"chunked,identity", b"", b"chunk", b"\xa0chunked", b"chunked\r\n ", b"\r\n chunked", b"cow", b"cow, chunked",
          b"chunked\r", b"\rchunked", b", chunked", b"chunked , ", b"trailers, chunked", b"chunked/1.0", b"x, chunked\nX: y", b"chunked\x85"]
EVEN_TE = [b"chunked"] * 8 + [b"Chunked", b"CHUNKED", b"chunked ", b"\tchunked", b"  chunked  "]
TE_NAMES = [b"Transfer-Encoding"] * 8 + [b"transfer-encoding", b"TRANSFER-ENCODING", b"tRANSFER-eNCODING"]
ODD_TE_NAMES = [b"Transfer_Encoding", b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding", b"Transfer Encoding",
                b"Transfer-Encoding\0", b"Transfer-Encodin\xe7", b"X: y\nTransfer-Encoding", b"X: y\rTransfer-Encoding", b"TE",
                b"Transfer\xadEncoding", b"transfer-encoding\x0b", b"\0Transfer-Encoding", b"Transfer-Encoding\r\n"]
CL_NAMES = [b"Content-Length"] * 8 + [b"content-length", b"CONTENT-LENGTH", b"cONTENT-lENGTH"]
ODD_CL_NAMES = [b"Content_Length", b"Content-Length ", b"Content-Length\t", b" Content-Length", b"Content Length", b"Content-Length\0",
                b"X: y\nContent-Length", b"X: y\rContent-Length", b"Content-Length\x0b", b"Content\xadLength", b"Contentlength"]


def pick(rng, even, odd, p_odd):
    return rng.choice(odd if rng.random() < p_odd else even)


def payload(rng):
    kind = rng.random()
    if kind < 0.2:
        return b""
    if kind < 0.45:
        return INNER
    if kind < 0.55:
        return rng.choice([b"0\r\n\r\n", b"\r\n", b"\n", b"0\r\n\r\n" + INNER, b"5\r\nhello\r\n0\r\n\r\n", b"\0"])
    if kind < 0.97:
        return bytes(rng.choices(b"abcdefgh0123456789\r\n :;\0\xff", k=rng.randrange(1, 80)))
    return rng.randbytes(rng.randrange(1000, 40000))


def odd_length(rng, n):
    digits = b"%d" % n
    return rng.choice([
        b"+" + digits, b"-" + digits, b"0x%x" % n, b"0" + digits, b"0" * 30 + digits, digits + b".0", digits + b"," + digits,
        digits + b", " + digits, digits + b",", digits + b" 0", digits + b"a", b"", b" ", b"\"" + digits + b"\"", digits + b"\0",
        digits + b"\x0b", b"\x0b" + digits, b"18446744073709551616", b"18446744073709551616" + digits, b"9223372036854775807",
        b"9223372036854775808", b"%d" % (2 ** 64 + n), b"%d" % (2 ** 32 + n), digits + b"\r\n ", b"\r\n " + digits, b"1e1", b"_" + digits,
        b"1_0", b"\xb2", b"\xd9\xa3", digits + b";x", b"%d" % (n + 1), b"%d" % max(n - 1, 0), b"0", b"%d" % (n + len(SENTINEL)),
        digits + b"\rX", digits + b"\nX: y", b"\xa0" + digits])


def chunk_size(rng, n, p_odd):
    if rng.random() >= p_odd:
        return rng.choice([b"%x" % n] * 6 + [b"%X" % n, b"0%x" % n, b"%04x" % n, b"%x;a" % n, b"%x;a=b" % n, b"%x;a=\"b c\"" % n])
    return rng.choice([
        b"0x%x" % n, b"+%x" % n, b"-%x" % n, b" %x" % n, b"%x " % n, b"%x\t" % n, b"%x ;a" % n, b"%x ; a = b" % n, b"0_%x" % n, b"%xg" % n,
        b"%016x" % n, b"%017x" % n, b"1" + b"%016x" % n, b"%x;" % n, b"%x;;" % n, b"%x;a\nb" % n, b"%x;a\rb" % n, b"%x;a=\"\r\n\"" % n,
        b"%x,a" % n, b"%x\0" % n, b"%x;\0" % n, b"", b"%x;\x7f" % n, b"%x;\xff" % n, b"%x;" % n + b"e" * rng.choice([200, 5000, 20000]),
        b"%x" % (n + 1), b"%x" % max(n - 1, 0), b"%x\r" % n, b"\r\n%x" % n, b"%x;a=\"b" % n, b"%x a" % n, b"0%%%x" % n, b"%x\x0b" % n,
        b"ffffffffffffffff", b"8000000000000000", b"fffffffffffffff%x" % n, b"%d" % n, b"\n%x" % n, b"%x\n" % n, b"\xff%x" % n])


def chunked(rng, body, p_odd):
    out, at = b"", 0
    while at < len(body):
        n = rng.randrange(1, len(body) - at + 1)
        out += chunk_size(rng, n, p_odd) + rng.choices([b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r"], [60, *[40 * p_odd] * 4])[0]
        out += body[at:at + n]
        out += rng.choices([b"\r\n", b"\n", b"", b"\r", b"\r\n\r\n", b"XX", b"\r\n ", b"X\r\n"], [60, *[25 * p_odd] * 7])[0]
        at += n
    out += chunk_size(rng, 0, p_odd) if rng.random() < 0.5 else b"0"
    out += rng.choices([b"\r\n", b"\n", b"\r\r\n", b""], [60, *[25 * p_odd] * 3])[0]
    trailers = rng.choices([b"", b"X-T: 1\r\n", b"X-T: 1\r\nX-U:\r\n", b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: x\r\n",
                            b"X-T: 1\n", b"X-T\r\n", b"X-T : 1\r\n", b" X-T: 1\r\n", b"X-T: a\0\r\n", b"X-T: a\r\n b\r\n", b"GET /x HTTP/1.1\r\n",
                            b"X-T: a\rb\r\n", b": 1\r\n", b"X-T: 1\r\r\n", b"\n", b"X-\xe4: 1\r\n", b"X-T: \x7f\r\n"],
                           [50, 8, 4, 3, 3, 2, *[20 * p_odd] * 13])[0]
    return out + trailers + rng.choices([b"\r\n", b"\n", b"\r", b"", b"\r\r\n", b"\r\n\r\n"], [60, *[12 * p_odd] * 5])[0]


def framed(rng, p_odd):
    """([field], body as sent): how the body is framed, in right and in wrong ways."""
    body = payload(rng)
    fields = []
    kind = rng.random()
    te = lambda: (pick(rng, TE_NAMES, ODD_TE_NAMES, p_odd / 2) + rng.choice([b": ", b": ", b":", b":\t"]) +
                  pick(rng, EVEN_TE, ODD_TE, p_odd))
    cl = lambda: (pick(rng, CL_NAMES, ODD_CL_NAMES, p_odd / 2) + rng.choice([b": ", b": ", b":", b":\t"]) +
                  (odd_length(rng, len(sent)) if rng.random() < p_odd else b"%d" % len(sent)))
    if kind < 0.25:
        return fields, b""
    if kind < 0.6:
        sent = body
        fields.append(cl())
    else:
        sent = chunked(rng, body, p_odd / 2)
        fields.append(te())
    if rng.random() < p_odd / 2:
        fields.insert(rng.randrange(len(fields) + 1), rng.choice([te, cl])())
    return fields, sent


def request(rng):
    # A third is meant to be valid, a third has about one wrong thing, a third several.
    p_odd = rng.choice([0, 0.08, 0.25])
    odd = lambda share=1.0: rng.random() < p_odd * share
    fields, body = framed(rng, p_odd)
    fields += rng.choices(FIELDS, k=rng.choice([0, 0, 1, 2, 4]))
    if odd():
        fields.append(rng.choice(ODD_FIELDS))
    if rng.random() < 0.02:
        fields += [b"X-%d: y" % i for i in range(rng.choice([40, 99, 100, 150]))]
    if rng.random() < 0.02:
        fields.append(b"X-Long: " + b"v" * rng.choice([2000, 7000, 20000, 70000]))
    rng.shuffle(fields)
    host = pick(rng, HOSTS, ODD_HOSTS, p_odd / 2)
    if host is not None:
        fields.insert(rng.choice([0, 0, 0, len(fields)]), host)
    target = pick(rng, TARGETS, ODD_TARGETS, p_odd / 2)
    if rng.random() < 0.01:
        target = b"/" + b"t" * rng.choice([1000, 7000, 8170, 8190, 20000])
    line = pick(rng, METHODS, ODD_METHODS, p_odd / 3) + b" " + target + b" " + pick(rng, VERSIONS, ODD_VERSIONS, p_odd / 3)
    if odd(0.2):
        line = line.replace(b" ", rng.choice([b"  ", b"\t", b" \t", b"\x0b", b"\xa0", b"\r", b"\0"]), rng.choice([1, 2]))
    ends = [b"\r\n"] * (len(fields) + 2)
    if odd(0.6):
        ends[rng.randrange(len(ends))] = rng.choice([b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\r\n ", b"\0\r\n"])
    if odd(0.05):
        ends = [b"\n"] * len(ends)
    data = b"".join(x + end for x, end in zip([line, *fields, b""], ends)) + body
    if odd(0.4):
        data = rng.choice([b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\r\n ", b"\0", b"\t", b"\r\n" * 5, b"\xef\xbb\xbf"]) + data
    elif rng.random() < 0.03:
        data = b"\r\n" + data
    if odd(0.5):
        data = damaged(rng, data)
    return data


def damaged(rng, data):
    """An octet or a run of them in another place, doubled, lost or changed."""
    end = max(data.find(b"\r\n\r\n"), 0) + 20
    at = rng.randrange(min(len(data), end))
    n = rng.choice([1, 1, 1, 2, 5])
    special = rng.choice([b"\r", b"\n", b" ", b"\t", b":", b"\0", b",", b";", b"\r\n", b"\xff", b"0", rng.randbytes(1)])
    return rng.choice([data[:at] + special + data[at:], data[:at] + special + data[at + n:], data[:at] + data[at + n:],
                       data[:at + n] + data[at:], data[:at]])


def requests(seed, number):
    """The octets that one client sends: one to three requests and a last one that everybody knows."""
    rng = random.Random(f"request {seed} {number}")
    return b"".join(request(rng) for _ in range(rng.choice([1, 1, 1, 2, 3]))) + SENTINEL


STATUSES = [b"200 OK"] * 12 + [b"201 Created", b"204 No Content", b"206 Partial Content", b"301 Moved", b"304 Not Modified", b"404 Not Found",
                               b"418 I'm a teapot", b"205 Reset Content", b"299 ", b"409 \xe4", b"410 Gone"]
ODD_STATUSES = [b"200", b"20 OK", b"2000 OK", b"099 X", b"600 X", b"999 X", b"0x200 OK", b"+200 OK", b"200\tOK", b"200  OK", b"200 O\0K",
                b"200 O\rK", b"100 Continue", b"101 Switching", b"103 Early", b"", b"abc OK", b"-20 OK", b"200OK"]


def response(seed, number):
    """(to HEAD?, octets): what an origin sends before it closes the connection."""
    rng = random.Random(f"response {seed} {number}")
    head = rng.random() < 0.15
    p_odd = rng.choice([0, 0.08, 0.25])
    odd = lambda share=1.0: rng.random() < p_odd * share
    fields, body = framed(rng, p_odd)
    if not fields:
        body = payload(rng)
    if head and rng.random() < 0.8:
        body = b""
    fields += rng.choices([f for f in FIELDS if not f.startswith((b"Expect", b"Connection: Up", b"Upgrade"))], k=rng.choice([0, 0, 1, 2, 4]))
    if odd():
        fields.append(rng.choice([f for f in ODD_FIELDS if not f.startswith(b"Expect")]))
    rng.shuffle(fields)
    status = pick(rng, STATUSES, ODD_STATUSES, p_odd / 2)
    line = pick(rng, VERSIONS, ODD_VERSIONS, p_odd / 3) + b" " + status
    ends = [b"\r\n"] * (len(fields) + 2)
    if odd(0.6):
        ends[rng.randrange(len(ends))] = rng.choice([b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\r\n "])
    data = b"".join(x + end for x, end in zip([line, *fields, b""], ends)) + body
    if rng.random() < 0.06:
        data = rng.choice([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"]) * rng.choice([1, 1, 2, 20]) + data
    if odd(0.3):
        data = rng.choice([b"\r\n", b"\n", b" ", b"x", line + b"\r\n"]) + data
    if odd(0.4):
        data = damaged(rng, data)
    if odd(0.4):
        data += rng.choice([b"x", b"\r\n", EXTRA])
    return head, data
