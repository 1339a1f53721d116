"""From a Budget to the model that keeps it, and the frontier found on the way."""

from shoestring.plan.compress import Outcome, clean, compress
from shoestring.plan.frontier import Point, undominated

__all__ = ["Outcome", "Point", "clean", "compress", "undominated"]
