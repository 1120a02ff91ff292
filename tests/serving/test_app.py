"""The HTTP API: what it answers."""

import asyncio

import numpy as np
import pytest

from conftest import sign_pose
from servers import TEXTS, TRANSLATE, fault_of, pose_bytes


def test_a_pose_becomes_its_text(server):
    found = server.ask("POST", TRANSLATE, content=pose_bytes("you see bread")).json()

    assert found["text"] == "you see bread"
    assert found["model"] == "tiny"
    assert found["seconds"] == pytest.approx(18 / 25)
    assert found["n_best"] == [{"text": found["text"], "score": found["score"]}]
    assert found["warnings"] == []
    assert set(found["timing"]) == {"pose_ms", "queue_ms", "model_ms"}


def test_a_form_and_the_raw_body_give_the_same(server):
    body = pose_bytes("we eat")

    raw = server.ask("POST", TRANSLATE, content=body).json()
    form = server.ask(
        "POST", TRANSLATE, files={"file": ("../../etc/passwd", body)}, data={"more": "x"}
    ).json()

    assert {**form, "timing": 0} == {**raw, "timing": 0}


def test_landmarks_as_json_are_translated(server):
    pose = sign_pose("we see water")
    points = np.concatenate([pose.data, pose.confidence[..., None]], axis=-1)
    body = {"fps": 25, "keypoints": pose.keypoints, "frames": points.tolist()}

    wanted = server.translator.translate(pose).text
    assert server.ask("POST", TRANSLATE, json=body).json()["text"] == wanted


@pytest.mark.parametrize(("estimator", "warnings"), [("mediapipe_holistic", 0), ("openpose", 1)])
def test_only_another_family_of_estimators_gives_a_warning(
    server, monkeypatch, estimator, warnings
):
    monkeypatch.setattr(server.translator.model.config, "estimators", ["mediapipe"])
    pose = sign_pose("we see water")
    points = np.concatenate([pose.data, pose.confidence[..., None]], axis=-1)
    body = {"fps": 25, "keypoints": pose.keypoints, "frames": points.tolist()}

    answer = server.ask("POST", TRANSLATE, json=body | {"estimator": estimator}).json()
    assert len(answer["warnings"]) == warnings


def test_options_reach_the_model(server):
    body = pose_bytes("we eat bread", seed=5)
    wanted = server.translator.translate(body, n_best=3).alternatives

    found = server.ask("POST", f"{TRANSLATE}?n_best=3&num_beams=3", content=body).json()["n_best"]

    assert [(one["text"], pytest.approx(one["score"], abs=1e-4)) for one in found] == list(wanted)


def test_answers_of_many_clients_never_mix(server):
    bodies = [pose_bytes(text, seed=seed) for seed in range(6) for text in TEXTS]
    wanted = [server.translator.translate(body).text for body in bodies]

    async def work(client):
        return await asyncio.gather(*(client.post(TRANSLATE, content=body) for body in bodies))

    assert [answer.json()["text"] for answer in server.talk(work)] == wanted
    assert len(set(wanted)) >= len(TEXTS) - 1


def test_requests_of_several_clients_share_batches(server):
    async def work(client):
        body = pose_bytes("water")
        await asyncio.gather(*(client.post(TRANSLATE, content=body) for _ in range(16)))
        return (await client.get("/metrics")).text

    assert 'signseq_batch_clips_count{model="tiny"} 16.0' not in server.talk(work, max_wait_ms=500)


def test_models_are_chosen_by_name(server):
    settings = {"models": ("one", "two")}
    body = pose_bytes("water")

    answers = [
        server.ask("POST", TRANSLATE + query, content=body, settings=settings)
        for query in ("", "?model=two", "?model=three")
    ]

    assert [answer.json().get("model") for answer in answers] == ["one", "two", None]
    assert fault_of(answers[2]) == (404, "unknown_model")


def test_the_models_say_what_a_client_needs(server):
    found = server.ask("GET", "/v1/model", settings={"demos": {"tiny"}, "max_seconds": 7}).json()

    (card,) = found["models"]
    assert (found["default"], card["name"], card["is_demo"]) == ("tiny", "tiny", True)
    assert card["keypoints"] == list(server.translator.recipe.needed)
    assert all(max(edge) < len(card["keypoints"]) for edge in card["edges"])
    assert (card["max_seconds"], found["limits"]["seconds"]) == (7, 7)
    assert (found["needs_key"], card["languages"], card["language"]) == (False, [], None)
