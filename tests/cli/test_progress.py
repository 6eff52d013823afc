"""Progress of long work, as it is shown where there is no terminal."""

import pytest

from libs.cli.progress import progress


def test_each_tenth_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    """From nothing to all, however often it is told."""
    with progress("facts", 20) as tell:
        for done in (1, 2, 3, 3, 20):
            tell(done)
    assert capsys.readouterr().out.splitlines() == ["facts: 0 of 20", "facts: 2 of 20", "facts: 20 of 20"]


def test_where_there_is_nothing_to_do_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """As after a restart: every follower is where it was."""
    with progress("judging", 0) as tell:
        tell(0)
    assert capsys.readouterr().out == ""
