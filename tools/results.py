"""Tables of results: each a function that reads files of figures and returns Markdown."""

from collections.abc import Callable, Sequence
from typing import Any

from figures import Figures

NONE = "–"

PEERS = "benchmarks/peers/results.json"
EXTRA = (("extra_clips", "synthetic of the classes"), ("background_clips", "of background"))
NETWORKS = {"compact": "compact", "tutorial": "the tutorial's", "sb_cnn": "SB-CNN"}


def formatted(value: Any, form: str) -> str:
    """`value` by a format specification; a percent sign is set off by a space, as in running text."""
    if value is None:
        return NONE
    if isinstance(value, list):
        return interval(value, form)
    text = format(value, form) if form else str(value)
    return text.replace("%", " %")


def interval(values: Sequence[float], form: str) -> str:
    """``[value, low, high]`` as *value (low to high)*."""
    value, low, high = (format(part, form) if form else str(part) for part in values)
    return f"{value} ({low} to {high})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def headline(figures: Figures) -> str:
    """What README shows: the figures a user asks for first."""
    test = figures.json("metrics/evaluation.json")
    int8 = figures.json("metrics/quantization.json")
    latency = figures.json("metrics/latency.json")
    confidence = figures.json("metrics/confidence.json")
    worst = figures.json("metrics/robustness.json")
    outside = "metrics/open_set.json" if figures.exists("metrics/open_set.json") else "metrics/unknown.json"
    far = figures.json(outside)["far"]
    peers = figures.json(PEERS)
    service = figures.json("benchmarks/service/result.json")
    front_end = figures.json("benchmarks/features/synthesised.json")

    synthetic = f"synthetic: {test['test_clips']} test clips of {test['test_recordings']} recordings"
    real = f"real: {peers['test_clips']:,} test clips of {peers['test_recordings']} recordings"
    accuracy = [test["accuracy"], test["accuracy_ci_low"], test["accuracy_ci_high"]]
    of_file = f"{latency['int8']['p50_ms']:.2f} ms a clip on one thread"
    rows = [
        ["accuracy, fp32", synthetic, interval(accuracy, ".3f"), figures.measured("metrics/evaluation.json")],
        [
            "accuracy, INT8",
            synthetic,
            f"{int8['int8_accuracy']:.3f}; {formatted(int8['agreement'], '.1%')} of answers as fp32",
            figures.measured("metrics/quantization.json"),
        ],
        ["INT8 file", f"{int8['int8_bytes'] / 1e3:.0f} kB", of_file, figures.measured("metrics/latency.json")],
        ["calibration error, INT8", synthetic, _calibration(confidence), figures.measured("metrics/confidence.json")],
        [
            "worst disturbance",
            f"synthetic: {worst['worst_condition']}",
            f"{worst['worst_change_points']:+.1f} points of accuracy",
            figures.measured("metrics/robustness.json"),
        ],
        [
            "background told from classes",
            "synthetic: ambience, noise, tones",
            f"AUROC {far['auroc_mean']:.2f}",
            figures.measured(outside),
        ],
        [
            "accuracy, INT8, trained with extra clips",
            real,
            f"{_accuracy(peers['int8']['accuracy'])}; recipe chosen on these recordings",
            figures.measured(PEERS),
        ],
        [
            "accuracy, tutorial's network, without extra clips",
            "real: the same",
            _accuracy(peers["accuracy"]["tutorial"]),
            figures.measured(PEERS),
        ],
        [
            "requests a second, 16 clients",
            "4 s WAV files",
            f"{service['throughput']['clients_16']['earshot']['requests_per_s']:.0f}",
            figures.measured("benchmarks/service/result.json"),
        ],
        [
            "front end, clips a second",
            "beside librosa",
            f"{front_end['ratio']:.2f} times as many",
            figures.measured("benchmarks/features/synthesised.json"),
        ],
    ]
    return table(["figure", "data", "result", "measured"], rows)


def _calibration(confidence: dict[str, Any]) -> str:
    text = f"{confidence['ece']:.3f}"
    if "ece_if_calibrated" in confidence:
        calibrated = [confidence[f"ece_if_calibrated{suffix}"] for suffix in ("", "_low", "_high")]
        text += f"; {interval(calibrated, '.3f')} if calibrated"
    return text


def _accuracy(found: dict[str, Any]) -> str:
    return interval([found["mean"], *found["interval"]], ".3f")


def _points(found: dict[str, Any]) -> str:
    return interval([found["points"], *found["interval"]], ".1f")


def of_csv(path: str, columns: dict[str, tuple[str, str]]) -> Callable[[Figures], str]:
    """A table of a CSV file: column to (heading, format); columns that the file lacks are left out."""

    def made(figures: Figures) -> str:
        rows = figures.csv(path)
        kept = {name: how for name, how in columns.items() if name in rows[0]}
        cells = [[_cell(row[name], form) for name, (_, form) in kept.items()] for row in rows]
        return table([heading for heading, _ in kept.values()], cells) + f"\n\nMeasured by {figures.measured(path)}."

    return made


def _cell(text: str, form: str) -> str:
    if not text:
        return NONE
    return formatted(float(text), form) if form else text


def peers(figures: Figures) -> str:
    """Networks trained on the same real recordings, and what each was trained on."""
    found = figures.json(PEERS)
    heard = found.get("trained_on", {})
    measured = figures.measured(PEERS)
    rows = []
    for name, accuracy in found["accuracy"].items():
        behind = found["compact_ahead_of"].get(name)
        rows.append(
            [
                NETWORKS.get(name, name),
                heard.get(name, NONE),
                _accuracy(accuracy),
                _points(behind) if behind else NONE,
                measured,
            ]
        )
    rows.append(["compact, INT8", heard.get("compact", NONE), _accuracy(found["int8"]["accuracy"]), NONE, measured])
    return table(["network", "trained on", "accuracy, mean of seeds", "compact ahead by, points", "measured"], rows)


def one_fold(figures: Figures) -> str:
    """Every network on one fold with one seed, with and without extra clips."""
    path = "benchmarks/peers/one_fold.json"
    measured = figures.measured(path)
    rows = []
    for row in figures.json(path)["rows"]:
        extra = [f"{row[key]:,} {words}" for key, words in EXTRA if row[key]]
        behind = row.get("compact_ahead_by")
        rows.append(
            [
                NETWORKS.get(row["network"], row["network"]),
                " and ".join([f"{row['train_clips']:,} real", *extra]),
                f"{row['parameters']:,}",
                f"{row['updates']:,}",
                _accuracy(row["accuracy"]),
                _points(behind) if behind else NONE,
                f"{row['int8_accuracy']:.3f}",
                measured,
            ]
        )
    header = [
        "network",
        "training clips",
        "weights",
        "updates",
        "accuracy",
        "compact ahead by, points",
        "INT8",
        "measured",
    ]
    return table(header, rows)


def peers_confidence(figures: Figures) -> str:
    """Confidence of compact's INT8 files on the real test clips, by seed."""
    found = figures.json(PEERS)
    rows = []
    for key, words in (
        ("ece", "calibration error"),
        ("ece_if_calibrated", "calibration error of a calibrated model"),
        ("nll", "negative log-likelihood"),
        ("nll_uncalibrated", "negative log-likelihood, uncalibrated"),
        ("brier", "Brier score"),
        ("brier_uncalibrated", "Brier score, uncalibrated"),
        ("correctness_auroc", "AUROC of correctness"),
    ):
        values = [seed[key] for seed in found["int8"]["confidence"] if key in seed]
        if values:
            rows.append([words, *(f"{value:.3f}" for value in values)])
    header = ["figure", *(f"seed {seed}" for seed in found["seeds"])]
    return table(header, rows) + f"\n\nMeasured: {figures.measured(PEERS)}."


def disturbed(figures: Figures) -> str:
    """Real clips disturbed, INT8 files of both seeds."""
    path = "benchmarks/peers/disturbed.json"
    rows = [
        [
            row["condition"],
            f"{row['clips']:,}",
            f"{row['accuracy']:.3f}",
            interval([row["change_points"], row["change_low"], row["change_high"]], ".1f"),
            row["worst_class"],
        ]
        for row in figures.json(path)["conditions"]
        if row["condition"] != "clean"
    ]
    header = ["condition", "answers", "accuracy", "change in points", "worst class"]
    return table(header, rows) + f"\n\nMeasured: {figures.measured(path)}."


def open_set_real(figures: Figures) -> str:
    """Classes left out in turn, and generated background, as sounds outside the classes."""
    path = "benchmarks/unknown/result.json"
    found = figures.json(path)
    rows = [
        [words, *(formatted(found[side][key], form) for side in ("near", "far"))]
        for words, key, form in (
            ("AUROC of `known`, mean over families", "auroc_mean", ".3f"),
            ("AUROC of the maximum softmax", "auroc_max_softmax_mean", ".3f"),
            ("lowest AUROC of a family", "auroc_worst", ".3f"),
            ("false positives at 95 % true positives", "false_positive_rate_95_mean", ".2f"),
            ("answered `unknown`", "called_unknown_mean", ".1%"),
        )
    ]
    gains = [
        interval([found[side]["auroc_gain_points"], *found[side]["auroc_gain_interval"]], ".1f")
        for side in ("near", "far")
    ]
    rows.insert(2, ["AUROC points between the two", *gains])
    cost = interval([found["accuracy_change_points"], *found["accuracy_change_interval"]], ".2f")
    rows.append(["change of accuracy of the classes' own clips, points", cost, NONE])
    header = ["figure", "near: classes left out", "far: ambience, noise, tones"]
    return table(header, rows) + f"\n\nMeasured: {figures.measured(path)}."


def open_set_families(figures: Figures) -> str:
    """Each class left out of training, as a sound outside the classes."""
    path = "benchmarks/unknown/result.json"
    rows = [
        [
            row["family"],
            str(row["clips"]),
            *(f"{row[key]:.2f}" for key in ("auroc", "auroc_max_softmax")),
            formatted(row["called_unknown"], ".0%"),
        ]
        for row in figures.json(path)["families"]
        if row["near"]
    ]
    rows.sort(key=lambda row: row[2], reverse=True)
    header = ["class left out", "clips", "AUROC", "AUROC, maximum softmax", "answered `unknown`"]
    return table(header, rows) + f"\n\nMeasured: {figures.measured(path)}."


def earlier_recipe(figures: Figures) -> str:
    """The pipeline run on real folds with an earlier recipe, and the tutorial's network on a random split."""
    path = "docs/results/us8k_sample/summary.json"
    found = figures.json(path)
    measured = figures.measured(path)
    rows = [
        [
            words,
            split,
            interval([found[key]["accuracy"], *found[key]["interval"]], ".3f"),
            f"{found[key]['int8_accuracy']:.3f}" if "int8_accuracy" in found[key] else NONE,
            measured,
        ]
        for words, split, key in (
            ("compact, earlier recipe", "folds 1 to 3, pooled", "compact"),
            ("the tutorial's", "folds 1 to 3, pooled", "tutorial"),
            ("the tutorial's", "random: recordings on both sides", "tutorial_on_a_random_split"),
        )
    ]
    return table(["network", "split", "accuracy, fp32", "INT8", "measured"], rows)


def service(figures: Figures) -> str:
    """Throughput and latency beside other services, by number of clients."""
    path = "benchmarks/service/result.json"
    found = figures.json(path)["throughput"]
    names = [name for name in found["clients_16"] if name != "sink"]
    rows = []
    for clients, result in found.items():
        count = clients.removeprefix("clients_")
        for words, form in (
            ("requests a second", "requests_per_s"),
            ("p50, ms", "p50_ms"),
            ("p95, ms", "p95_ms"),
            ("server's CPU, ms a request", "server_cpu_ms_per_request"),
        ):
            rows.append([count, words, *(str(result[name][form]) for name in names)])
    return table(["clients", "figure", *names], rows) + f"\n\nMeasured: {figures.measured(path)}."


def service_ratios(figures: Figures) -> str:
    """The service's figures beside what was wanted of them."""
    path = "benchmarks/service/result.json"
    found = figures.json(path)
    rows = [
        [key.replace("_", " "), str(found["ratios"].get(key, NONE)), str(bar)] for key, bar in found["bars"].items()
    ]
    return table(["figure", "measured", "wanted"], rows) + f"\n\nMeasured: {figures.measured(path)}."


def front_end(figures: Figures) -> str:
    """The front end beside librosa."""
    rows = []
    for path, words in (
        ("benchmarks/features/synthesised.json", "synthetic WAV files"),
        ("benchmarks/features/urbansound8k.json", "originals of UrbanSound8K"),
    ):
        found = figures.json(path)
        speed, parts = found["clips_per_second"], found["parts_ms_per_clip"]
        rows.append(
            [
                f"{found['files']['count']} {words}",
                f"{speed['earshot']:.0f}",
                f"{speed['librosa']:.0f}",
                f"{found['ratio']:.2f}",
                ", ".join(f"{parts[part]:.2f}" for part in ("decode", "resample", "mel")),
                figures.measured(path),
            ]
        )
    header = ["files", "Earshot, clips/s", "librosa, clips/s", "ratio", "decode, resample, mel: ms a clip", "measured"]
    return table(header, rows)


def onset(figures: Figures) -> str:
    """What a window gives a sound that it holds only in part."""
    path = "benchmarks/onset/result.json"
    found = figures.json(path)
    rows = [
        [formatted(row["share_heard"], ".0%"), f"{row['probability']:.2f}", formatted(row["at_least_0.5"], ".0%")]
        for row in found["entering"]
    ]
    header = ["share of the sound in the window", "mean probability of its class", "at least 0.5"]
    return table(header, rows) + f"\n\nMeasured: {figures.measured(path)}."


def cpus(figures: Figures) -> str:
    """INT8 files by how their weights were quantised, on kernels with and without VNNI."""
    path = "benchmarks/cpus/result.json"
    found = figures.json(path)
    older = ("AVX2", "AVX-512 without VNNI")
    rows = []
    for name, row in found["variants"].items():
        there = row["kernels"]["AVX2"]
        rows.append(
            [
                f"**{name}**" if name == found["chosen"] else name,
                f"{row['accuracy']:.3f}",
                formatted(row["agreement_with_fp32"], ".1%"),
                f"{row['logit_error_rms']:.3f}",
                f"{there['accuracy']:.3f}",
                formatted(min(row["kernels"][kernel]["same_answer"] for kernel in older), ".1%"),
                *(f"{row['fastest_ms'][kernel]:.2f}" for kernel in ("this processor", *older)),
            ]
        )
    header = [
        "weights",
        "accuracy",
        "same answers as fp32",
        "logit error (rms)",
        "accuracy, AVX2",
        "same answers with and without VNNI",
        "ms, VNNI",
        "ms, AVX2",
        "ms, AVX-512 without VNNI",
    ]
    heard = f"{found['validation_clips']} validation clips"
    return table(header, rows) + f"\n\n{heard}. Measured: {figures.measured(path)}."


def cpus_emulated(figures: Figures) -> str:
    """The chosen INT8 file on emulated processors."""
    path = "benchmarks/cpus/result.json"
    found = figures.json(path)
    rows = [
        [
            cpu,
            part,
            str(found[f"{part}_clips"]),
            formatted(row["same_answer"], ".1%"),
            f"{row['largest_probability_difference']:.1e}",
        ]
        for cpu, parts in found["variants"][found["chosen"]]["emulated"].items()
        for part, row in parts.items()
    ]
    return table(["emulated", "clips", "count", "same answers", "largest difference of a probability"], rows)


def training(figures: Figures) -> str:
    """Seconds an epoch."""
    path = "benchmarks/train/result.json"
    found = figures.json(path)
    rows = [
        [
            NETWORKS.get(name, name),
            f"{row['epoch_s']:.2f}",
            f"{row['ms_per_clip']:.2f}",
            str(row["epochs"]),
            f"{row['projected_minutes_7000_clips']:.1f}",
        ]
        for name, row in found.items()
        if isinstance(row, dict) and "epoch_s" in row
    ]
    header = ["network", "seconds an epoch", "ms a clip and epoch", "epochs", "minutes for 7,000 clips, projected"]
    return table(header, rows) + f"\n\nMeasured on {found['train_clips']:,} clips: {figures.measured(path)}."


def small(figures: Figures) -> str:
    """A small training set: 40 clips a class from 8 recordings."""
    path = "benchmarks/small/synthetic.json"
    rows = [
        [name, interval([row["accuracy"], *row["interval"]], ".3f"), f"{row['lowest_recall']:.2f}", f"{row['nll']:.2f}"]
        for name, row in figures.json(path).items()
        if isinstance(row, dict) and "accuracy" in row
    ]
    header = ["network", "accuracy", "lowest recall of a class", "negative log-likelihood"]
    return table(header, rows) + f"\n\nMeasured: {figures.measured(path)}."


def seeds(figures: Figures) -> str:
    """The synthetic set made from other seeds, and what its network makes of real clips."""
    path = "benchmarks/synthetic/results.json"
    rows = []
    for seed, found in figures.json(path).items():
        if not seed.isdigit():
            continue
        rows.append(
            [
                seed,
                *(
                    f"{found[key]['accuracy']:.3f}"
                    for key in ("compact", "tutorial", "tutorial_random_split", "metadata_only")
                ),
                f"{found['compact_on_real_clips']['balanced_accuracy']:.3f}",
            ]
        )
    header = [
        "seed",
        "compact",
        "the tutorial's",
        "the tutorial's, random split",
        "file metadata alone",
        "compact on real clips, balanced accuracy",
    ]
    return table(header, rows) + f"\n\nMeasured: {figures.measured(path)}."


def benchmarks(figures: Figures) -> str:
    """Every benchmark with its main result, its command and its date."""
    rows = [_benchmark_row(figures, *row) for row in BENCHMARKS]
    return table(["benchmark", "result", "command", "machine", "measured"], rows)


def _benchmark_row(figures: Figures, path: str, words: Callable[[dict[str, Any]], str]) -> list[str]:
    found = figures.json(path)
    folder = path.split("/")[1]
    result, machine = words(found), found["machine"]
    return [
        folder,
        result,
        f"`{found['command']}`",
        machine["cpu"] if isinstance(machine, dict) else machine,
        figures.measured(path),
    ]


BENCHMARKS: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
    (
        "benchmarks/features/synthesised.json",
        lambda d: f"{d['ratio']:.1f} times librosa's clips a second (synthetic files)",
    ),
    (
        "benchmarks/features/urbansound8k.json",
        lambda d: f"{d['ratio']:.1f} times librosa's clips a second (real files)",
    ),
    (
        PEERS,
        lambda d: f"compact {_points(d['compact_ahead_of']['tutorial'])} points ahead of the tutorial's network (real)",
    ),
    (
        "benchmarks/unknown/result.json",
        lambda d: f"AUROC of left-out classes {d['near']['auroc_mean']:.2f} (real)",
    ),
    (
        "benchmarks/service/result.json",
        lambda d: f"{d['throughput']['clients_16']['earshot']['requests_per_s']:.0f} requests a second of 16 clients",
    ),
    (
        "benchmarks/soak/result.json",
        lambda d: f"{sum(d['answered'].values()):,} requests in {d['minutes']:.0f} minutes, {len(d['errors'])} errors",
    ),
    (
        "benchmarks/keeping/result.json",
        lambda d: (
            f"one flagged clip in {d['median_ms']['many']:.0f} ms where {d['clips']['many']:,} are kept, "
            f"{d['ratio']:.2f} times as long as where {d['clips']['few']} are"
        ),
    ),
    (
        "benchmarks/fuzz/result.json",
        lambda d: f"{d['uploads']:,} mutated uploads, {d['wrong']} wrong answers, slowest {d['slowest_s']} s",
    ),
    (
        "benchmarks/timeline_2h/result.json",
        lambda d: f"two hours of sound in {d['seconds']} s, {d['peak_over_idle_mb']:.0f} MB above idle",
    ),
    (
        "benchmarks/onset/result.json",
        lambda d: (
            f"median onset error {d['onset_error_p50_s']:.2f} s; {formatted(d['found'], '.0%')} found (synthetic)"
        ),
    ),
    (
        "benchmarks/formats/synthetic.json",
        lambda d: f"{d['features_equal']:,} of {d['clips']:,} clips the same through the service (synthetic)",
    ),
    (
        "benchmarks/formats/us8k_sample.json",
        lambda d: f"{d['features_equal']:,} of {d['clips']:,} clips the same through the service (real)",
    ),
    (
        "benchmarks/train/result.json",
        lambda d: f"{d['compact']['ms_per_clip']:.1f} ms a clip and epoch (synthetic)",
    ),
    (
        "benchmarks/small/synthetic.json",
        lambda d: f"{d['compact, seed 1']['accuracy']:.2f} from 40 clips a class, first seed (synthetic)",
    ),
    (
        "benchmarks/synthetic/results.json",
        lambda d: (
            f"metadata alone {d['7']['metadata_only']['accuracy']:.2f}, compact {d['7']['compact']['accuracy']:.2f}"
        ),
    ),
    (
        "benchmarks/bento/result.json",
        lambda d: f"{d['packages']} packages, answers {'the same' if d['equal'] else 'differ'}",
    ),
]


def evidence(figures: Figures, name: str) -> str:
    """A table of screened evidence: ``docs/results/evidence/NAME.json``."""
    found = figures.json(f"docs/results/evidence/{name}.json")
    rows = [
        [
            formatted(cell, "" if isinstance(cell, str) else form)
            for cell, form in zip(row, found["formats"], strict=True)
        ]
        for row in found["rows"]
    ]
    return f"{table(found['columns'], rows)}\n\n{found['about']} Source: {found['source']}."


def provenance(figures: Figures, path: str) -> str:
    """How the figures at `path` came about."""
    found = figures.json(path)
    machine = found["machine"]
    cpu = machine["cpu"] if isinstance(machine, dict) else machine
    versions = (
        [f"{name} {value}" for name, value in machine.items() if name not in ("cpu", "load_before")]
        if isinstance(machine, dict)
        else []
    )
    rows = [
        ["command", f"`{found['command']}`"],
        ["machine", "; ".join([cpu, *versions])],
        ["measured", figures.measured(path)],
        ["figures", f"`{path}`"],
    ]
    return table(["", ""], rows)


def cited(figures: Figures) -> str:
    """Figures of other works, with their sources; none was measured here."""
    rows = [
        [row["network"], row["figure"], row["what"], f"[{row['source']}]({row['url']})"]
        for row in figures.json("benchmarks/cited.json")["rows"]
    ]
    return table(["network", "figure", "of what", "source"], rows)


ROBUSTNESS = {
    "condition": ("condition", ""),
    "clips": ("clips", ".0f"),
    "recordings": ("recordings", ".0f"),
    "accuracy": ("accuracy", ".3f"),
    "change_points": ("change in points", "+.1f"),
    "change_low": ("from", "+.1f"),
    "change_high": ("to", "+.1f"),
    "worst_class": ("worst class", ""),
}
OPEN_SET = {
    "family": ("family", ""),
    "clips": ("clips", ".0f"),
    "auroc": ("AUROC", ".3f"),
    "auroc_max_softmax": ("AUROC, maximum softmax", ".3f"),
    "false_positive_rate_95": ("false positives at 95 % true positives", ".2f"),
    "called_unknown": ("answered `unknown`", ".0%"),
}
PER_CLASS = {
    "class": ("class", ""),
    "support": ("clips", ".0f"),
    "recordings": ("recordings", ".0f"),
    "recall": ("recall", ".2f"),
    "recall_low": ("from", ".2f"),
    "recall_high": ("to", ".2f"),
    "precision": ("precision", ".2f"),
    "f1": ("F1", ".2f"),
}
REVIEW = {
    "threshold": ("threshold", ".2f"),
    "flagged": ("flagged", ".0%"),
    "errors_flagged": ("errors among the flagged", ".0%"),
    "accuracy_of_passed": ("accuracy of the others", ".3f"),
}


def _open_set(figures: Figures) -> str:
    path = "metrics/open_set.csv" if figures.exists("metrics/open_set.csv") else "metrics/unknown.csv"
    return of_csv(path, OPEN_SET)(figures)


TABLES: dict[str, Callable[[Figures], str]] = {
    "headline": headline,
    "robustness": of_csv("metrics/robustness.csv", ROBUSTNESS),
    "open set": _open_set,
    "per class": of_csv("metrics/per_class.csv", PER_CLASS),
    "review": of_csv("metrics/review.csv", REVIEW),
    "peers": peers,
    "one fold": one_fold,
    "peers confidence": peers_confidence,
    "disturbed": disturbed,
    "open set real": open_set_real,
    "open set families": open_set_families,
    "earlier recipe": earlier_recipe,
    "service": service,
    "service ratios": service_ratios,
    "front end": front_end,
    "onset": onset,
    "cpus": cpus,
    "cpus emulated": cpus_emulated,
    "training": training,
    "small": small,
    "seeds": seeds,
    "benchmarks": benchmarks,
    "cited": cited,
}
PARAMETRISED: dict[str, Callable[[Figures, str], str]] = {"evidence": evidence, "provenance": provenance}
