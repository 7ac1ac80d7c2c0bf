"""The share of a caption that copies of one piece cover.

    repetition("连衣裙连衣裙连衣裙女")        # 0.9: three copies of 连衣裙 cover nine letters of ten

Only letters count: numbers do not repeat. A piece must occur three times (高高兴兴 and 谢谢 are Chinese words); a
piece of four letters or more twice, side by side (一个男人背着另一个男人 describes a picture).
"""

_LONGEST_PIECE = 30
_READ = 240  # letters: captions that repeat do so from the start


def repetition(caption: str, threshold: float = 0.0) -> float:
    """The share of the letters, 0 … 1; a share that cannot exceed `threshold` may be given as 0.0."""
    letters = "".join(filter(str.isalpha, caption[:_READ]))
    count = len(letters)
    # Copies that cover a share s leave at most (1 − s) + s / 2 of the letters distinct: most captions end here.
    if not count or len(set(letters)) > count * (1 - threshold / 2):
        return 0.0
    covered = 0
    for length in range(1, min(count // 2, _LONGEST_PIECE) + 1):
        for start in range(count - 2 * length + 1):
            piece = letters[start : start + length]
            copies = letters.count(piece)
            if copies > 2 or (copies == 2 and length > 3 and piece + piece in letters):
                covered = max(covered, copies * length)
    return covered / count
