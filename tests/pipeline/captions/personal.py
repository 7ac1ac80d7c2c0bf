"""Personal data that belong to nobody, made from a seed: of each kind every way in which captions write it."""

import random
from datetime import date, timedelta

_OPERATORS = ("134", "138", "139", "147", "150", "158", "166", "173", "180", "186", "189", "191", "198", "199")
_REGIONS = ("110105", "310101", "440305", "510104", "330106", "650102")
SENTENCES = ("红色连衣裙女孩，{}", "{}", "全新自行车转让 {} 非诚勿扰", "海边日落（{}）", "老北京布鞋{}")


def written(kind: str, count: int, seed: int = 0) -> list[str]:
    """`count` captions that hold one of the kind."""
    rng = random.Random(f"{kind}-{seed}")
    return [rng.choice(SENTENCES).format(_MAKERS[kind](rng)) for _ in range(count)]


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices("0123456789", k=count))


def mobile(rng: random.Random) -> str:
    number = rng.choice(_OPERATORS) + digits(rng, 8)
    first, second, third = number[:3], number[3:7], number[7:]
    spaced = f"{first} {second} {third}"
    plain = [
        number,
        f"电话：{number}",
        f"手机{number}",
        number.translate(_FULL_WIDTH),
        f"{first}-{second}-{third}",
        spaced,
    ]
    return rng.choice([*plain, f"+86{number}", f"+86 {spaced}", f"86-{number}", f"0086{number}"])


_FULL_WIDTH = {ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789"}


def id_card(rng: random.Random) -> str:
    born = date(1940, 1, 1) + timedelta(days=rng.randrange(27_000))
    body = rng.choice(_REGIONS) + born.strftime("%Y%m%d") + digits(rng, 3)
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # as GB 11643 prints them
    return body + "10X98765432"[sum(int(a) * b for a, b in zip(body, weights, strict=True)) % 11]


def bank_card(rng: random.Random) -> str:
    prefix, length = rng.choice([("622202", 19), ("621700", 19), ("622588", 16), ("4", 16), ("51", 16), ("35", 16)])
    body = prefix + digits(rng, length - 1 - len(prefix))
    doubled = sum(sum(map(int, str(int(d) * 2))) if n % 2 == 0 else int(d) for n, d in enumerate(reversed(body)))
    number = body + str(-doubled % 10)
    grouped = " ".join(number[start : start + 4] for start in range(0, length, 4))
    return rng.choice([number, grouped, grouped.replace(" ", "-")])


def email(rng: random.Random) -> str:
    name = rng.choice(["zhang.san", "li_si88", "wangwu", digits(rng, 8), "a-b+c"])
    return f"{name}@{rng.choice(['qq.com', '163.com', 'sina.com.cn', 'mail.tsinghua.edu.cn', 'gmail.com'])}"


def qq(rng: random.Random) -> str:
    cue = rng.choice(["QQ：", "QQ:", "QQ", "qq ", "QQ群：", "扣扣", "QQ号码：", "加QQ", "客服QQ:"])
    return cue + str(rng.randrange(10_000, 9_999_999_999))


def wechat(rng: random.Random) -> str:
    name = rng.choice(["abc_1990", "xiaoli2020", "wxid_8k2j3h4g5f6", "Lily-0571", "kefu88888"])
    return (
        rng.choice(["微信：", "微信号:", "VX：", "vx ", "wx:", "加微信", "威信：", "薇信 ", "加V：", "WeChat: "]) + name
    )


def url(rng: random.Random) -> str:
    host = rng.choice(["www.example.com", "shop.example.cn", "example.com.cn", "abc123.vip", "m.example.net"])
    path = rng.choice(["", "/", "/item?id=12", "/a/b.html#c"])
    return rng.choice(["http://", "https://", "", "ｈｔｔｐ："]).replace("：", "：／／") + host + path


def ip(rng: random.Random) -> str:
    four = ".".join(str(rng.randrange(1, 255)) for _ in range(4))
    return rng.choice([four, f"{four}:8080", "2001:db8:85a3::8a2e:370:7334", "2001:db8:0:1:2:3:4:5"])


_MAKERS = {
    "mobile": mobile,
    "id_card": id_card,
    "bank_card": bank_card,
    "email": email,
    "qq": qq,
    "wechat": wechat,
    "url": url,
    "ip": ip,
}
KINDS = tuple(_MAKERS)


def near_misses(count: int, seed: int = 0) -> list[str]:
    """Numbers of the same shapes that are none: a wrong check digit, no such day, no such operator, an order's."""
    rng = random.Random(f"near-{seed}")
    makers = (_wrong_id_card, _no_such_day, _wrong_bank_card, _no_operator, _of_a_thing, _isbn, _version)
    return [rng.choice(makers)(rng) for _ in range(count)]


def _wrong_id_card(rng: random.Random) -> str:
    number = id_card(rng)
    return "编码" + number[:-1] + rng.choice([digit for digit in "0123456789" if digit != number[-1]])


def _no_such_day(rng: random.Random) -> str:
    return "11010519900230" + digits(rng, 4)


def _wrong_bank_card(rng: random.Random) -> str:
    number = bank_card(rng)
    return number[:-1] + str((int(number[-1]) + rng.randrange(1, 10)) % 10)


def _no_operator(rng: random.Random) -> str:
    return rng.choice(["110", "128", "142", "154", "160", "194", "238"]) + digits(rng, 8)


def _of_a_thing(rng: random.Random) -> str:
    return rng.choice(["订单号", "货号：", "型号", "快递单号 ", "专利号", "￥", "SKU:"]) + "138" + digits(rng, 8)


def _isbn(rng: random.Random) -> str:
    return f"ISBN 978-7-{digits(rng, 3)}-{digits(rng, 5)}-{digits(rng, 1)}"


def _version(rng: random.Random) -> str:
    return rng.choice(["版本", "v", "系统版本："]) + ".".join(str(rng.randrange(0, 30)) for _ in range(4))
