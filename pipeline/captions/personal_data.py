"""Masks personal data in a caption, after a check that each number or address is what it looks like.

    mask_personal_data("加微信：abc_1990 或 13812345678")      # ("加微信：〈微信〉 或 〈手机〉", "mobile,wechat")

Digits alone prove nothing: an identity card must have a date and the right check digit, a bank card an issuer and
Luhn's, a QQ or WeChat name a cue word before it, and a number that is called an order, a model or an ISBN is left
alone. The caption must be normalised, so that full-width digits are ASCII.
"""

import ipaddress
import re
from collections.abc import Callable
from datetime import date

TOKENS = {
    "bank_card": "〈银行卡〉",
    "email": "〈邮箱〉",
    "id_card": "〈身份证〉",
    "ip": "〈IP〉",
    "mobile": "〈手机〉",
    "qq": "〈QQ〉",
    "url": "〈网址〉",
    "wechat": "〈微信〉",
}  # in the style of Wukong's 〈人名〉
_ANY_TOKEN = re.compile("|".join(TOKENS.values()))

_MAYBE = re.compile(
    r"\d{5}|\d{3}[ -]\d{4}|@|[A-Za-z0-9-]\.[A-Za-z0-9]|://|:[0-9A-Fa-f]*:|[微威薇维]信|v信|加[v薇]|[vw]x|wei?xin|wechat",
    re.IGNORECASE,
)  # of 52,000 captions that people wrote, three hold one of these

_START, _END = r"(?<![0-9A-Za-z_.])", r"(?![0-9A-Za-z_])"
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
_DOMAINS = "com|cn|net|org|gov|edu|top|xyz|vip|cc|tv|info|shop|club|site|online|hk|tw|jp|uk"
_TAIL = r"(?::\d{2,5})?(?:[/?#][!-~]*)?"
_URL = re.compile(
    r"(?<![A-Za-z])(?:https?|ftp)://[!-;=?-~]+"
    rf"|(?<![A-Za-z0-9@._/-])www\.[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+{_TAIL}"
    rf"|(?<![A-Za-z0-9@._/-])(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+(?:{_DOMAINS})(?![A-Za-z0-9-]){_TAIL}",
    re.IGNORECASE,
)
_ID_CARD = re.compile(rf"{_START}[1-9]\d{{5}}(?:19|20)\d{{2}}[01]\d[0-3]\d\d{{3}}[\dXx]{_END}")
_BANK_CARD = re.compile(rf"{_START}[2-69]\d{{3}}(?:[ -]?\d{{4}}){{2,3}}[ -]?\d{{1,4}}(?:[ -]?\d{{1,3}})?{_END}")
_MOBILE = re.compile(
    rf"(?<![0-9A-Za-z_.+])(?:\(?(?:\+|00)?86\)?[ -]?)?"
    rf"1(?:3\d|4[014-9]|5[0-35-9]|6[2567]|7[0-8]|8\d|9[0-35-9])(?:[ -]?\d{{4}}){{2}}{_END}"
    r"(?!\s?(?:[万亿元斤吨米克升字块件股次]|公里|平方|美元|人次|光年))"
)
_SEPARATOR = r"\s*[:：是为+]\s*"
_QQ = re.compile(
    r"((?:(?<![A-Za-z])QQ|扣扣|企鹅号|(?<![A-Za-z])Q群|加群|进群|群号)(?:号码?|群|交流群|联系|咨询|客服|在线|/微信)*"
    rf"(?:{_SEPARATOR}|\s*))[1-9]\d{{4,10}}{_END}",
    re.IGNORECASE,
)
_WECHAT_CUE = (
    r"(?:[微威薇维]信|(?<![A-Za-z])(?:[vw]x|v信|wei?xin|wechat)|加[v薇])(?:号码?|ID|账号|同号|联系|咨询|客服|/QQ)*"
)
_WECHAT = re.compile(
    rf"({_WECHAT_CUE}{_SEPARATOR})(?:1\d{{10}}|[A-Za-z][-_A-Za-z0-9]{{5,19}}|[1-9]\d{{4,10}}){_END}", re.IGNORECASE
)
_WECHAT_UNMARKED = re.compile(  # no colon between: the name must have a digit, for 微信 Windows版 has none
    rf"({_WECHAT_CUE}\s*)(?:1[3-9]\d{{9}}|[A-Za-z](?=[-_A-Za-z]*\d)[-_A-Za-z0-9]{{5,19}}){_END}", re.IGNORECASE
)
_IP4 = re.compile(r"(?<![0-9A-Za-z.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{2,5})?(?![0-9A-Za-z.])")
_IP6 = re.compile(r"(?<![0-9A-Za-z:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){3,7}(?![0-9A-Za-z:.])")

# Words before a number that say that it is not a person's.
_NUMBER_OF_A_THING = re.compile(
    r"(?:订单|单号|编号|货号|款号|型号|条码|条形码|序列号|批号|批次|版号|书号|编码|代码|流水号|快递|运单|物流|学号|工号|准考证|"
    r"专利|标准|版本|ISBN|ISSN|EAN|UPC|SKU|ASIN|NO|№|#|[￥¥$€£]|ver|(?<![加A-Z])v)(?:号码?)?[ .:：#]{0,2}$",
    re.IGNORECASE,
)
_PICTURE_ENDING = re.compile(r"\.(?:jpe?g|png|gif|webp|bmp|svg)$", re.IGNORECASE)


def mask_personal_data(caption: str) -> tuple[str, str]:
    """(the caption with a token for each datum, their kinds: sorted, with commas between)."""
    if not _MAYBE.search(caption):
        return caption, ""
    kinds: set[str] = set()
    before = ""
    while before != caption:  # a token can end a number that was part of a longer one
        before = caption
        for kind, pattern, proven in _KINDS:
            caption = pattern.sub(_masking(kind, proven, kinds), caption)
    return caption, ",".join(sorted(kinds))


def without_tokens(caption: str) -> str:
    """The caption without tokens: rules on length and language must count the author's own words only."""
    return _ANY_TOKEN.sub("", caption) if "〈" in caption else caption


Proof = Callable[["re.Match[str]"], bool]


def _masking(kind: str, proven: Proof, kinds: set[str]) -> Callable[["re.Match[str]"], str]:
    def masked(match: "re.Match[str]") -> str:
        if not proven(match):
            return match[0]
        kinds.add(kind)
        return (match[1] if match.re.groups else "") + TOKENS[kind]

    return masked


def _always(match: "re.Match[str]") -> bool:
    return True


def _is_address(match: "re.Match[str]") -> bool:
    return not _PICTURE_ENDING.search(match[0])  # icon@2x.png


def _is_url(match: "re.Match[str]") -> bool:
    return not re.fullmatch("(?:asp|vb|ado|ml|paint)\\.net", match[0], re.IGNORECASE)


def _is_persons(match: "re.Match[str]") -> bool:
    return not _NUMBER_OF_A_THING.search(match.string[max(0, match.start() - 12) : match.start()])


def _is_id_card(match: "re.Match[str]") -> bool:
    """GB 11643-1999: region, birthday, ISO 7064 MOD 11-2."""
    number = match[0].upper()
    if int(number[:2]) not in _REGIONS:
        return False
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    weighted = sum(int(digit) * 2 ** (17 - index) for index, digit in enumerate(number[:17]))
    return "10X98765432"[weighted % 11] == number[17]


_REGIONS = {
    *range(11, 16),
    *range(21, 24),
    *range(31, 38),
    *range(41, 47),
    *range(50, 55),
    *range(61, 66),
    71,
    81,
    82,
    83,
}


def _is_bank_card(match: "re.Match[str]") -> bool:
    """UnionPay, Visa, Mastercard, American Express, JCB, and the old cards of ICBC and ABC; by Luhn's check digit."""
    number = re.sub("[ -]", "", match[0])
    return bool(_ISSUERS.fullmatch(number)) and _luhn(number) and _is_persons(match)


_ISSUERS = re.compile(
    r"62\d{14,17}|60\d{14,17}|4\d{15}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|35\d{14}|955[89]\d{12,15}"
)


def _luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


def _is_ip(match: "re.Match[str]") -> bool:
    host = match[0].rpartition(":")[0] if match[0].count(":") == 1 else match[0]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return _is_persons(match)  # 版本 1.2.3.4


_KINDS: tuple[tuple[str, "re.Pattern[str]", Proof], ...] = (
    ("email", _EMAIL, _is_address),
    ("url", _URL, _is_url),
    ("id_card", _ID_CARD, _is_id_card),
    ("bank_card", _BANK_CARD, _is_bank_card),
    ("wechat", _WECHAT, _always),
    ("wechat", _WECHAT_UNMARKED, _always),
    ("qq", _QQ, _always),
    ("mobile", _MOBILE, _is_persons),
    ("ip", _IP4, _is_ip),
    ("ip", _IP6, _is_ip),
)
