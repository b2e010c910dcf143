"""What a shot asks of its model beside its fields: checked against the row, part of the key, all mistakes at once."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.catalog.endpoints import KNOWN, input_of
from prefect_seedance.keys import key_of
from prefect_seedance.models import AUTO
from prefect_seedance.storyboard.reading import Defaults, ShotSpec, Storyboard, read_board
from tests.support.board_texts import read, shots, told

VIDU = "title: Film\ndefaults: {model: vidu-q3-t2v}\nshots:\n"


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def test_inputs_of_a_shot_stand_beside_those_of_the_defaults_and_before_them() -> None:
    board = await read(
        "title: Film\nvariables: {no: fog}\ndefaults:\n  model: wan-2-6-t2v\n"
        "  inputs: {seed: 7, negative_prompt: 'No {no}.', shot_type: Multi}\nshots:\n"
        "  - {id: a, prompt: x}\n"
        "  - {id: b, prompt: x, inputs: {seed: '8', shot_type: null, audio: https://x.org/a.wav}}\n"
    )
    assert (told(board), board.warnings) == ([], ())
    first, second = (shot.request.inputs for shot in board.shots if shot.request)
    assert first == {"seed": 7, "negative_prompt": "No fog.", "shot_type": "multi"}
    assert second == {"seed": 8, "negative_prompt": "No fog.", "audio": "https://x.org/a.wav"}
    assert board.shots[0].key != board.shots[1].key


async def test_inputs_are_sent_as_what_the_row_says_they_are() -> None:
    Image.new("RGB", (960, 640), "navy").save("good.png")
    at = "prompt: x, image: good.png"
    loras = "[{path: 'https://x.org/a.safetensors', scale: 1}, {path: 'https://x.org/b.safetensors', scale: '.5'}]"
    board = await read(
        shots(
            f"  - {{id: a, {at}, model: wan-2-2-i2v-720, inputs: {{guidance: 5, flow_shift: 3.0, seed: 1e3, "
            "enable_safety_checker: off}}",
            f"  - {{id: b, {at}, model: wan-2-2-t2v-720-lora, inputs: {{high_noise_loras: {loras}}}}}",
        )
    )
    assert told(board) == []
    first, second = (shot.request.inputs for shot in board.shots if shot.request)
    assert json.dumps(first, sort_keys=True) == (
        '{"enable_safety_checker": false, "flow_shift": 3, "guidance": 5.0, "seed": 1000}'
    )
    assert second == {
        "high_noise_loras": [
            {"path": "https://x.org/a.safetensors", "scale": 1.0},
            {"path": "https://x.org/b.safetensors", "scale": 0.5},
        ]
    }


async def test_a_wrong_input_names_its_line_and_what_the_row_takes_and_all_are_told_at_once() -> None:
    board = await read(
        VIDU
        + "  - id: a\n    prompt: x\n    inputs:\n      sed: 7\n      bgm: loud\n      style: oil\n      seed: -2\n"
        "  - {id: b, prompt: x, model: p-video, inputs: {seed: 1.5, draft: , negative_prompt: x}}\n"
        "  - {id: c, prompt: x, model: seedance-1-0-pro, inputs: {seed: 3}}\n"
        "  - {id: d, prompt: x, inputs: {duration: 3}}\n"
        "  - {id: e, prompt: x, model: wan-2-6-t2v, inputs: {negative_prompt: 'fog --dur 12', audio: 'ftp://x/a'}}\n"
    )
    vidu = (
        "it takes `style` (general or anime), `movement_amplitude` (auto or small or medium or large), "
        "`generate_audio` (true or false), `bgm` (true or false), `seed` (a whole number from -1 to 2147483647)"
    )
    pruna = (
        "it takes `draft` (true or false), `save_audio` (true or false), `prompt_upsampling` (true or false), "
        "`seed` (a whole number from 0 to 2147483647)"
    )
    assert told(board) == [
        f"board.yaml:7: shot a: `sed` is not an input of vidu-q3-t2v; {vidu}; did you mean `seed`?",
        "board.yaml:8: shot a: input `bgm` is `loud`; vidu-q3-t2v takes true or false here",
        "board.yaml:9: shot a: input `style` is `oil`; vidu-q3-t2v takes general or anime here",
        "board.yaml:10: shot a: input `seed` is `-2`; vidu-q3-t2v takes a whole number from -1 to 2147483647 here",
        "board.yaml:11: shot b: input `seed` is `1.5`; p-video takes a whole number from 0 to 2147483647 here",
        f"board.yaml:11: shot b: `negative_prompt` is not an input of p-video; {pruna}",
        "board.yaml:12: shot c: `seed` is not an input of seedance-1-0-pro; seedance-1-0-pro takes no inputs, "
        "so remove it or choose another model",
        "board.yaml:13: shot d: `duration` has a field of its own; write it beside `inputs`, not into it",
        "board.yaml:14: shot e: `--dur` in the negative_prompt can change the bill; use the fields, or write it "
        "without --",
        "board.yaml:14: shot e: input `audio` is `ftp://x/a`; wan-2-6-t2v takes an https:// link here",
    ]
    assert [shot.request for shot in board.shots] == [None] * 5


async def test_a_wrong_default_is_said_once_and_one_of_another_model_is_a_warning() -> None:
    board = await read(
        "title: Film\ndefaults:\n  model: vidu-q3-t2v\n  inputs: {bgm: true, seed: {a: b}}\nshots:\n"
        "  - {id: a, prompt: x}\n  - {id: b, prompt: x}\n"
        "  - {id: c, prompt: x, model: p-video, inputs: {seed: 3}}\n"
    )
    seed = "a whole number from -1 to 2147483647"
    assert told(board) == [f"board.yaml:4: input `seed` is several values; vidu-q3-t2v takes {seed} here"]
    assert [shot.problem for shot in board.shots] == [
        "the input `seed` of the defaults is wrong",
        "the input `seed` of the defaults is wrong",
        None,
    ]
    assert [str(one) for one in board.warnings] == [
        "board.yaml:8: shot c: input `bgm` of the defaults is not one of p-video; this shot is asked without it"
    ]


@pytest.mark.parametrize(
    "value",
    [
        "7",
        "[7]",
        "",
        "{seed: {}}",
        "{seed: [1, 2]}",
        "{1: 2}",
        "{seed: NaN}",
        "{seed: 1e999}",
        f"{{seed: {'9' * 5000}}}",
    ],
)
async def test_inputs_in_any_shape_are_a_problem_and_no_crash(value: str) -> None:
    assert told(await read(f"{VIDU}  - {{id: a, prompt: x, inputs: {value}}}\n"))


async def test_a_number_of_a_form_that_no_endpoint_takes_is_a_problem() -> None:
    for seed in (10**400, float("nan"), float("-inf"), True):
        spec = ShotSpec(id="a", prompt="x", model="vidu-q3-t2v", inputs={"seed": seed})
        board = await read_board(Storyboard(title="F", shots=(spec,)), catalog=KNOWN, store=None)
        assert "a whole number from -1 to 2147483647" in told(board)[0]


async def test_a_link_that_is_a_secret_is_refused() -> None:
    link = "https://bucket.org/a.wav?X-Amz-Signature=abc"
    (message,) = told(await read(shots(f"  - {{id: a, prompt: x, model: wan-2-6-t2v, inputs: {{audio: '{link}'}}}}")))
    assert "would be kept" in message
    assert "abc" not in message


async def test_what_an_endpoint_makes_nothing_without_is_asked_for() -> None:
    messages = told(await read(shots("  - {id: a, prompt: x, model: infinitetalk}")))
    assert messages[0] == (
        "board.yaml:3: shot a: infinitetalk needs the input `audio`, an https:// link; add it to `inputs`"
    )


async def test_asking_for_what_is_sent_anyway_is_no_other_request_and_no_second_payment() -> None:
    plain, same, music = [
        await read(f"{VIDU}  - {{id: a, prompt: x{more}}}\n")
        for more in ("", ", inputs: {bgm: false}", ", inputs: {bgm: true}")
    ]
    assert plain.shots[0].key == same.shots[0].key != music.shots[0].key
    draft = "  - {id: a, prompt: x, model: p-video, inputs: {draft: false}}"
    assert (await read(shots(draft))).shots[0].key == (await read(shots(draft.split(", inputs")[0] + "}"))).shots[0].key
    request = same.shots[0].request
    assert request is not None
    assert input_of(request, KNOWN["vidu-q3-t2v"], None, None)["bgm"] is False


async def test_a_draft_is_planned_at_the_price_of_a_draft() -> None:
    board = await read(shots("  - {id: a, prompt: x, model: p-video, duration: 10, inputs: {draft: yes}}"))
    assert (told(board), board.shots[0].estimated_usd) == ([], Decimal("0.05"))


async def test_a_length_that_nobody_can_choose_is_a_problem_and_auto_is_one_word() -> None:
    board = await read(
        shots("  - {id: a, prompt: x, duration: auto}", "  - {id: b, prompt: x, duration: automatic}",
              "  - {id: c, prompt: x, duration: -1}")
    )  # fmt: skip
    assert ShotSpec(id="a", prompt="x", duration="auto").duration == AUTO
    assert told(board) == [
        "board.yaml:3: shot a: seedance-1-0-pro does not choose the length itself; name a duration, such as 5",
        "board.yaml:4: shot b: `duration` must be a whole number, not `automatic`",
        "board.yaml:5: shot c: seedance-1-0-pro does not choose the length itself; name a duration, such as 5",
    ]


async def test_a_row_that_speaks_makes_no_clips() -> None:
    board = await read("title: F\ndefaults: {model: chatterbox-turbo}\nshots:\n  - {id: a, prompt: x}\n")
    assert told(board) == [
        "board.yaml:2: chatterbox-turbo speaks texts and makes no clips; choose a model that makes them"
    ]
    assert board.shots[0].problem == "the model of the defaults is wrong"


async def test_inputs_of_a_form_are_typed_as_those_of_a_file() -> None:
    board = Storyboard(
        title="board",
        defaults=Defaults(model="vidu-q3-t2v", inputs={"seed": 7, "bgm": True}),
        shots=(ShotSpec(id="a", prompt="x", duration="auto"),),
    )
    assert board.shots[0].duration == AUTO
    made = await read_board(
        board.model_copy(update={"shots": (ShotSpec(id="a", prompt="x"),)}), catalog=KNOWN, store=None
    )
    written = await read(
        "title: F\ndefaults: {model: vidu-q3-t2v, inputs: {seed: 7, bgm: true}}\nshots:\n  - {id: a, prompt: x}\n"
    )
    assert made.shots[0].request is not None
    assert written.shots[0].key == made.shots[0].key == key_of(made.shots[0].request)


async def test_a_cell_of_a_shot_list_holds_inputs_and_cast() -> None:
    board = await read("id,prompt,model,inputs,duration\na,x,vidu-q3-t2v,seed=7; style = anime,3\nb,x,,,\n", "b.csv")
    assert told(board) == []
    assert [shot.request.inputs for shot in board.shots if shot.request] == [{"seed": 7, "style": "anime"}, {}]
