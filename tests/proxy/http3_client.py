"""A client of HTTP/3 that shares no code with the proxy's: what it asked and what it heard."""

import asyncio
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamReset


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.replies = {}

    def quic_event_received(self, event):
        if isinstance(event, StreamReset) and event.stream_id in self.replies:
            self.replies[event.stream_id][2].set_result(False)
        for heard in self.http.handle_event(event):
            reply = self.replies.get(getattr(heard, "stream_id", None))
            if reply is None:
                continue
            if isinstance(heard, HeadersReceived):
                reply[0].append(dict(heard.headers))
            if isinstance(heard, DataReceived):
                reply[1].extend(heard.data)
            if heard.stream_ended and not reply[2].done():
                reply[2].set_result(True)

    async def ask(self, method, path, host, body=b"", more=()):
        stream = self._quic.get_next_available_stream_id()
        reply = self.replies[stream] = ([], bytearray(), self._loop.create_future())
        head = [(b":method", method), (b":scheme", b"https"), (b":authority", host)]
        self.http.send_headers(stream, head + [(b":path", path), *more], end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        whole = await asyncio.wait_for(reply[2], 30)
        status = reply[0][0][b":status"].decode() if reply[0] else "none"
        return f"{status} {len(reply[1])} {bytes(reply[1][:10]).decode()} {whole}"


async def main(address, port, name, ca):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=name)
    configuration.load_verify_locations(ca)
    opened = connect(address, int(port), configuration=configuration, create_protocol=Client)
    async with opened as client:
        host = name.encode()
        print("get", await client.ask(b"GET", b"/small", host))
        print("long", await client.ask(b"GET", b"/long", host))
        print("post", await client.ask(b"POST", b"/echo", host, b"x" * 300_000))
        many = [client.ask(b"GET", b"/small", host) for _ in range(50)]
        print("many", set(await asyncio.gather(*many)))
        broken = [(b"connection", b"close")]
        print("malformed", await client.ask(b"GET", b"/small", host, more=broken))
        large = [(b"x-large", b"v" * 40_000)]
        print("large", await client.ask(b"GET", b"/small", host, more=large))
        broken = await client.ask(b"GET", b"/broken", host)
        print("broken", broken.split()[-1])
        print("again", await client.ask(b"GET", b"/small", host))


asyncio.run(main(*sys.argv[1:]))
