"""Several sources as one table of clips, and one card."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from earshot.sources.source import Source

_STRICTEST_FIRST = ("NC", "not stated", "ND", "SA", "BY")  # parts of licences' names; all others are freer


def join(tables: Mapping[str, pd.DataFrame], sources: Mapping[str, Source]) -> pd.DataFrame:
    """The sources' tables one after another, with the column `source`.

    Recordings that are Freesound's keep their number, so that one that is in two sources is one recording. Others are
    told apart by their source.
    """
    parts = []
    for key, table in tables.items():
        prefix = "" if sources[key].freesound else f"{key}/"
        parts.append(table.assign(source=key, recording=prefix + table["recording"]))
    return pd.concat(parts, ignore_index=True)


def joint_card(name: str, cards: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """One card out of the sources' `cards`; each of them is in `sources`, with its key."""
    by_licence: dict[str, list[str]] = {}
    for card in cards.values():
        titles = by_licence.setdefault(card["licence"], [])
        if card["title"] not in titles:
            titles.append(card["title"])
    strictest_first = sorted(by_licence, key=_rank)
    return {
        "name": name,
        "title": " and ".join(dict.fromkeys(card["title"] for card in cards.values())),
        "licence": "; ".join(f"{licence}: {', '.join(by_licence[licence])}" for licence in strictest_first),
        "citation": "; ".join(dict.fromkeys(card["citation"] for card in cards.values())),
        "url": " ".join(filter(None, dict.fromkeys(card["url"] for card in cards.values()))),
        "sources": [{"key": key, **card} for key, card in cards.items()],
    }


def _rank(licence: str) -> tuple[int, str]:
    strict = next((rank for rank, part in enumerate(_STRICTEST_FIRST) if part in licence), len(_STRICTEST_FIRST))
    return strict, licence
