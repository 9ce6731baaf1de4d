"""What one pastes into an issue."""

from importlib import metadata

from recbole_marn import cli
from recbole_marn.commands.doctor import self_test
from recbole_marn.plugin import PATCHES


def test_it_says_what_there_is(capsys):
    assert cli.main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert f"torch {metadata.version('torch')}" in printed and "recbole 1.2.1" in printed
    assert 'pip install "recbole-marn[serve]"' in printed
    assert "numba: faster training steps with titles (compiled)" in printed
    assert all(patch.what in printed for patch in PATCHES)
    assert "comes with RecBole" in printed and printed.count("  ok ") == 3


def test_a_broken_kernel_is_found(monkeypatch, capsys):
    monkeypatch.setattr("recbole_marn.layers.gradient_reversal.reverse_gradient", lambda x, strength: x * strength)
    assert [held for _, held, _ in self_test()] == [True, True, False]
    assert cli.main(["doctor"]) == 1
    assert "FAILED   reversal" in capsys.readouterr().out
