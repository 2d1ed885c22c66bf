"""The ``service`` section of params.yaml, and the few settings that come from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from earshot.core.params import ParamsError, load
from earshot.hearing.decode import AudioLimits
from earshot.stream.config import TimelineParams

MODEL = Path("models/earshot.int8.onnx")
PARAMS = Path("params.yaml")


@dataclass(frozen=True)
class ServiceParams:
    """What the service answers, refuses and keeps.

    Attributes:
        review_threshold: an answer with less confidence is flagged for a person to check, as unknown and silence are.
        top: how many classes an answer ranks.
        workers: processes; null is one a CPU core. Each holds its own model.
        threads: threads of a worker that decode and classify clips; null is one a CPU core.
        clip_max_mb: largest upload to `/classify`, and largest file in `/classify_batch`, in units of 10^6 bytes.
        clip_max_s: longest sound for those.
        batch_max_files: most files in one call of `/classify_batch`.
        batch_max_mb: largest upload to it as a whole.
        recording_max_mb: largest upload to `/timeline`.
        recording_max_s: longest recording there.
        max_channels: most channels in a file.
        min_sample_rate_hz: lowest sampling rate of a file.
        max_sample_rate_hz: highest sampling rate of a file.
        memory_mb: of one upload (all its files) kept in memory; the rest goes to unnamed temporary files.
        max_connections: connections of a worker; further ones get 503.
        max_uploads: uploads that a worker receives at once; further ones get 503.
        uploads_memory_mb: of all uploads of a worker in memory; later ones go to disk sooner, then get 503.
        uploads_disk_mb: of all uploads of a worker in temporary files; what does not fit gets 503.
        max_clips: clips of a worker being received, waiting or at work; further ones get 503.
        max_recordings: the same of recordings.
        recording_jobs: recordings a worker works on at once; others wait.
        head_timeout_s: a connection on which no whole request head has come for so long is closed.
        upload_idle_s: an upload of which too little has arrived in so long is given up,
        upload_min_kb_s: and how much it must be, in units of 10^3 bytes a second.
        clip_timeout_s: longest time for a clip, from its upload to its answer.
        recording_timeout_s: the same for a recording.
        review_max_age_days: flagged clips without a label are deleted after so long, by a timer.
        review_max_mb: and the oldest of them while they take more than this.
    """

    review_threshold: float = 0.6
    top: int = 5
    workers: int | None = 1
    threads: int | None = None
    clip_max_mb: float = 100.0
    clip_max_s: float = 3600.0
    batch_max_files: int = 64
    batch_max_mb: float = 500.0
    recording_max_mb: float = 8000.0
    recording_max_s: float = 24 * 3600.0
    max_channels: int = 16
    min_sample_rate_hz: int = 2_000
    max_sample_rate_hz: int = 384_000
    memory_mb: float = 2.0
    max_connections: int = 1000
    max_uploads: int = 256
    uploads_memory_mb: float = 128.0
    uploads_disk_mb: float = 16000.0
    max_clips: int = 256
    max_recordings: int = 16
    recording_jobs: int = 1
    head_timeout_s: float = 10.0
    upload_idle_s: float = 30.0
    upload_min_kb_s: float = 1.0
    clip_timeout_s: float = 60.0
    recording_timeout_s: float = 3600.0
    review_max_age_days: float = 30.0
    review_max_mb: float = 1000.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value <= 0 and name != "review_threshold":
                raise ParamsError(f"service.{name} must be positive, not {value:g}")
        if not 0 <= self.review_threshold <= 1:
            raise ParamsError(f"service.review_threshold must lie between 0 and 1, not {self.review_threshold:g}")
        if self.min_sample_rate_hz > self.max_sample_rate_hz:
            raise ParamsError(
                f"service.min_sample_rate_hz {self.min_sample_rate_hz} is above max_sample_rate_hz "
                f"{self.max_sample_rate_hz}"
            )
        for name in ("clip_max_mb", "batch_max_mb", "recording_max_mb"):
            if getattr(self, name) > self.uploads_memory_mb + self.uploads_disk_mb:
                raise ParamsError(
                    f"service.{name} {getattr(self, name):g} is more than uploads_memory_mb and uploads_disk_mb hold "
                    "together: raise uploads_disk_mb, or lower it"
                )

    @property
    def clip_limits(self) -> AudioLimits:
        """What a clip may be."""
        return self._limits(self.clip_max_s)

    @property
    def recording_limits(self) -> AudioLimits:
        """What a recording may be."""
        return self._limits(self.recording_max_s)

    def _limits(self, max_duration_s: float) -> AudioLimits:
        return AudioLimits(max_duration_s, self.max_channels, self.min_sample_rate_hz, self.max_sample_rate_hz)


@dataclass(frozen=True)
class Settings:
    """Where the service finds its files, and what only its operator knows.

    Attributes:
        model: the ONNX file that answers.
        params: the ``service`` section.
        timeline: the ``timeline`` section.
        token: bearer token that every call but the health checks and the page must bring; empty: none.
        cors_origins: origins whose pages may call the service; `*` is any.
        review_dir: where flagged clips are kept for labelling; None: nowhere.
    """

    model: Path
    params: ServiceParams
    timeline: TimelineParams
    token: str = ""
    cors_origins: tuple[str, ...] = ()
    review_dir: Path | None = None


def read_settings(root: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings of the project (or of the bento) at `root`, overruled by the variables ``EARSHOT_*``.

    Raises:
        ParamsError: no params.yaml, or something in it that should not be there.
    """
    path = Path(environment.get("EARSHOT_PARAMS") or root / PARAMS)
    review_dir = environment.get("EARSHOT_REVIEW_DIR")
    origins = (origin.strip() for origin in environment.get("EARSHOT_CORS_ORIGINS", "").split(","))
    return Settings(
        model=Path(environment.get("EARSHOT_MODEL") or root / MODEL).absolute(),
        params=load("service", ServiceParams, path),
        timeline=load("timeline", TimelineParams, path),
        token=environment.get("EARSHOT_TOKEN", ""),
        cors_origins=tuple(origin for origin in origins if origin),
        review_dir=Path(review_dir).absolute() if review_dir else None,
    )
