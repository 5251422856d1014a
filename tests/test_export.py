import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import softlyte
from softlyte.screening.export import (
    OutputError,
    atomic_text,
    check_file_place,
    csv_text,
    json_text,
    spreadsheet_safe,
    write_csv,
    write_rejected,
)
from softlyte.screening.inputs import RejectedRow
from softlyte.screening.run_record import open_run

FRAME = pd.DataFrame({"formula": ["Li3YCl6", "=1+1"], "sigma_ms_cm": [0.123456789, np.nan]})


def test_texts_that_a_spreadsheet_would_run_get_an_apostrophe():
    risky = ["=1+1", "+1", "-1", "@x", "\tx", "\rx"]
    harmless = ["Li3YCl6", "", "a=b", " =1"]
    frame = pd.DataFrame({"text": risky + harmless, "number": np.linspace(-5, 5, 10)})
    safe = spreadsheet_safe(frame)
    assert safe["text"].tolist() == ["'" + t for t in risky] + harmless
    pd.testing.assert_series_equal(safe["number"], frame["number"])
    assert frame["text"].tolist() == risky + harmless


def test_csv_reads_back_in_pandas(tmp_path):
    write_csv(tmp_path / "x.csv", FRAME)
    assert (tmp_path / "x.csv").read_bytes() == b"formula,sigma_ms_cm\nLi3YCl6,0.123457\n'=1+1,\n"
    back = pd.read_csv(tmp_path / "x.csv")
    assert back["sigma_ms_cm"].round(6).tolist()[0] == 0.123457
    assert np.isnan(back["sigma_ms_cm"][1])


def test_json_has_null_where_a_number_is_missing():
    rows = json.loads(json_text(FRAME))
    assert rows[0]["formula"] == "Li3YCl6"
    assert rows[0]["sigma_ms_cm"] == 0.123457
    assert rows[1]["sigma_ms_cm"] is None
    (tiny,) = json.loads(json_text(pd.DataFrame({"sigma_ms_cm": [1.2345678e-12]})))
    assert tiny["sigma_ms_cm"] == 1.23457e-12


def test_csv_of_no_rows_is_the_header():
    assert csv_text(FRAME.head(0)) == "formula,sigma_ms_cm\n"


def write_half(path: Path) -> None:
    with atomic_text(path) as handle:
        handle.write("half")
        raise RuntimeError


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        write_half(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named_and_leaves_no_half_file(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_csv(tmp_path / "x.csv", FRAME)
    assert list(tmp_path.iterdir()) == []


def test_rejected_rows_keep_row_value_reason(tmp_path):
    path = write_rejected(tmp_path, [RejectedRow(3, "=cmd()", "cannot be read; check it")])
    assert path.read_text() == "row,value,reason\n3,'=cmd(),cannot be read; check it\n"
    assert write_rejected(tmp_path, []).read_text() == "row,value,reason\n"


def test_places_that_cannot_hold_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    check_file_place(tmp_path / "new" / "x.csv")
    with pytest.raises(OutputError, match="is a folder"):
        check_file_place(tmp_path)
    with pytest.raises(OutputError, match="a file"):
        check_file_place(tmp_path / "file" / "x.csv")


def test_run_record_is_there_before_the_work_and_complete_after(tmp_path):
    record = open_run(tmp_path / "run", {"seed": 1, "top": 5})
    before = json.loads((tmp_path / "run" / "run.json").read_text())
    assert before["status"] == "running"
    assert before["config"] == {"seed": 1, "top": 5}
    assert before["softlyte"] == softlyte.__version__
    with record.timed("network"):
        pass
    record.finish({"candidates": 7})
    after = json.loads((tmp_path / "run" / "run.json").read_text())
    assert after["status"] == "finished"
    assert after["counts"] == {"candidates": 7}
    assert set(after["timings_s"]) == {"network", "total"}


def test_a_failed_run_says_so(tmp_path):
    record = open_run(tmp_path, {})
    record.fail(ValueError("first line\nsecond"))
    content = json.loads((tmp_path / "run.json").read_text())
    assert content["status"] == "failed"
    assert content["error"] == "ValueError: first line"


def test_same_configuration_may_use_the_folder_again_another_may_not(tmp_path):
    open_run(tmp_path, {"seed": 1}).finish({})
    (tmp_path / "candidates.csv").write_text("old")
    open_run(tmp_path, {"seed": 1}).finish({})
    with pytest.raises(OutputError, match="--overwrite"):
        open_run(tmp_path, {"seed": 2})
    assert (tmp_path / "candidates.csv").read_text() == "old"
    open_run(tmp_path, {"seed": 2}, overwrite=True)
    assert not (tmp_path / "candidates.csv").exists()


def test_two_processes_do_not_share_a_folder(tmp_path):
    record = open_run(tmp_path, {"seed": 1})
    with pytest.raises(OutputError, match=r"another process is writing .* give another --out"):
        open_run(tmp_path, {"seed": 1}, overwrite=True)
    record.finish({})
    open_run(tmp_path, {"seed": 1}).fail(ValueError("stopped"))
    # A refusal keeps nobody out.
    with pytest.raises(OutputError, match="--overwrite"):
        open_run(tmp_path, {"seed": 2})
    open_run(tmp_path, {"seed": 1}).finish({})


def test_a_process_that_died_leaves_the_folder_free(tmp_path):
    code = (
        "import os, pathlib; from softlyte.screening.run_record import open_run; "
        f"record = open_run(pathlib.Path({str(tmp_path)!r}), {{}}); print('open', flush=True); "
        "input(); os._exit(9)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "open\n"
    with pytest.raises(OutputError, match="another process"):
        open_run(tmp_path, {})
    other.communicate("\n", timeout=60)
    assert other.returncode == 9
    open_run(tmp_path, {}).finish({})


def test_results_without_a_readable_record_are_not_overwritten(tmp_path):
    (tmp_path / "candidates.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"candidates\.csv"):
        open_run(tmp_path, {})
    (tmp_path / "run.json").write_text("{not json")
    with pytest.raises(OutputError, match=r"run\.json"):
        open_run(tmp_path, {})
