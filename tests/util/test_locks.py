import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from nsbench.util.errors import NsbenchError
from nsbench.util.locks import LOCK, only_writer, only_writer_of

HOLD = """
import sys, time
from pathlib import Path
from nsbench.util.locks import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_at_once_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(NsbenchError, match=r"another nsbench is writing to .*run: wait"),
            only_writer(folder),
        ):
            pass
        holder.kill()
    with only_writer(folder):
        assert folder.is_dir()


def test_a_folder_that_stays_empty_is_removed(tmp_path: Path) -> None:
    with only_writer(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()
    with only_writer(tmp_path / "used"):
        (tmp_path / "used" / "file").touch()
    assert (tmp_path / "used" / LOCK).exists()
    with only_writer(tmp_path / "used", tidy=True):
        pass
    assert not (tmp_path / "used" / LOCK).exists()
    (tmp_path / "old").mkdir()
    with only_writer(tmp_path / "old"):
        pass
    assert (tmp_path / "old").exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(NsbenchError, match="f is a file"), only_writer(tmp_path / "f"):
        pass


@pytest.mark.parametrize("error", [OSError(95, "Not supported"), NotImplementedError("none")])
def test_a_file_system_without_locks_is_warned_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    def refuse(lock: FileLock) -> None:
        raise error

    monkeypatch.setattr(FileLock, "__enter__", refuse)
    with only_writer(tmp_path):
        (tmp_path / "file").touch()
    assert "cannot be locked" in capfd.readouterr().err


def test_several_folders_and_one_twice(tmp_path: Path) -> None:
    with only_writer_of([tmp_path / "b", tmp_path / "a", tmp_path / "." / "b"]):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
