import pytest

from signseq.errors import ConfigError
from signseq.serving.clients import ApiKeys, RateLimit, client_address, read_keys
from signseq.serving.faults import ServiceError

PROXIES = ("10.0.0.0/8", "::1")


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("1.2.3.4", "", "1.2.3.4"),
        ("1.2.3.4", "5.6.7.8", "1.2.3.4"),  # anybody can write the header
        ("10.0.0.1", "5.6.7.8", "5.6.7.8"),
        (
            "10.0.0.1",
            "9.9.9.9, 5.6.7.8",
            "5.6.7.8",
        ),  # what stands further left is the client's word
        ("10.0.0.1", "5.6.7.8, 10.0.0.2", "5.6.7.8"),
        ("::1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("unknown", "5.6.7.8", "unknown"),
    ],
)
def test_the_clients_address_is_the_first_that_is_no_proxy(peer, forwarded, expected):
    assert client_address(peer, forwarded, PROXIES) == expected


def test_a_rate_lets_a_burst_through_then_as_many_as_come_back():
    now = [0.0]
    limit = RateLimit(60, clock=lambda: now[0])

    for _ in range(60):
        limit.take("a")
    with pytest.raises(ServiceError) as caught:
        limit.take("a")
    assert caught.value.retry_after == 1
    limit.take("b")
    now[0] += 1.0
    limit.take("a")
    with pytest.raises(ServiceError):
        limit.take("a")


def test_no_rate_is_no_bound():
    limit = RateLimit(0)
    for _ in range(10_000):
        limit.take("a")


def test_the_memory_of_rates_is_bounded(monkeypatch):
    monkeypatch.setattr("signseq.serving.clients.MOST_CLIENTS", 3)
    limit = RateLimit(1, clock=lambda: 0.0)
    for client in "abcd":
        limit.take(client)

    limit.take("a")  # forgotten
    with pytest.raises(ServiceError):
        limit.take("d")


def test_keys_are_told_apart():
    keys = ApiKeys(["first-key", "second-key"])

    assert [keys.find(key) for key in ("first-key", "second-key", "", "first-ke", "\ud800")] == [
        *(0, 1),
        *(None, None, None),
    ]
    assert not ApiKeys([])


def test_keys_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNSEQ_API_KEYS", "one, two,")
    assert read_keys(None) == ("one", "two")

    file = tmp_path / "keys"
    file.write_text("# ours\nthree  # Anna's\n\nfour\n")
    assert read_keys(file) == ("three", "four")


@pytest.mark.parametrize("content", [None, "# nobody\n"])
def test_a_file_without_keys_is_an_error_not_an_open_door(tmp_path, content):
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigError, match="--api-keys"):
        read_keys(file)
