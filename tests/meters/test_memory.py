import subprocess
import sys

import numpy as np
import pytest

from shoestring.artifact import ShoeError
from shoestring.core import Cost
from shoestring.meters import Memory, memory

measurable = pytest.mark.skipif(Memory().why_not() is not None, reason=str(Memory().why_not()))


@measurable
def test_lenet_takes_more_than_its_weights_and_less_than_a_process_with_torch(lenet, linear):
    large, small = (
        Memory()(lenet.path, lenet.task).memory_bytes,
        Memory()(linear.path, linear.task).memory_bytes,
    )
    assert large is not None and small is not None
    # 431,080 float32 exist at least twice: as they are read and as the runtime keeps them. This
    # process, whose memory a child's ru_maxrss starts at, has hundreds of megabytes of torch.
    assert 2 * 4 * 431_080 < large < 60_000_000
    assert 0 <= small < large - 2_000_000
    assert memory.peak() > 100_000_000


@measurable
def test_a_larger_batch_takes_more(lenet):
    few, many = (Memory(batch=batch)(lenet.path, lenet.task).memory_bytes for batch in (1, 512))
    # The first convolution alone gives 512 × 20 × 24 × 24 float32: 23.6 MB. The inputs are not
    # counted.
    assert many - few > 512 * 20 * 24 * 24 * 4


@measurable
def test_the_process_imports_no_torch(linear, tmp_path):
    np.savez(tmp_path / "inputs.npz", **{"0": np.ones((1, 8), np.float32)})
    code = f"import sys; {memory._CHILD}; assert not {{'torch', 'onnx'}} & set(sys.modules)"
    arguments = [str(linear.path), str(tmp_path / "inputs.npz"), "1"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=900,
    )
    assert int(done.stdout) >= 0


@measurable
def test_a_process_that_takes_too_long_is_stopped(linear):
    with pytest.raises(TimeoutError, match=r"longer than 0\.001 seconds"):
        Memory(seconds=0.001)(linear.path, linear.task)


@measurable
def test_a_process_that_dies_is_told_of(linear, monkeypatch):
    monkeypatch.setattr(memory, "_CHILD", "raise SystemExit('out of luck')")
    with pytest.raises(RuntimeError, match="failed: out of luck"):
        Memory()(linear.path, linear.task)
    monkeypatch.setattr(memory, "_CHILD", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(RuntimeError, match="killed by signal 9"):
        Memory()(linear.path, linear.task)


def test_unmeasured_where_the_system_does_not_tell(linear, monkeypatch):
    monkeypatch.setattr(memory, "find_spec", lambda name: None)
    assert Memory()(linear.path, linear.task) == Cost()
    assert "resource" in str(Memory().why_not())


@pytest.mark.parametrize(
    ("setting", "said"),
    [({"threads": 0}, "threads"), ({"batch": 0}, "batch"), ({"seconds": 0}, "above 0")],
)
def test_bad_settings(setting, said):
    with pytest.raises(ValueError, match=said):
        Memory(**setting)


def test_missing_and_damaged(linear, damaged, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.shoe"):
        Memory()(tmp_path / "nowhere.shoe", linear.task)
    with pytest.raises(ShoeError):
        Memory()(damaged, linear.task)
