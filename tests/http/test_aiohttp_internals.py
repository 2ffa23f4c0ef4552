"""Each name that http/aiohttp_internals.py finds inside aiohttp; one that has moved fails by its name."""

import asyncio
import inspect

import aiohttp
import pytest
from aiohttp import connector, hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpResponseParser
from aiohttp.streams import StreamReader
from yarl import URL

from tests.support.internals import Internal, gone_from, problem_with
from worker.http.aiohttp_internals import Pool, Protocol, origin_of

INTERNALS = (
    Internal(aiohttp.TCPConnector, "_get", ("key", "traces")),
    Internal(aiohttp.TCPConnector, "connect", ("req", "traces", "timeout")),
    Internal(aiohttp.TCPConnector, "_resolve_host", ("host", "port", "traces")),
    Internal(
        aiohttp.TCPConnector,
        "_wrap_create_connection",
        ("args", "addr_infos", "req", "timeout", "client_error", "kwargs"),
    ),
    Internal(connector.Connection, "protocol"),
    Internal(connector.Connection, "release", ()),
    Internal(connector.Connection, "close", ()),
    Internal(aiohttp.ClientRequest, "__init__", ("method", "url", "loop", "ssl")),
    Internal(ResponseHandler, "abort"),
    Internal(ResponseHandler, "force_close"),
    Internal(ResponseHandler, "should_close"),
    Internal(ResponseHandler, "read"),
    Internal(ResponseHandler, "__len__"),
    Internal(ResponseHandler, "_drain_helper"),
    Internal(ResponseHandler, "data_received", ("data",)),
    Internal(ResponseHandler, "feed_data", ("data",)),
    Internal(ResponseHandler, "set_exception", ("exc",)),
    Internal(
        ResponseHandler,
        "set_response_params",
        ("read_until_eof", "auto_decompress", "max_line_size", "max_field_size"),
    ),
    Internal(HttpResponseParser, "feed_data"),
    Internal(StreamReader, "set_exception", ("exc",)),
    Internal(StreamReader, "is_eof"),
    Internal(StreamReader, "readany"),
)

HEAD = b"HTTP/1.1 204 No Content\r\nRetry-After: 5\r\n\r\n"


@pytest.mark.parametrize("internal", INTERNALS, ids=str)
def test_a_name_inside_aiohttp_is_where_we_look_for_it(internal: Internal) -> None:
    assert problem_with(internal) is None


@pytest.mark.parametrize("overridden", ["data_received", "set_exception"])
def test_what_we_override_is_a_method_of_aiohttps_own_class(overridden: str) -> None:
    assert inspect.isfunction(getattr(ResponseHandler, overridden))
    assert overridden in vars(Protocol)


async def test_a_pool_keeps_its_idle_connections_and_makes_our_protocols() -> None:
    pool = Pool()
    assert gone_from(aiohttp.TCPConnector(), ("_conns", "_factory", "_loop")) == []
    made = pool._factory()
    assert type(made) is Protocol, "BaseConnector._factory makes no protocols any more"
    assert gone_from(made, ("_buffer", "_loop", "_payload", "transport")) == []
    await pool.close()


async def test_an_origin_is_the_key_of_idle_connections() -> None:
    origin = origin_of("https://hooks.example:8443", asyncio.get_running_loop())
    assert (origin.key.host, origin.key.port, origin.key.is_ssl) == ("hooks.example", 8443, True)
    assert origin.host == "hooks.example:8443"
    assert origin == origin_of("https://hooks.example:8443", asyncio.get_running_loop())._replace(
        request=origin.request
    )
    assert origin.request.url == URL("https://hooks.example:8443")
    assert origin.request.method == hdrs.METH_POST


async def test_the_parser_reads_a_head_alone() -> None:
    protocol = Protocol(asyncio.get_running_loop())
    parser = HttpResponseParser(protocol, asyncio.get_running_loop(), 2**16, auto_decompress=False)
    messages, *_ = parser.feed_data(HEAD)
    ((message, body),) = messages
    assert (message.code, message.headers[hdrs.RETRY_AFTER], body.is_eof()) == (204, "5", True)


async def test_an_exception_is_read_after_what_was_fed_before_it() -> None:
    protocol = Protocol(asyncio.get_running_loop())
    protocol.feed_data("an answer")
    protocol.expire_at(0.0)
    await asyncio.sleep(0)
    assert await protocol.read() == "an answer"
    with pytest.raises(TimeoutError):
        await protocol.read()
