from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.small_disk import may_mount, small_disk


@pytest.mark.skipif(not may_mount(), reason="mounting needs root")
def test_a_small_disk_refuses_writes_while_it_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "mounted", image=tmp_path / "image", size_mb=8) as disk:
        file = disk.path / "file"
        disk.fill(leave_bytes=0)
        with pytest.raises(OSError, match="No space left"):
            file.write_bytes(b"x" * (1 << 20))
        disk.free()
        file.write_bytes(b"x" * (1 << 20))
    assert not file.exists()
