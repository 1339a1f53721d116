import pytest

from shoestring.artifact import ShoeError
from shoestring.core import Cost
from shoestring.meters import Size


def test_the_length_of_the_file_and_nothing_else(linear):
    assert Size()(linear.path, linear.task) == Cost(bytes=linear.path.stat().st_size)
    assert Size()(str(linear.path), linear.task).bytes == linear.bytes


def test_of_a_module_it_is_the_size_of_the_file_that_it_becomes(linear):
    assert Size()(linear.module, linear.task) == Cost(bytes=linear.bytes)


def test_27_numbers_of_four_bytes_are_in_it(linear):
    # 8 × 3 weights and 3 biases, none of which repeat, cannot take less than 108 bytes; the graph
    # adds some dozens.
    assert 108 < linear.bytes < 400


def test_a_missing_file_is_named(linear, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.shoe"):
        Size()(tmp_path / "nowhere.shoe", linear.task)


def test_a_damaged_file_has_no_size(linear, damaged):
    with pytest.raises(ShoeError, match="checksum"):
        Size()(damaged, linear.task)


def test_neither_module_nor_path(linear):
    with pytest.raises(TypeError, match="not int"):
        Size()(7, linear.task)


def test_repr_is_its_name():
    assert repr(Size()) == "Size()"
