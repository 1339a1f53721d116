"""Debug the data: wrong labels, duplicates, contradictions, leaks, outliers, slices, annotators."""

from shoestring.label.audit.annotators import Annotator, Annotators, dawid_skene
from shoestring.label.audit.balance import ClassCount, GroupRate, balance, group_rates
from shoestring.label.audit.chance import Agreement, agreement
from shoestring.label.audit.confident import (
    ByBoth,
    ByClass,
    ByConfidence,
    ByNoiseRate,
    LabelError,
    LabelErrors,
    NormalisedMargin,
    PartError,
    PartErrors,
    SelfConfidence,
    label_errors,
    tag_errors,
    vote_errors,
)
from shoestring.label.audit.fit import Fit, Reason, least_loss, underfit_or_contradiction
from shoestring.label.audit.folds import folds_of
from shoestring.label.audit.influence import Difference, Influence, influence
from shoestring.label.audit.near import Contradiction, Leak, Near, Pair, contradictions, leaks
from shoestring.label.audit.near_pictures import near_pictures, thumbnails
from shoestring.label.audit.near_texts import near_texts
from shoestring.label.audit.out_of_sample import OutOfSample, out_of_sample
from shoestring.label.audit.outliers import Outlier, Outliers, outliers
from shoestring.label.audit.rates import Rate, rate
from shoestring.label.audit.slices import (
    FailingSlice,
    Slice,
    cluster_slices,
    failing_slices,
    field_slices,
    quarters,
)
from shoestring.label.majority import majority

__all__ = [
    "Agreement",
    "Annotator",
    "Annotators",
    "ByBoth",
    "ByClass",
    "ByConfidence",
    "ByNoiseRate",
    "ClassCount",
    "Contradiction",
    "Difference",
    "FailingSlice",
    "Fit",
    "GroupRate",
    "Influence",
    "LabelError",
    "LabelErrors",
    "Leak",
    "Near",
    "NormalisedMargin",
    "OutOfSample",
    "Outlier",
    "Outliers",
    "Pair",
    "PartError",
    "PartErrors",
    "Rate",
    "Reason",
    "SelfConfidence",
    "Slice",
    "agreement",
    "balance",
    "cluster_slices",
    "contradictions",
    "dawid_skene",
    "failing_slices",
    "field_slices",
    "folds_of",
    "group_rates",
    "influence",
    "label_errors",
    "leaks",
    "least_loss",
    "majority",
    "near_pictures",
    "near_texts",
    "out_of_sample",
    "outliers",
    "quarters",
    "rate",
    "tag_errors",
    "thumbnails",
    "underfit_or_contradiction",
    "vote_errors",
]
