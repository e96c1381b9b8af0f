"""What the command line prints while a step takes long."""

import time

import pytest

from ftl_operator.cli.console import Console


@pytest.mark.parametrize(("output", "said"), [("text", "inspecting a …\n"), ("json", "")])
def test_a_long_step_is_named_where_nobody_sees_progress(
    output: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ftl_operator.cli.console.PATIENCE_SECONDS", 0.05)
    with Console(output).step("inspecting a"):
        time.sleep(0.5)
    assert capsys.readouterr().err == said


def test_a_short_step_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with Console("text").step("inspecting a"):
        pass
    assert capsys.readouterr().err == ""
