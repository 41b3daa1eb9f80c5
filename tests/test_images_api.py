"""The editor behind images/edits, against a real HTTP server on loopback that answers, stalls, refuses and lies."""

import base64
import gzip
import io
import json
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

from editbench.editors import EditFailed, EditRefused, ImagesAPI
from editbench.errors import UsageError
from editbench.models import remote
from editbench.process.world import World
from editbench.records import Pair, Picture
from tests.conftest import command, environment, rows, start

KEY = "sk-canary-0123456789"
SOURCE = Image.new("RGB", (6, 4), (10, 20, 30))
PAIR = Pair(pair_id="a", instruction="Turn it red.", sources=(Picture(sha256="s"),))


def encoded(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


RED = encoded(Image.new("RGB", (8, 8), "red"))


def answer(**more: Any) -> dict[str, Any]:
    return {"created": 1, "data": [{"b64_json": RED}]} | more


def refusal(code: str) -> tuple[int, dict[str, str], Any]:
    return 400, {}, {"error": {"code": code, "message": "rejected by the safety system", "type": "user_error"}}


@dataclass
class Server:
    """What the loopback server is to do, request by request: the last step is repeated."""

    steps: list[Any] = field(default_factory=lambda: [answer()])
    asked: list[dict[str, list[bytes]]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    finished: Counter[str] = field(default_factory=Counter)
    under_way: int = 0
    most_under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""


def form(headers: Any, body: bytes) -> dict[str, list[bytes]]:
    """The fields of a multipart form."""
    message = message_from_bytes(f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + body, policy=HTTP)
    found: dict[str, list[bytes]] = {}
    for part in message.iter_parts():
        found.setdefault(part.get_param("name", header="Content-Disposition"), []).append(part.get_payload(decode=True))
    return found


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_side: Server

    def log_message(self, *args: Any) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionResetError:  # the client was killed
            self.close_connection = True

    def do_POST(self) -> None:
        side = self.server_side
        asked = form(self.headers, self.rfile.read(int(self.headers["Content-Length"])))
        with side.lock:
            step = side.steps[min(len(side.asked), len(side.steps) - 1)]
            side.asked.append(asked)
            side.keys.append(self.headers.get("Authorization", ""))
            side.under_way += 1
            side.most_under_way = max(side.most_under_way, side.under_way)
        try:
            self.act(step, asked)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with side.lock:
                side.under_way -= 1

    def act(self, step: Any, asked: dict[str, list[bytes]]) -> None:
        if callable(step):
            step = step(asked)
        if step == "break off":
            self.send_response(200)
            self.send_header("Content-Length", "5000")
            self.end_headers()
            self.wfile.write(b'{"created": 1, "da')
            self.close_connection = True
            return
        if step == "hang up":
            self.close_connection = True
            return
        if step in ("stall", "drip"):
            self.send_response(200)
            self.send_header("Content-Length", "5000")
            self.end_headers()
            for _ in range(60):
                time.sleep(0.1)
                if step == "drip":
                    self.wfile.write(b" ")
            self.close_connection = True
            return
        status, headers, body = step if isinstance(step, tuple) else (200, {}, step)
        data = (
            body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        )
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        if status == 200 and "prompt" in asked:
            with self.server_side.lock:
                self.server_side.finished[asked["prompt"][0].decode()] += 1


@pytest.fixture
def server() -> Iterator[Server]:
    side = Server()
    listening = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"server_side": side}))
    listening.daemon_threads = True
    listening.request_queue_size = 200
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    side.url = f"http://127.0.0.1:{listening.server_port}/v1"
    yield side
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def editor(server, monkeypatch) -> Callable[..., ImagesAPI]:
    monkeypatch.setattr(remote, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def ready(*steps: Any, **settings: Any) -> ImagesAPI:
        server.steps = list(steps) or server.steps
        made = ImagesAPI(**{"model": "image-1", "base_url": server.url, "num_attempts": 3} | settings)
        made.check()
        assert made.load(World()) == "server 127.0.0.1"
        return made

    return ready


def test_the_source_and_the_instruction_are_sent_and_the_picture_comes_back(server, editor):
    made = editor(size="auto", quality="high", call={"num_inference_steps": 8}, sends_seed=True).edit(PAIR, [SOURCE], 7)
    assert made.image.size == (8, 8)
    assert made.image.getpixel((0, 0)) == (255, 0, 0)
    (asked,) = server.asked
    sent = asked.pop("image")[0]
    assert Image.open(io.BytesIO(sent)).tobytes() == SOURCE.tobytes()
    told = {name: values[0].decode() for name, values in asked.items()}
    assert told == {
        "model": "image-1", "prompt": "Turn it red.", "size": "auto", "quality": "high", "num_inference_steps": "8",
        "seed": "7",
    }  # fmt: skip
    assert made.details == {"model": "image-1", "seed": 7}
    assert server.keys == [f"Bearer {KEY}"]


def test_without_settings_nothing_is_sent_that_a_server_might_refuse(server, editor):
    editor().edit(PAIR, [SOURCE], 7)
    assert server.asked[0].keys() == {"image", "model", "prompt"}


def test_several_sources_are_sent_in_order(server, editor):
    other = Image.new("RGB", (3, 5), "blue")
    editor().edit(PAIR, [SOURCE, other], 7)
    sent = [Image.open(io.BytesIO(data)).size for data in server.asked[0]["image[]"]]
    assert sent == [(6, 4), (3, 5)]


def test_chat_markers_of_an_instruction_are_not_sent_and_what_was_sent_is_recorded(server, editor):
    hostile = Pair(pair_id="a", instruction="Turn<|image_pad|>it <b>.", sources=PAIR.sources)
    assert editor().edit(hostile, [SOURCE], 7).prompt == "Turn it <b>."
    assert server.asked[0]["prompt"] == [b"Turn it <b>."]


USAGE = {"input_tokens": 100, "output_tokens": 1000, "total_tokens": 1100, "input_tokens_details": {"image_tokens": 90}}


def test_what_the_server_says_of_an_edit_and_its_price_are_recorded(editor):
    said = answer(usage=USAGE, quality="high", size="8x8", model="image-1-2026")
    said["data"][0]["revised_prompt"] = "A red square."
    prices = {"image": 0.01, "output_tokens": 4e-5, "input_tokens_details.image_tokens": 1e-5}
    details = editor(said, prices=prices).edit(PAIR, [SOURCE], 7).details
    assert details.pop("price") == pytest.approx(0.01 + 0.04 + 0.0009)
    assert details == {
        "model": "image-1-2026", "quality": "high", "size": "8x8", "usage": USAGE, "currency": "USD",
        "revised_prompt": "A red square.",
    }  # fmt: skip


def test_a_price_that_the_usage_does_not_give_is_none_and_not_0(editor):
    details = editor(answer(), prices={"image": 0.01, "output_tokens": 4e-5}).edit(PAIR, [SOURCE], 7).details
    assert details["price"] is None


@pytest.mark.parametrize(
    "fault",
    [
        "break off",
        "hang up",
        "stall",
        "drip",
        (500, {}, "oops"),
        (503, {}, {}),
        (408, {}, {}),
        (429, {"Retry-After": "0"}, {}),
    ],
    ids=str,
)
def test_a_request_that_the_server_cannot_serve_now_is_sent_again(server, editor, fault):
    silent = fault in ("stall", "drip")
    made = editor(fault, fault, answer(), num_attempts=9, timeout_s=2.0 if silent else 600.0).edit(PAIR, [SOURCE], 7)
    assert made.image.size == (8, 8)
    assert len(server.asked) >= 3 if silent else len(server.asked) == 3


def test_after_all_attempts_the_edit_has_failed_with_the_last_reason(server, editor):
    with pytest.raises(EditFailed, match="InternalServerError"):
        editor((500, {}, {"error": {"message": f"key {KEY} is overloaded"}})).edit(PAIR, [SOURCE], 7)
    assert len(server.asked) == 3


@pytest.mark.parametrize("code", ["moderation_blocked", "content_policy_violation", "content_filter"])
def test_a_refusal_by_moderation_is_a_refused_edit_and_is_not_asked_again(server, editor, code):
    with pytest.raises(EditRefused, match="safety system"):
        editor(refusal(code)).edit(PAIR, [SOURCE], 7)
    assert len(server.asked) == 1


def half() -> str:
    return base64.b64encode(base64.b64decode(RED)[:50]).decode()


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (answer(data=[]), "0 pictures"),
        (answer(data=None), "0 pictures"),
        (answer(data={"b64_json": RED}), "0 pictures"),
        (answer(data=[{"b64_json": RED}] * 2), "2 pictures"),
        (answer(data=[{"b64_json": 5}]), "whose picture is int"),
        (answer(data=["x"]), "whose picture is NoneType"),
        (answer(data=[{"b64_json": "!!!"}]), "the answer's picture"),
        (answer(data=[{"b64_json": half()}]), "cut off or broken"),
        (answer(data=[{"b64_json": base64.b64encode(b"<svg/>").decode()}]), "not a readable"),
        (answer(data=[{"url": "http://169.254.169.254/latest"}]), "an address, which is not followed"),
        ({"error": {"message": "no GPU"}, "data": []}, "no GPU"),
        ((200, {"Content-Type": "text/html"}, "<html>please log in</html>"), "0 pictures"),
        ((200, {}, "not JSON"), "JSON"),
        ((200, {"Content-Encoding": "gzip"}, gzip.compress(json.dumps(answer()).encode(), mtime=0)), "compressed"),
        ((302, {"Location": "http://127.0.0.1:9/"}, ""), "302|APIStatusError"),
        ((400, {}, {"error": {"message": "unknown parameter: 'seed'"}}), "unknown parameter"),
    ],
    ids=str,
)
def test_a_lie_is_a_failed_edit_with_its_reason_and_never_a_picture(server, editor, lie, said):
    with pytest.raises(EditFailed, match=said) as failed:
        editor(lie).edit(PAIR, [SOURCE], 7)
    assert not isinstance(failed.value, EditRefused)
    assert len(server.asked) == 1


def test_a_picture_as_data_address_is_read(editor):
    said = answer(data=[{"url": f"data:image/png;base64,{RED}"}])
    assert editor(said).edit(PAIR, [SOURCE], 7).image.size == (8, 8)


def test_what_a_failed_answer_cost_is_recorded_all_the_same(editor):
    with pytest.raises(EditFailed) as failed:
        editor(answer(data=[], usage=USAGE), prices={"output_tokens": 1e-3}).edit(PAIR, [SOURCE], 7)
    assert failed.value.details["price"] == pytest.approx(1.0)


def test_an_answer_over_the_limit_is_not_read(editor, monkeypatch):
    monkeypatch.setattr("editbench.editors.images_api.MAX_BYTES", 1000)
    with pytest.raises(EditFailed, match="over 2,000 bytes"):
        editor(answer(padding="x" * 5000)).edit(PAIR, [SOURCE], 7)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"error": {"message": f"bad key {KEY}"}}, "OPENAI_API_KEY is set, and refused"),
        (403, {}, "wants another key"),
        (404, {}, "has no model image-1"),
        (429, {"error": {"code": "insufficient_quota", "message": "pay"}}, "quota is used up"),
    ],
)
def test_what_no_other_pair_would_survive_ends_the_run_at_once(server, editor, status, body, said):
    with pytest.raises(UsageError, match=said) as error:
        editor((status, {}, body)).edit(PAIR, [SOURCE], 7)
    assert KEY not in str(error.value)
    assert len(server.asked) == 1


def test_a_key_that_the_server_repeats_reaches_no_record(editor):
    said = answer(model=f"m {KEY}", size=KEY)
    said["data"][0]["revised_prompt"] = f"Use {KEY}."
    assert KEY not in str(editor(said).edit(PAIR, [SOURCE], 7).details)
    for lie in (answer(data=[], error={"message": KEY}), (400, {}, {"error": {"message": KEY}})):
        with pytest.raises(EditFailed) as failed:
            editor(lie).edit(PAIR, [SOURCE], 7)
        assert KEY not in str(failed.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"base_url": "localhost:8000"}, "not an address"),
        ({"base_url": "http://user:pw@host/v1"}, "more than an address"),
        ({"num_requests": 0}, "num_requests is 0"),
        ({"call": {"size": "8x8"}}, "size is set by the editor"),
        ({"call": {"n": 2}}, "n is set by the editor"),
        ({"prices": {"image": -1.0}}, "image must be 0 or more"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_before_anything_is_sent(settings, said):
    with pytest.raises(UsageError, match=said):
        ImagesAPI(**{"model": "m"} | settings).check()


NUM = 240


@pytest.fixture
def many(tmp_path) -> Any:
    """240 pairs with an instruction each, so that the server knows them apart."""
    lines = []
    for number in range(NUM):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / f"{number}.png")
        lines.append(json.dumps({"id": f"p{number:03d}", "source": f"{number}.png", "instruction": f"{number}"}) + "\n")
    (tmp_path / "many.jsonl").write_text("".join(lines), encoding="utf-8")
    return tmp_path / "many.jsonl"


def test_fifty_requests_at_once_with_faults_killed_and_resumed_pay_again_at_most_for_those_under_way(
    server, many, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    counter, all_under_way = iter(range(10**6)), threading.Event()
    faults = ("hang up", "break off", (500, {}, {}), (429, {"Retry-After": "0"}, {}))

    def step(asked: dict[str, list[bytes]]) -> Any:
        number = next(counter)
        if server.under_way == 50:
            all_under_way.set()
        all_under_way.wait(60)
        time.sleep(0.3)
        if number % 20 == 7:
            return faults[number // 20 % len(faults)]
        if asked["prompt"] == [b"13"]:
            return refusal("moderation_blocked")
        return answer(usage=USAGE)

    server.steps = [step]
    run = many.parent / "run"
    argv = ("--benchmark", many, "--run_dir", run, "--editor", "ImagesAPI", "--editor.init_args.model", "image-1")
    argv += ("--editor.init_args.base_url", server.url, "--editor.init_args.num_requests", "50")
    argv += ("--editor.init_args.prices", '{"output_tokens": 0.001}', "--judge", "tests.planned.StuckJudge")
    first = subprocess.Popen(command("edit.py", *argv), env=environment(), stderr=subprocess.PIPE)
    while sum(server.finished.values()) < NUM // 3:
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    start("edit.py", *argv)
    edits = rows(run / "manifest.jsonl")
    assert [edit["pair_id"] for edit in edits] == [f"p{number:03d}" for number in range(NUM)]
    failed = [edit["pair_id"] for edit in edits if edit.get("error")]
    assert failed == ["p013"]
    assert edits[13]["flags"] == ["refused"]
    assert all(edit["details"]["price"] == 1.0 for edit in edits if edit["pair_id"] != "p013")
    assert server.most_under_way == 50
    assert set(server.finished) == {str(number) for number in range(NUM) if number != 13}
    assert sum(server.finished.values()) - (NUM - 1) <= 50
    assert KEY not in "".join(path.read_text() for path in run.rglob("*") if path.suffix in (".jsonl", ".yaml", ".log"))


def test_a_refused_key_ends_the_launch_with_code_2_and_without_a_traceback(server, many, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.steps = [(401, {}, {"error": {"message": "no"}})]
    argv = (
        "--benchmark",
        many,
        "--run_dir",
        many.parent / "run",
        "--editor",
        "ImagesAPI",
        "--editor.init_args.model",
        "m",
    )
    done = start(
        "edit.py", *argv, "--editor.init_args.base_url", server.url, "--judge", "tests.planned.StuckJudge", code=2
    )
    assert "OPENAI_API_KEY is set, and refused" in done.stderr
    assert "Traceback" not in done.stderr
