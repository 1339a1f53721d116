"""The help of the command line shows what it says about defaults."""

import pytest

from shoestring import cli


@pytest.mark.parametrize(
    ("command", "defaults"),
    [
        ("tag", ["[default: the lines of standard input]"]),
        ("identify", ["[default: all of the file's]"]),
        ("learn", ["[default: a tenth of TRAIN]", "[default: 6; of identify 30"]),
    ],
)
def test_help_shows_defaults_in_brackets(command, defaults, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # wide enough that no line is wrapped
    monkeypatch.setenv("TERMINAL_WIDTH", "400")
    monkeypatch.setattr("sys.argv", ["shoestring", command, "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().out
    assert all(default in said for default in defaults), said
