"""Every key with every kind of wrong value: a message and exit 2, or a run that ends; never a traceback."""

import dataclasses

import pytest
import tiny
import yaml

from recbole_marn import cli
from recbole_marn.registry import MODELS
from recbole_marn.settings.data import DataSettings
from recbole_marn.settings.host import INSTEAD, REFUSED, TAKEN, FileSettings, HostSettings
from recbole_marn.settings.training import TrainSettings

pytestmark = pytest.mark.slow

VALUES = ["0", "-1", "1000000000000", "1e308", "0.5", "nan", "", "abc", "../x", "null", "true"]
VALUES += ["[1, a]", "[[]]", "{foo: 1}"]
SWEPT = ["MARN", "DIN", "ItemCF"]


def keys(model):
    kinds = (DataSettings, TrainSettings, HostSettings, FileSettings, MODELS[model].settings)
    ours = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    # Not these: `model` and `dataset` are arguments, and the files of the run itself are given by `config_files`.
    return sorted({*ours, *REFUSED, *INSTEAD, *TAKEN} - {"model", "dataset", "config_files"})


@pytest.mark.parametrize("model", SWEPT)
def test_no_setting_ends_in_a_traceback(model, data_path, tmp_path, capsys):
    settings = tiny.settings(data_path, model, epochs=1)
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(settings))
    failed, ended = [], 0
    for key in keys(model):
        for value in VALUES:
            argument = f"--{key}={value}"
            try:
                code = cli.main(["run", f"--model={model}", "--dataset=tiny", "--config_files=base.yaml", argument])
            except Exception as error:  # what a user would see as a traceback
                failed.append(f"{argument}: {type(error).__name__}: {error}")
                continue
            except SystemExit as error:
                code = error.code
            ended += code == 0
            if code not in (0, 2):
                failed.append(f"{argument}: exit {code}")
            if code == 2 and "Got " not in (told := capsys.readouterr().err) and "usage" not in told:
                failed.append(f"{argument}: no reason in {told[-200:]!r}")
    assert not failed, "\n".join(failed)
    assert ended > len(VALUES), "good values must run"
