"""The judge behind a server, against a real HTTP server on loopback that answers, stalls, breaks off and lies."""

import base64
import contextlib
import io
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

from editbench.cli.options import parse
from editbench.config import Config
from editbench.editors import Unchanged
from editbench.errors import UsageError
from editbench.judges import Message, Server
from editbench.models.checkpoints import locate
from editbench.models.remote import seconds
from editbench.process.world import World
from editbench.records import Score
from editbench.run.durable import read_records
from editbench.run.run_dir import RunDir
from editbench.stages.edit import edit
from editbench.stages.score import score
from tests.conftest import environment, rows, start

KEY = "sk-canary-0123456789"


def completion(text: Any = "7.5", ended: Any = "stop", **message: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text} | message
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "served-model-v2",
        "choices": [{"index": 0, "finish_reason": ended, "message": message}],
    }


@dataclass
class Endpoint:
    """What a loopback server is to do, request by request: the last step is repeated."""

    steps: list[Any] = field(default_factory=lambda: [completion()])
    models: Any = (200, {}, {"object": "list", "data": [{"id": "org/served-model", "object": "model"}]})
    asked: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    endpoint: Endpoint

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.act(self.endpoint.models if self.path.endswith("/models") else (404, {}, {}), {})

    def do_POST(self) -> None:
        end = self.endpoint
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with end.lock:
            step = end.steps[min(len(end.asked), len(end.steps) - 1)]
            end.asked.append(body)
            end.times.append(time.monotonic())
            end.keys.append(self.headers.get("Authorization", ""))
            end.under_way += 1
            end.most_under_way = max(end.most_under_way, end.under_way)
        try:
            self.act(step, body)
        finally:
            with end.lock:
                end.under_way -= 1

    def act(self, step: Any, body: dict[str, Any]) -> None:
        if callable(step):
            step = step(body)
        if step == "break off":
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "5000")
            self.end_headers()
            self.wfile.write(b'{"id": "1", "choi')
            self.close_connection = True
            return
        if step == "drip":  # never silent for the whole of the time limit, and never done
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "5000")
            self.end_headers()
            self.close_connection = True
            with contextlib.suppress(OSError):  # the judge hangs up
                for _ in range(50):
                    self.wfile.write(b" ")
                    time.sleep(0.1)
            return
        if step == "stall":
            time.sleep(1.5)
            self.close_connection = True
            return
        status, headers, answer = step if isinstance(step, tuple) else (200, {}, step)
        data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def endpoint():
    end = Endpoint()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"endpoint": end}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    end.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield end
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def quick_and_without_a_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("editbench.models.remote._FIRST_WAIT_S", 0.01)


def judge_at(end: Endpoint, **settings: Any) -> Server:
    judge = Server(**({"model": "org/served-model", "base_url": end.url, "timeout_s": 0.5} | settings))
    judge.check()
    judge.load(World())
    return judge


def question(judge: Server, text: str = "Instruction: turn it blue.", **changes: Any) -> Message:
    pictures = (Image.new("RGB", (640, 480), "red"), Image.new("RGB", (64, 64), "blue"))
    limits = (256 * 256,) * 2
    return judge.prepare(Message(**{"system": "Rate.", "content": (*pictures, text), "max_pixels": limits} | changes))


def ask(end: Endpoint, **settings: Any):
    judge = judge_at(end, **settings)
    return judge.replies([question(judge)])[0]


def test_an_answer_is_read_with_the_model_that_gave_it(endpoint):
    reply = ask(endpoint)
    assert (reply.text, reply.truncated, reply.failure, reply.model) == ("7.5", False, None, "served-model-v2")
    sent = endpoint.asked[0]
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("org/served-model", 0.0, 128)
    system, user = sent["messages"]
    assert system == {"role": "system", "content": "Rate."}
    assert [part["type"] for part in user["content"]] == ["image_url", "image_url", "text"]
    data = base64.b64decode(user["content"][0]["image_url"]["url"].removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.width * picture.height <= 256 * 256
        assert picture.getpixel((0, 0)) == (255, 0, 0)


def test_finish_reason_length_is_a_truncated_reply_though_a_number_stands_there(endpoint):
    endpoint.steps = [completion("7.5", "length")]
    assert ask(endpoint).truncated


def test_a_model_that_thinks_up_to_the_limit_gives_a_truncated_reply_and_no_error(endpoint):
    endpoint.steps = [completion(None, "length", reasoning_content="First the light")]
    reply = ask(endpoint)
    assert (reply.text, reply.truncated, reply.failure) == ("", True, None)


def test_a_question_s_own_limit_goes_before_the_judge_s(endpoint):
    judge = judge_at(endpoint)
    judge.replies([question(judge, max_new_tokens=7, system="")])
    assert endpoint.asked[0]["max_tokens"] == 7
    assert [message["role"] for message in endpoint.asked[0]["messages"]] == ["user"]


def test_without_a_server_the_run_ends_before_the_first_question(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(UsageError, match=f"no server answers at {url}"):
        judge_at(Endpoint(url=url))
    monkeypatch.setenv("HTTP_PROXY", url)
    with pytest.raises(UsageError, match=r"HTTP_PROXY is set: export NO_PROXY=127\.0\.0\.1"):
        judge_at(Endpoint(url=url))


def test_a_socks_proxy_without_its_package_is_said(endpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(UsageError, match="pip install socksio"):
        judge_at(endpoint)


def test_a_server_s_list_of_models_is_looked_at_first(endpoint):
    endpoint.models = (200, {}, {"object": "list", "data": [{"id": "other/model", "object": "model"}]})
    endpoint.steps = [(404, {}, {"error": {"message": "no such model"}})]
    with pytest.raises(UsageError, match="has no model org/served-model; it has other/model"):
        judge_at(endpoint)
    endpoint.steps = [completion()]  # an alias that is not listed
    judge_at(endpoint)
    endpoint.models = (401, {}, {})
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set"):
        judge_at(endpoint)
    endpoint.models = (404, {}, {})
    judge_at(endpoint)
    with pytest.raises(UsageError, match=r"begins at http://127\.0\.0\.1:\d+/v1"):
        judge_at(endpoint, base_url=endpoint.url.removesuffix("/v1"))


@pytest.mark.parametrize(("model", "warned"), [("org/served-model", False), ("org/another", True)])
def test_another_model_s_answer_is_said_once(endpoint, caplog, model, warned):
    judge = judge_at(endpoint, model=model)
    judge.replies([question(judge), question(judge)])
    assert caplog.text.count("and served-model-v2 answers") == warned


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_passes_is_asked_again(endpoint, status):
    endpoint.steps = [(status, {}, {"error": {"message": "later"}}), "break off", "stall", completion()]
    assert ask(endpoint).text == "7.5"
    assert len(endpoint.asked) == 4


def test_the_time_that_the_server_names_is_waited(endpoint):
    endpoint.steps = [(429, {"Retry-After": "1"}, {}), completion()]
    assert ask(endpoint).text == "7.5"
    assert 1.0 <= endpoint.times[1] - endpoint.times[0] < 2.5  # and a jitter of up to a second


def test_a_named_time_may_be_a_date_and_has_a_cap(monkeypatch):
    monkeypatch.setattr("editbench.models.remote._LONGEST_WAIT_S", 3.0)
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 88 <= seconds(soon) <= 90
    assert (seconds("2.5"), seconds("-4"), seconds("nan"), seconds("soon"), seconds("")) == (
        2.5,
        0,
        None,
        None,
        None,
    )


def test_attempts_come_to_an_end_as_that_pairs_failure(endpoint):
    endpoint.steps = [(503, {}, {"error": {"message": "overloaded"}})]
    reply = ask(endpoint, num_attempts=3)
    assert (reply.failure, len(endpoint.asked)) == ("error", 3)
    assert "503" in reply.detail


@pytest.mark.parametrize(
    ("step", "num_asked", "said"),
    [
        ("drip", 2, "imed out"),
        (completion("7" * (5 * 2**20)), 1, "over 4,194,304 bytes"),
        ((200, {"Content-Encoding": "gzip"}, ""), 1, "compressed"),
        ((302, {"Location": "http://127.0.0.1:9/"}, ""), 1, "302"),
    ],
    ids=["drips", "is endless", "is a compressed bomb", "leads elsewhere"],
)
def test_an_answer_that_never_ends_or_leads_elsewhere_is_that_pairs_failure(endpoint, step, num_asked, said):
    endpoint.steps = [step]
    reply = ask(endpoint, num_attempts=2)
    assert (reply.failure, len(endpoint.asked)) == ("error", num_asked)
    assert said in reply.detail


@pytest.mark.parametrize(
    "lie",
    [
        {"error": {"message": "the engine died", "code": 500}},
        completion("7.5", "abort"),
        completion("7.5", None),
        completion(None),
        completion(None, "stop", reasoning_content="It is a 7."),
        completion(7.5),
        completion() | {"choices": []},
        "<html>7.5</html>",
        "7.5",
        "[7.5]",
        completion() | {"choices": [7.5]},
        completion() | {"choices": [{"index": 0, "finish_reason": "stop", "message": None}]},
    ],
    ids=ascii,
)
def test_a_success_that_is_none_is_a_failure_and_not_asked_again(endpoint, lie):
    endpoint.steps = [lie]
    reply = ask(endpoint)
    assert (reply.text, reply.failure) == ("", "error")
    assert reply.detail
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("said", [completion(None, "stop", refusal="I won't."), completion("", "content_filter")])
def test_a_refusal_is_one(endpoint, said):
    endpoint.steps = [said]
    assert ask(endpoint).failure == "refused"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_is_wrong_in_itself_is_that_pairs_failure_at_once(endpoint, status):
    endpoint.steps = [(status, {}, {"error": {"message": "too many tokens"}})]
    assert ask(endpoint).failure == "error"
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    ("status", "says"), [(401, "is set, and refused"), (403, "is set"), (404, "no model org/served")]
)
def test_a_wrong_key_or_model_ends_the_run_at_once_and_is_never_printed(endpoint, monkeypatch, status, says):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint.steps = [(status, {}, {"error": {"message": f"Incorrect key {KEY}"}})]
    with pytest.raises(UsageError, match=says) as raised:
        ask(endpoint)
    assert KEY not in str(raised.value)
    assert endpoint.keys == [f"Bearer {KEY}"]


def test_a_key_is_taken_from_the_environment_alone(endpoint):
    with pytest.raises(UsageError, match="goes into the environment, as OPENAI_API_KEY"):
        judge_at(endpoint, base_url=f"http://user:{KEY}@127.0.0.1/v1")
    endpoint.steps = [(400, {}, {"error": {"message": f"bad header {KEY}"}})]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        assert KEY not in ask(endpoint).detail


def test_requests_go_out_side_by_side_and_answers_belong_to_their_questions(endpoint):
    def echo(body):
        text = body["messages"][1]["content"][-1]["text"]
        time.sleep(0.3 - 0.03 * int(text))  # the first is answered last
        return completion(text)

    endpoint.steps = [echo]
    judge = judge_at(endpoint, num_requests=4)
    replies = judge.replies([question(judge, str(n)) for n in range(10)])
    assert [reply.text for reply in replies] == [str(n) for n in range(10)]
    assert endpoint.most_under_way == 4


def test_draws_send_their_seeds(endpoint):
    endpoint.steps = [lambda body: completion(str(body["seed"]))]
    judge = judge_at(endpoint)
    drawn = judge.samples([question(judge), question(judge)], [[1, 2], [2**31 + 3]])
    assert [[reply.text for reply in of_one] for of_one in drawn] == [["1", "2"], ["3"]]
    assert {body["temperature"] for body in endpoint.asked} == {0.7}


def test_an_expected_score_is_made_of_the_likeliest_tokens(endpoint):
    answer = completion("6", "length")
    top = [{"token": "6", "logprob": -0.5, "bytes": None}, {"token": "The", "logprob": -1.5, "bytes": None}]
    answer["choices"][0]["logprobs"] = {"content": [top[0] | {"top_logprobs": top}], "refusal": None}
    endpoint.steps = [answer, completion("6", "length")]
    judge = judge_at(endpoint)
    digits = tuple("0123456789")
    first = judge.probabilities([question(judge, digits=digits)])[0]
    assert (first.text, first.truncated) == ("6", False)
    assert first.probabilities == pytest.approx([0] * 6 + [0.60653] + [0] * 3, abs=1e-5)
    assert judge.probabilities([question(judge, digits=digits)])[0].failure == "error"
    assert endpoint.asked[0]["max_tokens"] == 1


def test_a_run_scored_by_a_server_says_who_answered_and_goes_on_after_failures(endpoint, photos_json, tmp_path):
    config = Config(
        benchmark=photos_json,
        run_dir=(tmp_path / "run",),
        editor=Unchanged(),
        judge=Server(model="org/served-model", base_url=endpoint.url, num_attempts=1, timeout_s=5),
    )
    assert edit(config, World()) == 0
    endpoint.steps = [(500, {}, {}), completion("Lovely! 9"), completion("8.125")]
    score(config, World())
    path = RunDir(config.the_run).scores("served-model")
    scores = list(read_records(path, Score))
    assert sorted(str(record.failure) for record in scores) == ["None", "None", "error", "unreadable"]
    assert {record.answers[0].model for record in scores if record.failure != "error"} == {"served-model-v2"}
    score(config, World())
    assert len(endpoint.asked) == 5  # the machine's failure is asked again, the judge's words stand
    assert sorted(str(record.failure) for record in read_records(path, Score)) == ["None"] * 3 + ["unreadable"]


def test_a_server_whose_model_changes_under_the_run_is_noticed(endpoint, photos_json, tmp_path):
    config = Config(
        benchmark=photos_json,
        run_dir=(tmp_path / "run",),
        editor=Unchanged(),
        judge=Server(model="org/served-model", base_url=endpoint.url, timeout_s=5),
    )
    assert edit(config, World()) == 0
    endpoint.steps = [completion(), completion() | {"model": "another-v3"}, completion()]
    score(config, World())
    logged = (config.the_run / "logs" / "score-served-model.rank0.log").read_text()
    assert "answered by another-v3 and served-model-v2: MORE THAN ONE MODEL" in logged


def test_the_command_line_takes_a_server():
    config = parse(
        "", ["--benchmark", "b.json", "--judge", "Server", "--judge.init_args.model", "Qwen/Qwen3-VL-30B-A3B-Instruct"]
    )
    assert config.judge == Server(model="Qwen/Qwen3-VL-30B-A3B-Instruct")
    assert config.the_scores == "Qwen3-VL-30B-A3B-Instruct"


def test_the_demo_s_judge_says_the_same_behind_transformers_serve(tmp_path):
    pytest.importorskip("fastapi", reason="transformers serve needs transformers[serving]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run, model, url = tmp_path / "run", locate("editbench:demo/judge"), f"http://127.0.0.1:{port}"
    command = ["transformers", "serve", model, "--device", "cpu", "--port", str(port)]
    with (tmp_path / "serve.log").open("wb") as log:
        serving = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)
        try:
            start("edit.py", "--config", "demo", "--editor", "Unchanged", "--limit", "1", "--run_dir", run)
            start("score.py", "--run_dir", run)
            _wait_until_it_serves(f"{url}/health", serving)
            init = {"model": model, "base_url": f"{url}/v1", "num_requests": "2"}
            judge = [arg for name, value in init.items() for arg in (f"--judge.init_args.{name}", value)]
            start("score.py", "--run_dir", run, "--judge", "Server", *judge, "--scores", "served")
        finally:
            serving.kill()
            serving.wait()
    ours, served = (rows(run / "scores" / f"{name}.jsonl") for name in ("demo-judge", "served"))
    assert [row["answers"][0]["reply"] for row in served] == [row["answers"][0]["reply"] for row in ours]
    assert [row["value"] for row in served] == [row["value"] for row in ours]
    assert {row["answers"][0]["model"] for row in served} == {model}


def _wait_until_it_serves(url: str, serving: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert serving.poll() is None
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(url)
