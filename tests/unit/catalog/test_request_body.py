"""What is sent to an endpoint: what was asked for, in its own words, and off what it would switch on by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefect_seedance.catalog.endpoints import KNOWN, input_of, with_rows
from prefect_seedance.catalog.inputs import problems_of
from prefect_seedance.catalog.loading import refuse_wrong
from prefect_seedance.errors import BadInput
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.record import Record
from prefect_seedance.models import AUTO, Picture, Request
from tests.support.renderer import accepted
from tests.support.rows import SEEDANCE_2

MakeRequest = Callable[..., Request]
NEXT = with_rows([SEEDANCE_2])["seedance-2-5"]
FACE = Picture(sha256="ab" * 32, format="PNG", width=640, height=480, bytes=1000, source="keeper.png")
TOWER = FACE.model_copy(update={"sha256": "cd" * 32})


def test_background_music_and_rewriting_are_sent_as_off_and_own_sound_is_kept(make_request: MakeRequest) -> None:
    vidu = input_of(make_request(model="vidu-q3-t2v", size="720x1280"), KNOWN["vidu-q3-t2v"], None, None)
    assert vidu == {
        "prompt": "A lighthouse.", "duration": 2, "resolution": "720p", "aspect_ratio": "9:16", "bgm": False,
    }  # fmt: skip
    video = input_of(make_request(model="p-video", size="1080x720"), KNOWN["p-video"], None, None)
    assert (video["prompt_upsampling"], video["aspect_ratio"]) == (False, "3:2")
    assert "save_audio" not in video


def test_what_is_asked_for_is_sent_in_the_place_of_what_is_sent_usually(make_request: MakeRequest) -> None:
    asked = {"bgm": True, "seed": 7, "style": "anime"}
    request = make_request(model="vidu-q3-t2v", size="1280x720", inputs=asked)
    assert asked.items() <= input_of(request, KNOWN["vidu-q3-t2v"], None, None).items()


def test_a_request_without_inputs_has_the_key_and_the_record_that_it_had_before(make_request: MakeRequest) -> None:
    assert key_of(make_request(inputs={}, references=())) == key_of(make_request())
    assert key_of(make_request(prompt="x", size="1920x1080", duration=5)) == "sd1-925d5d99195b18862a092b7c86d691a7"
    fields = accepted("A boat.").model_dump(mode="json")["request"]
    assert set(fields) == {"model", "prompt", "size", "duration", "fps", "take", "image", "last_image"}


def test_a_record_with_inputs_and_references_is_read_back_as_it_was(make_request: MakeRequest) -> None:
    request = make_request(inputs={"guidance": 5.0, "seed": 7, "draft": True}, references=(FACE, TOWER))
    record = accepted("A boat.").model_copy(update={"request": request})
    again = Record.model_validate_json(record.model_dump_json()).request
    assert again == request
    assert key_of(again) == key_of(request)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"inputs": {"seed": 1}}, {}),
        ({"inputs": {"seed": 1}}, {"inputs": {"seed": 2}}),
        ({"inputs": {"seed": 1}}, {"inputs": {"seed": True}}),
        ({"inputs": {"seed": 0}}, {}),
        ({"references": (FACE,)}, {}),
        ({"references": (FACE, TOWER)}, {"references": (TOWER, FACE)}),
        ({"references": (FACE,)}, {"image": FACE}),
        ({"duration": AUTO}, {}),
    ],
    ids=str,
)
def test_other_inputs_and_another_order_of_references_are_other_requests(
    one: dict[str, object], other: dict[str, object], make_request: MakeRequest
) -> None:
    assert key_of(make_request(**one)) != key_of(make_request(**other))


def test_inputs_and_references_count_by_content(make_request: MakeRequest) -> None:
    one = make_request(inputs={"a": 1.0, "negative_prompt": "caf\u00e9"}, references=(FACE,))
    elsewhere = FACE.model_copy(update={"source": "s3://bucket/x.png"})
    other = make_request(inputs={"negative_prompt": "cafe\u0301", "a": 1}, references=(elsewhere,))
    assert key_of(one) == key_of(other)


def test_references_are_sent_in_their_order_and_a_picture_decides_the_ratio(make_request: MakeRequest) -> None:
    request = make_request(model=NEXT.slug, size="720x1280", duration=AUTO, references=(FACE, TOWER))
    links = ["https://x/1", "https://x/2"]
    sent = input_of(request, NEXT, None, None, links)
    assert (sent["images"], sent["ratio"], sent["duration"]) == (links, "9:16", -1)
    assert (sent["watermark"], "generate_audio" in sent) == (False, False)
    assert input_of(request, NEXT, "https://x/a.png", None, links)["ratio"] == "adaptive"
    kling = KNOWN["kling-video-o1-r2v"]
    sent = input_of(make_request(model=kling.slug, size="1440x1440"), kling, None, None, links)
    assert sent == {"prompt": "A lighthouse.", "duration": 2, "images": links, "aspect_ratio": "1:1"}


def test_a_length_that_is_no_input_is_not_sent(make_request: MakeRequest) -> None:
    model = KNOWN["infinitetalk"]
    request = make_request(model=model.slug, size="854x480", duration=AUTO, inputs={"audio": "https://x/a.wav"})
    assert input_of(request, model, "https://x/a.png", None) == {
        "prompt": "A lighthouse.",
        "image": "https://x/a.png",
        "size": "480p",
        "audio": "https://x/a.wav",
    }


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"sed": 7}, "`sed` is not an input of vidu-q3-t2v; it takes `style`"),
        ({"seed": "7"}, "input `seed` is '7'; vidu-q3-t2v takes a whole number from -1 to 2147483647 here"),
        ({"bgm": 1}, "input `bgm` is `1`; vidu-q3-t2v takes true or false here"),
        ({"style": "Anime"}, "input `style` is 'Anime'; vidu-q3-t2v takes general or anime here"),
    ],
    ids=str,
)
def test_a_request_made_by_a_program_is_held_to_the_row_before_anything_is_paid(
    inputs: dict[str, object], words: str, make_request: MakeRequest
) -> None:
    size = KNOWN["vidu-q3-t2v"].default_size
    refuse_wrong(make_request(model="vidu-q3-t2v", size=size, inputs={"seed": 7, "bgm": False}), KNOWN)
    with pytest.raises(BadInput) as refused:
        refuse_wrong(make_request(model="vidu-q3-t2v", size=size, inputs=inputs), KNOWN)
    assert words in str(refused.value)
    assert "nothing was submitted" in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"size": "10x10"}, "seedance-1-0-pro has no size 10x10; it has "),
        ({"duration": 999}, "seedance-1-0-pro has no duration 999; it has 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"),
        ({"duration": AUTO}, f"seedance-1-0-pro has no duration {AUTO}; it has 2, "),
        ({"fps": 7}, "seedance-1-0-pro has no frame rate 7; it has 24"),
    ],
    ids=str,
)
def test_a_size_duration_or_rate_that_the_row_does_not_have_is_refused_before_anything_is_paid(
    changed: dict[str, object], words: str, make_request: MakeRequest
) -> None:
    with pytest.raises(BadInput, match="nothing was submitted") as refused:
        refuse_wrong(make_request(**changed), KNOWN)
    assert words in str(refused.value)


@pytest.mark.parametrize("slug", KNOWN)
def test_what_a_row_takes_as_usual_is_not_refused(slug: str, make_request: MakeRequest) -> None:
    row = KNOWN[slug]
    for duration in row.durations or (AUTO,):
        for size in row.sizes or ("",):
            request = make_request(model=slug, size=size, duration=duration, fps=row.fps[0] if row.fps else 24)
            assert [one for one in problems_of(request, row) if "needs the input" not in one] == []
