"""Screenshots by Chromium: one layout, other words, another number, one word changed, a product in another colour.

Needs Debian's Chromium and a CJK font. Every caption begins with the layout; pages of one layout are the hard pairs.
"""

import io
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

_TWO_CHARACTERS = (
    "今天天气不错我们一起吃饭明天开会项目进度完成设计客户反馈价格合同周末电影火锅城市北京上海"
    "高铁机票酒店手机电脑相机耳机衣服裤子鞋子苹果香蕉西瓜猫咪小狗花园河边山顶老师学生考试成绩"
    "医院医生健康跑步游泳音乐"
)
_WORDS = [_TWO_CHARACTERS[start : start + 2] for start in range(0, len(_TWO_CHARACTERS), 2)]
_STYLE = "<meta charset=utf-8><style>body{margin:0;font:16px 'Noto Sans CJK SC',sans-serif;background:#fff;color:#222}"
_COLOURS = {
    "红": "#d22",
    "蓝": "#24c",
    "绿": "#2a4",
    "黄": "#ec2",
    "黑": "#222",
    "灰": "#888",
    "粉": "#f9b",
    "深红": "#a11",
    "天蓝": "#5af",
}


def screens(artwork: Path) -> Iterator[tuple[str, str, Image.Image]]:
    """(name, caption, picture)."""
    browser_path = shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        for layout, (width, height), pages in _layouts():
            page = browser.new_page(viewport={"width": width, "height": height})
            for number, (caption, body) in enumerate(pages):
                page.set_content(_STYLE + body)
                picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                yield f"{layout}-{number:03d}", f"{layout}: {caption}", picture
            page.close()
        browser.close()


def _layouts() -> Iterator[tuple[str, tuple[int, int], list[tuple[str, str]]]]:
    rng = random.Random(0)
    yield "chat", (390, 844), [_chat(rng) for _ in range(30)]
    yield "table", (800, 600), [_table(rng) for _ in range(30)]
    yield "article", (1280, 800), [_article(rng) for _ in range(30)]
    for size in (12, 16, 24):  # every cell is text, as every cell of a photograph is texture
        yield f"dense-{size}", (800, 600), [_dense(rng, size) for _ in range(30)]
    yield "sentence", (600, 400), [_sentence(rng) for _ in range(30)]
    yield "plate", (440, 140), [_plate(rng) for _ in range(60)]
    yield "price", (300, 300), [_price(rng) for _ in range(60)]
    yield "number", (256, 256), [(str(n), _big(str(n))) for n in range(100)]
    yield "product", (390, 600), [(name, _product(colour)) for name, colour in _COLOURS.items()]
    yield "dress", (390, 600), [(name, _dress(colour)) for name, colour in _COLOURS.items()]
    first = _words(rng, 12)
    changed = [
        [_words(rng, 1)[0] if place == chosen else word for place, word in enumerate(first)] for chosen in range(12)
    ]
    yield "one-word", (600, 400), [("".join(words), _paragraph(words, 32)) for words in [first, *changed]]
    chat = [_words(rng, 5) for _ in range(7)]
    one_line = [[_words(rng, 5) if n == chosen else words for n, words in enumerate(chat)] for chosen in range(7)]
    yield "one-line", (390, 844), [(str(lines), _bubbles(lines)) for lines in [chat, *one_line]]


def _words(rng: random.Random, count: int) -> list[str]:
    return [rng.choice(_WORDS) for _ in range(count)]


def _bubbles(lines: list[list[str]]) -> str:
    bubble = "border-radius:10px;padding:12px;margin:12px;width:60%;"
    sides = ("background:#95ec69;margin-left:30%", "background:#eee")
    texts = "".join(f"<div style='{bubble}{sides[n % 2]}'>{''.join(words)}</div>" for n, words in enumerate(lines))
    return f"</style><div style='background:#ededed;padding:14px;text-align:center'>聊天</div>{texts}"


def _chat(rng: random.Random) -> tuple[str, str]:
    lines = [_words(rng, rng.randint(4, 6)) for _ in range(8)]
    return str(lines), _bubbles(lines)


def _table(rng: random.Random) -> tuple[str, str]:
    numbers = [[str(rng.randint(1000, 9999)) for _ in range(5)] for _ in range(12)]
    rows = "".join(f"<tr><td>{''.join(c + '<td>' for c in row)}" for row in numbers)
    return str(numbers), f"td{{border:1px solid #ccc;padding:10px 40px}}</style><table>{rows}</table>"


def _article(rng: random.Random) -> tuple[str, str]:
    words = _words(rng, 400)
    return "".join(words[:20]), f"</style><div style='padding:60px;line-height:28px'>{''.join(words)}</div>"


def _dense(rng: random.Random, size: int) -> tuple[str, str]:
    words = _words(rng, 2_000)
    return "".join(words[:20]), f"</style><div style='font-size:{size}px;line-height:1.2'>{''.join(words)}</div>"


def _sentence(rng: random.Random) -> tuple[str, str]:
    words = _words(rng, 12)
    return "".join(words), _paragraph(words, 32)


def _paragraph(words: list[str], size: int) -> str:
    return f"</style><div style='padding:60px;font-size:{size}px;line-height:2'>{''.join(words)}</div>"


def _plate(rng: random.Random) -> tuple[str, str]:
    said = "京A·" + "".join(rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789") for _ in range(5))
    style = (
        "background:#1a4fc4;color:#fff;"
        "font-size:64px;white-space:nowrap;text-align:center;line-height:120px;margin:6px;border-radius:9px"
    )
    return said, f"</style><div style='{style}'>{said}</div>"


def _price(rng: random.Random) -> tuple[str, str]:
    said = f"¥{rng.randint(10, 99)}.{rng.randint(10, 99)}"
    return (
        said,
        f"</style><div style='background:#fd3;color:#c00;font-size:72px;padding:90px 20px;height:200px'>{said}</div>",
    )


def _big(said: str) -> str:
    return f"</style><div style='font-size:150px;text-align:center;line-height:240px'>{said}</div>"


def _product(colour: str) -> str:
    box = f"background:{colour};width:200px;height:260px;margin:70px auto;border-radius:24px"
    return f"</style><div style='{box}'></div><h2 style='padding:20px'>限时特价 ¥199</h2>"


def _dress(colour: str) -> str:
    shape = "M70 20h60l10 60 40 180H20L60 80z"
    return f"</style><svg viewBox='0 0 200 300' width=390 height=480><path d='{shape}' fill='{colour}'/></svg><p>连衣裙"
