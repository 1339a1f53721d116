"""Planning: from a Budget to a file that keeps it, and the frontier of files found on the way."""

from shoestring.plan.compress import compress, forecast
from shoestring.plan.diagnose import diagnose
from shoestring.plan.diagnosis import Diagnosis, Finding, LayerHealth, RateTried
from shoestring.plan.fallback import fallback
from shoestring.plan.fallback_result import FallbackResult, Kept
from shoestring.plan.forecast import Forecast
from shoestring.plan.frontier import Frontier, undominated
from shoestring.plan.main_job import Report, main_job
from shoestring.plan.outcome import Outcome
from shoestring.plan.outlook import Outlook
from shoestring.plan.platforms import platforms
from shoestring.plan.points_file import read_points
from shoestring.plan.scaling import Scaling, ScalingPoint, affordable, scaling
from shoestring.plan.sensitivity import Effect, Table, sensitivity
from shoestring.plan.small_runs import SmallRuns, small_runs

__all__ = [
    "Diagnosis",
    "Effect",
    "FallbackResult",
    "Finding",
    "Forecast",
    "Frontier",
    "Kept",
    "LayerHealth",
    "Outcome",
    "Outlook",
    "RateTried",
    "Report",
    "Scaling",
    "ScalingPoint",
    "SmallRuns",
    "Table",
    "affordable",
    "compress",
    "diagnose",
    "fallback",
    "forecast",
    "main_job",
    "platforms",
    "read_points",
    "scaling",
    "sensitivity",
    "small_runs",
    "undominated",
]
