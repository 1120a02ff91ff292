import pytest

from signseq.errors import ConfigError
from signseq.serving.models import parse_specs
from signseq.serving.settings import ServeSettings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"port": 70_000}, "--port must be between 0 and 65535, not 70000"),
        ({"max_beams": 101}, "--max-beams must be between 1 and 100, not 101"),
        ({"batch_size": 0}, "--batch-size must be between 1"),
        ({"max_wait_ms": -1}, "--max-wait-ms"),
        ({"max_seconds": 0}, "--max-seconds must be above 0"),
        ({"request_timeout": float("nan")}, "--request-timeout"),
        ({"num_beams": 20}, "--num-beams 20 is more than --max-beams 10"),
        ({"log_format": "xml"}, "choose json or text"),
        ({"cors": ("example.org",)}, "scheme and a host"),
        ({"cors": ("https://example.org/",)}, "scheme and a host"),
        ({"trusted_proxies": ("nginx",)}, "no address and no network"),
        ({"api_keys": ("short",)}, "at least 16"),
    ],
)
def test_a_setting_that_cannot_be_meant_names_its_option(settings, message):
    with pytest.raises(ConfigError, match=message):
        ServeSettings(**settings)


def test_zero_is_no_bound_where_that_makes_sense():
    assert ServeSettings(rate=0, max_wait_ms=0, port=0, drain=0).rate == 0


def test_keys_are_not_shown():
    assert "secret" not in repr(ServeSettings(api_keys=("secret-secret-secret",)))


def test_models_are_named_by_the_user_or_their_folder(tmp_path):
    folder = tmp_path / "a=b"
    folder.mkdir()

    specs = parse_specs(["runs/best", "de=runs/german"])
    assert [(spec.name, str(spec.folder)) for spec in specs] == [
        ("best", "runs/best"),
        ("de", "runs/german"),
    ]
    with pytest.raises(ConfigError, match="no name for a model"):
        parse_specs([str(folder)])


@pytest.mark.parametrize("arguments", [["runs/a", "other/a"], ["x=one", "x=two"]])
def test_two_models_of_one_name_are_an_error(arguments):
    with pytest.raises(ConfigError, match="Two models are called"):
        parse_specs(arguments)
