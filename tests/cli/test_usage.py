"""What a slip on the command line is told: one line, without what may be a secret."""

from __future__ import annotations

import pytest

from worker.cli import parser


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["webhook", "set"], "the following arguments are required: instance"),
        (["webhook", "list", "--nix"], "unrecognized arguments: --nix"),
        (["webhook", "set", "acme", "--nix=5", "--secrett", "5"], "unrecognized arguments: --nix --secrett *** "),
        (["nix"], "invalid choice: 'nix'"),
    ],
)
def test_a_slip_is_told_in_one_line(typed: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(typed)
    (line,) = capsys.readouterr().err.splitlines()
    assert "5" not in line
    assert (ended.value.code, says in line, line.endswith(" --help)")) == (2, True, True), line
