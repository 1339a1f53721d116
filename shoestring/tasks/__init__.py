"""Real data as Tasks, one file each."""

from shoestring.tasks.adult import Columns, adult, adult_columns
from shoestring.tasks.cifar10 import cifar10
from shoestring.tasks.digits import digits
from shoestring.tasks.ewt import TaggingVocabulary, ewt, ewt_vocabulary, known_words_dropped
from shoestring.tasks.fetch import DataError
from shoestring.tasks.fsdd import FSDD_CHAIN, Recordings, fsdd, fsdd_recordings, moved_and_louder
from shoestring.tasks.mnist import fashion_mnist, mnist
from shoestring.tasks.movie_reviews import (
    NextWord,
    ReviewVocabulary,
    movie_reviews,
    perplexity,
    review_vocabulary,
)
from shoestring.tasks.sst2 import Vocabulary, sst2, sst2_vocabulary, words_dropped

__all__ = [
    "FSDD_CHAIN",
    "Columns",
    "DataError",
    "NextWord",
    "Recordings",
    "ReviewVocabulary",
    "TaggingVocabulary",
    "Vocabulary",
    "adult",
    "adult_columns",
    "cifar10",
    "digits",
    "ewt",
    "ewt_vocabulary",
    "fashion_mnist",
    "fsdd",
    "fsdd_recordings",
    "known_words_dropped",
    "mnist",
    "moved_and_louder",
    "movie_reviews",
    "perplexity",
    "review_vocabulary",
    "sst2",
    "sst2_vocabulary",
    "words_dropped",
]
