"""What the sections of a config share, and the types of their values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["Count", "FilePath", "Section", "Share", "StorePlace"]

FilePath = Annotated[Path, Field(strict=False)]


def _as_place(value: Any) -> Any:
    return value if isinstance(value, str) and "://" in value else Path(value)


# A folder, or a place of fsspec's: s3://bucket/stores/isign
StorePlace = Annotated[Path | str, BeforeValidator(_as_place)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """What all sections share: no unknown keys, no silent conversion, no change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
