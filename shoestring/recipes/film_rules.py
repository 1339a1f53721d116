"""Rules about reviews of films: adjectives that praise and that blame.

They were written from what the words mean, and no text of a validation or test split was looked at.
"""

from __future__ import annotations

from shoestring.label import Says

PRAISE = (
    ("superb", "brilliant*", "masterpiece", "masterful*", "magnificent", "exquisite*"),
    ("wonderful*", "delightful*", "charming", "charm", "charmer", "lovely", "enchanting"),
    ("funny", "hilarious*", "witty", "humor", "hoot", "laugh-out-loud", "clever*"),
    ("moving", "touching", "poignant*", "heartfelt", "affecting", "tender", "warm", "heartwarming"),
    ("powerful*", "gripping", "compelling", "riveting", "fascinating", "absorbing", "thrilling"),
    ("beautiful*", "gorgeous*", "stunning*", "breathtaking", "visually", "lush"),
    ("best", "perfect*", "great", "excellent", "terrific", "remarkable", "outstanding"),
    ("enjoy*", "entertaining", "fun", "engaging", "pleasure", "treat", "satisfying"),
    ("refreshing*", "original", "inventive", "fresh", "imaginative", "smart", "intelligent"),
    ("honest", "sincere", "thoughtful", "subtle", "rich", "deep*", "insightful", "provocative"),
    ("love", "loved", "joy", "joyous", "triumph", "rewarding", "worth", "recommend*"),
)
BLAME = (
    ("bad", "badly", "awful", "terrible", "horrible", "worst", "atrocious", "dreadful"),
    ("dull", "boring", "bored", "bore", "tedious", "tiresome", "lifeless", "bland", "flat"),
    ("stupid", "silly", "dumb", "inane", "idiotic", "moronic", "ridiculous", "preposterous"),
    ("mess", "muddled", "incoherent", "confus*", "disjointed", "pointless", "meaningless"),
    ("lack*", "fails", "failed", "failure", "unfortunately", "disappoint*", "sadly", "lame"),
    (
        "predictable",
        "cliche*",
        "clichéd",
        "formula*",
        "contrived",
        "derivative",
        "routine",
        "stale",
    ),
    ("too", "too many", "too much", "overlong", "excessive", "overblown", "long-winded"),
    ("unfunny", "humorless", "annoying", "irritating", "obnoxious", "painful*", "unpleasant"),
    ("waste", "wasted", "garbage", "junk", "trash", "crap", "rubbish", "skip"),
    ("shallow", "thin", "empty", "hollow", "forgettable", "mediocre", "slight", "superficial"),
    ("never", "nothing", "no", "without", "neither", "hardly", "barely", "none"),
    ("minutes", "supposed to", "instead", "would have", "could have", "should have", "or less"),
)
NEGATED = ("not", "n't", "no", "never", "too", "hardly", "neither", "nor", "isn't", "fails")
FILM_RULES = {
    **{f"praise {at}": Says("1", words, unless=NEGATED) for at, words in enumerate(PRAISE)},
    **{f"blame {at}": Says("0", words) for at, words in enumerate(BLAME)},
    "not good": Says(
        "0",
        (
            *("not funny", "not very", "n't work", "not enough", "is n't", "does n't", "not much"),
            *("not really", "n't really", "not worth", "n't quite", "not as", "ca n't", "wo n't"),
        ),
    ),
}
"""Praise (1) and blame (0) of films, by adjectives."""
