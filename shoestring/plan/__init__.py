"""From a Budget to the model that keeps it, and the frontier found on the way."""

from shoestring.plan.compress import Outcome, clean, compress
from shoestring.plan.frontier import Point, undominated
from shoestring.plan.main_job import Report, main_job

__all__ = ["Outcome", "Point", "Report", "clean", "compress", "main_job", "undominated"]
