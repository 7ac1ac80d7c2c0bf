"""Every reason for which a pair is dropped, one row each, and the stages of the funnel that give them.

    title_of("too_small")                                          # "太小 · too small"
    rule_of("too_small", recipe)                                   # "shorter side ≥ 200 px"
    key_of("too_small")                                            # "images.min_side"
    measured_of({"reason": "too_small", "width": 128, …})          # "128 × 64 px"

The report, the list of fetch problems that the judge gets, and the tables in README.md are made from these rows.
To add a reason: a rule that gives it, its row here, and `python -m tuwen.pipeline.reason_tables`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..manifests.counted import counted
from ..manifests.recipe.recipe import Recipe
from ..manifests.recipe.rules import Captions, Images, Similarity
from .format_numbers import num_bytes, number, percent, proportion
from .pictures.picture_rules import SINGLE_COLOUR_STD

Row = dict[str, Any]  # a row of the decision table and, where they are known, its measures


class Rules(NamedTuple):
    """The sections of a recipe that set limits, each `resolved()`."""

    images: Images
    captions: Captions
    similarity: Similarity


@dataclass(frozen=True)
class FunnelStage:
    name: str  # in the decision table
    character: str  # in the report
    checks: str  # for README.md


@dataclass(frozen=True)
class Reason:
    name: str  # in the decision table
    stages: tuple[str, ...]  # the stages of FUNNEL that give it
    title: str  # Chinese · English, for the report
    when: str  # for README.md
    rule: Callable[[Rules], str] = lambda rules: ""  # the limit, in a few words with its number
    measured: Callable[[Row], str] = lambda row: ""  # what was measured of a pair that broke it


FUNNEL = (
    FunnelStage("fetch", "取", "a picture of a list of addresses is fetched"),
    FunnelStage("read", "读", "the picture is found and decoded"),
    FunnelStage("picture", "图", "the rules on a picture alone"),
    FunnelStage("caption", "文", "the rules on a caption alone, then how often it occurs in the corpus"),
    FunnelStage("pair", "配", "the similarity of picture and caption"),
    FunnelStage("evaluation", "测", "duplicates of pictures of the evaluation sources"),
    FunnelStage("earlier", "旧", "duplicates of pictures that earlier corpora kept"),
    FunnelStage("exact", "同", "equal pictures and equal captions in this corpus"),
    FunnelStage("near", "近", "near-duplicate pictures and captions in this corpus"),
    FunnelStage("choice", "选", "the policy `duplicates.pairs`"),
)
STAGES = tuple(stage.name for stage in FUNNEL)
_FETCH, _READ, _PICTURE, _CAPTION, _PAIR, _EVALUATION, _EARLIER, _EXACT, _NEAR, _CHOICE = ((name,) for name in STAGES)


def _limit(value: float | None) -> str:
    return "" if value is None else number(value)


def _sides(row: Row) -> str:
    return f"{row['width']:d} × {row['height']:d} px"


def _characters(row: Row) -> str:
    return f"{len(row['caption']):,} characters"


def _similarity(row: Row) -> str:
    return f"similarity {row['similarity']:.3f}"


def _distance(row: Row) -> str:
    difference = row.get("difference")
    return f"hash distance {row['distance']:d}" + (f", difference {difference:.2f}" if difference is not None else "")


_ROWS = (
    # fetch
    Reason("bad_address", _FETCH, "网址无效 · not a web address", "the row of the list has no web address"),
    Reason("dns_failed", _FETCH, "域名解析失败 · the host name does not resolve", "no such host"),
    Reason("connection_failed", _FETCH, "连接失败 · connection failed", "temporary: the next run tries again"),
    Reason("proxy_failed", _FETCH, "代理失败 · the proxy refused", "temporary"),
    Reason("tls_failed", _FETCH, "证书或加密失败 · TLS failed", "an invalid certificate, or no common encryption"),
    Reason("timed_out", _FETCH, "超时 · timed out", "temporary"),
    Reason("bad_answer", _FETCH, "回应无效 · the answer is not HTTP", "the answer cannot be parsed as HTTP"),
    Reason(
        "bad_redirect", _FETCH, "跳转无效 · redirected to an invalid address", "the redirect is not to http or https"
    ),
    Reason("too_many_redirects", _FETCH, "跳转过多 · redirected too often", "more than 5 redirects"),
    Reason(
        "private_address",
        _FETCH,
        "内网地址 · an address that is not public",
        "the address itself, or that of any redirect",
    ),
    Reason(
        "robots_disallowed",
        _FETCH,
        "robots.txt 不允许 · forbidden by robots.txt",
        "robots.txt disallows the path (RFC 9309)",
    ),
    Reason(
        "robots_unreachable",
        _FETCH,
        "robots.txt 无法读取 · robots.txt cannot be read",
        "robots.txt answers 5xx or 429; temporary",
    ),
    Reason(
        "robots_tag",
        _FETCH,
        "X-Robots-Tag 不允许 · forbidden by X-Robots-Tag",
        "the tag is `noai`, `noimageai`, `noindex`, `noimageindex` or `none`",
    ),
    Reason("host_asks_to_wait", _FETCH, "网站要求等待 · the host asks for too long a wait", "temporary"),
    Reason("host_down", _FETCH, "网站无响应 · the host no longer answers", "temporary"),
    Reason(
        "http_STATUS", _FETCH, "服务器答复 STATUS · the server answered STATUS", "408, 425, 429 and 5xx are temporary"
    ),
    Reason(
        "too_many_bytes", _FETCH, "文件过大 · too many bytes", "by Content-Length, while reading, or after unpacking"
    ),
    Reason("empty_body", _FETCH, "内容为空 · an empty answer", "the answer has no bytes"),
    Reason("cut_body", _FETCH, "传输中断 · an answer that ends too early", "temporary"),
    Reason(
        "bad_encoding",
        _FETCH,
        "编码无法解开 · cannot be decompressed",
        "an unknown or broken Content-Encoding",
    ),
    Reason(
        "not_wanted",
        _FETCH,
        "不在所选之列 · not among the wanted rows",
        "the row of the list does not meet `where` of its source",
    ),
    Reason(
        "not_fetched",
        _FETCH,
        "未取 · not fetched",
        "all pairs of the row had fallen already; each has the reason of its own instead",
    ),
    Reason("unforeseen", _FETCH, "未预料的错误 · an unexpected error", "temporary"),
    # read
    Reason(
        "broken_row",
        _READ,
        "行损坏 · a broken row",
        "the row cannot be parsed, or a cell that should be text is none",
    ),
    Reason("missing_picture", _READ, "有文无图 · a caption without its picture", "the caption has no picture"),
    Reason("empty_file", _READ, "空文件 · an empty file", "the file has no bytes"),
    Reason("not_a_picture", _FETCH + _READ, "不是图片 · not a picture", "by its content: Pillow knows no such format"),
    Reason("svg", _READ, "矢量图 · SVG, not a raster picture", "by its content"),
    Reason(
        "unsupported_format",
        _FETCH + _READ,
        "格式不支持 · a format that is not read",
        "HEIC, PSD, PDF, ICO, JPEG 2000, JPEG XL: can be converted",
    ),
    Reason("broken_header", _READ, "文件头损坏 · a broken header", "the header gives no size"),
    Reason("broken_pixels", _READ, "数据损坏 · broken pixel data", "the pixel data are damaged"),
    Reason("truncated", _READ, "文件不完整 · a truncated file", "the file ends too early: never a half-grey picture"),
    Reason("file_too_large", _READ, "文件过大 · a file larger than any picture", "more than 256 MB"),
    Reason(
        "too_many_pixels",
        _READ,
        "像素过多 · too many pixels",
        "the header promises more than `images.max_pixels`; refused before decoding",
        rule=lambda rules: f"at most {rules.images.max_pixels:,} pixels",
    ),
    Reason("decoder_crashed", _READ, "解码崩溃 · the decoder crashed", "it crashed twice"),
    Reason(
        "decoder_hung",
        _READ,
        "解码超时 · the decoder hung",
        "it took more than `images.max_seconds` of CPU",
        rule=lambda rules: f"at most {rules.images.max_seconds:g} s of CPU",
    ),
    Reason("too_much_memory", _READ, "内存不足 · too much memory", "the decoder asked for more memory than there is"),
    # picture
    Reason(
        "too_small",
        _PICTURE,
        "太小 · too small",
        "the shorter side is below `images.min_side`",
        rule=lambda rules: f"shorter side ≥ {rules.images.min_side} px",
        measured=_sides,
    ),
    Reason(
        "too_long",
        _PICTURE,
        "太窄长 · too long and narrow",
        "the longer side is above `images.max_ratio` times the shorter",
        rule=lambda rules: f"longer side ≤ {rules.images.max_ratio:g} times the shorter",
        measured=lambda row: f"{_sides(row)}, {proportion(row['width'] / row['height'])}",
    ),
    Reason(
        "few_bytes",
        _PICTURE,
        "字节太少 · too few bytes",
        "the file is smaller than `images.min_bytes`",
        rule=lambda rules: f"≥ {num_bytes(rules.images.min_bytes or 0)}",
        measured=lambda row: num_bytes(row["bytes"]),
    ),
    Reason(
        "animated",
        _PICTURE,
        "动图 · animated",
        "with `images.animated: drop`, several frames",
        rule=lambda rules: "one frame",
        measured=lambda row: f"{row['frames']:.0f} frames",
    ),
    Reason(
        "single_colour",
        _PICTURE,
        "单色 · of a single colour",
        "no channel's standard deviation reaches 2 of 255 (unless `images.single_colour: keep`)",
        rule=lambda rules: f"standard deviation ≥ {SINGLE_COLOUR_STD:g} of 255",
        measured=lambda row: f"deviation {row['std']:.1f}",
    ),
    Reason(
        "low_std",
        _PICTURE,
        "对比太弱 · too little contrast",
        "the standard deviation at 256×256 px is below `images.min_std`",
        rule=lambda rules: f"standard deviation ≥ {_limit(rules.images.min_std)} of 255",
        measured=lambda row: f"deviation {row['std']:.1f}",
    ),
    Reason(
        "low_entropy",
        _PICTURE,
        "信息太少 · too little detail",
        "the entropy at 256×256 px is below `images.min_entropy`",
        rule=lambda rules: f"entropy ≥ {_limit(rules.images.min_entropy)} bits",
        measured=lambda row: f"{row['entropy']:.2f} bits",
    ),
    Reason(
        "blurred",
        _PICTURE,
        "模糊 · blurred",
        "the sharpness at 256×256 px is below `images.min_sharpness`",
        rule=lambda rules: f"sharpness ≥ {_limit(rules.images.min_sharpness)}",
        measured=lambda row: f"sharpness {number(round(row['sharpness'], 1))}",
    ),
    Reason(
        "wide_border",
        _PICTURE,
        "边框太宽 · too wide a border",
        "the border's share at 256×256 px is above `images.max_border`",
        rule=lambda rules: f"border ≤ {percent(rules.images.max_border or 0)} of the area",
        measured=lambda row: f"border {100 * row['border']:.0f}%",
    ),
    Reason(
        "low_jpeg_quality",
        _PICTURE,
        "压缩过度 · compressed too much",
        "the JPEG quality is below `images.min_jpeg_quality`",
        rule=lambda rules: f"JPEG quality ≥ {rules.images.min_jpeg_quality}",
        measured=lambda row: f"quality {row['jpeg_quality']:.0f}",
    ),
    Reason(
        "unsafe",
        _PICTURE,
        "不宜展示 · unsafe",
        "the Open-NSFW score is above `images.max_nsfw`",
        rule=lambda rules: f"Open-NSFW score ≤ {_limit(rules.images.max_nsfw)}",
        measured=lambda row: f"score {row['nsfw']:.2f}",
    ),
    # caption
    Reason("no_caption", _CAPTION, "没有描述 · no caption", "the source gives no caption"),
    Reason("empty_caption", _CAPTION, "描述为空 · an empty caption", "nothing is left after normalisation"),
    Reason(
        "word_list",
        _CAPTION,
        "敏感词 · a word of the list",
        "it has a word of `captions.word_list` (normalised alike; an ASCII word must stand alone)",
    ),
    Reason(
        "broken_text",
        _CAPTION,
        "乱码 · broken text",
        "U+FFFD, 锟斤拷: a wrong decoding destroyed it (with `captions.boilerplate: drop`)",
    ),
    Reason(
        "file_name",
        _CAPTION,
        "只是文件名 · nothing but a file name",
        "`000.jpg`, `IMG_2031`, 微信图片_2021…, a hash (with `captions.boilerplate: drop`)",
    ),
    Reason(
        "personal_data",
        _CAPTION,
        "个人信息 · personal data",
        "with `captions.personal: drop`, or where nothing else is left",
    ),
    Reason(
        "foreign_language",
        _CAPTION,
        "外语 · another language",
        "none of `captions.languages`: by kana, hangul, Han; by py3langid where Latin words outnumber Han",
        rule=lambda rules: f"language: {', '.join(rules.captions.languages or ())}",
    ),
    Reason(
        "too_little_han",
        _CAPTION,
        "汉字占比太低 · too small a share of Chinese",
        "the share of Han among letters and digits is below `captions.min_han_share`",
        rule=lambda rules: f"Han ≥ {percent(rules.captions.min_han_share or 0)} of letters and digits",
    ),
    Reason(
        "too_few_han",
        _CAPTION,
        "汉字太少 · too few Chinese characters",
        "fewer Han than `captions.min_han`",
        rule=lambda rules: f"≥ {rules.captions.min_han} Han characters",
    ),
    Reason(
        "boilerplate",
        _CAPTION,
        "网页套话 · boilerplate of web pages",
        "点击查看大图, 版权所有, 全场包邮, 素材免费下载 (`boilerplate_patterns`; with `captions.boilerplate: drop`)",
    ),
    Reason(
        "repetitive",
        _CAPTION,
        "重复啰嗦 · repetitive",
        "copies of one piece cover more than `captions.max_repetition` of the letters",
        rule=lambda rules: f"one repeated piece ≤ {percent(rules.captions.max_repetition or 0)} of the caption",
    ),
    Reason(
        "too_many_han",
        _CAPTION,
        "汉字太多 · too many Chinese characters",
        "more Han than `captions.max_han`",
        rule=lambda rules: f"≤ {rules.captions.max_han} Han characters",
    ),
    Reason(
        "caption_too_short",
        _CAPTION,
        "描述太短 · a caption too short",
        "fewer characters than `captions.min_length`; tokens such as 〈手机〉 do not count",
        rule=lambda rules: f"≥ {rules.captions.min_length} characters",
        measured=_characters,
    ),
    Reason(
        "caption_too_long",
        _CAPTION,
        "描述太长 · a caption too long",
        "more characters than `captions.max_length`; tokens such as 〈手机〉 do not count",
        rule=lambda rules: f"≤ {rules.captions.max_length} characters",
        measured=_characters,
    ),
    Reason(
        "too_few_words",
        _CAPTION,
        "词太少 · too few words",
        "fewer words than `captions.min_words`, as jieba cuts",
        rule=lambda rules: f"≥ {rules.captions.min_words} words",
    ),
    Reason(
        "too_many_words",
        _CAPTION,
        "词太多 · too many words",
        "more words than `captions.max_words`, as jieba cuts",
        rule=lambda rules: f"≤ {rules.captions.max_words} words",
    ),
    Reason(
        "no_noun",
        _CAPTION,
        "没有名词 · too few nouns",
        "fewer nouns than `captions.min_nouns`, as jieba tags",
        rule=lambda rules: f"≥ {rules.captions.min_nouns} nouns",
    ),
    Reason(
        "caption_seen_too_often",
        _CAPTION,
        "千篇一律 · the caption of too many pairs",
        "more than `captions.max_count` pairs of the corpus have this caption",
        rule=lambda rules: f"≤ {counted(rules.captions.max_count or 0, 'pair')} with the same caption",
        measured=lambda row: f"{counted(row['same_caption'], 'pair')} with this caption",
    ),
    # pair
    Reason(
        "unlike_caption",
        _PAIR,
        "图文不符 · picture and caption do not match",
        "the similarity is below `similarity.min`",
        rule=lambda rules: f"similarity ≥ {_limit(rules.similarity.min)}",
        measured=_similarity,
    ),
    Reason(
        "too_like_caption",
        _PAIR,
        "图中是字 · the picture shows the caption as text",
        "the similarity is above `similarity.max`",
        rule=lambda rules: f"similarity ≤ {_limit(rules.similarity.max)}",
        measured=_similarity,
    ),
    # duplicates
    Reason(
        "same_bytes",
        _EVALUATION + _EARLIER + _EXACT,
        "字节相同 · the same bytes",
        "the files of the pictures are equal",
    ),
    Reason(
        "same_pixels",
        _EVALUATION + _EARLIER + _EXACT,
        "像素相同 · the same pixels",
        "the pixels are equal: upright, as RGB on white",
    ),
    Reason(
        "same_caption",
        _EXACT,
        "描述相同 · the same caption",
        "a kept pair has the same caption: in the whole corpus with `duplicates.captions: exact` or `near`, else among "
        "the duplicates of its picture",
    ),
    Reason(
        "near_picture",
        _EVALUATION + _EARLIER + _NEAR,
        "近似 · near-duplicate picture",
        "its hash is within `duplicates.radius` of 64 bits of a kept picture's and its signatures agree, or its "
        "embedding is near",
        measured=_distance,
    ),
    Reason(
        "near_caption",
        _NEAR,
        "描述近似 · near-duplicate caption",
        "with `duplicates.captions: near`, a kept pair has nearly the same caption",
    ),
    Reason(
        "more_captions",
        _CHOICE,
        "另有更好的描述 · its picture has better captions",
        "with `duplicates.pairs: image` or `image_topk`: the better captions of the same picture are kept",
    ),
)
REASONS: dict[str, Reason] = {reason.name: reason for reason in _ROWS}

_KEY = re.compile(r"`((?:images|captions|similarity|duplicates)\.\w+)")


def title_of(name: str) -> str:
    """The title of a reason; one that has no row is its own title."""
    status = name.removeprefix("http_")
    if status != name and status.isdigit():
        return REASONS["http_STATUS"].title.replace("STATUS", status)
    return REASONS[name].title if name in REASONS else name


def rule_of(name: str, recipe: Recipe) -> str:
    """The limit that was broken, in a few words; empty for a reason without a limit."""
    rules = Rules(recipe.images.resolved(), recipe.captions.resolved(), recipe.similarity.resolved())
    return REASONS[name].rule(rules) if name in REASONS else ""


def key_of(name: str) -> str:
    """The key of the recipe that sets the limit, the first that `when` names; empty for a reason without a limit."""
    key = _KEY.search(REASONS[name].when) if name in REASONS else None
    return key[1] if key else ""


def measured_of(row: Row) -> str:
    """What was measured of a dropped pair, in a few words; empty where its measures are missing."""
    try:
        return REASONS[row["reason"]].measured(row)
    except (KeyError, TypeError):
        return ""


def fetch_reasons() -> list[str]:
    """The names of the reasons that fetching gives."""
    return sorted(name for name, reason in REASONS.items() if "fetch" in reason.stages)
