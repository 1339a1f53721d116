"""Rules for kinds of questions, written from what the classes mean.

No label of a test or validation split, and no text of one, was looked at for them.
"""

from __future__ import annotations

from shoestring.label import Says

_DESC, _ENTY, _ABBR, _HUM, _LOC, _NUM = "012345"
TREC = {
    "who": Says(_HUM, ("who", "whose", "whom")),
    "what person": Says(
        _HUM,
        (
            *("actor", "actress", "president", "author", "singer", "writer", "king", "queen"),
            *("what team", "band", "company", "what man", "what woman", "inventor", "player"),
        ),
    ),
    "name of a person": Says(_HUM, ("name the actor", "name the actress", "'s wife", "nickname")),
    "where": Says(_LOC, ("where",)),
    "what place": Says(
        _LOC,
        (
            *("what country", "what city", "what state", "what u.s. state", "capital", "island"),
            *("what continent", "river", "mountain", "ocean", "countries", "cities", "states"),
            *("which country", "which city", "which state", "located", "airport", "lake"),
        ),
    ),
    "when": Says(_NUM, ("when", "what year", "what date", "what day", "what month", "birthday")),
    "how many": Says(_NUM, ("how many", "how much", "number of", "population", "percentage")),
    "how far": Says(
        _NUM,
        (
            *("how far", "how long", "how old", "how tall", "how big", "how fast", "how high"),
            *("how often", "how deep", "how large", "how hot", "how late", "average", "speed"),
            *("temperature", "distance", "cost", "salary", "what age", "zip code", "phone number"),
        ),
    ),
    "why": Says(_DESC, ("why",)),
    "how": Says(_DESC, ("how do", "how does", "how did", "how can", "how is", "how are", "how to")),
    "meaning": Says(
        _DESC,
        (
            *("mean", "means", "meaning", "definition", "define", "origin", "difference between"),
            *("what causes", "purpose", "describe", "what happened", "what do you call"),
        ),
    ),
    "what is a": Says(
        _DESC, ("what is a", "what is an", "what are", "what is ``"), unless=("name",)
    ),
    "stand for": Says(_ABBR, ("stand for", "stands for", "abbreviation", "acronym", "full form")),
    "letters": Says(_ABBR, ("initials", "abbreviated", "what does the letters")),
    "what thing": Says(
        _ENTY,
        (
            *("what animal", "what color", "what colors", "what kind of", "what type of", "book"),
            *("what film", "what movie", "what game", "what sport", "what language", "what drink"),
            *("what food", "what fruit", "what plant", "what bird", "what dog", "what novel"),
            *("what disease", "what word", "what instrument", "what product", "song", "religion"),
            *("what was the first", "what substance", "what chemical", "tv series", "animals"),
        ),
    ),
    "name of a thing": Says(_ENTY, ("name a", "name the", "name of the", "what do", "which of")),
}
"""Kinds of questions: description 0, entity 1, abbreviation 2, person 3, place 4, number 5."""
