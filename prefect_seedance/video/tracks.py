"""The tracks of a film: picture, sound and captions, written so that what belongs together lies together."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.subtitles.stream import SubtitleStream

MILLISECOND = Fraction(1, 1000)

CAPTION_STYLE = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Alignment
Style: Default,Arial,16,&Hffffff,2

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""How captions look where a player does not choose itself, as FFmpeg wants to be told: in the middle below, white."""


class Beside(NamedTuple):
    """What a film has beside its picture.

    *sound* is an MP4 with one track, as long as the film; captions are begin, end and text. A film whose clips are
    shorter than *seconds* holds its last frame until then.
    """

    sound: Path | None = None
    captions: Sequence[tuple[Fraction, Fraction, str]] = ()
    seconds: Fraction = Fraction(0)


SILENT = Beside()


class Tracks:
    """Writes a film. First `begin`, then `show` the packets of the picture in their order, then `end`."""

    def __init__(
        self, target: av.container.OutputContainer, beside: Beside, sound: av.container.InputContainer | None
    ) -> None:
        self.target = target
        self._beside, self._sound = beside, sound
        self._last: av.Packet[Any] | None = None  # held back, since only the next one tells that it is not the last

    def begin(self, picture: av.VideoStream) -> None:
        """Nothing can be written before all streams are known; *picture* was the first."""
        self._picture = picture
        tracks = []
        if self._sound is not None:
            source = self._sound.streams.audio[0]
            tracks.append(_sound_packets(self._sound, source, self.target.add_stream_from_template(source)))
        if self._beside.captions:
            stream = self.target.add_stream("mov_text")
            assert isinstance(stream, SubtitleStream)
            stream.time_base = stream.codec_context.time_base = MILLISECOND
            stream.codec_context.subtitle_header = CAPTION_STYLE
            tracks.append(_caption_packets(self._beside.captions, stream))
        self._waiting = heapq.merge(*tracks, key=lambda packet: packet[0])
        self._next = next(self._waiting, None)

    def show(self, packets: Iterable[av.Packet[Any]]) -> None:
        """The next packets of the picture."""
        for packet in packets:
            self._write_last()
            packet.stream = self._picture
            self._last = packet

    def end(self, ends: Fraction) -> None:
        """The picture *ends* then; its last frame is held as long as the film is."""
        last, least = self._last, self._beside.seconds
        if last is not None and least > ends and last.time_base:
            last.duration = round(least / last.time_base) - (last.pts or 0)
        self._write_last()
        self._write_beside(None)

    def _write_last(self) -> None:
        if self._last is not None:
            self._write_beside((self._last.dts or 0) * (self._last.time_base or Fraction(1)))
            self.target.mux(self._last)
            self._last = None

    def _write_beside(self, until: Fraction | None) -> None:
        while self._next is not None and (until is None or self._next[0] <= until):
            self.target.mux(self._next[1])
            self._next = next(self._waiting, None)


def _sound_packets(
    file: av.container.InputContainer, source: av.AudioStream, stream: av.AudioStream
) -> Iterator[tuple[Fraction, av.Packet[Any]]]:
    for packet in file.demux(source):
        if packet.dts is not None:
            at = packet.dts * (source.time_base or Fraction(1))
            packet.stream = stream
            yield at, packet


def _caption_packets(
    captions: Iterable[tuple[Fraction, Fraction, str]], stream: SubtitleStream
) -> Iterator[tuple[Fraction, av.Packet[Any]]]:
    for begins, ends, text in captions:
        content = text.encode()
        packet = av.Packet(len(content).to_bytes(2, "big") + content)
        packet.pts = packet.dts = round(begins / MILLISECOND)
        packet.duration = round(ends / MILLISECOND) - packet.pts
        packet.time_base, packet.stream, packet.is_keyframe = MILLISECOND, stream, True
        yield begins, packet
