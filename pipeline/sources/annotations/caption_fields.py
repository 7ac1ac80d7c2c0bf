"""Which cells of a JSON object, or of a row, hold its captions.

caption_fields({"caption": "一只猫", "title": "t"})                     # ["一只猫"]: the first with a usual name
caption_fields({"caption": "一只猫", "recaption": "…"}, ("recaption",))  # ["…"]: those that the recipe names
"""

from typing import Any

from ...tables.column_roles import usual_columns

# As `column_roles.plain` spells them, in the order in which they are taken.
CAPTIONS = ("captions", "caption", "text", "title", "alttext", "recaption", "conversations", "messages",
            "描述", "标题", "文本", "说明")  # fmt: skip
_MODEL = ("gpt", "assistant", "model")  # who speaks the captions of a conversation


def caption_fields(document: dict[str, Any], names: tuple[str, ...] = ()) -> list[Any]:
    """The cells that hold captions: those of `names`, or the first that has a usual name."""
    asked = names or usual_columns(list(document), CAPTIONS)
    found = [turns(document[name]) for name in asked if document.get(name) is not None]
    return found if names else found[:1]


def turns(cell: Any) -> Any:
    """What the model says in a conversation; anything else as it is."""
    if not isinstance(cell, list) or not all(isinstance(turn, dict) for turn in cell):
        return cell
    speakers = [turn.get("from", turn.get("role")) for turn in cell]
    texts = [turn.get("value", turn.get("content")) for turn in cell]
    return [text for speaker, text in zip(speakers, texts, strict=True) if speaker in _MODEL]
