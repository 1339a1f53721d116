"""Real data as Tasks, one file each."""

from shoestring.tasks.cifar10 import cifar10
from shoestring.tasks.digits import digits
from shoestring.tasks.fetch import DataError
from shoestring.tasks.mnist import fashion_mnist, mnist

__all__ = ["DataError", "cifar10", "digits", "fashion_mnist", "mnist"]
