"""Weak labels: rules that label, what they are worth, and networks that learn from them."""

from shoestring.label.weak.choosing import Combined, combined
from shoestring.label.weak.combining import Combiner, DawidSkene, MajorityVote
from shoestring.label.weak.rule_table import RuleRow, RuleTable, rule_table
from shoestring.label.weak.rules import Between, HasAny, Says
from shoestring.label.weak.votes import ABSTAIN, Rule, RuleError, Votes, votes_of
from shoestring.label.weak.weak import Weak

__all__ = [
    "ABSTAIN",
    "Between",
    "Combined",
    "Combiner",
    "DawidSkene",
    "HasAny",
    "MajorityVote",
    "Rule",
    "RuleError",
    "RuleRow",
    "RuleTable",
    "Says",
    "Votes",
    "Weak",
    "combined",
    "rule_table",
    "votes_of",
]
