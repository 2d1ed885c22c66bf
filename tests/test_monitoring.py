"""Alert rules and dashboard: every query parses, and asks for series and labels that the real service shows."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import sounds
import tiny_model
from service_server import ROOT, running, wait_for

RULES = ROOT / "docs" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "earshot.json"
PROMETHEUS_OWN = {"up": {"job", "instance"}}
# Grafana puts a duration in their place.
_VARIABLE = re.compile(r"\$__(rate_interval|interval)")

Selector = tuple[str, frozenset[str]]  # a series' name, and the labels that it is asked for


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def queries() -> dict[str, str]:
    """Where each query is from, and the query."""
    found = {f"alert {rule['alert']}": rule["expr"] for rule in rules()}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            found[f"panel {panel['title']} {target['refId']}"] = _VARIABLE.sub("5m", target["expr"])
    return found


def selectors(expression: Any) -> Iterator[Selector]:
    """Every series that `expression` asks for, with the labels that are matched or grouped by around it."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression.name, frozenset(matcher.name for matcher in expression.matchers.matchers)
        return
    grouped: frozenset[str] = frozenset()
    if isinstance(expression, promql_parser.AggregateExpr) and expression.modifier is not None:
        grouped = frozenset(expression.modifier.labels)
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        if (part := getattr(expression, name, None)) is not None:
            yield from ((series, labels | grouped) for series, labels in selectors(part))
    for part in getattr(expression, "args", None) or ():
        yield from ((series, labels | grouped) for series, labels in selectors(part))


@pytest.fixture(scope="module")
def shown(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Series to labels, of a service to which everything happened that is counted."""
    home = tmp_path_factory.mktemp("service") / "home"
    environment = {"EARSHOT_REVIEW_DIR": str(home / "review")}
    with running(home, tiny_model_path, {"review_threshold": 1.0}, **environment) as server:
        clip = sounds.wav(tiny_model.sound("hum", 5.0), tiny_model.RATE, "PCM_16").getvalue()
        for data, path in ((clip, "/classify"), (clip, "/classify"), (clip, "/timeline"), (b"text", "/classify")):
            httpx.post(f"{server.url}{path}", files={"file": data}, timeout=60)
        duplicate = 'earshot_review_clips_not_kept_total{reason="duplicate"}'
        assert wait_for(lambda: server.metrics().get(duplicate) == 1)
        text = httpx.get(f"{server.url}/metrics").text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("where", queries())
def test_a_query_asks_for_what_is_shown(where: str, shown: dict[str, set[str]]) -> None:
    found = list(selectors(promql_parser.parse(queries()[where])))
    assert found
    for series, labels in found:
        known = {**shown, **PROMETHEUS_OWN}
        assert series in known, f"{series} is not in /metrics"
        assert labels <= known[series], f"{series} has no label {labels - known[series]}"


def test_the_labels_of_a_query_are_found() -> None:
    (one,) = selectors(promql_parser.parse('sum by (a) (rate(x_total{b="1"}[5m])) > 1'))
    assert one == ("x_total", {"a", "b"})


def test_a_rule_is_whole() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[mh]", rule["for"])
        assert rule["annotations"]["summary"]
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        groups = {label for _, labels in selectors(promql_parser.parse(rule["expr"])) for label in labels}
        assert told <= groups | {"instance"}


def test_every_series_of_the_service_has_a_panel(shown: dict[str, set[str]]) -> None:
    asked = {series for query in queries().values() for series, _ in selectors(promql_parser.parse(query))}
    stems = {re.sub(r"_(bucket|sum|count|total)$", "", series) for series in asked}
    ours = {re.sub(r"_(bucket|sum|count|total|created)$", "", s) for s in shown if s.startswith("earshot_")}
    assert ours <= stems
