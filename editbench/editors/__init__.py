"""Editors: each takes a source image and an instruction and gives an edited image."""

from editbench.editors.controls import Saved, Unchanged
from editbench.editors.diffusers_editor import Diffusers, QwenImageEdit
from editbench.editors.editor import EditFailed, Editor, EditRefused

__all__ = ["Diffusers", "EditFailed", "EditRefused", "Editor", "QwenImageEdit", "Saved", "Unchanged"]
