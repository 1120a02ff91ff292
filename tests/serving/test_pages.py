import pytest

from servers import Server


@pytest.fixture(scope="module")
def server(trained):
    return Server(trained)


@pytest.fixture
def web(tmp_path):
    folder = tmp_path / "web"
    for path in ("index.html", "assets/app-1a2b.js", "mediapipe/vision.wasm", "mediapipe/m.task"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@pytest.mark.parametrize(
    ("path", "kind", "caching"),
    [
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/index.html", "text/html; charset=utf-8", "no-cache"),
        ("/assets/app-1a2b.js", "text/javascript; charset=utf-8", "immutable"),
        ("/mediapipe/vision.wasm", "application/wasm", "max-age=604800"),
        ("/mediapipe/m.task", "application/octet-stream", "max-age=604800"),
    ],
)
def test_files_have_their_type_and_may_be_kept_for_their_time(server, web, path, kind, caching):
    answer = server.ask("GET", path, settings={"web": web})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind
    assert caching in answer.headers["cache-control"]


def test_a_file_that_has_not_changed_is_a_304(server, web):
    tag = server.ask("GET", "/", settings={"web": web}).headers["etag"]

    answer = server.ask("GET", "/", headers={"if-none-match": tag}, settings={"web": web})
    assert answer.status_code == 304
    assert answer.content == b""


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "//etc/passwd",
        "/a%00b",
        "/assets",
    ],
)
def test_nothing_outside_the_folder_is_given_away(server, web, path):
    answer = server.ask("GET", path, settings={"web": web})

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_a_page_that_was_not_built_says_how_to_build_it(server, tmp_path):
    answer = server.ask("GET", "/", settings={"web": tmp_path / "none"})

    assert answer.status_code == 200
    assert "make page" in answer.text
    assert server.ask("GET", "/x.js", settings={"web": tmp_path / "none"}).status_code == 404
