"""The HTTP API: who may ask, and how often."""

import pytest

from servers import TRANSLATE, fault_of


def test_pages_of_other_origins_are_let_in_only_by_name(server):
    origin = {"origin": "https://friend.example"}
    preflight = origin | {"access-control-request-method": "POST"}
    settings = {"cors": ("https://friend.example",)}

    assert (
        "access-control-allow-origin" not in server.ask("GET", "/v1/model", headers=origin).headers
    )
    allowed = server.ask("OPTIONS", TRANSLATE, headers=preflight, settings=settings)
    assert allowed.headers["access-control-allow-origin"] == "https://friend.example"
    stranger = server.ask(
        "GET", "/v1/model", headers={"origin": "https://evil.example"}, settings=settings
    )
    assert "access-control-allow-origin" not in stranger.headers


KEY = "a-key-of-enough-characters"


@pytest.mark.parametrize("path", ["/v1/model", "/metrics"])
@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Basic {KEY}"}, 401),
        ({"authorization": f"bearer {KEY}"}, 200),
    ],
)
def test_keys_guard_the_api(server, path, header, status):
    assert (
        server.ask("GET", path, headers=header, settings={"api_keys": (KEY,)}).status_code == status
    )


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/openapi.json"])
def test_what_needs_no_key_asks_for_none(server, path):
    assert server.ask("GET", path, settings={"api_keys": (KEY,)}).status_code == 200


def test_too_many_requests_are_a_429(server):
    async def work(client):
        return [await client.post(TRANSLATE, content=b"nothing") for _ in range(3)]

    found = server.talk(work, rate=2)
    assert [answer.status_code for answer in found] == [415, 415, 429]
    assert fault_of(found[2]) == (429, "too_many_requests")
    assert 0 < int(found[2].headers["retry-after"]) <= 30


def test_wrong_keys_use_the_rate_up(server):
    async def work(client):
        return [(await client.get("/v1/model")).status_code for _ in range(3)]

    assert server.talk(work, rate=2, api_keys=(KEY,)) == [401, 401, 429]


def test_a_forwarded_address_counts_only_from_a_trusted_proxy(server):
    async def work(client):
        found = []
        for number in range(3):
            header = {"x-forwarded-for": f"192.0.2.{number}"}
            found.append((await client.post(TRANSLATE, content=b"x", headers=header)).status_code)
        return found

    assert server.talk(work, rate=1) == [415, 429, 429]
    assert server.talk(work, rate=1, trusted_proxies=("10.0.0.0/8",)) == [415, 415, 415]


def test_a_probe_may_ask_for_the_head_alone(server):
    assert server.ask("HEAD", "/healthz").status_code == 200
    assert server.ask("HEAD", "/readyz").status_code == 200
