"""Events over time: the rules that make them, and that no way of cutting the recording changes them."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

import tiny_model
from earshot.core.front_end import FrontEndParams
from earshot.core.params import ParamsError, build
from earshot.decisions.decisions import Decisions
from earshot.hearing.log_mel import LogMel
from earshot.model.session import Model
from earshot.stream.config import TimelineParams
from earshot.stream.events import Event, EventTracker
from earshot.stream.timeline import Timeline, spread, timeline
from earshot.stream.windows import HOP_FRAMES, windows
from sounds import noise, wav

RATE = tiny_model.RATE
CUT = HOP_FRAMES * tiny_model.FRONT_END.hop_length  # recordings cut at multiples of this share their windows


# ---- From probabilities to events: frames of 0.1 s, and a second class that takes what the first leaves.


def track(probabilities, audible=None, block=10**6, **settings) -> list[Event]:
    """Events of the class `a`, with gaps of 0.25 s joined and events from 0.2 s on unless told otherwise."""
    params = TimelineParams(**{"max_gap_s": 0.25, "min_duration_s": 0.2} | settings)
    first = np.asarray(probabilities, float)
    logits = np.log(np.stack([first, 1 - first], axis=1))
    heard = np.ones(len(first), bool) if audible is None else np.asarray(audible, bool)
    tracker = EventTracker(("a", "b"), 0.1, Decisions(), params)
    events = []
    for start in range(0, len(first), block):
        events += tracker.push(logits[start : start + block], heard[start : start + block])
    events += tracker.finish()
    return [event for event in events if event.label == "a"]


def spans(events: list[Event]) -> list[tuple[float, float]]:
    return [(round(event.onset_s, 6), round(event.offset_s, 6)) for event in events]


def test_an_event_lasts_from_off_to_off_threshold_around_a_frame_over_on():
    assert spans(track([0.1, 0.45, 0.7, 0.45, 0.1, 0.1])) == [(0.1, 0.4)]


def test_frames_that_never_reach_the_on_threshold_are_no_event():
    assert track([0.1, 0.55, 0.59, 0.55, 0.1]) == []


def test_gaps_up_to_the_limit_are_closed_and_longer_ones_are_not():
    two, three = [0.1] * 2, [0.1] * 3
    assert spans(track([0.9] * 3 + two + [0.9] * 3)) == [(0.0, 0.8)]
    assert spans(track([0.9] * 3 + three + [0.9] * 3)) == [(0.0, 0.3), (0.6, 0.9)]


def test_what_does_not_count_bridges_no_gap():
    assert spans(track([0.9, 0.9, 0.1, 0.1, 0.5, 0.5, 0.1, 0.1, 0.9, 0.9])) == [(0.0, 0.2), (0.8, 1.0)]


def test_short_events_are_dropped_after_joining():
    assert track([0.1, 0.9, 0.1, 0.1, 0.1, 0.1]) == []
    assert spans(track([0.1, 0.9, 0.1, 0.9, 0.1, 0.1])) == [(0.1, 0.4)]


def test_silence_ends_an_event_and_begins_none():
    audible = [1, 1, 1, 0, 0, 0, 0, 0, 1, 1]
    assert spans(track([0.9] * 10, audible)) == [(0.0, 0.3), (0.8, 1.0)]
    assert track([0.9] * 10, [0] * 10) == []


def test_the_confidence_is_that_of_the_mean_logits_without_the_gaps():
    (event,) = track([0.9, 0.7, 0.1, 0.8, 0.1])
    odds = np.exp(np.mean([np.log(p / (1 - p)) for p in (0.9, 0.7, 0.8)]))
    assert event.confidence == pytest.approx(odds / (1 + odds), abs=1e-12)


def test_the_temperature_flattens_the_confidence():
    logits, audible = np.tile([2.0, 0.0], (5, 1)), np.ones(5, bool)
    tracker = EventTracker(("a", "b"), 0.1, Decisions(temperature=2.0), TimelineParams())
    (event,) = tracker.push(logits, audible) + tracker.finish()
    assert event.confidence == pytest.approx(1 / (1 + np.exp(-1)))


@pytest.mark.parametrize("block", [1, 3, 22])
def test_blocks_of_any_size_give_the_same_events(block):
    random = np.random.default_rng(5)
    probabilities = np.clip(np.convolve(random.uniform(0, 1, 600), np.ones(4) / 4, "same"), 0.01, 0.99)
    audible = random.uniform(size=600) < 0.97
    whole = track(probabilities, audible)
    found = track(probabilities, audible, block)
    assert len(whole) > 20
    assert spans(found) == spans(whole)
    assert [e.confidence for e in found] == pytest.approx([e.confidence for e in whole], abs=1e-12)


def test_an_event_is_given_out_as_soon_as_nothing_can_be_joined_to_it():
    tracker = EventTracker(("a", "b"), 0.1, Decisions(), TimelineParams(max_gap_s=0.25, min_duration_s=0.0))
    audible = np.ones(1, bool)
    high, low = np.array([[5.0, 0.0]]), np.array([[0.0, 5.0]])
    given = [len(tracker.push(logits, audible)) for logits in (high, high, low, low, low, low)]
    assert given == [0, 0, 0, 0, 1, 0]


def test_two_classes_may_sound_at_once_and_come_in_order_of_their_ends():
    tracker = EventTracker(
        ("a", "b"), 0.1, Decisions(), TimelineParams(on_threshold=0.4, off_threshold=0.3, max_gap_s=0.0)
    )
    both, only_a = np.log([[0.5, 0.5]] * 5), np.log([[0.8, 0.2]] * 5)
    events = tracker.push(np.concatenate([both, only_a]), np.ones(10, bool)) + tracker.finish()
    assert [(e.label, round(e.onset_s, 6), round(e.offset_s, 6)) for e in events] == [("b", 0.0, 0.5), ("a", 0.0, 1.0)]


def test_none_of_the_classes_takes_probability_and_makes_no_event():
    audible = np.ones(10, bool)
    of_classes = np.log([[0.9, 0.1]] * 10)
    of_none = np.log([[0.1]] * 5 + [[9.0]] * 5)  # beside the two above: 1 in 11, then 9 in 10

    def heard(logits: np.ndarray) -> list[Event]:
        tracker = EventTracker(("a", "b"), 0.1, Decisions(), TimelineParams(max_gap_s=0.0, min_duration_s=0.0))
        return tracker.push(logits, audible) + tracker.finish()

    (without,) = heard(of_classes)
    assert (without.label, spans([without])) == ("a", [(0.0, 1.0)])
    assert without.confidence == pytest.approx(0.9)
    (beside,) = heard(np.concatenate([of_classes, of_none], axis=1))
    assert (beside.label, spans([beside])) == ("a", [(0.0, 0.5)])
    assert beside.confidence == pytest.approx(0.9 / 1.1)


def test_thresholds_that_contradict_each_other_are_refused():
    with pytest.raises(ParamsError, match=r"off_threshold 0\.4 must be at most on_threshold, 0\.3"):
        build(TimelineParams, {"on_threshold": 0.3, "off_threshold": 0.4})
    with pytest.raises(ParamsError, match="max_gap_s"):
        build(TimelineParams, {"max_gap_s": -1.0})


def test_vectors_over_time_stand_for_their_steps_and_the_last_for_the_rest():
    vectors = np.arange(21.0)[None]
    values = spread(vectors, 173)[:, 0]
    assert values[:168].tolist() == [i for i in range(21) for _ in range(8)]
    assert values[168:].tolist() == [20.0] * 5
    assert spread(np.array([[3.0], [4.0]]), 5).tolist() == [[3.0, 4.0]] * 5


# ---- With a real model.


@pytest.fixture(scope="module")
def model(tiny_model_path) -> Model:
    return Model(tiny_model_path)


TRUTH = [("hum", 3.0, 5.0), ("whistle", 10.0, 11.0), ("whistle", 15.0, 15.4), ("hiss", 20.0, 25.0), ("hum", 31.0, 34.0)]


def recording(duration_s: float = 40.0) -> np.ndarray:
    """The sounds of `TRUTH` over noise that is nearly, but not, below the silence level."""
    samples = noise(round(duration_s * RATE), level=3e-4)[:, 0].astype(np.float32)
    for seed, (label, onset_s, offset_s) in enumerate(TRUTH):
        place = samples[round(onset_s * RATE) : round(offset_s * RATE)]
        place += tiny_model.sound(label, offset_s - onset_s, seed)[: len(place)]
    return samples


def events_of(model, samples: np.ndarray, chunk: int = 1 << 16, params: TimelineParams | None = None) -> list[Event]:
    stream = Timeline(model, params)
    events = []
    for start in range(0, len(samples), chunk):
        events += stream.push(samples[start : start + chunk])
    return events + stream.finish()


def test_sounds_are_found_where_they_are(model):
    events = events_of(model, recording())
    errors_s = []
    for label, onset_s, offset_s in TRUTH:
        matching = [e for e in events if e.label == label and e.onset_s < offset_s and e.offset_s > onset_s]
        assert len(matching) == 1, (label, onset_s)
        errors_s += [abs(matching[0].onset_s - onset_s), abs(matching[0].offset_s - offset_s)]
        assert 0.6 < matching[0].confidence < 1
    assert len(events) == len(TRUTH)
    # A frame is 0.19 s, and the network hears 0.7 s around it: a beep of 0.4 s in silence seems longer than it is.
    assert np.median(errors_s) < 0.2
    assert max(errors_s) < 0.45


@pytest.mark.parametrize("chunk", [512, 7_919, 10**9])
def test_chunks_of_any_size_give_the_same_events_to_the_last_bit(model, chunk):
    samples = recording(20.0) if chunk == 512 else recording()
    assert events_of(model, samples, chunk) == events_of(model, samples)


def test_a_file_gives_the_events_of_its_samples(model):
    samples = recording()
    assert list(timeline(model, wav(samples[:, None], RATE))) == events_of(model, samples)


@pytest.mark.parametrize("times", [1, 2])  # the model's rate; and twice that, which is resampled
def test_recordings_cut_on_the_grid_share_the_events_away_from_the_cuts(model, times):
    samples = recording(60.0)
    for seed, onset_s in enumerate((36.0, 40.5, 44.0, 52.0)):
        one = tiny_model.sound("whistle", 1.0, 20 + seed)
        samples[round(onset_s * RATE) :][: len(one)] += one
    samples, cut, rate_hz = np.repeat(samples, times), CUT * times, RATE * times

    def heard(piece: np.ndarray) -> list[Event]:
        return list(timeline(model, wav(piece[:, None], rate_hz)))

    whole = heard(samples)
    margin_s = 4.0 + 1.0
    compared = 0
    for begin, end in ((0, 60), (55, 100), (31, len(samples) // cut)):  # in hops
        piece = heard(samples[begin * cut : end * cut])
        begin_s, end_s = begin * cut / rate_hz, end * cut / rate_hz

        def inner(events: list[Event], shift_s: float, first_s: float, last_s: float) -> list[Event]:
            moved = [Event(e.label, e.onset_s + shift_s, e.offset_s + shift_s, e.confidence) for e in events]
            return [e for e in moved if e.onset_s > first_s and e.offset_s < last_s]

        first_s = begin_s + margin_s if begin else -1.0
        expected, found = inner(whole, 0.0, first_s, end_s - margin_s), inner(piece, begin_s, first_s, end_s - margin_s)
        assert [(e.label, e.confidence) for e in found] == [(e.label, e.confidence) for e in expected]
        assert spans(found) == spans(expected)
        compared += len(expected)
    assert compared >= 8


def test_silence_holds_no_events_and_is_not_even_shown_to_the_model(model):
    asked = []

    def frame_logits(features: np.ndarray) -> np.ndarray:
        asked.append(len(features))
        return model.frame_logits(features)

    ears = SimpleNamespace(
        classes=model.classes,
        log_mel=model.log_mel,
        card=model.card,
        locates=True,
        has_background=True,
        frame_logits=frame_logits,
    )
    whisper = np.clip(noise(30 * RATE)[:, 0] * 1e-3, -9e-4, 9e-4).astype(np.float32)  # -61 dB
    assert events_of(ears, np.zeros(30 * RATE, np.float32)) == []
    assert events_of(ears, whisper) == []
    assert asked == []
    whisper[15 * RATE : 16 * RATE] += tiny_model.sound("whistle", 1.0)
    assert [event.label for event in events_of(ears, whisper)] == ["whistle"]
    assert 8 <= sum(asked) <= 11  # the windows of 4 s, 0.511 s apart, that hold some of that second


@pytest.mark.parametrize("duration_s", [0.5, 2.0, 4.0, 4.3])
def test_recordings_around_a_window_long_have_events_within_them(model, duration_s):
    (event,) = events_of(model, tiny_model.sound("whistle", duration_s))
    assert event.label == "whistle"
    assert event.onset_s == pytest.approx(0, abs=0.2)
    assert duration_s - 0.2 < event.offset_s <= duration_s


def test_nothing_has_no_events(model):
    assert Timeline(model).finish() == []


def test_answers_over_time_are_the_same_bits_alone_and_in_a_batch(model):
    features = np.stack([window.features for window in windows([recording(12.0)], model.log_mel)])
    together = model.frame_logits(features)
    assert together.shape[1:] == (3 + 1, 21)  # the classes, and none of them
    for number in range(len(features)):
        assert np.array_equal(model.frame_logits(features[number : number + 1])[0], together[number])


def test_a_sound_of_no_class_makes_no_event_where_the_network_knows_it(model):
    samples = np.zeros(30 * RATE, np.float32)
    for begin_s, label in ((3, "whistle"), (11, tiny_model.OUTSIDE), (22, "hiss")):
        samples[begin_s * RATE : (begin_s + 4) * RATE] = tiny_model.sound(label, 4.0, 3)
    lenient = TimelineParams(on_threshold=0.4, off_threshold=0.3)
    assert [event.label for event in events_of(model, samples, params=lenient)] == ["whistle", "hiss"]
    deaf = SimpleNamespace(
        classes=model.classes,
        log_mel=model.log_mel,
        card=model.card,
        locates=True,
        has_background=False,
        frame_logits=lambda features: model.frame_logits(features)[:, :3],
    )
    first, *of_the_horn, last = events_of(deaf, samples, params=lenient)
    assert (first.label, last.label) == ("whistle", "hiss")
    assert of_the_horn  # it was the logit that kept it from being called something


def test_a_network_that_cannot_locate_is_heard_window_by_window(model):
    ears = SimpleNamespace(
        classes=model.classes,
        log_mel=model.log_mel,
        card=model.card,
        locates=False,
        has_background=True,
        window_logits=model.window_logits,
    )
    samples = np.concatenate([tiny_model.sound("hiss", 12.0), tiny_model.sound("hum", 12.0)])
    events = events_of(ears, samples)
    assert [event.label for event in events] == ["hiss", "hum"]
    assert events[0].offset_s == pytest.approx(12.0, abs=2.0)
    assert events[1].onset_s == pytest.approx(12.0, abs=2.0)


@pytest.mark.parametrize(("background", "labels"), [([], ["a"]), ([6.0], []), ([2.0], ["a"])])
def test_the_background_has_its_share_of_a_windows_score(background, labels):
    outputs = np.array([[5.0, 0.0, *background]], np.float32)[..., None]
    ears = SimpleNamespace(
        classes=("a", "b"),
        log_mel=LogMel(FrontEndParams()),
        card=Decisions(temperature=1.0),
        locates=False,
        has_background=bool(background),
        window_logits=lambda features: np.repeat(outputs, len(features), axis=0),
    )
    # Of e^5, e^0 and e^6 the first is a quarter; of e^5, e^0 and e^2 nearly all.
    assert [event.label for event in events_of(ears, noise(8 * RATE)[:, 0].astype(np.float32))] == labels


def test_a_networks_file_without_frame_outputs_has_events_from_its_windows(tutorial_path):
    tutorial = Model(tutorial_path)
    assert not tutorial.locates
    samples = np.concatenate(
        [tiny_model.sound("hiss", 12.0), np.zeros(6 * RATE, np.float32), tiny_model.sound("hum", 12.0)]
    )
    events = events_of(tutorial, samples)
    assert [event.label for event in events] == ["hiss", "hum"]
    assert [event.onset_s for event in events] == pytest.approx([0.0, 18.0], abs=3.0)


def test_memory_does_not_grow_with_the_recording():
    log_mel = LogMel(FrontEndParams())
    answer = np.tile([[3.0], [0.0]], (1, 1, 21))
    answer[..., 10:] *= -1  # it changes its mind twice a window
    ears = SimpleNamespace(
        classes=("a", "b"),
        log_mel=log_mel,
        card=Decisions(),
        locates=True,
        has_background=False,
        frame_logits=lambda features: np.repeat(answer, len(features), axis=0),
    )
    block = noise(1 << 16)[:, 0].astype(np.float32)

    def peak_bytes(minutes: int) -> int:
        stream = Timeline(ears)
        tracemalloc.start()
        for _ in range(minutes * 60 * RATE // len(block)):
            stream.push(block)
        stream.finish()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    short, long = peak_bytes(1), peak_bytes(10)
    assert long < 8e6
    assert long < 1.05 * short
