"""`tuwen import` of LlamaGen's folders of `.npy`, with captions from lists or labels."""

import json
from pathlib import Path

import numpy as np

from .others_files import CAPTIONS, FACTS, imported, random_codes, refused_of, rows_of, save_npy


def test_llamagens_text_to_image_codes_take_their_captions_from_the_lists(tmp_path: Path, text_model: Path) -> None:
    codes = random_codes(12, 16, 16384)
    for number, row in enumerate(codes[:11]):
        save_npy(tmp_path / "codes" / "part-a" / f"{number}.npy", row[None])
    save_npy(tmp_path / "codes" / "part-b" / "1.npy", codes[11][None])
    for name, texts in (("part-a", CAPTIONS * 3), ("part-b", ["红", "绿"])):
        lines = [json.dumps({"image_path": "x.jpg", "text": [text, "另一句"]}, ensure_ascii=False) for text in texts]
        (tmp_path / "lists").mkdir(exist_ok=True)
        (tmp_path / "lists" / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    manifest = imported(tmp_path / "codes", tmp_path / "out", text_model, captions=tmp_path / "lists", **FACTS)
    assert [row[0] for row in rows_of(manifest)] == codes.tolist()  # 10.npy after 9.npy
    assert [row[2]["caption"] for row in rows_of(manifest)] == [*(CAPTIONS * 3)[:11], "绿"]


def test_llamagens_class_codes_take_names_for_labels_and_views_stay_in_one_split(
    tmp_path: Path, text_model: Path
) -> None:
    codes = random_codes(40, 2 * 16, 16384).reshape(40, 1, 2, 16)
    for number, views in enumerate(codes):
        save_npy(tmp_path / "all" / "imagenet256_codes" / f"{number}.npy", views)
        save_npy(tmp_path / "all" / "imagenet256_labels" / f"{number}.npy", np.array([number % 4]))
    (tmp_path / "names.txt").write_text("\n".join(CAPTIONS), encoding="utf-8")
    asked = {**FACTS, "captions": tmp_path / "names.txt", "validation": 0.3}
    manifest = imported(tmp_path / "all", tmp_path / "out", text_model, **asked)
    keys = {split: [meta["key"] for _, _, meta in rows_of(manifest, split)] for split in ("train", "validation")}
    assert sum(map(len, keys.values())) == 80
    assert all(second == f"{first}-1" for of in keys.values() for first, second in zip(of[::2], of[1::2], strict=True))
    assert rows_of(manifest)[0][0] in codes.reshape(-1, 16).tolist()
    assert {meta["caption"] for _, _, meta in rows_of(manifest)} == set(CAPTIONS)


def test_a_broken_npy_and_a_missing_caption_are_named(tmp_path: Path, text_model: Path) -> None:
    codes = random_codes(4, 16, 16384)
    for number, row in enumerate(codes):
        save_npy(tmp_path / "npy" / f"{number}.npy", row)
        (tmp_path / "npy" / f"{number}.txt").write_text(CAPTIONS[number], encoding="utf-8")
    whole = (tmp_path / "npy" / "1.npy").read_bytes()
    (tmp_path / "npy" / "1.npy").write_bytes(whole[:-3])
    (tmp_path / "npy" / "2.txt").write_bytes("红".encode("gb18030"))
    save_npy(tmp_path / "npy" / "3.npy", np.array([{"a": 1}], dtype=object))
    manifest = imported(tmp_path / "npy", tmp_path / "out", text_model, **FACTS)
    assert refused_of(manifest) == {"1.npy": "unreadable", "2.npy": "no_caption", "3.npy": "unreadable"}
    assert [row[0] for row in rows_of(manifest)] == codes[:1].tolist()
