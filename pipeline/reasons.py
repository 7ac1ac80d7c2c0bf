"""Every reason for which a pair is dropped, one row each, and the stages of the funnel in which it falls.

    title_of("too_small")                                          # "太小 · too small"
    rule_of("too_small", recipe)                                   # "shorter side ≥ 200 px"
    measured_of({"reason": "too_small", "width": 128, …})          # "128 × 64 px"

The judge of fetched pictures, the report, the data card and the table in README.md are made of these rows; `python -m
tuwen.pipeline.reasons` writes that table again. To add a reason: the rule that gives it, and its row here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..manifests.recipe.recipe import Recipe
from ..manifests.recipe.rules import Captions, Images, Similarity
from .format_numbers import num_bytes, number, percent, proportion
from .pictures.picture_rules import SINGLE_COLOUR_STD

Row = dict[str, Any]  # a row of the decision table and, where they are known, its measures


class Rules(NamedTuple):
    """The sections of a recipe that give limits, each `resolved()`."""

    images: Images
    captions: Captions
    similarity: Similarity


@dataclass(frozen=True)
class FunnelStage:
    name: str
    character: str  # in the report


@dataclass(frozen=True)
class Reason:
    name: str  # in the decision table
    stages: str  # of FUNNEL, with spaces between
    title: str  # Chinese · English
    when: str  # for README.md
    rule: Callable[[Rules], str] = lambda rules: ""  # the limit that it broke
    measured: Callable[[Row], str] = lambda row: ""  # what broke it


FUNNEL = (
    FunnelStage("fetch", "取"),
    FunnelStage("read", "读"),
    FunnelStage("picture", "图"),
    FunnelStage("caption", "文"),
    FunnelStage("pair", "配"),
    FunnelStage("evaluation", "测"),
    FunnelStage("earlier", "旧"),
    FunnelStage("exact", "同"),
    FunnelStage("near", "近"),
    FunnelStage("choice", "选"),
)
STAGES = tuple(stage.name for stage in FUNNEL)


def _limit(value: float | None) -> str:
    return "" if value is None else number(value)


def _sides(row: Row) -> str:
    return f"{row['width']:d} × {row['height']:d} px"


def _characters(row: Row) -> str:
    return f"{len(row['caption']):,} characters"


def _similarity(row: Row) -> str:
    return f"similarity {row['similarity']:.3f}"


def _difference(row: Row) -> str:
    difference = row.get("difference")
    return f"hash distance {row['distance']:d}" + (f", difference {difference:.2f}" if difference is not None else "")


_ROWS = (
    # fetch
    Reason("bad_address", "fetch", "网址无效 · not an address that can be asked", "the list has no web address there"),
    Reason("broken_row", "fetch", "列表行损坏 · a broken row of the list", "the list's row cannot be read"),
    Reason("dns_failed", "fetch", "域名解析失败 · the host's name is not known", "no such host"),
    Reason("connection_failed", "fetch", "连接失败 · no connection", "may pass: the next run tries again"),
    Reason("proxy_failed", "fetch", "代理失败 · refused by the proxy", "may pass"),
    Reason("tls_failed", "fetch", "证书或加密失败 · an unsound certificate or encryption", "TLS cannot be set up"),
    Reason("timed_out", "fetch", "超时 · not done before the deadline", "may pass"),
    Reason("bad_answer", "fetch", "回应无效 · the answer is not HTTP", "no HTTP"),
    Reason("bad_redirect", "fetch", "跳转无效 · redirected to no web address", "not http or https"),
    Reason("too_many_redirects", "fetch", "跳转过多 · redirected too often", "more than 5"),
    Reason("private_address", "fetch", "内网地址 · an address that is not public", "there, or at any redirect"),
    Reason("robots_disallowed", "fetch", "robots.txt 不允许 · forbidden by robots.txt", "RFC 9309"),
    Reason(
        "robots_unreachable",
        "fetch",
        "robots.txt 无法读取 · robots.txt cannot be read",
        "answered 5xx, 429: may pass",
    ),
    Reason(
        "robots_tag",
        "fetch",
        "X-Robots-Tag 不允许 · forbidden by X-Robots-Tag",
        "`noai`, `noimageai`, `noindex`, `noimageindex` or `none`",
    ),
    Reason("host_asks_to_wait", "fetch", "网站要求等待 · the host asks for too long a wait", "may pass"),
    Reason("host_down", "fetch", "网站无响应 · the host answers no more", "may pass"),
    Reason("http_STATUS", "fetch", "服务器答复 STATUS · the server answered STATUS", "408, 425, 429 and 5xx may pass"),
    Reason("too_many_bytes", "fetch", "文件过大 · too many bytes", "by Content-Length, while reading, or unpacked"),
    Reason("empty_body", "fetch", "内容为空 · an empty answer", "an answer of no bytes"),
    Reason("cut_body", "fetch", "传输中断 · an answer that ends too early", "may pass"),
    Reason(
        "bad_encoding",
        "fetch",
        "编码无法解开 · compressed in a way that cannot be undone",
        "an unknown or broken Content-Encoding",
    ),
    Reason("unforeseen", "fetch", "未预料的错误 · an error that nobody thought of", "may pass"),
    # read
    Reason("missing_picture", "read", "有文无图 · a caption without its picture", "the caption's picture is not there"),
    Reason("empty_file", "read", "空文件 · an empty file", "no bytes"),
    Reason("not_a_picture", "fetch read", "不是图片 · not a picture", "by its content; Pillow knows no such format"),
    Reason("svg", "read", "矢量图 · SVG, not a raster picture", "by its content"),
    Reason(
        "unsupported_format",
        "fetch read",
        "格式不支持 · a format that is not read",
        "HEIC, PSD, PDF, ICO, JPEG 2000, JPEG XL: can be converted",
    ),
    Reason("broken_header", "read", "文件头损坏 · a broken header", "the header gives no size"),
    Reason("broken_pixels", "read", "数据损坏 · broken pixel data", "the pixel data are damaged"),
    Reason("truncated", "read", "文件不完整 · a truncated file", "the file ends too early: never a half-grey picture"),
    Reason("file_too_large", "read", "文件过大 · a file larger than any picture", "more than 256 MB"),
    Reason(
        "too_many_pixels",
        "read",
        "像素过多 · too many pixels",
        "the header promises more than `images.max_pixels`; refused before decoding",
        rule=lambda rules: f"at most {rules.images.max_pixels:,} pixels",
    ),
    Reason("decoder_crashed", "read", "解码崩溃 · the decoder crashed", "twice"),
    Reason(
        "decoder_hung",
        "read",
        "解码超时 · the decoder hung",
        "took more than `images.max_seconds` of CPU",
        rule=lambda rules: f"at most {rules.images.max_seconds:g} s of CPU",
    ),
    Reason("too_much_memory", "read", "内存不足 · too much memory", "the decoder asked for more than there is"),
    # picture
    Reason(
        "too_small",
        "picture",
        "太小 · too small",
        "shorter side below `images.min_side`",
        rule=lambda rules: f"shorter side ≥ {rules.images.min_side} px",
        measured=_sides,
    ),
    Reason(
        "too_long",
        "picture",
        "太窄长 · too long and narrow",
        "longer side above `images.max_ratio` times the shorter",
        rule=lambda rules: f"longer side ≤ {rules.images.max_ratio:g} times the shorter",
        measured=lambda row: f"{_sides(row)}, {proportion(row['width'] / row['height'])}",
    ),
    Reason(
        "few_bytes",
        "picture",
        "字节太少 · too few bytes",
        "below `images.min_bytes`",
        rule=lambda rules: f"≥ {num_bytes(rules.images.min_bytes or 0)}",
        measured=lambda row: num_bytes(row["bytes"]),
    ),
    Reason(
        "animated",
        "picture",
        "动图 · animated",
        "several frames, with `images.animated: drop`",
        rule=lambda rules: "one frame",
        measured=lambda row: f"{row['frames']:.0f} frames",
    ),
    Reason(
        "single_colour",
        "picture",
        "单色 · of a single colour",
        "no channel's standard deviation reaches 2 of 255 (unless `images.single_colour: keep`)",
        rule=lambda rules: f"standard deviation ≥ {SINGLE_COLOUR_STD:g} of 255",
        measured=lambda row: f"deviation {row['std']:.1f}",
    ),
    Reason(
        "low_std",
        "picture",
        "对比太弱 · too little contrast",
        "below `images.min_std`, measured at 256×256 px",
        rule=lambda rules: f"standard deviation ≥ {_limit(rules.images.min_std)} of 255",
        measured=lambda row: f"deviation {row['std']:.1f}",
    ),
    Reason(
        "low_entropy",
        "picture",
        "信息太少 · too little detail",
        "below `images.min_entropy`, measured at 256×256 px",
        rule=lambda rules: f"entropy ≥ {_limit(rules.images.min_entropy)} bits",
        measured=lambda row: f"{row['entropy']:.2f} bits",
    ),
    Reason(
        "blurred",
        "picture",
        "模糊 · blurred",
        "below `images.min_sharpness`, measured at 256×256 px",
        rule=lambda rules: f"sharpness ≥ {_limit(rules.images.min_sharpness)}",
        measured=lambda row: f"sharpness {number(round(row['sharpness'], 1))}",
    ),
    Reason(
        "wide_border",
        "picture",
        "边框太宽 · too wide a border",
        "above `images.max_border`, measured at 256×256 px",
        rule=lambda rules: f"border ≤ {percent(rules.images.max_border or 0)} of the area",
        measured=lambda row: f"border {100 * row['border']:.0f}%",
    ),
    Reason(
        "low_jpeg_quality",
        "picture",
        "压缩过度 · compressed too much",
        "below `images.min_jpeg_quality`",
        rule=lambda rules: f"JPEG quality ≥ {rules.images.min_jpeg_quality}",
        measured=lambda row: f"quality {row['jpeg_quality']:.0f}",
    ),
    Reason(
        "unsafe",
        "picture",
        "不宜展示 · unsafe",
        "Open-NSFW above `images.max_nsfw`",
        rule=lambda rules: f"Open-NSFW score ≤ {_limit(rules.images.max_nsfw)}",
        measured=lambda row: f"score {row['nsfw']:.2f}",
    ),
    # caption
    Reason("no_caption", "caption", "没有描述 · no caption", "the source gives none"),
    Reason("empty_caption", "caption", "描述为空 · an empty caption", "nothing is left after normalisation"),
    Reason(
        "word_list",
        "caption",
        "敏感词 · a word of the list",
        "holds a word of `captions.word_list` (normalised alike; an ASCII word must stand alone)",
    ),
    Reason(
        "broken_text",
        "caption",
        "乱码 · broken text",
        "U+FFFD, 锟斤拷: destroyed by a wrong decoding (with `boilerplate: drop`)",
    ),
    Reason(
        "file_name",
        "caption",
        "只是文件名 · nothing but a file name",
        "`000.jpg`, `IMG_2031`, 微信图片_2021…, a hash (with `boilerplate: drop`)",
    ),
    Reason("personal_data", "caption", "个人信息 · personal data", "`personal: drop`, or nothing else is left"),
    Reason(
        "foreign_language",
        "caption",
        "外语 · another language",
        "not of `captions.languages`: by kana, hangul, Han; py3langid where Latin words outnumber Han",
        rule=lambda rules: f"language: {', '.join(rules.captions.languages or ())}",
    ),
    Reason(
        "too_little_han",
        "caption",
        "汉字占比太低 · too small a share of Chinese",
        "the share of Han among letters and digits is below `captions.min_han_share`",
        rule=lambda rules: f"Han ≥ {percent(rules.captions.min_han_share or 0)} of letters and digits",
    ),
    Reason(
        "too_few_han",
        "caption",
        "汉字太少 · too few Chinese characters",
        "fewer Han than `captions.min_han`",
        rule=lambda rules: f"≥ {rules.captions.min_han} Han characters",
    ),
    Reason(
        "boilerplate",
        "caption",
        "网页套话 · boilerplate of web pages",
        "点击查看大图, 版权所有, 全场包邮, 素材免费下载 (`boilerplate_patterns`)",
    ),
    Reason(
        "repetitive",
        "caption",
        "重复啰嗦 · repeats itself",
        "one piece covers more than `captions.max_repetition` of the letters",
        rule=lambda rules: f"one repeated piece ≤ {percent(rules.captions.max_repetition or 0)} of the caption",
    ),
    Reason(
        "too_many_han",
        "caption",
        "汉字太多 · too many Chinese characters",
        "more Han than `captions.max_han`",
        rule=lambda rules: f"≤ {rules.captions.max_han} Han characters",
    ),
    Reason(
        "caption_too_short",
        "caption",
        "描述太短 · a caption too short",
        "below `captions.min_length`; tokens such as 〈手机〉 do not count",
        rule=lambda rules: f"≥ {rules.captions.min_length} characters",
        measured=_characters,
    ),
    Reason(
        "caption_too_long",
        "caption",
        "描述太长 · a caption too long",
        "above `captions.max_length`; tokens such as 〈手机〉 do not count",
        rule=lambda rules: f"≤ {rules.captions.max_length} characters",
        measured=_characters,
    ),
    Reason(
        "too_few_words",
        "caption",
        "词太少 · too few words",
        "below `captions.min_words`, as jieba cuts",
        rule=lambda rules: f"≥ {rules.captions.min_words} words",
    ),
    Reason(
        "too_many_words",
        "caption",
        "词太多 · too many words",
        "above `captions.max_words`, as jieba cuts",
        rule=lambda rules: f"≤ {rules.captions.max_words} words",
    ),
    Reason(
        "no_noun",
        "caption",
        "没有名词 · too few nouns",
        "below `captions.min_nouns`, as jieba tags",
        rule=lambda rules: f"≥ {rules.captions.min_nouns} nouns",
    ),
    Reason(
        "caption_seen_too_often",
        "caption",
        "千篇一律 · said of too many pictures",
        "said of more than `captions.max_count` pairs of the corpus",
        rule=lambda rules: f"said of ≤ {rules.captions.max_count} pairs",
        measured=lambda row: f"said of {row['said_of']:,} pairs",
    ),
    # pair
    Reason(
        "unlike_caption",
        "pair",
        "图文不符 · picture and caption unlike",
        "the cosine is below `similarity.min`",
        rule=lambda rules: f"similarity ≥ {_limit(rules.similarity.min)}",
        measured=_similarity,
    ),
    Reason(
        "too_like_caption",
        "pair",
        "图中是字 · picture and caption too alike",
        "the cosine is above `similarity.max`",
        rule=lambda rules: f"similarity ≤ {_limit(rules.similarity.max)}",
        measured=_similarity,
    ),
    # evaluation: against the pictures of evaluation sources; earlier: against what earlier corpora kept
    Reason("same_bytes", "evaluation earlier exact", "字节相同 · the same bytes", "the picture's file is a copy"),
    Reason(
        "same_pixels",
        "evaluation earlier exact",
        "像素相同 · the same pixels",
        "compared upright, as RGB on white",
    ),
    Reason(
        "same_caption",
        "exact",
        "描述相同 · the same caption",
        "with `duplicates.captions: exact` or `near` the best pair of a caption stays; with the other `pairs`, of a "
        "picture's captions",
    ),
    Reason(
        "near_picture",
        "evaluation earlier near",
        "近似 · nearly the same picture",
        "within `duplicates.radius` of 64 hash bits of a kept picture, and the same to the eye; or near by its "
        "embedding",
        measured=_difference,
    ),
    Reason(
        "near_caption",
        "near",
        "描述近似 · nearly the same caption",
        "with `duplicates.captions: near`, a caption that is nearly one that stays",
    ),
    Reason(
        "more_captions",
        "choice",
        "另有更好的描述 · its picture has better captions",
        "with `duplicates.pairs: image` or `image_topk`",
    ),
)
REASONS: dict[str, Reason] = {reason.name: reason for reason in _ROWS}

_README = Path(__file__).parent / "README.md"
_BEGIN, _END = "<!-- reasons: written by `python -m tuwen.pipeline.reasons` -->\n", "<!-- end of reasons -->\n"


def title_of(name: str) -> str:
    """A reason that is not listed is its own title."""
    status = name.removeprefix("http_")
    if status != name and status.isdigit():
        return REASONS["http_STATUS"].title.replace("STATUS", status)
    return REASONS[name].title if name in REASONS else name


def rule_of(name: str, recipe: Recipe) -> str:
    """The limit that was broken, in a few words; empty where there is nothing to say but the reason itself."""
    rules = Rules(recipe.images.resolved(), recipe.captions.resolved(), recipe.similarity.resolved())
    return REASONS[name].rule(rules) if name in REASONS else ""


def measured_of(row: Row) -> str:
    """What was measured of a dropped pair, in a few words; empty where its number is gone with the measures."""
    try:
        return REASONS[row["reason"]].measured(row)
    except (KeyError, TypeError):
        return ""


def fetch_reasons() -> list[str]:
    return sorted(name for name, reason in REASONS.items() if "fetch" in reason.stages.split())


def readme_table() -> str:
    """The reasons in the order of the funnel, as Markdown."""
    lines = ["| stage | reason | when |", "|---|---|---|"]
    for stage in STAGES:
        rows = [reason for reason in REASONS.values() if stage in reason.stages.split()]
        lines += [f"| {stage} | `{reason.name}` | {reason.when} |" for reason in rows]
    return "\n".join(lines) + "\n"


def with_table(readme: str) -> str:
    """`readme` with the table between its two marks written anew."""
    before, rest = readme.split(_BEGIN)
    return before + _BEGIN + readme_table() + _END + rest.split(_END)[1]


if __name__ == "__main__":
    _README.write_text(with_table(_README.read_text("utf-8")), "utf-8")
