"""The pretend Runpod breaks each of the real one's promises on request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_seedance.errors import ClipDamaged
from prefect_seedance.video.clips import examine
from tests.support.calling import LATENCY, SLUG, Caller
from tests.support.emulating import RunningEmulator

# Faults of a POST: what the client sees, and whether it is on the bill


@pytest.mark.parametrize("call", ["run", "runsync"])
@pytest.mark.parametrize(
    ("fault", "error", "charged"),
    [
        ({"fault": "drop"}, httpx.RemoteProtocolError, 0),
        ({"fault": "drop_after"}, httpx.RemoteProtocolError, 1),
        ({"fault": "silent", "seconds": 0.1}, httpx.RemoteProtocolError, 1),
        ({"fault": "silent", "seconds": 0.1, "accept": False}, httpx.RemoteProtocolError, 0),
        ({"fault": "half"}, httpx.RemoteProtocolError, 1),
    ],
)
def test_a_broken_connection_is_seen_as_one(
    call: str, fault: dict[str, Any], error: type[Exception], charged: int, instant: RunningEmulator
) -> None:
    before = len(instant.charges)
    instant.fault(call, **fault)
    with pytest.raises(error):
        Caller(instant).run(call=call)
    assert len(instant.charges) - before == charged


@pytest.fixture(scope="module")
def instant() -> Iterator[RunningEmulator]:
    """Completes every job at once."""
    with RunningEmulator.start(latency=0.001) as emulator:
        yield emulator


def test_silence_lasts_until_the_client_gives_up(caller: Caller) -> None:
    before = len(caller.emulator.charges)
    caller.emulator.fault("run", "silent")
    caller.http.timeout = httpx.Timeout(0.3)
    with pytest.raises(httpx.ReadTimeout):
        caller.run()
    assert len(caller.emulator.charges) - before == 1


@pytest.mark.parametrize(
    ("fault", "code", "kind", "charged"),
    [
        ({"fault": "status", "code": 500}, 500, "application/json", 0),
        ({"fault": "status", "code": 502, "html": True}, 502, "text/html; charset=utf-8", 0),
        ({"fault": "status", "code": 524, "html": True}, 524, "text/html; charset=utf-8", 0),
        ({"fault": "status", "code": 503, "accept": True}, 503, "application/json", 1),
        ({"fault": "status", "code": 400}, 400, "application/json", 0),
        ({"fault": "status", "code": 401}, 401, "application/json", 0),
        ({"fault": "status", "code": 403}, 403, "application/json", 0),
        ({"fault": "status", "code": 404}, 404, "application/json", 0),
        ({"fault": "html"}, 200, "text/html; charset=utf-8", 0),
        ({"fault": "no_id"}, 200, "application/json", 1),
        ({"fault": "redirect"}, 307, None, 1),
        ({"fault": "slow", "seconds": 0}, 200, "application/json", 1),
    ],
)
def test_a_post_gets_the_wrong_answer(
    caller: Caller, fault: dict[str, Any], code: int, kind: str | None, charged: int
) -> None:
    before = len(caller.emulator.charges)
    caller.emulator.fault("run", **fault)
    answer = caller.run()
    assert (answer.status_code, answer.headers.get("content-type")) == (code, kind)
    assert ('"id"' in answer.text) == (fault["fault"] == "slow" or code == 400)
    assert len(caller.emulator.charges) - before == charged
    assert caller.run().status_code == 200  # once only


def test_too_many_requests_says_when_to_come_back(caller: Caller) -> None:
    caller.emulator.fault("run", "status", code=429, retry_after=1.5)
    answer = caller.run()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1.5")
    assert answer.json()["title"] == "Too Many Requests"


def test_who_follows_a_redirected_post_pays_twice(caller: Caller) -> None:
    before = len(caller.emulator.charges)
    caller.emulator.fault("run", "redirect")
    caller.http.follow_redirects = True
    caller.accepted()
    assert len(caller.emulator.charges) - before == 2


def test_a_gateway_can_accept_after_it_gave_up(caller: Caller) -> None:
    before = caller.emulator.bill()
    caller.emulator.fault("run", "accept_late", seconds=300)
    assert caller.run().status_code == 504
    assert caller.emulator.bill() == before
    caller.emulator.advance(300)
    assert len(caller.emulator.bill()["charges"]) - len(before["charges"]) == 1


# Faults of a job


@pytest.mark.parametrize("on", ["run", "status"])
@pytest.mark.parametrize(
    ("fault", "word", "error", "usd"),
    [
        ({"fault": "moderated"}, "FAILED", "InputTextSensitiveContentDetected", 0),
        ({"fault": "failed", "error": "worker lost"}, "FAILED", "worker lost", 0),
        ({"fault": "failed", "cost": 0.03}, "FAILED", "crashed", 0.03),
        ({"fault": "timed_out"}, "TIMED_OUT", "", 0),
        ({"fault": "cancelled"}, "CANCELLED", "", 0.05),
    ],
)
def test_a_job_ends_badly(caller: Caller, on: str, fault: dict[str, Any], word: str, error: str, usd: float) -> None:
    caller.emulator.fault(on, **fault)
    body = caller.ended()
    assert body["status"] == word
    assert error in body.get("error", "")
    assert body.get("output", {}).get("cost") == fault.get("cost")
    assert "video_url" not in body.get("output", {})
    assert caller.charge(body["id"]) == usd
    assert caller.look(body["id"]).json() == body  # for good


def test_the_moderation_error_is_json_in_a_string(caller: Caller) -> None:
    caller.emulator.fault("run", "moderated")
    nested = json.loads(caller.ended()["error"].partition(", ")[2])
    assert nested["error"]["code"] == "InputTextSensitiveContentDetected"


def test_a_job_can_run_for_ever(caller: Caller) -> None:
    caller.emulator.fault("run", "never")
    body = caller.ended()
    caller.emulator.advance(30 * 24 * 3600)
    assert caller.look(body["id"]).json()["status"] == "IN_PROGRESS"
    assert caller.charge(body["id"]) == 0.05


@pytest.mark.parametrize("on", ["run", "status"])
def test_a_record_can_vanish(caller: Caller, on: str) -> None:
    caller.emulator.fault(on, "purged")
    job = caller.accepted()
    assert [caller.look(job).json()["detail"] for _ in range(2)] == ["job not found"] * 2
    assert caller.charge(job) == 0.05


def test_a_fresh_job_can_be_hidden_for_a_while(caller: Caller) -> None:
    caller.emulator.fault("status", "hidden", times=2)
    caller.look("no-such-job")  # is not counted
    job = caller.accepted()
    assert [caller.look(job).status_code for _ in range(3)] == [404, 404, 200]


def test_a_link_can_be_signed_anew_at_every_look(caller: Caller) -> None:
    job = caller.accepted()
    caller.emulator.advance(LATENCY)
    caller.emulator.fault("status", "signed", times=2)
    links = [caller.look(job).json()["output"]["video_url"] for _ in range(3)]
    assert len(set(links)) == 3
    assert {caller.http.get(link).status_code for link in links} == {200}


def test_an_unknown_word_can_come_up(caller: Caller) -> None:
    caller.emulator.fault("status", "unknown_word", times=2)
    job = caller.accepted()
    words = [caller.look(job).json()["status"] for _ in range(3)]
    assert words == ["WARMING_UP", "WARMING_UP", "IN_QUEUE"]


@pytest.mark.parametrize("shape", ["result", "url", "bare", "none"])
@pytest.mark.parametrize("call", ["run", "runsync"])
def test_the_output_has_many_shapes(instant: RunningEmulator, call: str, shape: str) -> None:
    caller = Caller(instant)
    instant.fault("status" if call == "run" else call, "shape", as_=shape)
    body = caller.run(call=call).json()
    while body["status"] != "COMPLETED":
        body = caller.look(body["id"]).json()
    link = f"{instant.origin}/media/{body['id']}/output.mp4"
    shapes = {"result": {"result": link, "cost": 0.05}, "url": {"url": link, "cost": 0.05}, "bare": link}
    assert body["output"] == shapes.get(shape, {"cost": 0.05})


@pytest.mark.parametrize("on", ["status", "cancel", "media"])
def test_every_call_can_break(caller: Caller, on: str) -> None:
    body = caller.ended()
    calls = {
        "status": lambda: caller.look(body["id"]),
        "cancel": lambda: caller.http.post(f"/{SLUG}/cancel/{body['id']}"),
        "media": lambda: caller.http.get(body["output"]["video_url"]),
    }
    for fault in ("drop", "drop_after", "half"):
        caller.emulator.fault(on, fault)
        with pytest.raises(httpx.RemoteProtocolError):
            calls[on]()
    for code in (401, 403, 404, 429, 500, 502):
        caller.emulator.fault(on, "status", code=code)
        assert calls[on]().status_code == code
    caller.emulator.fault(on, "html")
    assert "<html>" in calls[on]().text
    assert calls[on]().status_code == 200


# Faults of a download


def test_a_download_breaks_off_in_the_middle(caller: Caller) -> None:
    link = caller.ended()["output"]["video_url"]
    whole = caller.http.get(link).content
    caller.emulator.fault("media", "truncated")
    got: list[bytes] = []
    with caller.http.stream("GET", link) as answer:
        assert int(answer.headers["content-length"]) == len(whole)
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            got.extend(answer.iter_raw())
    assert b"".join(got) == whole[: len(whole) // 2]
    assert caller.http.get(link).content == whole


@pytest.mark.parametrize("fault", ["short", "corrupt"])
def test_a_download_that_looks_whole_can_be_damaged(caller: Caller, tmp_path: Path, fault: str) -> None:
    link = caller.ended()["output"]["video_url"]
    whole = caller.http.get(link).content
    caller.emulator.fault("media", fault)
    answer = caller.http.get(link)
    assert answer.status_code == 200
    assert (len(answer.content) < len(whole)) == (fault == "short")
    (tmp_path / "clip.mp4").write_bytes(answer.content)
    with pytest.raises(ClipDamaged):
        examine(tmp_path / "clip.mp4")


def test_a_link_can_be_gone(caller: Caller) -> None:
    link = caller.ended()["output"]["video_url"]
    caller.emulator.fault("media", "gone")
    assert [caller.http.get(link).status_code for _ in range(2)] == [404, 200]


def test_a_download_can_be_slow(caller: Caller) -> None:
    link = caller.ended()["output"]["video_url"]
    caller.http.get(link)
    caller.emulator.fault("media", "slow", seconds=60)
    caller.http.timeout = httpx.Timeout(0.3)
    with pytest.raises(httpx.ReadTimeout):
        caller.http.get(link)


# The rules


def test_a_rule_counts_the_calls_it_matches(caller: Caller) -> None:
    caller.emulator.fault("run", "status", code=503, prompt="storm", after=1, times=2)
    codes = [caller.run(prompt=prompt).status_code for prompt in ("calm", *["a storm at sea"] * 4, "calm")]
    assert codes == [200, 200, 503, 503, 200, 200]


def test_of_two_rules_each_strikes_in_its_turn(caller: Caller) -> None:
    for code in (502, 503):
        caller.emulator.fault("run", "status", code=code)
    assert [caller.run().status_code for _ in range(3)] == [502, 503, 200]


def test_rules_come_from_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text('[{"on": "run", "fault": "status", "code": 418}]')
    with RunningEmulator.start(faults=tmp_path / "faults.json") as emulator:
        assert [Caller(emulator).run().status_code for _ in range(2)] == [418, 200]


@pytest.mark.parametrize(
    "rule", [{"on": "run", "fault": "nonsense"}, {"on": "media", "fault": "moderated"}, {"on": "run", "fault": "short"}]
)
def test_a_rule_that_makes_no_sense_is_refused(caller: Caller, rule: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match=rule["fault"]):
        caller.emulator.fault(**rule)
