"""Rows of one's own, as they stand in a file that PREFECT_SEEDANCE_CATALOG names."""

from __future__ import annotations

from typing import Any

import yaml

SEEDANCE_2_YAML = """\
slug: seedance-2-5
title: Seedance 2.5
last_image_key: last_image
references: {key: images, at_most: 30}
size_as: tier and ratio
size_key: resolution
ratio_key: ratio
ratio_with_image: adaptive
durations: [5, 4-30]
auto: {send: -1, at_most: 30}
inputs:
  generate_audio: {type: bool, default: true}
  watermark: {type: bool, default: true, send: false}
  seed: {type: int, least: -1, most: 4294967295, default: -1}
  videos: {type: list, items: {type: link}, most: 10}
tiers:
  - name: 720p
    sizes: [1280x720, 720x1280, 960x960, 1112x834, 834x1112, 1470x630]
    per_second: 0.18
  - name: 480p
    sizes: [864x496, 496x864, 640x640, 752x560, 560x752, 992x432]
    per_second: 0.09
    when: [{inputs: {generate_audio: false}, per_second: 0.08}]
checked: 2026-11-26
source: a page of the vendor
"""
SEEDANCE_2: dict[str, Any] = yaml.safe_load(SEEDANCE_2_YAML)
"""The shape of Seedance 2.x: 4 to 30 s, up to 30 reference pictures, adaptive ratio, a length that it chooses."""
