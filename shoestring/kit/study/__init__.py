"""A study: what was tried of a model, remembered once, safe among processes and kills."""

from shoestring.kit.study.study import Study, StudyHeld, StudyMismatch
from shoestring.kit.study.trial import Trial

__all__ = ["Study", "StudyHeld", "StudyMismatch", "Trial"]
