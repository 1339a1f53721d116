import pytest

from shoestring.artifact import InBFloat16, OnnxRuntime, OpenVINO
from shoestring.meters import Platform, Remote, parse_runtime, platform


@pytest.mark.parametrize(
    ("text", "runtime", "threads"),
    [
        ("onnxruntime", OnnxRuntime(), 1),
        ("onnxruntime:all-threads", OnnxRuntime(), None),
        ("openvino", OpenVINO(), 1),
        ("openvino:all-threads", OpenVINO(), None),
        ("openvino:bfloat16", OpenVINO(InBFloat16()), 1),
        ("openvino:bfloat16:all-threads", OpenVINO(InBFloat16()), None),
        ("remote:http://raspberry:8731", Remote("http://raspberry:8731"), 1),
        ("remote:http://raspberry:8731:all-threads", Remote("http://raspberry:8731"), None),
    ],
)
def test_texts_are_platforms_and_back(text, runtime, threads, monkeypatch):
    monkeypatch.setattr(platform, "find_spec", lambda name: True)
    found = parse_runtime(text)
    assert found == (runtime, threads) and str(found) == text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("openvno", "openvino"),
        ("ONNX-Runtime", "onnxruntime"),
        ("ort", "onnxruntime"),
        ("onnxruntime:4", "onnxruntime:all-threads"),
        ("http://raspberry:8731", "remote:http://raspberry:8731"),
        ("remotes:http://raspberry:8731", "remote:http://raspberry:8731"),
    ],
)
def test_near_misses_are_named(text, meant):
    with pytest.raises(
        ValueError,
        match=rf"is no runtime \({meant}\?\): there is onnxruntime, openvino, "
        "openvino:bfloat16, and remote:URL",
    ):
        parse_runtime(text)


def test_what_is_nothing_lists_what_there_is():
    for text in ("", "tensorrt", "remote"):
        with pytest.raises(
            ValueError, match="there is onnxruntime, openvino, openvino:bfloat16, and remote:URL"
        ):
            parse_runtime(text)
    with pytest.raises(ValueError, match="such as 'http://raspberry:8731'"):
        parse_runtime("remote:raspberry")


def test_a_missing_runtime_names_the_extra(monkeypatch):
    monkeypatch.setattr(platform, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"extra `openvino` \(pip install"):
        parse_runtime("openvino")


def test_other_threads_are_told():
    assert str(Platform(OnnxRuntime(), 4)) == "onnxruntime, 4 threads"
