"""config.json of a pretrained tokenizer: all that its codes depend on besides the weights.

    document = PretrainedConfig(kind="llamagen", …).model_dump(mode="json")
    config = PretrainedConfig.model_validate(json.loads(path.read_bytes()))

Canonical JSON has no floats: mean and deviation are decimals, those of `model` are {"float": "0.18215"}.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class PretrainedConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    name: str
    side_px: int
    grid: tuple[int, ...]  # (h, w), or (n,)
    codebook: int
    codebooks: int = 1
    scales: tuple[int, ...] = ()
    decodes: bool = True
    mean: tuple[str, str, str]  # of RGB in 0 … 1
    std: tuple[str, str, str]
    resize: str  # the filter of the crop
    batch: int  # pictures that are encoded at a time
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    channels_last: bool = False
    license: str
    library: str
    files: dict[str, str]  # name → sha256 of what was converted
    model: dict[str, Any]  # what the adapter's `build` takes


def with_decimals(value: Any) -> Any:
    """The same JSON without floats."""
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, dict):
        return {name: with_decimals(each) for name, each in value.items()}
    return [with_decimals(each) for each in value] if isinstance(value, list | tuple) else value


def with_floats(value: Any) -> Any:
    """The JSON that `with_decimals` was given."""
    if isinstance(value, dict):
        return float(value["float"]) if value.keys() == {"float"} else {n: with_floats(v) for n, v in value.items()}
    return [with_floats(each) for each in value] if isinstance(value, list) else value
