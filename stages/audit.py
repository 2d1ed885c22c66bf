"""Stage: decode and judge every file, and keep the clips that can be used."""

from pathlib import Path

from earshot.audit.config import AuditParams
from earshot.audit.report import summary
from earshot.audit.run import audit
from earshot.clips.config import DatasetParams
from earshot.clips.paths import clips_root
from earshot.core import params, stage
from earshot.core.files import exclusive


def main() -> None:
    dataset = params.load("dataset", DatasetParams, stage.PARAMS)
    with exclusive("audit"):
        value, table = audit(
            dataset.called,
            Path("data/raw/clips.csv"),
            clips_root(dataset),
            params.load("audit", AuditParams, stage.PARAMS),
        )
    # For the words on the terminal only: nothing that is written depends on it.
    wanted = params.mapping("audio", stage.PARAMS)
    print(summary(value, table, wanted.get("sample_rate_hz"), wanted.get("window_s")))


if __name__ == "__main__":
    stage.run(main)
