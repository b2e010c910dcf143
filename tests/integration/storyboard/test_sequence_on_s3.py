"""Pictures under an S3 prefix become clips as those of a folder do."""

from __future__ import annotations

import pytest

from prefect_seedance.storage import open_store
from tests.support.board_texts import told
from tests.support.pictures import plain_picture
from tests.support.s3_server import RunningS3
from tests.support.sequences import asked, of, read


@pytest.mark.parametrize("pattern", ["", "/", "/*.png"])
async def test_pictures_on_s3_are_read_with_the_keys_of_the_store(s3_server: RunningS3, pattern: str) -> None:
    url = f"s3://{s3_server.new_bucket()}/some"
    store = open_store(url, key="k", secret="s", endpoint_url=s3_server.endpoint_url, region="us-east-1")
    for number in (1, 2, 10):
        await store.write(f"frames/img{number}.png", plain_picture(number))
    await store.write("frames/img2.txt", b"Fog.")
    await store.write("frames/below/img3.png", plain_picture(3))
    board = await read(f"{url}/frames{pattern}", store=store)
    assert (told(board), board.title) == ([], "frames")
    wanted = [("img1", "Waves."), ("img2", "Fog."), ("img10", "Waves.")]
    assert asked(board) == wanted
    assert of(board.shots[0].image) == f"{url}/frames/img1.png"
    await store.aclose()
