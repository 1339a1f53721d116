"""A study: the trials of a model, stored once, safe with several processes and after kills."""

from shoestring.kit.study.alone import alone, check_free
from shoestring.kit.study.study import Study, StudyHeld, StudyMismatch
from shoestring.kit.study.trial import Trial

__all__ = ["Study", "StudyHeld", "StudyMismatch", "Trial", "alone", "check_free"]
