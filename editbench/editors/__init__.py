"""Editors: each takes source images and an instruction and gives an edited image."""

from editbench.editors.controls import Saved, Unchanged
from editbench.editors.diffusers_editor import Diffusers, QwenImageEdit, QwenImageEditPlus
from editbench.editors.editor import Edited, EditFailed, Editor, EditRefused
from editbench.editors.images_api import ImagesAPI
from editbench.editors.live import LivePipeline

__all__ = [
    "Diffusers",
    "EditFailed",
    "EditRefused",
    "Edited",
    "Editor",
    "ImagesAPI",
    "LivePipeline",
    "QwenImageEdit",
    "QwenImageEditPlus",
    "Saved",
    "Unchanged",
]
