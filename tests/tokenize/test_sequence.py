"""Captions and codes as one sequence of ids: CogView's layout, and the compact one."""

import numpy as np

from tuwen.tokenize.sequence import COGVIEW_COMMANDS, cogview_layout, compact_layout


def test_the_cogview_layout_is_cogviews() -> None:
    layout = cogview_layout()
    assert layout.command_ids["[PAD]"] == 58_192
    assert layout.command_ids["[ROI1]"] == 58_199
    assert layout.command_ids["[BASE]"] == 58_208
    assert layout.command_ids["[POS8]"] == 58_218
    assert len(COGVIEW_COMMANDS) == 27
    assert layout.vocab == 58_240
    assert layout.length == 1089
    ids, positions = layout.sequences(np.array([[8191] * 1024]), np.array([[0, 49_999]]), np.array([2]))
    assert ids[0, :6].tolist() == [58_199, 8192, 58_191, 58_208, 58_193, 8191]
    assert ids[0, 5 + 1024] == layout.command_ids["[EOI1]"]
    assert positions[0, : 6 + 1024].tolist() == list(range(1030))


def test_text_is_trimmed_and_codes_never_are() -> None:
    layout = compact_layout(codebook=100, num_codes=4, text_vocab=50, text_max=3)
    text = np.tile(np.arange(5), (6, 1))
    codes = np.arange(24).reshape(6, 4)
    ids, positions = layout.sequences(codes, text, np.array([0, 1, 2, 3, 4, 5]))
    for row in range(6):
        sequence = [token for token in ids[row].tolist() if token != layout.pad]
        assert sequence[-5:-1] == codes[row].tolist()
        assert sequence[-1] == layout.command_ids["[EOI1]"]
        assert sequence[0] == layout.command_ids["[ROI1]"]
        assert len(sequence) == 4 + 4 + min(row, 3)
        first = ids[row].tolist().index(codes[row, 0])
        assert positions[row, first : first + 5].tolist() == [6, 7, 8, 9, 10]  # the same for every caption's length


def test_a_prompt_is_the_beginning_of_a_sequence() -> None:
    layout = compact_layout(codebook=100, num_codes=4, text_vocab=50, text_max=3)
    for text in ([], [7], [7, 8, 9], [7, 8, 9, 10]):
        ids, positions = layout.prompt(text)
        row, places = layout.sequences(np.zeros((1, 4), int), np.array([text or [0]]), np.array([len(text)]))
        assert row[0, : len(ids)].tolist() == ids.tolist()
        assert places[0, : len(ids)].tolist() == positions.tolist()
