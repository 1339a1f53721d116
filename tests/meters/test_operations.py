import numpy as np
import pytest

from shoestring.artifact import ShoeError, read
from shoestring.artifact.format.graph import INTS, STRING
from shoestring.core import Cost
from shoestring.meters import Operations, UnmeasuredWarning
from shoestring.meters.operations import counts


def zeros(*shape):
    return np.zeros(shape, np.float32)


def test_lenet_by_hand(lenet):
    by_layer = [
        20 * 24 * 24 * 1 * 25,  # outputs × channels in × kernel
        50 * 8 * 8 * 20 * 25,
        800 * 500,
        500 * 10,
    ]
    assert [count for _, count in counts(read(lenet.path), lenet.task)] == [
        2 * one for one in by_layer
    ]
    assert Operations()(lenet.path, lenet.task) == Cost(operations=4_586_000)


def test_a_module_is_written_first(linear):
    assert Operations()(linear.module, linear.task) == Cost(operations=2 * 8 * 3)


def test_one_example_is_counted_of_the_two_that_are_shown(linear):
    assert linear.task.example()[0][0].tensor.shape == (2, 8)
    assert Operations()(linear.path, linear.task).operations == 48


def test_grouped_convolution(one_node, call, integer):
    # 8 channels in 4 groups of 2, 12 out, 3 × 3 over 6 × 6 without padding: 12 × 4 × 4 outputs of 2
    # × 9 products.
    path = one_node("Conv", [("N", 8, 6, 6)], [(12, 2, 3, 3)], attributes=(integer("group", 4),))
    assert Operations()(path, call(zeros(2, 8, 6, 6))).operations == 2 * 12 * 16 * 18


def test_transposed_convolution(one_node, call):
    # Each of 3 × 5 × 5 inputs goes to 4 channels of 2 × 2.
    path = one_node(
        "ConvTranspose", [("N", 3, 5, 5)], [(3, 4, 2, 2)], attributes=(("strides", INTS, (2, 2)),)
    )
    assert Operations()(path, call(zeros(1, 3, 5, 5))).operations == 2 * 3 * 25 * 16


@pytest.mark.parametrize(
    ("flags", "first", "second"), [((0, 0), (2, 5), (5, 3)), ((1, 1), (5, 2), (3, 5))]
)
def test_gemm_either_way_round(one_node, call, integer, flags, first, second):
    attributes = tuple(
        integer(name, 1) for name, flag in zip(("transA", "transB"), flags, strict=True) if flag
    )
    path = one_node("Gemm", [first], [second], attributes=attributes)
    assert Operations()(path, call(zeros(*first))).operations == 2 * 2 * 5 * 3


def test_matrices_in_a_stack(one_node, call):
    path = one_node("MatMul", [("N", 4, 6, 5)], [(4, 5, 3)])
    assert Operations()(path, call(zeros(2, 4, 6, 5))).operations == 2 * 4 * 6 * 5 * 3


@pytest.mark.parametrize(
    ("equation", "first", "second", "expected"),
    [
        ("nij,jk->nik", ("N", 4, 5), (5, 3), 2 * 4 * 5 * 3),
        ("nij, jk", ("N", 4, 5), (5, 3), 2 * 4 * 5 * 3),
        ("...ij,...jk->...ik", ("N", 7, 4, 5), (1, 7, 5, 3), 2 * 7 * 4 * 5 * 3),
        ("ni,j->nij", ("N", 4), (5,), 0),  # nothing is summed: element by element
    ],
)
def test_einsum(one_node, call, equation, first, second, expected):
    path = one_node("Einsum", [first], [second], attributes=(("equation", STRING, equation),))
    assert Operations()(path, call(zeros(2, *first[1:]))).operations == expected


@pytest.mark.parametrize(("operator", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent(one_node, call, integer, operator, gates):
    # 7 steps; each uses every weight once: gates × hidden 6 × (5 inputs + 6 of the state).
    path = one_node(
        operator,
        [("T", "N", 5)],
        [(1, gates * 6, 5), (1, gates * 6, 6)],
        attributes=(integer("hidden_size", 6),),
    )
    assert Operations()(path, call(zeros(7, 2, 5))).operations == 2 * 7 * gates * 6 * (5 + 6)


def test_attention(one_node, call):
    # 2 heads, 3 queries, 5 keys of 4, values of 6: scores 2 × 3 × 5 × 4 and sums 2 × 3 × 5 × 6.
    path = one_node("Attention", [("N", 2, 3, 4), ("N", 2, 5, 4), ("N", 2, 5, 6)], opset=23)
    task = call(zeros(1, 2, 3, 4), zeros(1, 2, 5, 4), zeros(1, 2, 5, 6))
    assert Operations()(path, task).operations == 2 * (2 * 3 * 5 * 4 + 2 * 3 * 5 * 6)


def test_element_by_element_work_is_not_counted(one_node, call):
    assert Operations()(one_node("Relu", [("N", 5)]), call(zeros(2, 5))) == Cost(operations=0)


def test_what_nobody_can_count_is_unmeasured_and_named(one_node, call):
    path = one_node("DFT", [("N", 8, 1)])
    with pytest.warns(UnmeasuredWarning, match="DFT"):
        assert Operations()(path, call(zeros(2, 8, 1))) == Cost()


def test_missing_and_damaged(linear, damaged, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.shoe"):
        Operations()(tmp_path / "nowhere.shoe", linear.task)
    with pytest.raises(ShoeError):
        Operations()(damaged, linear.task)
