"""The search of large codebooks in parts finds what a search of the whole finds."""

from unittest.mock import patch

import torch
from hypothesis import given
from hypothesis import strategies as st

from tuwen.tokenize.pretrained import search


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=2, max_size=2), min_size=1, max_size=6),
    st.lists(st.lists(st.integers(-3, 3), min_size=2, max_size=2), min_size=1, max_size=40),
    st.integers(1, 9),
)
def test_parts_find_the_first_of_the_best_entries(
    latents: list[list[int]], entries: list[list[int]], at_a_time: int
) -> None:
    """Small whole numbers, so that nothing is rounded and ties are frequent."""
    these, those = torch.tensor(latents).float(), torch.tensor(entries).float()
    distances = (these[:, None] - those).square().sum(-1)
    with patch.object(search, "_ENTRIES", at_a_time):
        assert torch.equal(search.nearest(these, those), distances.argmin(1))
        assert torch.equal(search.nearest(these, those, fused=True), distances.argmin(1))
        assert torch.equal(search.most_similar(these, those), (these @ those.T).argmax(1))
