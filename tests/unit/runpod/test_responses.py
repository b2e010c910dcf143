"""Every shape of answer that has been documented or seen is read; nothing unsure is called sure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prefect_seedance.catalog.pricing import cost_of, may_have_cost
from prefect_seedance.ledger.record import FailureReason
from prefect_seedance.runpod.responses import as_kept, classify, failure_of, link_in, message_of, without_input


@pytest.mark.parametrize(
    ("word", "ended"),
    [
        ("COMPLETED", "completed"),
        ("FAILED", "failed"),
        ("TIMED_OUT", "failed"),
        ("CANCELLED", "cancelled"),
        ("IN_QUEUE", None),
        ("IN_PROGRESS", None),
        ("RUNNING", None),
        ("WARMING_UP", None),
        (404, None),
        (None, None),
    ],
)
def test_status_words_end_a_job_only_when_they_are_known_to(word: object, ended: str | None) -> None:
    assert classify(word) == ended


@pytest.mark.parametrize(
    "output",
    [
        {"video_url": "https://v/a.mp4", "cost": 0.1},
        {"result": "https://v/a.mp4", "cost": 0.1},
        {"url": "https://v/a.mp4"},
        "https://v/a.mp4",
        {"video_url": None, "result": "https://v/a.mp4"},
    ],
)
def test_the_clips_link_is_found_in_every_known_shape(output: Any) -> None:
    assert link_in({"output": output}) == "https://v/a.mp4"


@pytest.mark.parametrize(
    "body",
    [
        {"output": {"video_url": "http://v/a.mp4"}},
        {"output": {"status": "error"}},
        {"input": {"image": "https://v/a.png"}, "output": {}},
        {"video_url": "https://v/a.mp4"},
        {},
    ],
)
def test_a_link_is_never_guessed(body: dict[str, Any]) -> None:
    assert link_in(body) is None


NESTED = (
    'Error submitting task: 400, {"code":400,"message":"Invalid request body: field resolution must be one of [720p]"}'
)


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ({"error": NESTED}, "bad parameter", "Invalid request body: field resolution must be one of [720p]"),
        ({"error": {"message": "executionTimeout exceeded"}}, "timeout", "executionTimeout exceeded"),
        ({"status": "TIMED_OUT"}, "timeout", "no reason given"),
        (
            {"error": '{"error":{"code":"InputTextSensitiveContentDetected","message":"refused"}}'},
            "moderated input",
            "InputTextSensitiveContentDetected refused",
        ),
        ({"error": "OutputVideoSensitiveContentDetected.PolicyViolation"}, "moderated output", None),
        ({"output": {"error": "worker exited"}}, "other", "worker exited"),
    ],
)
def test_a_failure_says_why_however_deep_the_reason_lies(body: dict[str, Any], kind: str, message: str | None) -> None:
    found, told = failure_of(body)
    assert found == kind == FailureReason(found)
    assert message is None or told == message


def test_errors_of_odd_types_are_read_too() -> None:
    assert message_of({"error": ["first", "second"]}, None) == "first"
    assert message_of({"status": 404, "title": "Not Found", "detail": "job not found"}, None) == "job not found"
    assert message_of({"error": "x" * 1000}, None) == "x" * 300


@pytest.mark.parametrize(
    "error",
    ['{"error": ' + "[" * 5000 + "]" * 5000 + "}", '{"a":' * 5000 + "1" + "}" * 5000, "{" * 5000],
    ids=["lists", "objects", "no JSON"],
)
def test_a_reason_that_is_nested_beyond_reading_is_a_reason_all_the_same(error: str) -> None:
    kind, told = failure_of({"status": "FAILED", "error": error})
    assert kind == "other"
    assert 0 < len(told) <= 300


def test_a_reason_that_is_a_list_in_a_list_is_told() -> None:
    nested: list[Any] = []
    for _ in range(900):
        nested = [nested, "why"]
    assert "why" in message_of({"error": nested}, None)


HUGE = ["x" * 1000] * 100


def both_ends(text: str) -> str:
    return f"{text[:1000]}…{text[-1000:]}"


WHOLE = {"id": "job", "status": "COMPLETED", "output": {"video_url": "https://v/a.mp4", "cost": 0.1}}


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (WHOLE | {"delayTime": 3}, WHOLE | {"delayTime": 3}),
        (WHOLE | {"delayTime": 3, "logs": HUGE, "input": {"image": "https://secret"}}, WHOLE),
        (WHOLE | {"output": WHOLE["output"] | {"frames": HUGE}}, WHOLE),  # type: ignore[operator]
        (
            {
                "output": {
                    "video_url": "http://v/a.mp4",
                    "result": "https://v/b.mp4",
                    "url": "https://v/c.mp4",
                    "frames": HUGE,
                }
            },
            {"output": {"video_url": "http://v/a.mp4", "result": "https://v/b.mp4"}},
        ),
        ({"output": {"seed": 7}, "logs": HUGE}, {"output": {"seed": 7}}),
        ({"output": "https://v/" + "a" * 60_000, "logs": HUGE}, {"output": "https://v/" + "a" * 60_000}),
        ({"output": "https://v/" + "a" * 70_000}, {"output": "…"}),
        ({"output": {"url": "https://v/" + "a" * 70_000}}, {"output": {}}),
        ({"output": HUGE, "cost": 0.2}, {"output": both_ends(json.dumps(HUGE)), "cost": 0.2}),
        (
            {"error": "y" * 70_000, "cost": HUGE},
            {"error": both_ends("y" * 70_000), "cost": both_ends(json.dumps(HUGE))},
        ),
    ],
    ids=[
        "of the usual size",
        "logs",
        "frames",
        "links",
        "small output",
        "bare",
        "no link",
        "no link either",
        "a list",
        "an error",
    ],
)
def test_of_an_answer_out_of_measure_is_kept_what_leads_to_the_clip_and_its_cost(
    body: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert as_kept(body) == kept
    assert may_have_cost(as_kept(body)) == may_have_cost(body)
    assert cost_of(as_kept(body)) == cost_of(body)


def test_of_a_failure_out_of_measure_its_kind_is_kept() -> None:
    said = {"code": "OutputVideoSensitiveContentDetected", "message": "refused"}
    kept = as_kept({"status": "FAILED", "error": said, "output": {"frames": HUGE}})
    assert failure_of(kept) == ("moderated output", "OutputVideoSensitiveContentDetected refused")
    traceback = "Traceback\n" + "  line\n" * 20_000 + "InputImageSensitiveContentDetected"
    assert failure_of(as_kept({"status": "FAILED", "error": traceback}))[0] == "moderated input"
    output = {"reason": "nsfw", "logs": HUGE}
    assert failure_of(as_kept({"status": "FAILED", "output": output}))[0] == "moderated input"


def test_what_an_answer_echoes_of_the_request_is_not_kept() -> None:
    assert without_input({"id": "1", "input": {"image": "https://secret"}, "webhook": "https://w"}) == {"id": "1"}
