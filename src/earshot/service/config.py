"""The ``service`` section of params.yaml, and the few settings that come from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from earshot.core.params import Params, load
from earshot.hearing.decode import AudioLimits
from earshot.stream.config import TimelineParams

MODEL = Path("models/earshot.int8.onnx")
PARAMS = Path("params.yaml")


class ServiceParams(Params):
    """What the service answers, refuses and keeps. Megabytes are units of 10^6 bytes."""

    review_threshold: float = Field(
        0.6,
        ge=0,
        le=1,
        description="an answer with less confidence is flagged for a person to check, as unknown and silence are",
    )
    top: int = Field(5, ge=1, description="how many classes an answer ranks")
    workers: int | None = Field(1, ge=1, description="processes; null is one a CPU core. Each holds its own model")
    threads: int | None = Field(
        None, ge=1, description="threads of a worker that decode and classify clips; null is one a CPU core"
    )
    clip_max_mb: float = Field(
        100.0, gt=0, description="largest upload to /classify, and largest file in /classify_batch"
    )
    clip_max_s: float = Field(3600.0, gt=0, description="longest sound for those")
    batch_max_files: int = Field(64, ge=1, description="most files in one call of /classify_batch")
    batch_max_mb: float = Field(500.0, gt=0, description="largest upload to it as a whole")
    recording_max_mb: float = Field(8000.0, gt=0, description="largest upload to /timeline")
    recording_max_s: float = Field(24 * 3600.0, gt=0, description="longest recording there")
    max_channels: int = Field(16, ge=1, description="most channels in a file")
    min_sample_rate_hz: int = Field(2_000, ge=1, description="lowest sampling rate of a file")
    max_sample_rate_hz: int = Field(384_000, ge=1, description="highest sampling rate of a file")
    memory_mb: float = Field(
        2.0, gt=0, description="of one upload (all its files) kept in memory; the rest goes to unnamed temporary files"
    )
    max_connections: int = Field(1000, ge=1, description="connections of a worker; further ones get 503")
    max_uploads: int = Field(256, ge=1, description="uploads that a worker receives at once; further ones get 503")
    uploads_memory_mb: float = Field(
        128.0, gt=0, description="of all uploads of a worker in memory; later ones go to disk sooner, then get 503"
    )
    uploads_disk_mb: float = Field(
        16000.0, gt=0, description="of all uploads of a worker in temporary files; what does not fit gets 503"
    )
    max_clips: int = Field(
        256, ge=1, description="clips of a worker being received, waiting or at work; further ones get 503"
    )
    max_recordings: int = Field(16, ge=1, description="the same of recordings")
    recording_jobs: int = Field(1, ge=1, description="recordings a worker works on at once; others wait")
    head_timeout_s: float = Field(
        10.0, gt=0, description="a connection on which no whole request head has come for so long is closed"
    )
    upload_idle_s: float = Field(
        30.0, gt=0, description="an upload of which too little has arrived in so long is given up"
    )
    upload_min_kb_s: float = Field(1.0, gt=0, description="and how much it must be, in units of 10^3 bytes a second")
    clip_timeout_s: float = Field(60.0, gt=0, description="longest time for a clip, from its upload to its answer")
    recording_timeout_s: float = Field(3600.0, gt=0, description="the same for a recording")
    review_max_age_days: float = Field(
        30.0, gt=0, description="flagged clips without a label are deleted after so long, by a timer"
    )
    review_max_mb: float = Field(1000.0, gt=0, description="and the oldest of them while they take more than this")

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.min_sample_rate_hz > self.max_sample_rate_hz:
            raise ValueError(
                f"min_sample_rate_hz {self.min_sample_rate_hz} must be at most max_sample_rate_hz, "
                f"{self.max_sample_rate_hz}"
            )
        for name in ("clip_max_mb", "batch_max_mb", "recording_max_mb"):
            if getattr(self, name) > self.uploads_memory_mb + self.uploads_disk_mb:
                raise ValueError(
                    f"{name} {getattr(self, name):g} is more than uploads_memory_mb and uploads_disk_mb hold together: "
                    "raise uploads_disk_mb, or lower it"
                )
        return self

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
