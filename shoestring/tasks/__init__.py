"""Real data as Tasks, one file each."""

from shoestring.tasks.cifar10 import cifar10
from shoestring.tasks.digits import digits
from shoestring.tasks.fetch import DataError
from shoestring.tasks.mnist import fashion_mnist, mnist
from shoestring.tasks.sst2 import Vocabulary, sst2, sst2_vocabulary, words_dropped

__all__ = [
    "DataError", "Vocabulary", "cifar10", "digits", "fashion_mnist", "mnist", "sst2", "sst2_vocabulary", "words_dropped",
]  # fmt: skip
