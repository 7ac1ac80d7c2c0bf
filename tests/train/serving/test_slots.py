"""Pictures that are painted together: each as if it were alone, in whatever slot, whenever the others come and go."""

import numpy as np
import pytest

from tuwen.tokenize.precision import Precision
from tuwen.tokenize.sequence import SequenceLayout, cogview_layout, compact_layout
from tuwen.train.painting.sampling import SamplingConfig, sample_codes
from tuwen.train.serving.slots import SLOTS, Order, Painting, Slots
from tuwen.train.transformer.model import ModelConfig, Transformer

COMPACT = compact_layout(codebook=50, num_codes=12, text_vocab=30, text_max=6)
TWO_BOOKS = compact_layout(codebook=50, num_codes=12, text_vocab=30, text_max=6, codebooks=2)
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10], [1, 2, 3], [11, 12]]


def model_of(layout: SequenceLayout, **options: object) -> Transformer:
    config = ModelConfig(vocab_size=layout.vocab, num_positions=layout.length, width=64, depth=2, heads=2, **options)  # type: ignore[arg-type]
    return Transformer(config, seed=1).eval()


def config_of(layout: SequenceLayout, temperature: float = 1.0) -> SamplingConfig:
    return SamplingConfig(
        num_codes=layout.num_codes, codebook_size=layout.codebook, codebooks=layout.codebooks, temperature=temperature
    )


def painting_of(layout: SequenceLayout, text: list[int], seed: int, number: int, config: SamplingConfig) -> Painting:
    return Painting.of(layout, Order(tuple(text), seed, number, config))


def paint(slots: Slots, painting: Painting) -> list[int]:
    slots.begin(painting)
    while not painting.is_done:
        slots.step()
    return painting.codes


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_picture_is_the_same_alone_and_among_others_that_come_and_go(precision: Precision) -> None:
    model, config = model_of(COMPACT), config_of(COMPACT)
    alone = [
        paint(Slots(model, COMPACT, precision), painting_of(COMPACT, text, 7, number, config))
        for number, text in enumerate(PROMPTS)
    ]
    slots, generator = Slots(model, COMPACT, precision), np.random.default_rng(0)
    waiting = [(number, text) for number, text in enumerate(PROMPTS) for _ in range(8)]
    generator.shuffle(waiting)
    together: list[tuple[int, Painting]] = []
    while waiting or slots.painted:
        if waiting and slots.free and generator.random() < 0.6:
            number, text = waiting.pop()
            painting = painting_of(COMPACT, text, 7, number, config)
            together.append((number, painting))
            slots.begin(painting)
        elif slots.painted and generator.random() < 0.05:
            slots.leave(slots.painted[0])  # a client went away
        slots.step()
    done = [(number, painting.codes) for number, painting in together if painting.is_done]
    assert len(done) > 25
    assert all(codes == alone[number] for number, codes in done)


@pytest.mark.parametrize(
    ("layout", "options"),
    [(COMPACT, {}), (TWO_BOOKS, {}), (COMPACT, {"relaxed_attention": True, "norms": "pre"})],
    ids=["compact", "two codebooks", "relaxed"],
)
def test_the_pictures_and_scores_are_those_of_the_sampler(layout: SequenceLayout, options: dict[str, object]) -> None:
    model = model_of(layout, **options).double()  # no sum is near enough to another to be another code
    config = config_of(layout).model_copy(update={"precision": "float32"})
    ids, positions = zip(*(layout.prompt(text) for text in PROMPTS), strict=True)
    codes_PSN, scores_PS = sample_codes(model, ids, positions, num_samples=2, seed=3, config=config)
    slots = Slots(model, layout, "float32")
    for p, text in enumerate(PROMPTS):
        for s in range(2):
            painting = painting_of(layout, text, 3, s, config)
            assert paint(slots, painting) == codes_PSN[p, s].tolist()
            assert painting.likelihood == pytest.approx(float(scores_PS[p, s]), abs=1e-4)


def test_the_longest_caption_and_cogviews_layout_fit() -> None:
    layout = cogview_layout()
    config = ModelConfig(vocab_size=layout.vocab, num_positions=layout.length, width=16, depth=1, heads=1)
    slots = Slots(Transformer(config).eval(), layout, "float32", count=2)
    painting = painting_of(layout, list(range(90)), 0, 0, config_of(layout, temperature=0))
    slots.begin(painting)
    for _ in range(len(painting.ids) + 30):
        slots.step()
    assert len(painting.codes) == 31
    assert painting.positions == list(range(64))


def test_a_full_batch_takes_no_more_until_one_is_done() -> None:
    slots = Slots(model_of(COMPACT), COMPACT, "float32")
    for number in range(SLOTS):
        slots.begin(painting_of(COMPACT, [1], 0, number, config_of(COMPACT)))
    assert slots.free == 0
    with pytest.raises(ValueError, match="not in list"):
        slots.begin(painting_of(COMPACT, [1], 0, 99, config_of(COMPACT)))
    for _ in range(3 + COMPACT.num_codes):
        assert slots.painted
        slots.step()
    assert slots.free == SLOTS
    assert slots.step() == []
