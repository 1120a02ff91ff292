"""The HTTP API under load, with models that hang and clients that leave."""

import asyncio
import time

from servers import TRANSLATE, fault_of, pose_bytes


def test_over_the_bound_it_is_a_503_with_retry_after(server, stuck):
    body = pose_bytes("water")

    async def work(client):
        first = asyncio.create_task(client.post(TRANSLATE, content=body))
        await asyncio.to_thread(stuck.begun.wait, 10)
        tasks = [asyncio.create_task(client.post(TRANSLATE, content=body)) for _ in range(3)]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        stuck.going.set()
        found = await asyncio.gather(first, *tasks)
        return done.pop().result(), found

    refused, found = server.talk(work, translator=stuck, queue_size=2, max_wait_ms=0)
    assert fault_of(refused) == (503, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
    assert sorted(answer.status_code for answer in found) == [200, 200, 200, 503]


def test_more_uploads_than_allowed_are_a_503(server, stuck):
    async def work(client):
        first = asyncio.create_task(client.post(TRANSLATE, content=pose_bytes("water")))
        await asyncio.to_thread(stuck.begun.wait, 10)
        refused = await client.post(TRANSLATE, content=b"x")
        stuck.going.set()
        return (await first).status_code, refused

    status, refused = server.talk(work, translator=stuck, max_uploads=1)
    assert status == 200
    assert fault_of(refused) == (503, "too_busy")


def test_a_client_with_half_of_the_uploads_leaves_the_others_to_others(server, stuck):
    async def work(client):
        async def ask(number):
            header = {"x-forwarded-for": f"192.0.2.{number}"}
            return await client.post(TRANSLATE, content=pose_bytes("water"), headers=header)

        tasks = [asyncio.create_task(ask(1)) for _ in range(2)]
        await asyncio.to_thread(stuck.begun.wait, 10)
        refused, other = await ask(1), asyncio.create_task(ask(2))
        await asyncio.sleep(0)
        stuck.going.set()
        answers = await asyncio.gather(other, *tasks)
        return refused, [answer.status_code for answer in answers]

    settings = {"translator": stuck, "max_uploads": 4, "trusted_proxies": ("10.0.0.0/8",)}
    refused, others = server.talk(work, **settings)
    assert fault_of(refused) == (503, "too_busy")
    assert others == [200, 200, 200]


def test_a_request_that_takes_too_long_is_a_503(server, stuck):
    async def work(client):
        found = await client.post(TRANSLATE, content=pose_bytes("water"))
        stuck.going.set()
        return found

    assert fault_of(server.talk(work, translator=stuck, request_timeout=0.3)) == (503, "timed_out")


def test_a_client_that_leaves_frees_its_place(server, stuck):
    """By ASGI itself: a client of httpx's transport can't leave."""
    app, body = server.app(translator=stuck, max_wait_ms=0), pose_bytes("water")
    queue = app.state.service.models["tiny"].queue

    async def request(leaving):
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            await leaving.wait()
            return {"type": "http.disconnect"}

        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": TRANSLATE, "headers": []}
        scope |= {"query_string": b"", "client": ("1.1.1.1", 1), "root_path": "", "scheme": "http"}
        await app(scope, receive, send)
        return sent[0]["status"]

    async def work():
        async with app.router.lifespan_context(app):
            stays, leaves = asyncio.Event(), asyncio.Event()
            first = asyncio.create_task(request(stays))
            await asyncio.to_thread(stuck.begun.wait, 10)
            second = asyncio.create_task(request(leaves))
            while not len(queue):
                await asyncio.sleep(0.01)
            leaves.set()
            status = await second
            left = len(queue)
            stuck.going.set()
            return status, left, await first, app.state.service.uploads.total()

    assert asyncio.run(work()) == (499, 0, 200, 0)


def test_healthz_and_readyz_differ_while_the_server_stops(server):
    app = server.app()

    async def work(client):
        before = [(await client.get(path)).status_code for path in ("/healthz", "/readyz")]
        app.state.service.stopping.set()
        refused = await client.post(TRANSLATE, content=b"x")
        after = [(await client.get(path)).status_code for path in ("/healthz", "/readyz")]
        return before, after, fault_of(refused)

    assert server.talk(work, app=app) == ([200, 200], [200, 503], (503, "shutting_down"))


def test_a_model_that_hangs_makes_the_server_not_ready(server, stuck):
    async def work(client):
        task = asyncio.create_task(client.post(TRANSLATE, content=pose_bytes("water")))
        await asyncio.to_thread(stuck.begun.wait, 10)
        await asyncio.sleep(0.7)
        found = await client.get("/readyz")
        stuck.going.set()
        await task
        return fault_of(found)

    assert server.talk(work, translator=stuck, request_timeout=0.3) == (503, "not_ready")


def test_time_in_the_queue_is_not_counted_as_the_models(server, stuck):
    async def work(client):
        first = asyncio.create_task(client.post(TRANSLATE, content=pose_bytes("water")))
        await asyncio.to_thread(stuck.begun.wait, 10)
        second = asyncio.create_task(client.post(TRANSLATE, content=pose_bytes("water")))
        time.sleep(0.01)
        await asyncio.sleep(0.1)
        stuck.going.set()
        await first
        return (await second).json()["timing"]

    timing = server.talk(work, translator=stuck, max_wait_ms=0)
    assert timing["queue_ms"] > timing["model_ms"]
