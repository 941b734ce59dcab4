"""`inkseek reproduce` without a name lists the studies; what a study does is tested in `tests/studies`."""

from __future__ import annotations

import sys

import pytest

from inkseek.cli.main import main
from inkseek.studies.catalogue import STUDIES


def test_the_studies_are_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["inkseek", "reproduce"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(STUDIES)
    assert all(study.title in line for study, line in zip(STUDIES.values(), lines, strict=True))
