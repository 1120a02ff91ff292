"""What every answer has around it: ids, headers, the log, metrics, and the description of the API."""

import json
import logging

import pytest

from servers import TRANSLATE, fault_of, pose_bytes
from signseq.serving.models import ServedModel


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (TRANSLATE, "POST"),
        ("/v1/model", "GET, HEAD"),
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
        ("/", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_a_405_that_names_those_it_takes(
    server, path, allowed
):
    for method in {"GET", "POST", "PUT", "OPTIONS", "FOO"} - set(allowed.split(", ")):
        answer = server.ask(method, path)
        assert fault_of(answer) == (405, "method_not_allowed")
        assert sorted(answer.headers["allow"].split(", ")) == allowed.split(", ")


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "FOO"])
@pytest.mark.parametrize("path", ["/v1/nothing", "/v1", "/v1/model/", "/nothing", "/%00"])
def test_a_path_that_is_not_there_is_a_404_for_every_method(server, method, path):
    assert fault_of(server.ask(method, path)) == (404, "not_found")


def test_what_can_be_read_can_be_asked_for_its_head(server):
    for path in ("/v1/model", "/metrics", "/openapi.json", "/"):
        assert server.ask("HEAD", path).status_code == 200


def test_the_websocket_without_an_upgrade_says_what_it_is(server):
    answer = server.ask("GET", "/v1/stream")

    assert fault_of(answer) == (426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"


def test_a_path_that_is_not_there_is_json_too(server):
    assert fault_of(server.ask("GET", "/v1/nothing")) == (404, "not_found")
    assert fault_of(server.ask("GET", "/../../etc/passwd")) == (404, "not_found")


def test_a_fault_of_ours_is_a_500_without_its_text(server, caplog, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("secret text")

    monkeypatch.setattr(ServedModel, "_translate", fail)
    with caplog.at_level(logging.INFO):
        answer = server.ask(
            "POST", TRANSLATE, content=pose_bytes("water"), headers={"x-request-id": "me"}
        )

    assert fault_of(answer) == (500, "internal_error")
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "me" in answer.json()["error"]["message"]
    assert any(record.exc_info for record in caplog.records)


def test_metrics_count_what_happened(server):
    async def work(client):
        await client.post(TRANSLATE, content=pose_bytes("you see bread"))
        await client.post(TRANSLATE, content=b"nothing")
        await client.get("/made-up-by-a-client")
        return (await client.get("/metrics")).text

    text = server.talk(work)
    for line in (
        'signseq_requests_total{method="POST",route="/v1/translate",status="200"} 1.0',
        'signseq_requests_total{method="POST",route="/v1/translate",status="415"} 1.0',
        'signseq_requests_total{method="GET",route="static",status="404"} 1.0',
        'signseq_frames_total{model="tiny"} 18.0',
        'signseq_batch_clips_count{model="tiny"} 1.0',
        'signseq_queue_clips{model="tiny"} 0.0',
        "signseq_requests_in_flight 1.0",
        'signseq_stage_seconds_count{stage="model"} 1.0',
    ):
        assert line in text
    assert "made-up" not in text


def test_every_answer_has_an_id_and_the_security_headers(server):
    answer = server.ask("GET", "/healthz", headers={"x-request-id": "abc-1"})
    other = server.ask("GET", "/nothing", headers={"x-request-id": "a b\x01"})

    assert answer.headers["x-request-id"] == "abc-1"
    assert len(other.headers["x-request-id"]) == 32
    for found in (answer, other):
        assert found.headers["content-security-policy"].startswith("default-src 'self'")
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["referrer-policy"] == "no-referrer"


def test_the_log_has_a_line_per_request_and_nothing_of_its_content(server, caplog):
    with caplog.at_level(logging.INFO, logger="signseq.serving.access"):
        server.ask("POST", f"{TRANSLATE}?model=secret", content=pose_bytes("water"))

    (record,) = [r for r in caplog.records if r.name == "signseq.serving.access"]
    facts = record.facts
    assert (facts["route"], facts["status"], facts["method"]) == (TRANSLATE, 404, "POST")
    assert set(facts) == {"request_id", "method", "route", "status", "ms", "bytes"}
    assert "secret" not in json.dumps(facts)


def test_openapi_describes_every_status_and_the_body(server):
    found = server.ask("GET", "/openapi.json").json()
    post = found["paths"][TRANSLATE]["post"]

    assert {"200", "400", "401", "404", "408", "413", "415", "422", "429", "503", "504"} <= set(
        post["responses"]
    )
    assert "HTTPValidationError" not in json.dumps(found)
    example = post["requestBody"]["content"]["application/json"]["example"]
    assert len(example["frames"][0]) == len(example["keypoints"])
    assert server.ask("GET", "/docs").status_code == 404


def test_the_example_of_openapi_is_read(server):
    found = server.ask("GET", "/openapi.json").json()
    content = found["paths"][TRANSLATE]["post"]["requestBody"]["content"]
    answer = server.ask("POST", TRANSLATE, json=content["application/json"]["example"])

    assert answer.status_code in (200, 422)  # its two points are too few for some models
